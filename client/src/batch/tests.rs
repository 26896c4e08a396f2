use std::collections::BTreeMap;

use rand_pcg::Pcg64;
use rand_pcg::rand_core::Rng;

use super::*;

fn number(tag: u32, time: i64, value: f64) -> Sample {
    Sample { tag, time, status: 0, value: Value::Number(value) }
}

/// A shaper that has met the tags below `tags`.
fn acquainted(tags: u32) -> Shaper {
    let mut shaper = Shaper::default();
    shaper.shape((0..tags).map(|tag| number(tag, 0, 0.0)).collect());
    shaper
}

/// The samples of the blocks in the order in which a server applies them.
fn applied(blocks: &[Block]) -> Vec<(u32, Sample)> {
    let mut out = Vec::new();
    for block in blocks {
        for i in 0..block.rows() {
            let (tag, time) = match &block.shape {
                Shape::Scan { time, tags } => (tags[i], *time),
                Shape::Series { tag, times } => (*tag, times[i]),
            };
            let value = match &block.column {
                Column::Empty => Value::Empty,
                Column::Numbers(v) => Value::Number(v[i]),
                Column::Integers(v) => Value::Integer(v[i]),
                Column::Booleans(v) => Value::Boolean(v[i]),
                Column::Texts(v) => Value::Text(v[i].clone()),
            };
            let status = match block.statuses.len() {
                0 => 0,
                1 => block.statuses[0],
                _ => block.statuses[i],
            };
            out.push((block.origins[i], Sample { tag, status, time, value }));
        }
    }
    out
}

#[test]
fn a_scan_with_jitter_becomes_a_block_a_millisecond() {
    let mut random = Pcg64::new(1, 2);
    let samples: Vec<Sample> =
        (0..3000).map(|tag| number(tag, i64::from(random.next_u32() % 20) * 1_000_000, 1.0)).collect();
    let blocks = acquainted(3000).shape(samples);
    assert_eq!(blocks.len(), 20);
    assert!(blocks.iter().all(|block| matches!(block.shape, Shape::Scan { .. }) && block.statuses.is_empty()));
}

#[test]
fn a_backfill_becomes_a_series_beside_a_scan() {
    let mut samples: Vec<Sample> = (0..500).map(|i| number(1000, 1000 + i, 1.0)).collect();
    samples.extend((0..500).map(|tag| number(tag, 5, 2.0)));
    let blocks = acquainted(1001).shape(samples);
    assert_eq!(blocks.len(), 2);
    assert!(matches!(&blocks[0].shape, Shape::Series { tag: 1000, times } if times.len() == 500));
    assert!(matches!(&blocks[1].shape, Shape::Scan { time: 5, tags } if tags.len() == 500));
}

#[test]
fn kinds_are_kept_apart() {
    let values = [Value::Number(1.0), Value::Text("Bad".into()), Value::Empty, Value::Boolean(true)];
    let samples = (0..4u32).zip(values).map(|(tag, value)| Sample { tag, status: tag, time: 1, value }).collect();
    let blocks = acquainted(5).shape(samples);
    assert_eq!(blocks.len(), 4);
    let statuses: Vec<&[u32]> = blocks.iter().map(|block| &block.statuses[..]).collect();
    assert_eq!(statuses, [&[][..], &[1], &[2], &[3]]);
}

#[test]
fn every_sample_is_kept_and_the_last_write_wins() {
    for seed in 0..200u128 {
        println!("seed {seed}");
        let mut random = Pcg64::new(seed, 1);
        let mut below = |n: u32| random.next_u32() % n;
        let (tags, times, rows) = (1 + below(12), 1 + below(12), below(400));
        let samples: Vec<Sample> = (0..rows)
            .map(|i| {
                let value = match below(8) {
                    0 => Value::Empty,
                    1 => Value::Integer(i.into()),
                    2 => Value::Boolean(i % 2 == 0),
                    3 => Value::Text(format!("{i}").into()),
                    4 => Value::Text(format!("word{}", i % 5).into()),
                    _ => Value::Number(i.into()),
                };
                Sample { tag: below(tags), status: below(2), time: below(times).into(), value }
            })
            .collect();
        let known = below(tags + 1);
        let blocks = acquainted(known).shape(samples.clone());
        let words = |samples: &mut dyn Iterator<Item = &Sample>, tag: u32| -> Vec<Value> {
            let is_word = |value: &Value| matches!(value, Value::Text(text) if text.starts_with("word"));
            samples.filter(|s| s.tag == tag && is_word(&s.value)).map(|s| s.value.clone()).collect()
        };
        for tag in 0..tags {
            let sent = words(&mut applied(&blocks).iter().map(|(_, sample)| sample), tag);
            assert_eq!(sent, words(&mut samples.iter(), tag), "a tag's words keep their order");
        }
        for tag in known..tags {
            let first = samples.iter().find(|sample| sample.tag == tag);
            assert_eq!(applied(&blocks).iter().map(|(_, s)| s).find(|s| s.tag == tag), first);
        }
        let mut sent = applied(&blocks);
        let last = |samples: &mut dyn Iterator<Item = Sample>| -> BTreeMap<(u32, i64), String> {
            samples.map(|s| ((s.tag, s.time), format!("{s:?}"))).collect()
        };
        assert_eq!(last(&mut sent.iter().map(|(_, s)| s.clone())), last(&mut samples.iter().cloned()));
        sent.sort_by_key(|(origin, _)| *origin);
        let origins: Vec<u32> = sent.iter().map(|(origin, _)| *origin).collect();
        assert_eq!(origins, (0..rows).collect::<Vec<_>>());
        assert_eq!(sent.into_iter().map(|(_, s)| s).collect::<Vec<_>>(), samples);
    }
}

#[test]
fn a_shaper_forgets_between_batches() {
    let mut shaper = acquainted(5);
    for round in 0..3 {
        let samples = vec![number(3, round, 1.0), number(4, round, 2.0), number(3, round + 1, 1.0)];
        assert_eq!(shaper.shape(samples.clone()), acquainted(5).shape(samples));
    }
}

#[test]
fn the_first_samples_of_a_tag_are_a_series() {
    let samples = vec![number(1, 7, 1.0), number(2, 7, 2.0), number(3, 7, 3.0)];
    let mut shaper = Shaper::default();
    let shapes =
        |blocks: Vec<Block>| blocks.iter().map(|b| matches!(b.shape, Shape::Series { .. })).collect::<Vec<_>>();
    assert_eq!(shapes(shaper.shape(samples.clone())), [true, true, true]);
    assert_eq!(shapes(shaper.shape(samples)), [false]);
}

#[test]
fn numbers_as_text_are_told_from_words() {
    for number in ["0", " 12 ", "-1.5", "+.5", "5.", "1e3", "-2.5E-07"] {
        assert!(is_number(number) && number.trim().parse::<f64>().is_ok(), "{number}");
    }
    for word in ["", ".", "-", "e3", "1e", "1-2", "1.2.3", "0x10", "R-17", "12 m", "nan", "inf", "1e+", "１"] {
        assert!(!is_number(word), "{word}");
    }
}

#[test]
fn a_scan_of_numbers_as_text_stays_a_scan() {
    let text = |tag: u32, text: &str| Sample { tag, status: 0, time: 7, value: Value::from(text) };
    let mut samples: Vec<Sample> = (0..500).map(|tag| text(tag, "12.5")).collect();
    samples.extend((500..510).map(|tag| text(tag, "Open")));
    let blocks = acquainted(510).shape(samples);
    assert_eq!(blocks.len(), 11);
    assert!(matches!(&blocks[0].shape, Shape::Scan { tags, .. } if tags.len() == 500));
}
