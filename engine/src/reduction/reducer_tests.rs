use proptest::prelude::*;

use super::*;
use crate::sample::{Cell, Row};

const SECOND: i64 = 1_000_000_000;

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let sample = (prop_oneof![20 => 1..3000i64, 1 => 1..400_000i64], -40..40i32, 0..30u8, any::<bool>());
    prop::collection::vec(sample, 1..200).prop_map(|samples| {
        let (mut time, mut level) = (-90 * SECOND, 0);
        let row = |(gap, change, quality, on_minute): (i64, i32, u8, bool)| {
            time += gap * SECOND / 100;
            if on_minute && time % MINUTE > MINUTE - SECOND {
                time = minute_of(time) + MINUTE;
            }
            level += change;
            let value = Some((f64::from(level) / 10.0).to_bits());
            let cell = match quality {
                0 => Cell { value: None, text: Some("Bad".into()), status: Status::BAD },
                1 | 2 => Cell { value, text: None, status: Status::UNCERTAIN },
                3 => Cell { value, text: None, status: Status::BAD },
                _ => Cell { value, text: None, status: Status::GOOD },
            };
            Row { time, cell }
        };
        samples.into_iter().map(row).collect()
    })
}

fn settings() -> impl Strategy<Value = Settings> {
    let filter = || prop::option::of((0.0..5.0f64, 0..20u64, 20..500u64));
    (filter(), filter(), any::<bool>()).prop_map(|(exception, compression, stepped)| {
        let nanoseconds = |seconds: u64| seconds * SECOND.unsigned_abs();
        Settings {
            exception: exception.map(|(deviation, min, max)| ExceptionSettings {
                deviation,
                min: nanoseconds(min),
                max: nanoseconds(max),
                any_change: false,
            }),
            compression: compression.map(|(deviation, min, max)| CompressionSettings {
                deviation,
                min: nanoseconds(min),
                max: nanoseconds(max),
                stepped,
            }),
            stepped,
        }
    })
}

/// The same as both filters say by themselves, where no system state comes between.
fn filtered(settings: Settings, rows: &[Row]) -> Vec<i64> {
    let mut kept = Vec::new();
    for run in rows.chunk_by(|a, b| a.cell.text == b.cell.text) {
        let (mut exception, mut compression) =
            (settings.exception.map(Exception::new), settings.compression.map(Compression::new));
        let mut stays = Vec::new();
        for row in run {
            let value = row.cell.value.map(f64::from_bits);
            let event = Event { time: row.time, value, status: row.cell.status };
            let passed: Vec<Event> = exception.as_mut().map_or(vec![event], |filter| filter.push(event).collect());
            for event in passed {
                stays.extend(compression.as_mut().map_or(Some(event), |filter| filter.push(event)));
            }
        }
        stays.extend(compression.as_ref().and_then(Compression::held));
        stays.extend(exception.as_ref().and_then(Exception::held));
        kept.extend(stays.iter().map(|event| event.time));
    }
    kept
}

/// The area under the samples from `from` to `to`.
fn area(rows: &[Row], from: i64, to: i64, stepped: bool) -> f64 {
    let value = |row: &Row| row.cell.value.map_or(0.0, f64::from_bits);
    let part = |pair: &[Row]| {
        let (a, b) = (pair[0].time.max(from), pair[1].time.min(to));
        if a >= b {
            return 0.0;
        }
        let at = |time: i64| {
            let share = (time - pair[0].time) as f64 / (pair[1].time - pair[0].time) as f64;
            if stepped { value(&pair[0]) } else { value(&pair[0]) * (1.0 - share) + value(&pair[1]) * share }
        };
        (at(a) + at(b)) / 2.0 * (b - a) as f64 / 1e9
    };
    rows.windows(2).map(part).sum()
}

fn check(rows: &[Row], kept: &[Row], summaries: &[Summary]) -> Result<(), TestCaseError> {
    prop_assert!(summaries.is_sorted_by(|a, b| a.to <= b.from));
    prop_assert_eq!(kept.len() as u64 + summaries.iter().map(|s| s.count).sum::<u64>(), rows.len() as u64);
    for (i, summary) in summaries.iter().enumerate() {
        let Summary { from, to, .. } = *summary;
        prop_assert!(from < to && minute_of(from) == minute_of(to - 1), "within a minute");
        let is_in = |row: &&Row| from <= row.time && row.time < to;
        let stays = |row: &Row| kept.binary_search_by_key(&row.time, |kept| kept.time).is_ok();
        let out: Vec<&Row> = rows.iter().filter(is_in).filter(|row| !stays(row)).collect();
        prop_assert!(out.iter().all(|row| row.cell.status == summary.status));
        prop_assert_eq!(summary.count, out.len() as u64);
        let in_it: Vec<&Row> =
            kept.iter().filter(|row| is_in(row) || (row.time == to && summary.end.is_some())).collect();
        let number = |row: &Row| row.cell.value.map_or(0.0, f64::from_bits);
        prop_assert!(
            summary.has_kept(
                in_it.len() as u64,
                (1..).zip(&in_it).map(|(place, row)| f64::from(place) * number(row)).sum()
            )
        );
        let values: Vec<f64> = out.iter().filter_map(|row| row.cell.value.map(f64::from_bits)).collect();
        let near = |a: f64, b: f64| (a - b).abs() <= 1e-9 * (1.0 + a.abs().max(b.abs()));
        prop_assert!(near(summary.sum, values.iter().sum()));
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        prop_assert!(near(summary.squares, values.iter().map(|v| (v - mean) * (v - mean)).sum()));
        prop_assert!(near(summary.sloped, area(rows, from, to, false)), "{summary:?}, {}", area(rows, from, to, false));
        prop_assert!(near(summary.stepped, area(rows, from, to, true)));
        let least = values.iter().copied().reduce(f64::min);
        let greatest = values.iter().copied().reduce(f64::max);
        prop_assert_eq!((summary.least.map(|e| e.value), summary.greatest.map(|e| e.value)), (least, greatest));
        for extreme in [summary.least, summary.greatest].into_iter().flatten() {
            let mut there = out.iter().filter(|row| row.cell.value == Some(extreme.value.to_bits()));
            prop_assert_eq!(there.clone().count() as u64, extreme.count);
            prop_assert_eq!(there.next().map(|row| row.time), Some(extreme.time));
        }
        let kept_at = |time: i64| kept.iter().any(|row| row.time == time);
        prop_assert_eq!(matches!(summary.start, Start::Sample(_)), kept_at(from));
        prop_assert_eq!(summary.end.is_some(), kept_at(to));
        // Where no sample stays at an end, another summary goes on there.
        prop_assert!(kept_at(from) || (i > 0 && summaries[i - 1].to == from));
        prop_assert!(kept_at(to) || summaries.get(i + 1).is_some_and(|next| next.from == to));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_stays_is_filtered_and_the_rest_is_summarised(rows in rows(), settings in settings(), restart in 0..200usize) {
        let mut reducer = Reducer::new(settings, true);
        let mut decided = Decided::default();
        let (mut counted, mut left_out) = (0u64, 0u64);
        for (i, row) in rows.iter().enumerate() {
            if reducer.push(row.clone(), &mut decided) { left_out += 1 } else { counted += 1 }
            if i % 7 == restart % 7 {
                // As readers see it at any time.
                let tail = reducer.tail().expect("there are samples");
                prop_assert_eq!(tail.newest, row.time);
                let kept: Vec<Row> = decided.kept.iter().chain(&tail.rows).cloned().collect();
                let settled = decided.summaries.iter();
                prop_assert!(settled.clone().all(|s| s.from < tail.from));
                let summaries: Vec<Summary> = settled.chain(&tail.summaries).copied().collect();
                check(&rows[..=i], &kept, &summaries)?;
                let owed = reducer.state().map_or(0, |state| state.owed);
                prop_assert_eq!(counted, kept.len() as u64 + u64::from(owed));
                prop_assert!(owed == 0 || settings.exception.is_some() && settings.compression.is_some());
                prop_assert!(kept.len() <= decided.kept.len() + 2);
            }
            if i == restart {
                let state = reducer.state().expect("there are samples");
                reducer = Reducer::resume(settings, true, &state);
                prop_assert_eq!(reducer.state(), Some(state));
            }
        }
        prop_assert_eq!(counted + left_out, rows.len() as u64);
        reducer.finish(&mut decided);
        prop_assert!(reducer.newest().is_none());
        prop_assert_eq!(reducer.newest_time(), rows[rows.len() - 1].time);
        let kept: Vec<i64> = decided.kept.iter().map(|row| row.time).collect();
        prop_assert_eq!(kept, filtered(settings, &rows));
        check(&rows, &decided.kept, &decided.summaries)?;
    }
}
