use std::collections::{BTreeMap, BTreeSet};

use tagus_client::Status;

use super::*;

const SECOND_NS: i64 = 1_000_000_000;

/// All samples of `steps` seconds, by tag name.
fn life(seed: u64, tags: usize, steps: i64) -> BTreeMap<String, Vec<Sample>> {
    let mut plant = Plant::new(seed, tags);
    let names: Vec<String> = plant.tags().into_iter().map(|tag| tag.name).collect();
    let mut samples: BTreeMap<String, Vec<Sample>> = BTreeMap::new();
    for second in 0..steps {
        for sample in plant.step(second * SECOND_NS) {
            samples.entry(names[sample.tag].clone()).or_default().push(sample);
        }
    }
    samples
}

fn numbers(samples: &[Sample]) -> Vec<f64> {
    samples
        .iter()
        .filter_map(|sample| match sample.reading.value {
            Value::Number(value) => Some(value),
            _ => None,
        })
        .collect()
}

fn integers(samples: &[Sample]) -> Vec<i64> {
    samples
        .iter()
        .filter_map(|sample| match sample.reading.value {
            Value::Integer(value) => Some(value),
            _ => None,
        })
        .collect()
}

#[test]
fn the_same_seed_gives_the_same_plant() {
    let once = life(7, 120, 900);
    assert_eq!(once, life(7, 120, 900));
    assert_ne!(once, life(8, 120, 900));
    // More areas do not change the ones before.
    let more = life(7, 300, 900);
    assert!(once.iter().all(|(name, samples)| more[name] == *samples));
}

#[test]
fn tags_are_as_many_as_asked_with_unique_names_of_all_types() {
    for tags in [0, 1, 60, 1234] {
        let declared = Plant::new(1, tags).tags();
        assert_eq!(declared.len(), tags);
        let names: BTreeSet<String> = declared.iter().map(|tag| tag.name.to_lowercase()).collect();
        assert_eq!(names.len(), tags);
    }
    let declared = Plant::new(1, 1234).tags();
    assert!(declared.iter().any(|tag| tag.name == "site1.area1.TIC103.PV" && tag.unit == "°C"));
    assert!(declared.iter().any(|tag| tag.name.starts_with("site3.area1.")));
    assert!(declared.iter().all(|tag| !tag.description.is_empty()));
    let one_area: BTreeSet<i32> = declared.iter().take(definitions().len()).map(|tag| tag.r#type).collect();
    assert_eq!(one_area, (1..=6).collect());
    for tag in &declared {
        assert_eq!(tag.r#type == i32::from(TagType::Digital), !tag.states.is_empty(), "{}", tag.name);
        assert_eq!(tag.low.is_some(), tag.high.is_some(), "{}", tag.name);
    }
}

#[test]
fn values_are_plausible_for_half_a_day() {
    for seed in 0..4 {
        println!("seed {seed}");
        let plant = Plant::new(seed, 150);
        let samples = life(seed, 150, 40_000);
        for tag in plant.tags() {
            let samples = &samples[&tag.name];
            for value in numbers(samples) {
                assert!(value.is_finite(), "{} is {value}", tag.name);
                if let (Some(low), Some(high)) = (tag.low, tag.high) {
                    assert!((low..=high).contains(&value), "{} is {value}, not in {low} to {high}", tag.name);
                }
            }
            for code in integers(samples) {
                let known = tag.states.iter().any(|state| state.code == code);
                assert!(tag.states.is_empty() || known, "{} is {code}", tag.name);
            }
            assert!(samples.windows(2).all(|pair| pair[0].time_ns < pair[1].time_ns), "{}", tag.name);
        }
    }
}

#[test]
fn batches_run_through_all_phases_and_react() {
    for seed in 0..4 {
        println!("seed {seed}");
        let samples = life(seed, 60, 20_000);
        let of = |name: &str| &samples[&format!("site1.area1.{name}")][..];
        let phases: BTreeSet<i64> = integers(of("R201.PHASE")).into_iter().collect();
        assert_eq!(phases, (0..7).collect());
        let batches = *integers(of("R201.COUNT")).last().unwrap();
        assert!((8..40).contains(&batches), "{batches} batches");
        let hottest = numbers(of("TIC201.PV")).into_iter().fold(0.0, f64::max);
        assert!((76.0..125.0).contains(&hottest), "{hottest} degrees");
        let converted = numbers(of("AI201.PV")).into_iter().fold(0.0, f64::max);
        assert!(converted > 90.0, "{converted} percent");
        let texts = of("R201.BATCH").iter().filter(|sample| sample.reading.value == Value::from("01-00002"));
        assert!(texts.count() > 0);
    }
}

#[test]
fn controllers_hold_their_setpoints() {
    for seed in 0..4 {
        println!("seed {seed}");
        let mut plant = Plant::new(seed, 54);
        let mut sums = (0.0, 0.0, 0.0);
        let steps = 20_000;
        for second in 0..steps {
            plant.step(second * SECOND_NS);
            let feed = &plant.areas[0].feed;
            sums.0 += (feed.outlet.pv - feed.outlet.sp).abs();
            sums.1 += (feed.flow.pv - feed.flow.sp).abs();
            sums.2 += (feed.level.pv - feed.level.sp).abs();
        }
        let mean = |sum: f64| sum / steps as f64;
        println!("{:?}", (mean(sums.0), mean(sums.1), mean(sums.2)));
        assert!(mean(sums.0) < 4.0, "outlet temperature");
        assert!(mean(sums.1) < 1.5, "feed flow");
        assert!(mean(sums.2) < 5.0, "feed tank level");
    }
}

#[test]
fn the_analyser_fails_soon_in_each_of_its_ways_and_comes_back() {
    let samples = life(1, 540, 40_000);
    let mut seen = BTreeSet::new();
    for (name, samples) in samples.iter().filter(|(name, _)| name.ends_with("AI103.PV")) {
        let bad = samples.iter().position(|sample| sample.reading.status.0 >> 31 == 1);
        let first = &samples[bad.expect("it fails")];
        assert!(first.time_ns < 600 * SECOND_NS, "{name}");
        let last_bad = samples.iter().rposition(|sample| sample.reading.status.0 >> 31 == 1).unwrap();
        assert!(samples[last_bad..].iter().any(|s| s.reading.status != Status::BAD) || last_bad + 1 == samples.len());
        for sample in samples {
            seen.insert(match &sample.reading.value {
                Value::Text(word) => word.to_string(),
                Value::Empty => "nothing".to_owned(),
                _ => format!("{:x}", sample.reading.status.0),
            });
        }
    }
    let wanted = ["0", "40930000", "Bad Input", "Scan Timeout", "nothing"];
    assert_eq!(seen, wanted.into_iter().map(str::to_owned).collect());
}

#[test]
fn totals_only_grow_and_pumps_run_and_stop() {
    let samples = life(3, 60, 20_000);
    let of = |name: &str| &samples[&format!("site1.area1.{name}")][..];
    for total in ["FQ102.TOTAL", "FQ301.TOTAL"] {
        let values = integers(of(total));
        assert!(values.windows(2).all(|pair| pair[0] <= pair[1]));
        assert!(values.last() > values.first());
    }
    for valve in ["XV201.STATE", "XV202.STATE"] {
        let states: BTreeSet<i64> = integers(of(valve)).into_iter().collect();
        assert_eq!(states, (0..4).collect(), "{valve}");
    }
    let runs: Vec<&Value> = of("P301.RUN").iter().map(|sample| &sample.reading.value).collect();
    assert!(runs.contains(&&Value::Boolean(true)) && runs.contains(&&Value::Boolean(false)));
}

#[test]
fn only_changes_are_reported() {
    let steps = 3600;
    let samples = life(5, 60, steps);
    let total: usize = samples.values().map(Vec::len).sum();
    let all = samples.len() * steps as usize;
    println!("{total} of {all}");
    assert!(total * 2 < all && total * 50 > all);
    // A value that stands still is repeated.
    for (name, samples) in &samples {
        assert!(samples.len() >= 6, "{name}");
    }
}
