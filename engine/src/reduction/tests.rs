use std::collections::BTreeMap;
use std::path::Path;

use proptest::prelude::*;

use super::*;

const SECOND: u64 = 1_000_000_000;

fn rows(file: &str) -> Vec<Vec<String>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/opcua/reduction").join(file);
    let text = std::fs::read_to_string(path).expect("testdata");
    text.lines().skip(1).map(|line| line.split(',').map(str::to_owned).collect()).collect()
}

/// The events of a file, and what it notes of each.
fn events(file: &str) -> Vec<(Event, String)> {
    let event = |row: &Vec<String>| {
        let time = row[0].parse::<i64>().expect("seconds") * SECOND.cast_signed();
        let status = Status::parse(&row[2]).expect("a status");
        let event = Event { time, value: row[1].parse().ok(), status };
        (event, row.get(3).cloned().unwrap_or_default())
    };
    rows(file).iter().map(event).collect()
}

fn parameters(vector: &str) -> BTreeMap<String, f64> {
    let of_vector = rows("parameters.csv").into_iter().filter(|row| row[0] == vector);
    of_vector.map(|row| (row[1].clone(), row[2].parse().expect("a number"))).collect()
}

fn seconds(value: f64) -> u64 {
    value as u64 * SECOND
}

fn exception(vector: &str) -> Exception {
    let given = parameters(vector);
    Exception::new(ExceptionSettings {
        deviation: given["exc_dev"],
        min: seconds(given["exc_min"]),
        max: seconds(given["exc_max"]),
        any_change: false,
    })
}

fn compression(vector: &str) -> Compression {
    let given = parameters(vector);
    Compression::new(CompressionSettings {
        deviation: given["comp_dev"],
        min: seconds(given["comp_min"]),
        max: seconds(given["comp_max"]),
        stepped: false,
    })
}

fn input(vector: &str) -> Vec<Event> {
    events(&format!("{vector}_input.csv")).into_iter().map(|(event, _)| event).collect()
}

#[test]
fn exceptions_are_those_of_the_vectors() {
    for vector in ["v1_deadband", "v3_pipeline"] {
        let mut filter = exception(vector);
        let mut passed: Vec<(Event, bool)> = Vec::new();
        for event in input(vector) {
            passed.extend(filter.push(event).map(|event| (event, false)));
        }
        // The file notes of the newest value where it is not passed on yet.
        passed.extend(filter.held().map(|event| (event, true)));
        let file = events(&format!("{vector}_expected_exception_pi.csv"));
        let expected: Vec<(Event, bool)> = file.into_iter().map(|(event, note)| (event, !note.is_empty())).collect();
        assert_eq!(passed, expected, "{vector}");
    }
}

/// A difference of just the deviation is none.
#[test]
fn an_exception_differs_by_more_than_the_deviation() {
    let settings = ExceptionSettings { deviation: 0.5, min: 0, max: u64::MAX, any_change: false };
    let mut filter = Exception::new(settings);
    let event = |time, value| Event { time, value: Some(value), status: Status::GOOD };
    let passed: Vec<usize> =
        [1.0, 1.5, 0.5, 1.75].into_iter().zip(0..).map(|(v, t)| filter.push(event(t, v)).count()).collect();
    assert_eq!(passed, [1, 0, 0, 2], "the first; neither of the two; the last with the one before it");
}

#[test]
fn compression_keeps_what_the_vectors_keep() {
    for vector in ["v2_swingdoor", "v3_pipeline"] {
        let mut first = (vector == "v3_pipeline").then(|| exception(vector));
        let mut filter = compression(vector);
        let mut kept: Vec<(Event, String)> = Vec::new();
        for event in input(vector) {
            let passed: Vec<Event> = match &mut first {
                Some(first) => first.push(event).collect(),
                None => vec![event],
            };
            kept.extend(
                passed.into_iter().filter_map(|event| filter.push(event)).map(|event| (event, "archived".into())),
            );
        }
        kept.extend(filter.held().map(|event| (event, "snapshot".into())));
        let expected = events(&format!("{vector}_expected_compression_pi.csv"));
        // The last row may be told as archived or as the snapshot.
        let times = |events: &[(Event, String)]| events.iter().map(|(event, _)| *event).collect::<Vec<_>>();
        assert_eq!(times(&kept), times(&expected), "{vector}");
    }
}

fn histories() -> impl Strategy<Value = Vec<Event>> {
    let sample = (1..30u64, -200..200i32, 0..20u8);
    prop::collection::vec(sample, 1..300).prop_map(|samples| {
        let (mut time, mut level) = (0, 0);
        let event = |(gap, change, quality): (u64, i32, u8)| {
            time += gap.cast_signed() * SECOND.cast_signed();
            level += change;
            match quality {
                0 => Event { time, value: None, status: Status::BAD },
                1 => Event { time, value: Some(f64::from(level) / 100.0), status: Status::UNCERTAIN },
                _ => Event { time, value: Some(f64::from(level) / 100.0), status: Status::GOOD },
            }
        };
        samples.into_iter().map(event).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_kept_came_and_the_rest_is_near(history in histories(), deviation in 0.0..3.0f64, max in 20..4000u64, stepped: bool) {
        let settings = CompressionSettings { deviation, min: 0, max: max * SECOND, stepped };
        let mut filter = Compression::new(settings);
        let mut kept: Vec<Event> = history.iter().filter_map(|event| filter.push(*event)).collect();
        kept.extend(filter.held());
        prop_assert!(kept.iter().all(|event| history.contains(event)), "a subset of what came");
        prop_assert!(kept.is_sorted_by(|a, b| a.time < b.time));
        prop_assert_eq!((kept.first(), kept.last()), (history.first(), history.last()));
        for pair in kept.windows(2) {
            let between: Vec<&Event> = history.iter().filter(|e| e.time > pair[0].time && e.time < pair[1].time).collect();
            prop_assert!(between.iter().all(|e| e.status == pair[0].status), "a change of status is kept");
            prop_assert!(between.is_empty() || pair[1].since(&pair[0]) <= settings.max + 30 * SECOND);
            for event in between {
                let (Some(a), Some(value)) = (pair[0].value, event.value) else { continue };
                let expected = match (stepped, pair[1].value) {
                    (false, Some(b)) => a + (b - a) * event.since(&pair[0]) as f64 / pair[1].since(&pair[0]) as f64,
                    _ => a,
                };
                prop_assert!((value - expected).abs() <= deviation + 1e-9, "{value} is {expected} at {}", event.time);
            }
        }
    }

    #[test]
    fn a_preview_tells_the_error(history in histories(), deviation in 0.0..3.0f64) {
        let compression = CompressionSettings { deviation, min: 0, max: u64::MAX, stepped: false };
        let mut preview = Preview::new(Settings { exception: None, compression: Some(compression), stepped: false });
        let mut kept = Vec::new();
        history.iter().for_each(|event| preview.push(*event, &mut kept));
        preview.finish(&mut kept);
        prop_assert_eq!(kept.len() as u64, preview.kept);
        prop_assert_eq!(preview.samples, history.len() as u64);
        prop_assert!(preview.kept <= preview.samples && preview.kept > 0);
        prop_assert!(preview.error <= deviation + 1e-9, "{}", preview.error);
    }
}
