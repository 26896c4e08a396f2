//! What must hold of any data, tried on random histories of random quality.

use proptest::prelude::*;

use super::super::*;
use super::vectors::answers;
use crate::status::{Quality, Status};

const SECOND: i64 = 1_000_000_000;

/// Samples in columns, of which the first and the last are data.
#[derive(Clone, Debug, Default)]
struct History {
    times: Vec<i64>,
    values: Vec<f64>,
    statuses: Vec<u32>,
}

impl History {
    fn samples(&self) -> Samples<'_> {
        Samples { times: &self.times, values: &self.values, statuses: &self.statuses }
    }

    fn span(&self) -> Span {
        Some((*self.times.first()?, *self.times.last()?))
    }

    fn ask(&self, aggregate: Aggregate, rules: Rules, grid: Grid) -> Answers {
        answers(aggregate, rules, grid, self.samples(), self.span(), self.times.len().is_multiple_of(2))
    }
}

fn histories(statuses: &'static [u32]) -> impl Strategy<Value = History> {
    let value = prop_oneof![-50..50_i32, 5..7_i32];
    let sample = (1..40 * SECOND, value, 0..statuses.len());
    prop::collection::vec(sample, 1..60).prop_map(move |samples| {
        let mut history = History::default();
        let mut time = 0;
        for (gap, value, status) in samples {
            time += if gap % 3 == 0 { gap / SECOND * SECOND + SECOND } else { gap };
            history.times.push(time);
            history.values.push(f64::from(value) / 4.0);
            history.statuses.push(statuses[status]);
        }
        history
    })
}

const GOOD: &[u32] = &[0];
const MIXED: &[u32] = &[0, 0, 0, 0, 0x4000_0000, 0x8000_0000, 0x809B_0000];

fn rules() -> impl Strategy<Value = Rules> {
    let percent = (0..=100u8).prop_flat_map(|bad| (Just(bad), 100 - bad..=100));
    (any::<bool>(), any::<bool>(), any::<bool>(), percent).prop_map(|(uncertain, sloped, stepped, (bad, good))| Rules {
        treat_uncertain_as_bad: uncertain,
        percent_data_bad: bad,
        percent_data_good: good,
        use_sloped_extrapolation: sloped,
        stepped,
    })
}

fn ranges() -> impl Strategy<Value = (i64, i64, u64)> {
    (-30 * SECOND..800 * SECOND, 1..600 * SECOND, 1..100 * SECOND.cast_unsigned())
        .prop_map(|(start, length, step)| (start, start + length, step))
}

/// The lowest and the highest point drawn in each column; infinities where nothing is.
fn drawn(points: &[(i64, Option<f64>)], start: i64, end: i64, columns: u64) -> Vec<(f64, f64)> {
    let mut extents = vec![(f64::INFINITY, f64::NEG_INFINITY); columns as usize];
    let width = (end - start) as f64 / columns as f64;
    let at = |time: i64| (time - start) as f64 / width;
    let mut mark = |column: usize, y: f64| {
        let extent = &mut extents[column.min(columns as usize - 1)];
        *extent = (extent.0.min(y), extent.1.max(y));
    };
    points.iter().for_each(|(time, value)| value.iter().for_each(|y| mark(at(*time) as usize, *y)));
    for pair in points.windows(2) {
        let [(t0, Some(y0)), (t1, Some(y1))] = pair else { continue };
        let (x0, x1) = (at(*t0), at(*t1));
        // Where the line crosses into the next column it is drawn in both.
        for edge in x0.floor() as usize + 1..=x1.floor() as usize {
            let y = y0 + (y1 - y0) * (edge as f64 - x0) / (x1 - x0);
            mark(edge - 1, y);
            mark(edge, y);
        }
    }
    extents
}

/// Equal but for rounding.
fn near(a: f64, b: f64) -> bool {
    a == b || (a - b).abs() <= 1e-9 * (1.0 + a.abs().max(b.abs()))
}

/// Durations are exact over years of odd nanoseconds: what is good as a whole is Good.
#[test]
fn a_long_good_history_is_good() {
    let mut history = History::default();
    let (mut time, mut state) = (1_767_225_600_000_000_007_i64, 1_u64);
    for _ in 0..400_000 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        time += 30 * SECOND + (state >> 30).cast_signed() * 3;
        history.times.push(time);
        history.values.push(70.0);
        history.statuses.push(0);
    }
    let grid = Grid::new(history.times[0], time, 0);
    for aggregate in [Aggregate::TimeAverage, Aggregate::TimeAverage2, Aggregate::Minimum2, Aggregate::Maximum2] {
        let answer = answers(aggregate, Rules::default(), grid, history.samples(), history.span(), false);
        assert_eq!(answer.statuses[0] >> 30, 0, "{aggregate:?}: {:x}", answer.statuses[0]);
        assert!(near(answer.values[0].unwrap(), 70.0), "{aggregate:?}: {:?}", answer.values);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_average_lies_between_the_extremes(history in histories(GOOD), (start, end, step) in ranges(), stepped: bool) {
        let (rules, grid) = (Rules { stepped, ..Rules::default() }, Grid::new(start, end, step));
        let ask = |aggregate| history.ask(aggregate, rules, grid).values;
        let all = ask(Aggregate::TimeAverage2).into_iter().zip(ask(Aggregate::Minimum2)).zip(ask(Aggregate::Maximum2));
        for ((average, least), greatest) in all {
            if let (Some(average), Some(least), Some(greatest)) = (average, least, greatest) {
                prop_assert!(average >= least - 1e-9 && average <= greatest + 1e-9, "{least} {average} {greatest}");
            }
        }
    }

    #[test]
    fn totals_of_neighbours_add_up(history in histories(MIXED), rules in rules(), (start, end, step) in ranges()) {
        let (first, last) = history.span().unwrap();
        // Within the data, where nothing is extrapolated and nothing is shortened.
        let (start, end) = (start.max(first), end.min(last));
        prop_assume!(start < end);
        let rules = Rules { percent_data_bad: 100, percent_data_good: 0, ..rules };
        // A line that leads to a sample that is not good makes bounds on it uncertain, and what follows them.
        let durations = [Aggregate::DurationGood, Aggregate::DurationInStateZero, Aggregate::DurationInStateNonZero];
        let durations = durations.into_iter().filter(|_| rules.stepped);
        for aggregate in [Aggregate::Total, Aggregate::Total2].into_iter().chain(durations) {
            let parts = history.ask(aggregate, rules, Grid::new(start, end, step));
            let whole = history.ask(aggregate, rules, Grid::new(start, end, 0));
            let sum: f64 = parts.values.iter().flatten().sum();
            prop_assert!(near(sum, whole.values[0].unwrap_or(0.0)), "{aggregate:?}: {sum} of {whole:?}");
        }
    }

    #[test]
    fn good_bad_and_uncertain_time_make_up_the_interval(history in histories(MIXED), rules in rules(), (start, end, step) in ranges()) {
        let grid = Grid::new(start, end, step);
        let (first, last) = history.span().unwrap();
        let good = history.ask(Aggregate::DurationGood, rules, grid);
        let bad = history.ask(Aggregate::DurationBad, rules, grid);
        let percent = history.ask(Aggregate::PercentGood, rules, grid);
        for i in 0..good.len() {
            let low = good.times[i];
            let high = low.saturating_add_unsigned(step).min(end);
            let effective = if low <= last && last < high { high.min(last + 1_000_000) } else { high };
            let length = (effective - low) as f64 / 1e6;
            let (Some(good), Some(bad)) = (good.values[i], bad.values[i]) else {
                prop_assert!(high <= first || low > last, "an interval with data has durations");
                continue;
            };
            prop_assert!(good + bad <= length + 1e-6, "{good} + {bad} of {length}");
            if rules.treat_uncertain_as_bad || !history.statuses.iter().any(|s| s >> 30 == 1 || s >> 31 == 1) {
                prop_assert!(near(good + bad, length), "{good} + {bad} of {length}");
            }
            prop_assert!(near(percent.values[i].unwrap(), good / length * 100.0));
        }
    }

    #[test]
    fn at_a_sample_its_value_is_answered(history in histories(MIXED), rules in rules()) {
        for (i, time) in history.times.iter().enumerate() {
            let grid = Grid::new(*time, time + 1, 0);
            let answer = history.ask(Aggregate::Interpolative, rules, grid);
            let status = Status(history.statuses[i]);
            let counts = status.quality() == Quality::Good || (status.quality() == Quality::Uncertain && !rules.treat_uncertain_as_bad);
            if counts {
                prop_assert_eq!((answer.values[0], answer.statuses[0]), (Some(history.values[i]), status.0));
            } else {
                prop_assert!(answer.statuses[0] >> 30 != 0, "what stands in for a bad sample is not good");
            }
        }
    }

    /// Where no sample lies on an end of an interval, a request that runs backwards answers the same
    /// intervals the other way round, and stamps their later ends.
    #[test]
    fn backwards_is_forwards_turned_round(history in histories(MIXED), rules in rules(), (start, _, step) in ranges(), count in 1..30u64) {
        let end = start.saturating_add_unsigned(step * count);
        prop_assume!((0..=count).all(|k| !history.times.contains(&(start.saturating_add_unsigned(step * k)))));
        let (forwards, backwards) = (Grid::new(start, end, step), Grid::new(end, start, step));
        for aggregate in Aggregate::all() {
            let mut there = history.ask(aggregate, rules, forwards);
            let back = history.ask(aggregate, rules, backwards);
            there.values.reverse();
            there.statuses.reverse();
            let of_direction = [
                Aggregate::Interpolative, Aggregate::StartBound, Aggregate::EndBound, Aggregate::DeltaBounds,
                // These look at the end only where a line leads there, and say where an extreme is.
                Aggregate::Minimum2, Aggregate::Maximum2, Aggregate::Range2,
                Aggregate::MinimumActualTime2, Aggregate::MaximumActualTime2, Aggregate::WorstQuality2,
            ];
            prop_assert_eq!(there.len(), back.len());
            if !of_direction.contains(&aggregate) {
                prop_assert_eq!(&there.values, &back.values, "{:?}", aggregate);
                prop_assert_eq!(&there.statuses, &back.statuses, "{:?}", aggregate);
            }
        }
        let bounds = |aggregate, grid| history.ask(aggregate, rules, grid).values;
        let mut ends = bounds(Aggregate::EndBound, forwards);
        ends.reverse();
        prop_assert_eq!(ends, bounds(Aggregate::StartBound, backwards));
    }

    #[test]
    fn pieces_of_any_length_answer_the_same(history in histories(MIXED), rules in rules(), (start, end, step) in ranges()) {
        let grid = Grid::new(start, end, step);
        for aggregate in Aggregate::all() {
            let ask = |slow| answers(aggregate, rules, grid, history.samples(), history.span(), slow);
            prop_assert_eq!(ask(false), ask(true), "{:?}", aggregate);
        }
    }

    #[test]
    fn several_aggregates_in_one_pass_answer_the_same(history in histories(MIXED), rules in rules(), (start, end, step) in ranges()) {
        let grid = Grid::new(start, end, step);
        let simple: Vec<Aggregate> = Aggregate::all().filter(|a| a.machine() == Machine::Simple).collect();
        let mut machine = Simple::new(simple.clone(), rules, grid, history.span());
        let mut out = vec![Answers::default(); simple.len()];
        machine.feed(history.samples(), 0, &mut out, usize::MAX);
        prop_assert!(machine.finish(&mut out, usize::MAX));
        for (aggregate, together) in simple.into_iter().zip(out) {
            prop_assert_eq!(history.ask(aggregate, rules, grid), together, "{:?}", aggregate);
        }
    }

    #[test]
    fn nothing_but_a_bad_status_comes_without_a_value(history in histories(MIXED), rules in rules(), (start, end, step) in ranges()) {
        for aggregate in Aggregate::all() {
            let all = history.ask(aggregate, rules, Grid::new(start, end, step));
            for (value, status) in all.values.iter().zip(&all.statuses) {
                prop_assert_eq!(value.is_none(), Status(*status).is_bad(), "{:?}: {:x}", aggregate, status);
                prop_assert!(value.is_none_or(f64::is_finite));
            }
        }
    }

    /// Drawn as lines from sample to sample with gaps at bad ones, what is kept covers the same part of
    /// each column of pixels as all samples do.
    #[test]
    fn a_plot_draws_the_same_picture(history in histories(MIXED), pixels in 1..40u64) {
        let (start, end) = (history.times[0], history.times[history.times.len() - 1] + 1);
        let mut plot = Plot::new(start, end, pixels);
        let mut out = Answers::default();
        plot.feed(history.samples(), 0, &mut out, usize::MAX);
        plot.finish(&mut out);
        let value = |i: usize| (!Status(history.statuses[i]).is_bad()).then(|| history.values[i]);
        let all: Vec<(i64, Option<f64>)> = (0..history.times.len()).map(|i| (history.times[i], value(i))).collect();
        let kept: Vec<(i64, Option<f64>)> = out.times.iter().copied().zip(out.values.iter().copied()).collect();
        for (column, (a, b)) in drawn(&all, start, end, pixels).into_iter().zip(drawn(&kept, start, end, pixels)).enumerate() {
            prop_assert!(near(a.0, b.0) && near(a.1, b.1), "column {column}: {a:?} and {b:?}");
        }
    }

    #[test]
    fn a_plot_has_the_extremes_of_every_pixel(history in histories(MIXED), start in -30 * SECOND..300 * SECOND, length in 1..800 * SECOND, pixels in 1..40u64) {
        let end = start + length;
        let mut plot = Plot::new(start, end, pixels);
        let mut out = Answers::default();
        plot.feed(history.samples(), 0, &mut out, usize::MAX);
        plot.finish(&mut out);
        let pixel = |time: i64| u128::from(time.abs_diff(start)) * u128::from(pixels) / u128::from(length.unsigned_abs());
        prop_assert!(out.times.is_sorted_by(|a, b| a < b), "each once and in order");
        for k in 0..u128::from(pixels) {
            let of = |times: &[i64]| -> Vec<usize> {
                (0..times.len()).filter(|i| (start..end).contains(&times[*i]) && pixel(times[*i]) == k).collect()
            };
            let (all, kept) = (of(&history.times), of(&out.times));
            prop_assert!(kept.len() <= 5);
            prop_assert_eq!(all.is_empty(), kept.is_empty());
            let Some((first, last)) = all.first().zip(all.last()) else { continue };
            prop_assert_eq!(history.times[*first], out.times[kept[0]]);
            prop_assert_eq!(history.times[*last], out.times[kept[kept.len() - 1]]);
            let values = all.iter().filter(|i| !Status(history.statuses[**i]).is_bad()).map(|i| history.values[*i]);
            let shown = || kept.iter().filter_map(|i| out.values[*i]);
            prop_assert_eq!(values.clone().reduce(f64::max), shown().reduce(f64::max));
            prop_assert_eq!(values.reduce(f64::min), shown().reduce(f64::min));
            let begins_gap = |i: &&usize| {
                Status(history.statuses[**i]).is_bad() && (**i == 0 || !Status(history.statuses[**i - 1]).is_bad())
            };
            if let Some(gap) = all.iter().find(begins_gap) {
                prop_assert!(kept.iter().any(|i| out.times[*i] == history.times[*gap]), "the gap shows");
            }
        }
    }
}
