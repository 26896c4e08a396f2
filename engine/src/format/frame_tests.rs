use proptest::prelude::*;

use super::*;
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
