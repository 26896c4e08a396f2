use proptest::prelude::*;

use super::*;
use crate::delete::{Cause, TagRanges};
use crate::sample::Cell;
use crate::status::Status;
use crate::tag::{TagSpec, TagType};

fn block() -> impl Strategy<Value = FrameBlock> {
    let row = (
        1u32..9,
        any::<i64>(),
        proptest::option::of(any::<u64>()),
        proptest::option::of(".{0,8}"),
        prop_oneof![Just(0u32), any::<u32>()],
        any::<bool>(),
    );
    (prop::collection::vec(row, 0..40), any::<bool>()).prop_map(|(rows, one)| {
        let mut block = FrameBlock { tags: BlockTags::One(TagId(5)), rows: Rows::default(), coerced: Vec::new() };
        for (_, time, value, text, status, _) in &rows {
            block
                .rows
                .push(*time, &Cell { value: *value, text: text.as_deref().map(Arc::from), status: Status(*status) });
        }
        if !one {
            block.tags = BlockTags::Each(rows.iter().map(|r| TagId(r.0)).collect());
            block.coerced = rows.iter().map(|r| r.5).collect();
        }
        block
    })
}

proptest! {
    #[test]
    fn frames_come_back(blocks in prop::collection::vec(block(), 0..5), epoch: u64, sequence: u64, rejected: u64, named: bool) {
        let source = named.then(|| SourceMark { name: "gw1".into(), identity: "".into(), epoch, sequence });
        let frame = Frame::Samples(SampleFrame { source, received: 7, rejected, blocks });
        prop_assert_eq!(decode_frame(&encode_frame(&frame)).unwrap(), frame);
    }

    #[test]
    fn damaged_frames_are_errors_or_frames(blocks in prop::collection::vec(block(), 0..3), cut: prop::sample::Index, flip: prop::sample::Index, bit in 0u8..8) {
        let mut bytes = encode_frame(&Frame::Samples(SampleFrame { source: None, received: 7, rejected: 0, blocks }));
        prop_assert!(decode_frame(&bytes[..cut.index(bytes.len())]).is_err());
        let at = flip.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let _ = decode_frame(&bytes);
    }
}

fn delete() -> impl Strategy<Value = Delete> {
    let tags = prop::collection::vec(1u32..5000, 1..40);
    let cause = prop_oneof![Just(Cause::Request), Just(Cause::Retention)];
    (any::<i64>(), cause, tags, any::<i64>(), any::<i64>()).prop_map(|(received, cause, tags, a, b)| {
        let tags = TagRanges::of(&tags.into_iter().map(TagId).collect::<Vec<_>>());
        Delete { sequence: 0, received, cause, tags, from: a.min(b), to: a.max(b) }
    })
}

proptest! {
    #[test]
    fn deletes_come_back(delete in delete(), cut: prop::sample::Index, flip: prop::sample::Index, bit in 0u8..8) {
        let frame = Frame::Delete(delete);
        let mut bytes = encode_frame(&frame);
        prop_assert_eq!(decode_frame(&bytes).unwrap(), frame);
        prop_assert!(decode_frame(&bytes[..cut.index(bytes.len())]).is_err());
        let at = flip.index(bytes.len());
        bytes[at] ^= 1 << bit;
        // What still is a delete is written as it was read: there is one way to write each.
        if let Ok(Frame::Delete(read)) = decode_frame(&bytes) {
            prop_assert_eq!(encode_frame(&Frame::Delete(read)), bytes);
        }
    }
}

#[test]
fn deletes_that_cannot_be_are_refused() {
    let refused = |tags: &[u8], from: i64| {
        let mut bytes = vec![DELETE];
        bytes.extend([0; 8]);
        bytes.push(1);
        bytes.extend(from.to_le_bytes());
        bytes.extend(5i64.to_le_bytes());
        bytes.extend(tags);
        decode_frame(&bytes).is_err()
    };
    assert!(!refused(&[1, 3, 0], 5) && !refused(&[2, 3, 0, 2, 4], 5));
    assert!(refused(&[1, 3, 0], 6), "it ends before it begins");
    assert!(refused(&[0], 5), "no tags");
    assert!(refused(&[1, 0, 3], 5), "tag 0");
    assert!(refused(&[2, 3, 0, 1, 4], 5), "ranges that touch");
    assert!(refused(&[2, 3, 0, 0, 4], 5), "ranges that overlap");
    assert!(refused(&[1, 0xff, 0xff, 0xff, 0xff, 0x1f, 0], 5), "an id of more than 32 bits");
}

#[test]
fn tags_come_back() {
    let mut spec = TagSpec::new("V1", TagType::Digital);
    spec.states = vec![(-1, "Fault".into()), (0, "Closed".into())];
    (spec.low, spec.high, spec.future) = (Some(-1.5), None, true);
    let tags = vec![
        Arc::new(Tag { id: TagId(1), created: -5, spec }),
        Arc::new(Tag { id: TagId(2), created: 9, spec: TagSpec::new("x", TagType::Text) }),
    ];
    let frame = Frame::Tags(tags);
    assert_eq!(decode_frame(&encode_frame(&frame)).unwrap(), frame);
}

#[test]
fn the_shortest_tag_has_the_least_length() {
    let tag = Arc::new(Tag { id: TagId(1), created: 0, spec: TagSpec::new("t", TagType::Float64) });
    let frame = Frame::Tags(vec![tag]);
    let bytes = encode_frame(&frame);
    assert_eq!(bytes.len(), 2 + TAG_BYTES_MIN);
    assert_eq!(decode_frame(&bytes).unwrap(), frame);
}
