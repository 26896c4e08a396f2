use super::codec;
use super::*;
use crate::ingest::Counts;
use crate::sample::{Cell, Row};
use crate::segment::SegmentMeta;
use crate::status::Status;
use crate::tag::{Tag, TagId, TagSpec, TagType};

fn segment(id: u64, last_sequence: u64) -> SegmentMeta {
    SegmentMeta {
        id,
        name: format!("0001-{last_sequence:016}-{id:08}.parquet"),
        bytes: 100,
        tail_offset: 60,
        tail_crc: 7,
        rows: 3,
        first_sequence: 1,
        last_sequence,
        first_tag: TagId(1),
        last_tag: TagId(2),
        tags: 2,
        first_time: -5,
        last_time: 9,
    }
}

fn edit() -> Edit {
    let source = SourceState {
        identity: "gateway".into(),
        epoch: u64::MAX,
        sequence: 12,
        counts: Counts { stored: 5, coerced: 1, ..Counts::default() },
        received: -3,
    };
    let cell = Cell { value: None, text: Some("Scan Timeout".into()), status: Status::BAD };
    Edit {
        log_position: 4,
        next_segment_id: 8,
        added: vec![segment(7, 4)],
        removed: Vec::new(),
        tags: vec![Tag { id: TagId(1), created: 5, spec: TagSpec::new("a", TagType::Text) }.into()],
        sources: vec![("gw".into(), source)],
        forgotten: vec!["old".into()],
        newest: vec![(TagId(1), Row { time: 9, cell }), (TagId(2), Row { time: -9, cell: Cell::good(1) })],
        tags_file: Some(TagsFile { bytes: 10, crc: 11 }),
    }
}

#[test]
fn an_edit_comes_back_and_any_flipped_bit_is_found() {
    let bytes = codec::encode(Kind::Edit, 5, 9, &edit());
    assert_eq!(codec::decode(&bytes, 5, 9).unwrap(), (Kind::Edit, edit()));
    assert!(codec::decode(&bytes, 5, 8).is_err(), "another number");
    assert!(codec::decode(&bytes, 4, 9).is_err(), "another archive");
    for bit in 0..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(codec::decode(&damaged, 5, 9).is_err(), "bit {bit}");
    }
}

#[test]
fn a_state_equals_its_own_edit() {
    let mut state = ManifestState::default();
    state.apply(edit()).unwrap();
    let removal =
        Edit { log_position: 6, next_segment_id: 9, added: vec![segment(8, 6)], removed: vec![7], ..Edit::default() };
    state.apply(removal).unwrap();
    let mut again = ManifestState::default();
    again.apply(state.as_edit()).unwrap();
    assert_eq!(again.as_edit(), state.as_edit());
    assert_eq!(state.segments.iter().map(|s| s.id).collect::<Vec<_>>(), [8]);
    assert_eq!(state.number, 2);
}

#[test]
fn edits_that_cannot_be_are_refused() {
    let mut state = ManifestState::default();
    state.apply(edit()).unwrap();
    assert!(state.clone().apply(Edit { log_position: 3, next_segment_id: 8, ..Edit::default() }).is_err());
    assert!(
        state
            .clone()
            .apply(Edit { log_position: 4, next_segment_id: 8, removed: vec![99], ..Edit::default() })
            .is_err()
    );
    let add = |first_sequence, last_sequence, id| {
        let added = SegmentMeta { first_sequence, ..segment(id, last_sequence) };
        Edit { log_position: 9, next_segment_id: 9, added: vec![added], ..Edit::default() }
    };
    state.clone().apply(add(5, 9, 8)).unwrap();
    for (first, last, id) in [(4, 9, 8), (5, 10, 8), (6, 5, 8), (5, 9, 7), (5, 9, 9)] {
        assert!(state.clone().apply(add(first, last, id)).is_err(), "{first} to {last}, segment {id}");
    }
    state.clone().apply(Edit { removed: vec![7], ..add(1, 9, 8) }).unwrap();
    let stray = Tag { id: TagId(5), created: 0, spec: TagSpec::new("x", TagType::Bool) };
    assert!(
        state.apply(Edit { log_position: 4, next_segment_id: 8, tags: vec![stray.into()], ..Edit::default() }).is_err()
    );
}

#[test]
fn a_file_that_could_not_be_read_again_is_not_written() {
    let most = usize::try_from(crate::limits::MANIFEST_FILE_BYTES_MAX).unwrap();
    assert!(check_length(most).is_ok());
    assert_eq!(check_length(most + 1).unwrap_err().kind(), ErrorKind::Exhausted);
}
