use super::codec;
use super::*;
use crate::delete::{Cause, Delete, TagRanges};
use crate::ingest::Counts;
use crate::reduction::{Decided, Reducer, ReducerState, Reduction};
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
        deleted_through: last_sequence,
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
        ended: vec![3, u64::MAX],
    };
    let cell = Cell { value: None, text: Some("Scan Timeout".into()), status: Status::BAD };
    Edit {
        log_position: 4,
        next_segment_id: 8,
        added: vec![segment(7, 4)],
        removed: Vec::new(),
        tags: vec![Tag { id: TagId(1), created: 5, spec: reduced_spec() }.into()],
        sources: vec![("gw".into(), source)],
        forgotten: vec!["old".into()],
        newest: vec![(TagId(1), Row { time: 9, cell }), (TagId(2), Row { time: -9, cell: Cell::good(1) })],
        tags_file: Some(ListFile { bytes: 10, crc: 11 }),
        deletes: vec![Arc::new(delete(4, &[1, 2, 9], -5, 9))],
        purged: vec![(7, 3)],
        newest_gone: vec![TagId(3)],
        deletes_file: Some(ListFile { bytes: 12, crc: 13 }),
        reducers: vec![(TagId(1), Some(Arc::new(reducer_state()))), (TagId(2), None)],
    }
}

fn reduced_spec() -> TagSpec {
    let reduction = Reduction::parse("ExcDev=0.5,CompDev=1").unwrap();
    TagSpec { reduction: Some(reduction), ..TagSpec::new("a", TagType::Float64) }
}

/// Where reduction is after samples that both filters left some of out.
fn reducer_state() -> ReducerState {
    let spec = reduced_spec();
    let settings = spec.reduction.unwrap().settings(&spec).unwrap();
    let mut reducer = Reducer::new(settings, true);
    for (i, value) in [0.0, 0.1, 0.2, 1.0, 1.1, 1.2, 1.3, 1.2f64].into_iter().enumerate() {
        let time = i64::try_from(i).unwrap() * 20_000_000_000;
        reducer.push(Row { time, cell: Cell::good(value.to_bits()) }, &mut Decided::default());
    }
    let state = reducer.state().unwrap();
    assert_eq!(state.held.len(), 2);
    assert!(state.held.iter().all(|held| held.gap.is_some()));
    state
}

fn delete(sequence: u64, tags: &[u32], from: i64, to: i64) -> Delete {
    let tags = TagRanges::of(&tags.iter().map(|tag| TagId(*tag)).collect::<Vec<_>>());
    Delete { sequence, received: -7, cause: Cause::Request, tags, from, to }
}

/// A state with one segment of frames up to 3, of tags 1 and 2 and times -5 to 9.
fn state_of_one_segment() -> ManifestState {
    let mut state = ManifestState::default();
    let first = Edit { log_position: 3, next_segment_id: 2, added: vec![segment(1, 3)], ..Edit::default() };
    state.apply(first).unwrap();
    state
}

fn adding(deletes: Vec<Delete>) -> Edit {
    let log_position = deletes.iter().map(|delete| delete.sequence).max().unwrap_or(3);
    let deletes = deletes.into_iter().map(Arc::new).collect();
    Edit { log_position, next_segment_id: 2, deletes, ..Edit::default() }
}

#[test]
fn a_delete_stays_while_a_segment_needs_it() {
    let mut state = state_of_one_segment();
    for nothing in [delete(4, &[3], -5, 9), delete(5, &[1], 10, 20), delete(6, &[1], -20, -6)] {
        state.apply(adding(vec![nothing])).unwrap();
        assert_eq!(state.deletes, []);
    }
    state.apply(adding(vec![delete(7, &[2], 9, 20)])).unwrap();
    assert_eq!(state.deletes.len(), 1);
    let mut purged = state.clone();
    purged.apply(Edit { purged: vec![(1, 6)], ..adding(vec![]).at(7) }).unwrap();
    assert_eq!(purged.deletes.len(), 1, "purged of older deletes only");
    purged.apply(Edit { purged: vec![(1, 7)], ..adding(vec![]).at(7) }).unwrap();
    assert_eq!(purged.deletes, []);
    let replaced = SegmentMeta { first_sequence: 1, deleted_through: 7, ..segment(2, 3) };
    let merge = Edit { next_segment_id: 3, added: vec![replaced], removed: vec![1], ..adding(vec![]).at(7) };
    state.apply(merge).unwrap();
    assert_eq!(state.deletes, []);
}

#[test]
fn a_delete_takes_the_place_of_those_that_it_holds() {
    let mut state = state_of_one_segment();
    state.apply(adding(vec![delete(4, &[1], 0, 5), delete(5, &[2], 0, 5)])).unwrap();
    state.apply(adding(vec![delete(6, &[1], -1, 5)])).unwrap();
    assert_eq!(state.deletes.iter().map(|d| d.sequence).collect::<Vec<_>>(), [5, 6]);
    let retention = |sequence, from, to| Delete { cause: Cause::Retention, ..delete(sequence, &[1, 2], from, to) };
    state.apply(adding(vec![retention(7, -5, -3)])).unwrap();
    state.apply(adding(vec![retention(8, -2, 1)])).unwrap();
    let last = state.deletes.last().unwrap();
    assert_eq!((state.deletes.len(), last.sequence, last.from, last.to), (3, 8, -5, 1));
    let mut again = ManifestState::default();
    again.apply(state.as_edit()).unwrap();
    assert_eq!(again.as_edit(), state.as_edit());
    assert!(state.clone().apply(adding(vec![delete(8, &[1], 0, 5)])).is_err(), "deletes come in the order of the log");
    let later = Edit { log_position: 8, ..adding(vec![delete(9, &[1], 0, 5)]) };
    assert!(state.apply(later).is_err(), "above the log position");
}

impl Edit {
    fn at(self, log_position: u64) -> Edit {
        Edit { log_position, ..self }
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
fn segments_that_cannot_be_are_refused() {
    let add = |change: &dyn Fn(&mut SegmentMeta)| {
        let mut added = segment(7, 4);
        change(&mut added);
        ManifestState::default().apply(Edit { added: vec![added], ..edit() })
    };
    assert_eq!(add(&|_| ()), Ok(()));
    let changes: [&dyn Fn(&mut SegmentMeta); 9] = [
        &|it| it.rows = 1,
        &|it| it.tags = 0,
        &|it| it.tags = 3,
        &|it| it.first_tag = TagId(0),
        &|it| it.first_tag = TagId(3),
        &|it| it.tail_offset = 100,
        &|it| it.first_time = 10,
        &|it| it.first_time = i64::MIN,
        &|it| it.last_time = i64::MAX,
    ];
    for (i, change) in changes.iter().enumerate() {
        assert!(add(change).is_err(), "change {i}");
    }
    for name in ["", ".hidden", "../up", "two\nlines"] {
        let mut named = edit();
        named.added[0].name = name.into();
        assert!(codec::decode(&codec::encode(Kind::Edit, 5, 1, &named), 5, 1).is_err(), "{name:?}");
    }
    let far = Edit { log_position: u64::MAX, ..edit() };
    assert!(ManifestState::default().apply(far).is_err(), "nothing can come after it");
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
