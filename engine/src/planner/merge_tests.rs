use proptest::prelude::*;

use super::*;
use crate::limits::SEGMENT_BYTES;
use crate::tag::TagId;

const HOUR: i64 = DAY / 24;
/// The 26th of January 2026, some days into a window of 16.
const NOW: i64 = 20_479 * DAY;

fn segment(id: u64, bytes: u64, sequence: u64, first: i64, last: i64) -> SegmentMeta {
    SegmentMeta {
        id,
        name: format!("{id}"),
        bytes,
        tail_offset: 0,
        tail_crc: 0,
        rows: bytes / 2,
        first_sequence: sequence,
        last_sequence: sequence,
        deleted_through: sequence,
        first_tag: TagId(1),
        last_tag: TagId(100),
        tags: 100,
        first_time: first,
        last_time: last,
    }
}

/// An archive as the planner sees it. Rows are bytes that lie evenly over a segment's times, but
/// for the late ones, which `late` names by time.
#[derive(Default)]
struct Archive {
    segments: Vec<SegmentMeta>,
    unusable: BTreeSet<u64>,
    sequence: u64,
    next: u64,
    flushed: u64,
    merged: u64,
}

impl Archive {
    fn flush(&mut self, bytes: u64, first: i64, last: i64) {
        self.sequence += 1;
        self.next += 1;
        self.flushed += bytes;
        self.segments.push(segment(self.next, bytes, self.sequence, first, last));
    }

    /// Carries out a plan: each window has the share of an input that lies in it, or a hundredth
    /// where the input spans far more than its own day.
    fn merge(&mut self, plan: &MergePlan) {
        let inputs: Vec<SegmentMeta> = self.segments.extract_if(.., |s| plan.inputs.contains(&s.id)).collect();
        assert_eq!(inputs.len(), plan.inputs.len(), "inputs are live and named once");
        let first = inputs.iter().map(|s| s.first_sequence).min().unwrap();
        let last = inputs.iter().map(|s| s.last_sequence).max().unwrap();
        for (at, window) in plan.windows.iter().enumerate() {
            let touching = inputs.iter().filter(|s| s.first_time <= *window.end() && s.last_time >= *window.start());
            let newest = at + 1 == plan.windows.len();
            let part = |s: &SegmentMeta| match window.contains(&s.first_time) && window.contains(&s.last_time) {
                true => s.bytes,
                false if newest => s.bytes * 95 / 100,
                false => s.bytes * 5 / 100 / plan.windows.len() as u64,
            };
            let (mut bytes, mut begin, mut end) = (0, i64::MAX, i64::MIN);
            for s in touching {
                bytes += part(s);
                begin = begin.min(s.first_time.max(*window.start()));
                end = end.max(s.last_time.min(*window.end()));
            }
            if bytes == 0 {
                continue;
            }
            self.next += 1;
            self.merged += bytes;
            let (first_sequence, last_sequence) = (first, last);
            self.segments.push(SegmentMeta {
                first_sequence,
                last_sequence,
                ..segment(self.next, bytes, last, begin, end)
            });
        }
        self.segments.sort_by_key(|s| (s.last_sequence, s.id));
    }

    fn settle(&mut self, now: i64, all: bool) -> usize {
        for round in 0.. {
            assert!(round < 1000, "the planner does not come to an end");
            let Some(plan) = next_merge(&self.segments, &self.unusable, SEGMENT_BYTES, now, all) else { return round };
            check(&self.segments, &plan);
            assert!(plan.inputs.iter().all(|id| !self.unusable.contains(id)), "an unusable input");
            self.merge(&plan);
        }
        unreachable!()
    }
}

/// The plan leaves nothing out that it may not, and its windows hold all of its inputs.
fn check(segments: &[SegmentMeta], plan: &MergePlan) {
    let (inputs, others): (Vec<_>, Vec<_>) = segments.iter().partition(|s| plan.inputs.contains(&s.id));
    assert!(!inputs.is_empty() && fit(&inputs));
    let first = inputs.iter().map(|s| s.first_sequence).min().unwrap();
    let last = inputs.iter().map(|s| s.last_sequence).max().unwrap();
    for other in others {
        let between = other.last_sequence > first && other.first_sequence < last;
        assert!(!between || inputs.iter().all(|i| !overlap(i, other)), "segment {} is left out", other.id);
    }
    assert!(plan.windows.windows(2).all(|pair| pair[0].end() < pair[1].start()));
    for input in inputs {
        let held = |time| plan.windows.iter().any(|w| w.contains(&time));
        assert!(held(input.first_time) && held(input.last_time));
    }
}

#[test]
fn windows_are_aligned_and_grow_with_age() {
    assert_eq!(window(0, NOW), NOW..=NOW + DAY - 1);
    assert_eq!(window(0, -1), -DAY..=-1);
    assert_eq!(home(NOW, NOW + DAY - 1), Some(0));
    assert_eq!(home(NOW - 1, NOW), Some(1));
    assert_eq!(home(i64::MIN, i64::MAX), None);
    let windows = cut(NOW - 400 * DAY, NOW + HOUR, NOW + HOUR);
    assert_eq!((windows[0].start(), windows[windows.len() - 1].end()), (&(NOW - 400 * DAY), &(NOW + HOUR)));
    assert!(windows.len() < 40, "{}", windows.len());
    assert!(windows.windows(2).all(|pair| pair[0].end() + 1 == *pair[1].start()));
}

#[test]
fn an_archive_in_order_is_written_three_times() {
    let mut archive = Archive::default();
    let day = 600_000_000;
    for hour in 0..30 * 24 {
        let now = NOW + hour * HOUR;
        for part in 0..6 {
            let start = now + part * HOUR / 6;
            archive.flush(day / 144, start, start + HOUR / 6 - 1);
        }
        archive.settle(now + HOUR, false);
        assert!(archive.segments.len() < 30 + 60, "{} segments", archive.segments.len());
    }
    let live: u64 = archive.segments.iter().map(|s| s.bytes).sum();
    let written = (archive.flushed + archive.merged) as f64 / live as f64;
    assert!(written < 3.3, "each byte is written {written} times");
}

#[test]
fn late_samples_do_not_rewrite_the_archive() {
    let mut archive = Archive::default();
    for hour in 0..30 * 24 {
        let now = NOW + hour * HOUR;
        for part in 0..6 {
            let start = now + part * HOUR / 6;
            // A twentieth of each flush is up to a year old.
            archive.flush(600_000_000 / 144, start - (hour * 37 + part * 11) % 365 * DAY, start + HOUR / 6 - 1);
        }
        archive.settle(now + HOUR, false);
    }
    let live: u64 = archive.segments.iter().map(|s| s.bytes).sum();
    let written = (archive.flushed + archive.merged) as f64 / live as f64;
    println!("{} segments, each byte is written {written:.2} times", archive.segments.len());
    assert!(written < 4.0, "each byte is written {written} times");
    assert!(archive.segments.len() < 600, "{} segments", archive.segments.len());
}

/// What came after a run that cannot be read is merged among itself, a few times each.
#[test]
fn an_unusable_run_does_not_have_its_successors_rewritten_for_ever() {
    let mut archive = Archive::default();
    let (day, now) = (NOW - 3 * DAY, NOW);
    archive.flush(1 << 20, day, day + DAY - 1);
    archive.flush(1 << 20, day, day + DAY - 1);
    archive.unusable.insert(2);
    for _ in 0..300 {
        archive.flush(1 << 20, day, day + DAY - 1);
        archive.settle(now, false);
    }
    let written = (archive.flushed + archive.merged) as f64 / archive.flushed as f64;
    assert!(written < 5.0, "each byte is written {written} times");
    assert!(archive.segments.len() < 60, "{} segments", archive.segments.len());
}

#[test]
fn runs_of_any_sizes_do_not_pile_up() {
    let mut archive = Archive::default();
    for i in 0..144 {
        archive.flush(if i % 2 == 0 { 1 << 10 } else { 1 << 20 }, NOW, NOW + DAY - 1);
        archive.settle(NOW + HOUR, false);
        assert!(archive.segments.len() <= RUNS_MAX, "{} segments", archive.segments.len());
    }
    let written = (archive.flushed + archive.merged) as f64 / archive.flushed as f64;
    assert!(written < 8.0, "each byte is written {written} times");
}

#[test]
fn a_small_plant_has_few_files() {
    let mut archive = Archive::default();
    for day in 0..3650 {
        let now = NOW + day * DAY;
        for part in 0..4 {
            archive.flush(50_000, now + part * 6 * HOUR, now + (part + 1) * 6 * HOUR - 1);
        }
        archive.settle(now + DAY, false);
    }
    println!("{} segments", archive.segments.len());
    assert!(archive.segments.len() < 120, "{} segments", archive.segments.len());
    archive.settle(NOW + 3650 * DAY, true);
    assert!(archive.segments.len() < 50, "{} segments", archive.segments.len());
}

#[test]
fn on_demand_every_window_has_one_run() {
    let mut archive = Archive::default();
    for i in 0..5 {
        archive.flush(1000, NOW + i * HOUR, NOW + (i + 1) * HOUR);
    }
    archive.flush(1000, NOW - 3 * DAY, NOW + HOUR);
    archive.settle(NOW + 6 * HOUR, true);
    let windows = runs_of_windows(Live { segments: &archive.segments, unusable: &archive.unusable });
    assert!(windows.values().all(|runs| runs.len() == 1), "{:?}", archive.segments);
    assert_eq!(archive.settle(NOW + 6 * HOUR, true), 0, "there is nothing left to do");
}

/// Forecasts, and what a clock far behind takes for them, are not cut into days.
#[test]
fn times_far_ahead_are_few_windows() {
    for (now, ahead) in [(NOW, 3650), (NOW, 86_000), (0, 20_500)] {
        let mut archive = Archive::default();
        for _ in 0..2 * FAN_IN {
            archive.flush(1000, now - 3 * DAY, now + ahead * DAY);
        }
        let plan =
            next_merge(&archive.segments, &BTreeSet::new(), SEGMENT_BYTES, now, false).expect("they cross windows");
        assert!(plan.windows.len() < 100, "{} windows for {ahead} days", plan.windows.len());
        for all in [false, true] {
            archive.settle(now, all);
            assert!(archive.segments.len() < 130, "{} segments for {ahead} days", archive.segments.len());
        }
        // The years come.
        archive.settle(now + 100 * DAY, false);
        assert!(archive.segments.len() < 130, "{} segments", archive.segments.len());
    }
}

/// A late sample in a large window is not worth rewriting it, but on demand it is: it may replace one.
#[test]
fn on_demand_a_large_window_takes_in_what_lies_in_it() {
    let mut archive = Archive::default();
    let window = window(2, NOW - 600 * DAY);
    archive.flush(1_000_000, *window.start(), *window.end());
    archive.flush(1000, window.start() + 5 * DAY, window.start() + 5 * DAY + HOUR);
    archive.settle(NOW, false);
    assert_eq!(archive.segments.len(), 2, "{:?}", archive.segments);
    archive.settle(NOW, true);
    assert_eq!(archive.segments.len(), 1, "{:?}", archive.segments);
}

/// A plant whose segments know how many rows they have of each day.
struct Plant {
    tags: f64,
    segments: Vec<SegmentMeta>,
    rows: BTreeMap<u64, BTreeMap<i64, f64>>,
    sequence: u64,
    next: u64,
    flushed: u64,
    merged: u64,
}

impl Plant {
    /// A segment of these rows. A run of a tag takes 45 bytes, a row 1.1, as was measured.
    fn add(&mut self, (first, last): (u64, u64), rows: BTreeMap<i64, f64>) -> u64 {
        self.next += 1;
        let all: f64 = rows.values().sum();
        let bytes = (all * 1.1 + all.min(self.tags) * 45.0) as u64;
        let (begin, end) = (rows.keys().min().unwrap() * DAY, rows.keys().max().unwrap() * DAY + DAY - 1);
        let meta = segment(self.next, bytes.max(1), last, begin, end);
        self.segments.push(SegmentMeta { first_sequence: first, last_sequence: last, ..meta });
        self.rows.insert(self.next, rows);
        bytes
    }

    fn flush(&mut self, rows: BTreeMap<i64, f64>) {
        self.sequence += 1;
        self.flushed += self.add((self.sequence, self.sequence), rows);
    }

    fn merge(&mut self, plan: &MergePlan) {
        let inputs: Vec<SegmentMeta> = self.segments.extract_if(.., |s| plan.inputs.contains(&s.id)).collect();
        let first = inputs.iter().map(|s| s.first_sequence).min().unwrap();
        let last = inputs.iter().map(|s| s.last_sequence).max().unwrap();
        let mut all: BTreeMap<i64, f64> = BTreeMap::new();
        for (day, rows) in inputs.iter().flat_map(|s| self.rows.remove(&s.id).unwrap()) {
            *all.entry(day).or_default() += rows;
        }
        for window in &plan.windows {
            let rows: BTreeMap<i64, f64> = all
                .iter()
                .filter(|(day, _)| window.contains(&(**day * DAY)))
                .map(|(day, rows)| (*day, *rows))
                .collect();
            if !rows.is_empty() {
                self.merged += self.add((first, last), rows);
            }
        }
        self.segments.sort_by_key(|s| (s.last_sequence, s.id));
    }
}

/// A month with 5 % late rows of every kind: how often a byte is written, and how many files there are
/// at most.
fn month(tags: f64, rows_a_day: f64, flushes_a_day: i64) -> (f64, usize) {
    let mut plant =
        Plant { tags, segments: Vec::new(), rows: BTreeMap::new(), sequence: 0, next: 0, flushed: 0, merged: 0 };
    let each = rows_a_day / flushes_a_day as f64;
    let mut most = 0;
    for flush in 1..=30 * flushes_a_day {
        let now = NOW + flush * DAY / flushes_a_day;
        let (today, began) = ((now - 1).div_euclid(DAY), NOW / DAY);
        let mut rows = BTreeMap::from([(today, each * 0.965), (today - 1, each * 0.005)]);
        let mut late = |day: i64, count: f64| *rows.entry(day).or_default() += count;
        late(began - 365 + flush / flushes_a_day / 2, each * 0.0075);
        for day in began..=today {
            late(day, each * 0.0075 / (today - began + 1) as f64);
        }
        if flush % (3 * flushes_a_day) == 0 {
            (today - 2..=today).for_each(|day| late(day, rows_a_day * 0.025));
        }
        plant.flush(rows);
        for round in 0.. {
            assert!(round < 100, "the planner does not come to an end");
            let Some(plan) = next_merge(&plant.segments, &BTreeSet::new(), SEGMENT_BYTES, now, false) else { break };
            check(&plant.segments, &plan);
            plant.merge(&plan);
        }
        most = most.max(plant.segments.len());
    }
    let live: u64 = plant.segments.iter().map(|s| s.bytes).sum();
    let (flushed, merged) = (plant.flushed as f64 / live as f64, plant.merged as f64 / live as f64);
    println!(
        "{tags} tags, {rows_a_day} rows and {flushes_a_day} flushes a day: {flushed:.2} + {merged:.2}, {most} files at most, {} at the end",
        plant.segments.len()
    );
    (flushed + merged, most)
}

#[test]
fn a_month_of_plant_life_is_written_a_few_times() {
    // Tags, rows a day, flushes a day; then writes of each byte, and files, at most.
    for (tags, rows_a_day, flushes_a_day, writes, most) in [
        (3e3, 4.4e6, 1, 3.0, 30),
        (3e3, 4.4e6, 6, 3.2, 60),
        (3e3, 2.6e8, 32, 3.5, 170),
        (3e5, 7.2e6, 2, 4.2, 40),
        (3e5, 4.3e8, 100, 8.5, 190),
    ] {
        let (written, files) = month(tags, rows_a_day, flushes_a_day);
        assert!(written < writes && files < most, "each byte is written {written} times, {files} files");
    }
}

proptest! {
    /// Whatever lies there, plans are sound and come to an end.
    #[test]
    fn plans_are_sound(
        flushes in prop::collection::vec((1u64..1 << 28, -800i64..2, 0i64..900), 1..60),
        unusable in prop::collection::btree_set(1u64..80, 0..4),
        all in any::<bool>(),
    ) {
        let mut archive = Archive { unusable, ..Archive::default() };
        for (bytes, day, days) in flushes {
            let first = NOW + day * DAY + HOUR;
            archive.flush(bytes, first, (first + days * DAY).min(NOW + DAY));
            archive.settle(NOW + DAY, false);
        }
        archive.settle(NOW + DAY, all);
    }
}
