use std::sync::Arc;

use super::*;

const NOW: i64 = 1_767_225_600_000_000_000;
const RULES: Rules = Rules { now: NOW, max_future: 3_600_000_000_000 };

fn table(specs: &[(&str, TagType)]) -> TagTable {
    let mut table = TagTable::default();
    for (id, (name, kind)) in (1..).zip(specs) {
        table.put(Arc::new(Tag { id: TagId(id), created: 0, spec: TagSpec::new(*name, *kind) }));
    }
    table
}

fn scan(time: i64, names: &[&str], values: Values, statuses: &[u32]) -> Batch {
    let shape = Shape::Scan { time, handles: Vec::new(), names: names.iter().map(|n| (*n).into()).collect() };
    Batch { blocks: vec![Block { shape, values, statuses: statuses.into() }] }
}

#[test]
fn a_sample_that_cannot_be_is_named_and_the_others_are_kept() {
    let tags = table(&[("A", TagType::Float64), ("N", TagType::Int64)]);
    let batch = Batch {
        blocks: vec![
            Block {
                shape: Shape::Series { tag: TagRef::Handle(1), times: vec![NOW, NOW + 7_200_000_000_000, i64::MIN] },
                values: Values::Doubles(vec![1.0, 2.0, 3.0]),
                statuses: vec![],
            },
            Block {
                shape: Shape::Scan { time: NOW, handles: vec![2, 9], names: vec!["a".into(), "b\n".into()] },
                values: Values::Texts(vec!["2.5".into(), "1".into(), "7.5".into(), "1".into()]),
                statuses: vec![0x4000_0000],
            },
        ],
    };
    let prepared = prepare(&batch, &tags, RULES);
    let indexes: Vec<u32> = prepared.rejections.iter().map(|r| r.index).collect();
    assert_eq!(indexes, [1, 2, 3, 4, 6], "{:?}", prepared.rejections);
    assert!(prepared.rejections.iter().all(|r| !r.reason.contains('\n')));
    assert_eq!(prepared.handles, [("a".to_owned(), TagId(1))]);
    assert_eq!(prepared.blocks.len(), 2);
    assert_eq!(prepared.blocks[1].tag(0), TagId(1));
    assert_eq!(prepared.blocks[1].rows.value(0), Some(7.5f64.to_bits()));
    assert_eq!(prepared.blocks[1].rows.status(0), Status::UNCERTAIN);
}

#[test]
fn the_first_good_value_types_a_tag() {
    let mut batch =
        scan(NOW, &["x", "y", "z"], Values::Texts(vec!["Bad".into(), "true".into(), "".into()]), &[0x8000_0000, 0, 0]);
    batch.blocks.extend(scan(NOW + 1, &["X"], Values::Texts(vec!["batch 7".into()]), &[]).blocks);
    let specs = missing_tags(&batch, &table(&[("other", TagType::Bool)]), RULES);
    let found: Vec<(&str, TagType)> = specs.iter().map(|s| (s.name.as_str(), s.tag_type)).collect();
    assert_eq!(found, [("x", TagType::Text), ("y", TagType::Bool), ("z", TagType::Float64)]);
}

#[test]
fn tags_that_exist_and_names_that_cannot_be_are_not_missing() {
    let batch = scan(NOW, &["A", "", "\u{7}"], Values::Doubles(vec![1.0, 2.0, 3.0]), &[]);
    assert!(missing_tags(&batch, &table(&[("a", TagType::Text)]), RULES).is_empty());
}

#[test]
fn samples_of_impossible_times_make_no_tag_and_give_it_no_type() {
    let late = NOW + 7_200_000_000_000;
    let mut batch = scan(late, &["x", "y"], Values::Booleans(vec![true, true]), &[]);
    let shape = Shape::Series { tag: TagRef::Name("y".into()), times: vec![i64::MIN, late, NOW] };
    let values = Values::Texts(["on", "true", "4"].map(String::from).to_vec());
    batch.blocks.push(Block { shape, values, statuses: Vec::new() });
    let specs = missing_tags(&batch, &table(&[]), RULES);
    let found: Vec<(&str, TagType)> = specs.iter().map(|s| (s.name.as_str(), s.tag_type)).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].0, "y");
    assert!(!matches!(found[0].1, TagType::Bool | TagType::Text), "{found:?}");
    let prepared = prepare(&batch, &table(&[]), RULES);
    assert!(prepared.rejections[0].reason.contains("in the future"), "{:?}", prepared.rejections[0]);
}

#[test]
fn coerced_samples_are_marked_one_by_one() {
    let tags = table(&[("A", TagType::Float64)]);
    let values = Values::Doubles(vec![1.0, f64::NAN, 2.0]);
    let shape = Shape::Series { tag: TagRef::Handle(1), times: vec![1, 2, 3] };
    let batch = Batch { blocks: vec![Block { shape, values, statuses: vec![] }] };
    let prepared = prepare(&batch, &tags, RULES);
    assert_eq!(prepared.blocks[0].coerced, [false, true, false]);
    assert_eq!(prepared.blocks[0].rows.status(1), Status::BAD_OUT_OF_RANGE);
    assert_eq!(prepared.blocks[0].rows.value(1), None);
}

#[test]
fn new_words_of_a_digital_tag_are_asked_for_once_and_get_their_codes() {
    let tags = table(&[("V", TagType::Digital)]);
    let values = Values::Texts(["Open", "Open", "Closed", "Open", "Open"].map(String::from).to_vec());
    let shape = Shape::Series { tag: TagRef::Handle(1), times: vec![1, 2, 3, 4, 5] };
    let statuses = vec![0x8000_0000, 0, 0, 0, 0x8000_0000];
    let mut prepared = prepare(&Batch { blocks: vec![Block { shape, values, statuses }] }, &tags, RULES);
    assert_eq!(prepared.new_states[&TagId(1)], ["Open", "Closed"]);

    let mut declared = tags.clone();
    let mut tag = (**tags.find("V").unwrap()).clone();
    tag.spec.states = vec![(7, "Closed".into()), (9, "Open".into())];
    declared.put(Arc::new(tag));
    prepared.close_codes(&declared).unwrap();
    let rows = &prepared.blocks[0].rows;
    // With a Bad status, a word is a system state until a sample before has made it a state.
    let found: Vec<Option<u64>> = (0..5).map(|i| rows.value(i)).collect();
    assert_eq!(found, [None, Some(9), Some(7), Some(9), Some(9)]);
    assert_eq!(rows.text(0).map(|text| &**text), Some("Open"));
}

#[test]
fn columns_of_different_lengths_refuse_the_batch() {
    let batch = scan(NOW, &["A", "B"], Values::Doubles(vec![1.0]), &[]);
    assert!(check_shape(&batch).is_err());
    let batch = scan(NOW, &["A", "B", "C"], Values::None, &[0, 0]);
    assert!(check_shape(&batch).is_err());
}

#[test]
fn a_tag_takes_states_while_it_has_codes_and_bytes_for_them() {
    let words = |count: usize, bytes: usize| {
        let texts = (0..count).map(|i| format!("{i:0bytes$}x")).collect();
        let shape = Shape::Series { tag: TagRef::Handle(1), times: (0..count as i64).collect() };
        Batch { blocks: vec![Block { shape, values: Values::Texts(texts), statuses: vec![] }] }
    };
    let tags = table(&[("V", TagType::Digital)]);
    let prepared = prepare(&words(300, 999), &tags, RULES);
    assert_eq!((prepared.new_states[&TagId(1)].len(), prepared.rejections.len()), (262, 38));

    let mut full = tags.clone();
    let mut tag = (**tags.find("V").unwrap()).clone();
    tag.spec.states = vec![(i64::MAX - 1, "Last but one".into())];
    full.put(Arc::new(tag));
    let prepared = prepare(&words(3, 1), &full, RULES);
    assert_eq!((prepared.new_states[&TagId(1)].len(), prepared.rejections.len()), (1, 2));
}

#[test]
fn a_reason_that_repeats_is_kept_once() {
    let shape = Shape::Series { tag: TagRef::Handle(9), times: vec![1, 2, 3] };
    let batch = Batch { blocks: vec![Block { shape, values: Values::Doubles(vec![0.0; 3]), statuses: vec![] }] };
    let rejections = prepare(&batch, &table(&[]), RULES).rejections;
    assert_eq!(rejections.len(), 3);
    assert!(rejections.iter().all(|r| Arc::ptr_eq(&r.reason, &rejections[0].reason)));
}

#[test]
fn a_series_without_samples_declares_its_tag() {
    let declare = |name: &str, values| Block {
        shape: Shape::Series { tag: TagRef::Name(name.into()), times: vec![] },
        values,
        statuses: vec![],
    };
    let blocks = vec![
        declare("word", Values::Texts(vec![])),
        declare("switch", Values::Booleans(vec![])),
        declare("number", Values::Doubles(vec![])),
        declare("THERE", Values::Texts(vec![])),
    ];
    let batch = Batch { blocks };
    let tags = table(&[("there", TagType::Int64)]);
    let missing: Vec<(String, TagType)> =
        missing_tags(&batch, &tags, RULES).into_iter().map(|spec| (spec.name, spec.tag_type)).collect();
    let expected = [("word", TagType::Text), ("switch", TagType::Bool), ("number", TagType::Float64)];
    assert_eq!(missing, expected.map(|(name, kind)| (name.to_owned(), kind)));
    let prepared = prepare(&batch, &tags, RULES);
    assert!(prepared.blocks.is_empty() && prepared.rejections.is_empty());
}
