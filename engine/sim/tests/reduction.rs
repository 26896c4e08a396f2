//! Reduction on ingest: what stays is what the filters say, through flushes, merges, deletes and power
//! cuts; and what was left out is accounted for. Each reduced tag has a twin that is not.

#![expect(clippy::unwrap_used, reason = "a call that fails is a failed test")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, mpsc};

use tagus_engine::ingest::{Batch, Block, Counts, Shape, TagRef, Values};
use tagus_engine::reduction::{Deadband, Decided, Deviation, MINUTE, Reducer, Reduction};
use tagus_engine::retrieval::{Aggregate, Answers, Grid, LeftOutIs, Processor, Rules, Samples};
use tagus_engine::sample::{Cell, Row};
use tagus_engine::scan::{HistoryPart, HistoryRequest, QualitySet, ScanRequest, TagSelection};
use tagus_engine::segment::Columns;
use tagus_engine::status::{Quality, Status};
use tagus_engine::tag::{Interpolation, TagId, TagSpec, TagType};
use tagus_engine::{Config, Engine, ReductionRule, TagChange};
use tagus_sim::{Fate, Sim};

/// 2026-01-01T00:00:00Z, where the simulated clock stands.
const NOW: i64 = 1_767_225_600_000_000_000;
const SECOND: i64 = 1_000_000_000;
const START: i64 = NOW - 20_000 * SECOND;
/// Each has a twin with the next number.
const TAGS: usize = 4;
const STATUSES: [u32; 12] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0x4000_0000, 0x4000_0000, 0x8000_0000];

struct Plant {
    sim: Sim,
    /// None between a stop and the next start.
    engine: Option<Engine>,
    tags: Vec<Tag>,
    counts: Counts,
    /// What was counted before the last start of the engine.
    written: u64,
}

/// What a reduced tag has to hold.
struct Tag {
    spec: TagSpec,
    reducer: Option<Reducer>,
    stays: BTreeMap<i64, Cell>,
    /// The times of its twin's samples.
    twin: BTreeSet<i64>,
    /// The next sample's time and value, in tenths.
    time: i64,
    level: i64,
}

fn spec(number: usize) -> TagSpec {
    let name = format!("tag{number}");
    match number {
        2 => TagSpec { interpolation: Interpolation::Step, ..TagSpec::new(name, TagType::Float64) },
        3 => TagSpec { interpolation: Interpolation::Linear, ..TagSpec::new(name, TagType::Int64) },
        _ => TagSpec::new(name, TagType::Float64),
    }
}

impl Plant {
    fn new(seed: u64) -> Plant {
        let sim = Sim::new(seed);
        let (engine, _) = Engine::open(sim.env(), Path::new("/archive"), Config::default()).unwrap();
        let twin = |spec: &TagSpec| TagSpec { name: format!("{}.twin", spec.name), ..spec.clone() };
        let mut plant = Plant { sim, engine: Some(engine), tags: Vec::new(), counts: Counts::default(), written: 0 };
        for number in 0..TAGS {
            let mut spec = spec(number);
            spec.reduction = Some(plant.reduction());
            let twin = TagSpec { reduction: None, ..twin(&spec) };
            plant.engine().create_tags(vec![spec.clone(), twin]).unwrap();
            let time = START + i64::try_from(plant.below(100)).unwrap() * SECOND;
            plant.tags.push(Tag {
                reducer: reducer(&spec),
                spec,
                stays: BTreeMap::new(),
                twin: BTreeSet::new(),
                time,
                level: 0,
            });
        }
        plant
    }

    fn engine(&self) -> &Engine {
        self.engine.as_ref().unwrap()
    }

    fn below(&self, bound: u64) -> u64 {
        self.sim.random.below(bound)
    }

    fn reduction(&self) -> Reduction {
        let filter = |most: u64| {
            (self.below(3) > 0).then(|| Deadband {
                deviation: Deviation::Units(self.below(30) as f64 / 10.0),
                min: self.below(3) * 5_000_000_000,
                max: (20 + self.below(most)) * 1_000_000_000,
            })
        };
        Reduction { exception: filter(200), compression: filter(1000) }
    }

    /// Samples of one tag and its twin, in order, and now and then one that is late or comes twice. Of a
    /// batch some come apart, as those without values do.
    fn write(&mut self, number: usize, may_be_late: bool) {
        let rows: Vec<(i64, i64, u32)> = (0..1 + self.below(40)).map(|_| self.next_row(number, may_be_late)).collect();
        for (name, is_twin) in [(format!("tag{number}"), false), (format!("tag{number}.twin"), true)] {
            let block = |rows: Vec<&(i64, i64, u32)>| {
                let values = rows.iter().map(|row| value(&self.tags[number].spec, row.1)).collect();
                let shape =
                    Shape::Series { tag: TagRef::Name(name.clone()), times: rows.iter().map(|row| row.0).collect() };
                Block { shape, values: Values::Doubles(values), statuses: rows.iter().map(|row| row.2).collect() }
            };
            let (some, others) = match may_be_late {
                true => (rows.iter().collect(), Vec::new()),
                false => rows.iter().partition(|row| row.2 == 0),
            };
            let batch = Batch { blocks: vec![block(some), block(others)] };
            let source = self.engine().open_source("", "", 0).unwrap();
            let (send, receive) = mpsc::channel();
            source.submit(1, batch, move |done| drop(send.send(done.map(|done| done.counts())))).unwrap();
            while self.engine().commit_step() {}
            let counts = receive.recv().unwrap().unwrap();
            assert_eq!(counts.rows(), rows.len() as u64);
            if !is_twin {
                self.counts += counts;
                self.written += counts.rows();
            }
        }
        let tag = &mut self.tags[number];
        let mut rows = rows;
        if tag.reducer.is_some() {
            rows.sort_by_key(|row| row.0);
        }
        for (time, level, status) in rows {
            tag.twin.insert(time);
            tag.take(Row { time, cell: cell(&tag.spec, level, Status(status)) });
        }
    }

    fn next_row(&mut self, number: usize, may_be_late: bool) -> (i64, i64, u32) {
        let status = STATUSES[self.below(12) as usize];
        let lateness = if may_be_late { self.below(40) } else { 9 };
        let step = match self.below(20) {
            0 => self.below(300_000),
            1..=9 => 1000,
            _ => 1 + self.below(4000),
        };
        let change = self.below(21).cast_signed() - 10;
        let ago = self.below(100_000).cast_signed() * SECOND / 1000;
        let tag = &mut self.tags[number];
        match lateness {
            0 => (tag.time - ago, tag.level + change, status),
            1 => (tag.time, tag.level + change, status),
            _ => {
                tag.time += step.cast_signed() * SECOND / 1000;
                tag.level += change;
                (tag.time, tag.level, status)
            }
        }
    }

    fn delete(&mut self) {
        let number = self.below(TAGS as u64) as usize;
        let end = self.tags[number].time + 5 * SECOND;
        let from = end - self.below(400).cast_signed() * SECOND;
        let to = from + self.below(200).cast_signed() * SECOND;
        // Apart: of the reduced tag there may be only what was left out.
        self.engine().delete(&[self.twin(number)], from, to).unwrap();
        self.engine().delete(&[self.id(number)], from, to).unwrap();
        let tag = &mut self.tags[number];
        let ends = tag.reducer.as_ref().and_then(|r| Some((r.kept()?.time, r.newest()?.time)));
        if ends.is_some_and(|(kept, newest)| kept <= to && newest >= from) {
            tag.finish();
        }
        tag.stays.retain(|time, _| !(from..=to).contains(time));
        tag.twin.retain(|time| !(from..=to).contains(time));
    }

    fn id(&self, number: usize) -> TagId {
        TagId(number as u32 * 2 + 1)
    }

    fn twin(&self, number: usize) -> TagId {
        TagId(number as u32 * 2 + 2)
    }

    fn change(&mut self) {
        let number = self.below(TAGS as u64) as usize;
        let reduction = if self.below(3) == 0 { Reduction::default() } else { self.reduction() };
        let change = TagChange { reduction: Some(reduction), ..TagChange::default() };
        self.engine().update_tag(&format!("tag{number}"), change).unwrap();
        let tag = &mut self.tags[number];
        tag.spec.reduction = Some(reduction);
        let next = reducer(&tag.spec);
        if next.as_ref().map(Reducer::settings) != tag.reducer.as_ref().map(Reducer::settings) {
            tag.finish();
            tag.reducer = next;
        }
    }

    /// A flush that finds no room leaves its memtable frozen; tags change before it is tried again.
    fn change_meanwhile(&mut self) {
        self.sim.disk.set_capacity(self.sim.disk.used_bytes());
        let failed = self.engine().flush();
        self.sim.disk.set_capacity(None);
        assert!(failed.is_err() || self.engine().status().memtable_rows == 0);
        self.change();
        self.engine().job_step().unwrap();
        self.reopen(false);
    }

    /// A reader that began before samples were decided on, flushed and merged sees what was there then.
    fn read_meanwhile(&mut self) {
        let view = self.engine().view();
        let all = view.plan(&ScanRequest::of(TagSelection::All), 1).unwrap();
        let cursor = view.open(&all, 0, Arc::default()).unwrap();
        let expected: Vec<Vec<(i64, Cell)>> = self.tags.iter().map(|tag| tag.all().collect()).collect();
        for _ in 0..1 + self.below(3) {
            let number = self.below(TAGS as u64) as usize;
            self.write(number, false);
            match self.below(3) {
                0 => self.engine().flush().unwrap(),
                1 => self.engine().compact().unwrap(),
                _ => {}
            }
        }
        let mut seen: Vec<BTreeMap<i64, Cell>> = vec![BTreeMap::new(); TAGS];
        for batch in cursor {
            let batch = batch.unwrap();
            for (tag, range) in batch.runs {
                let number = (tag.0 as usize - 1) / 2;
                if tag == self.id(number) {
                    seen[number].extend(range.map(|i| (batch.rows.times[i], batch.rows.cell(i))));
                }
            }
        }
        for (number, rows) in expected.iter().enumerate() {
            // What was held then may have been left out before it was read.
            let stays: BTreeMap<i64, Cell> = self.tags[number].all().collect();
            let missing = rows.iter().filter(|(time, cell)| seen[number].get(time) != Some(cell));
            let missing: Vec<_> = missing.filter(|(time, _)| stays.contains_key(time)).collect();
            assert!(missing.is_empty(), "tag {number}: {missing:?}");
        }
    }

    fn reopen(&mut self, clean: bool) {
        if clean {
            self.engine().close().unwrap();
            self.engine = None;
        } else {
            self.engine = None;
            self.sim.disk.crash();
            self.sim.disk.restart(Fate::Torn(self.below(u64::MAX)));
        }
        let (engine, _) = Engine::open(self.sim.env(), Path::new("/archive"), Config::default()).unwrap();
        self.engine = Some(engine);
    }

    fn check(&self, context: &str) {
        for (number, tag) in self.tags.iter().enumerate() {
            let view = self.engine().view();
            let request = ScanRequest::of(TagSelection::Ids(vec![self.id(number)]));
            let mut rows = Vec::new();
            for batch in view.open(&view.plan(&request, 1).unwrap(), 0, Arc::default()).unwrap() {
                let batch = batch.unwrap();
                rows.extend((0..batch.rows.len()).map(|i| (batch.rows.times[i], batch.rows.cell(i))));
            }
            let expected: Vec<(i64, Cell)> = tag.all().collect();
            assert_eq!(rows.len(), expected.len(), "{context}, tag {number}");
            assert_eq!(rows, expected, "{context}, tag {number}");
            let counted = view.statistics(&request, Arc::default()).unwrap();
            assert_eq!(counted.rows, expected.len() as u64, "{context}, tag {number}");
            let newest = expected.last().map(|(time, cell)| Row { time: *time, cell: cell.clone() });
            assert_eq!(self.engine().current(self.id(number)).unwrap(), newest, "{context}, tag {number}");
            if let Some(newest) = &newest {
                assert_eq!(view.newest_at(self.id(number), i64::MAX).unwrap().as_ref(), Some(newest));
                let cells = view.cells_at(self.id(number), &[newest.time]).unwrap();
                assert_eq!(cells, [Some(newest.cell.clone())], "{context}, tag {number}");
            }
        }
        let all = ScanRequest::of(TagSelection::All);
        let view = self.engine().view();
        let mut seen = 0;
        for batch in view.open(&view.plan(&all, 1).unwrap(), 0, Arc::default()).unwrap() {
            let batch = batch.unwrap();
            assert!(batch.runs.iter().all(|(tag, _)| !tag.is_summary()), "{context}: summaries are no samples");
            seen += batch.rows.len() as u64;
        }
        assert_eq!(view.statistics(&all, Arc::default()).unwrap().rows, seen, "{context}");
    }

    /// Aggregates of a tag of each interval.
    fn answers(&self, id: TagId, aggregate: Aggregate, rules: Rules, grid: Grid) -> Answers {
        let spec = self.engine().tags().get(id).unwrap().spec.clone();
        let good = QualitySet::NONE.with(Quality::Good);
        let (low, high) = grid.ends();
        let request = HistoryRequest {
            tags: vec![id],
            low,
            high,
            context: aggregate.machine().context(),
            values: if rules.treat_uncertain_as_bad { good } else { good.with(Quality::Uncertain) },
            spans: true,
            columns: Columns::TIME | Columns::VALUE | Columns::STATUS,
            left_out: true,
        };
        let mut answers = Answers::default();
        let mut processor = None;
        for part in self.engine().view().histories(request, Arc::default()) {
            match part.unwrap() {
                HistoryPart::Begin(_, span) => processor = Some(Processor::new(aggregate, rules, grid, span)),
                HistoryPart::LeftOut(left_out) => processor.as_mut().unwrap().leave_out(&left_out),
                HistoryPart::Samples(rows, range) => {
                    let number = |bits: u64| {
                        if spec.tag_type.is_float() { f64::from_bits(bits) } else { bits.cast_signed() as f64 }
                    };
                    let values: Vec<f64> = rows.values[range.clone()].iter().map(|bits| number(*bits)).collect();
                    let statuses: Vec<u32> = range.clone().map(|i| rows.status(i).0).collect();
                    let samples = Samples { times: &rows.times[range], values: &values, statuses: &statuses };
                    processor.as_mut().unwrap().feed(samples, 0, &mut answers, usize::MAX);
                }
                HistoryPart::End(_) => assert!(processor.as_mut().unwrap().finish(&mut answers, usize::MAX)),
            }
        }
        answers
    }

    /// Whole minutes are answered as if nothing had been left out, or said to be Uncertain; `always` they
    /// are exact. Answers how many intervals were compared, and how many were not exact.
    fn compare(&self, always: bool, context: &str) -> (usize, usize) {
        let (mut compared, mut inexact) = (0, 0);
        for number in 0..TAGS {
            let Some((last, _)) = self.tags[number].all().last() else { continue };
            let aggregates: Vec<Aggregate> = Aggregate::all().filter(|a| a.left_out() != LeftOutIs::Nothing).collect();
            let aggregate = aggregates[self.below(aggregates.len() as u64) as usize];
            let minutes = [1, 3, 10, 60][self.below(4) as usize];
            let mut start = last.div_euclid(MINUTE) * MINUTE - (5 + self.below(200).cast_signed()) * MINUTE;
            if self.below(2) == 0 {
                start = (START - 100 * MINUTE).div_euclid(MINUTE) * MINUTE;
            }
            let end = last.div_euclid(MINUTE) * MINUTE + self.below(3).cast_signed() * MINUTE;
            let rules = Rules {
                treat_uncertain_as_bad: self.below(2) == 0,
                stepped: if self.below(4) == 0 {
                    self.below(2) == 0
                } else {
                    self.tags[number].spec.interpolation == Interpolation::Step
                },
                ..Rules::default()
            };
            let mut grid = Grid::new(start, end, (minutes * MINUTE).unsigned_abs());
            // What cuts minutes, or runs backwards, is exact or said not to be.
            let is_whole = matches!(aggregate.left_out(), LeftOutIs::Area | LeftOutIs::Counted);
            let always = always && is_whole && self.below(3) > 0;
            match self.below(3) {
                0 if !always => grid = Grid::new(start - 7 * SECOND, end, 13_500_000_000),
                1 if !always => grid = Grid::new(end, start, (minutes * MINUTE).unsigned_abs()),
                _ => {}
            }
            let reduced = self.answers(self.id(number), aggregate, rules, grid);
            let whole = self.answers(self.twin(number), aggregate, rules, grid);
            assert_eq!(reduced.len(), whole.len());
            for i in 0..whole.len() {
                let context = format!(
                    "{context}, tag {number}, {}, {rules:?}, {minutes} min, {}: {:?} {:x}, whole {:?} {:x}",
                    aggregate.name(),
                    whole.times[i] - START,
                    reduced.values[i],
                    reduced.statuses[i],
                    whole.values[i],
                    whole.statuses[i]
                );
                compared += 1;
                let is_near = match (reduced.values[i], whole.values[i]) {
                    (Some(a), Some(b)) => {
                        (a - b).abs()
                            <= 1e-9 * b.abs().max(1e-3 * self.tags[number].level.unsigned_abs().max(100) as f64)
                    }
                    (a, b) => a == b,
                };
                // What a bound at the start of a minute was is not told: whether it was computed.
                let quality = |answers: &Answers| Status(answers.statuses[i]).quality();
                if is_near && reduced.times[i] == whole.times[i] && quality(&reduced) == quality(&whole) {
                    continue;
                }
                assert!(!always && quality(&reduced) != Quality::Good, "{context}");
                inexact += 1;
            }
        }
        (compared, inexact)
    }
}

impl Tag {
    /// What samples say of reduction, apart from the engine.
    fn take(&mut self, row: Row) {
        let Some(reducer) = &mut self.reducer else {
            self.stays.insert(row.time, row.cell);
            return;
        };
        let held = reducer.held().find(|held| held.time == row.time);
        if held.is_some_and(|held| held.cell == row.cell) {
            return;
        }
        if held.is_some() {
            self.finish();
            self.stays.insert(row.time, row.cell);
        } else if reducer.newest_time() >= row.time {
            self.stays.insert(row.time, row.cell);
        } else {
            let mut decided = Decided::default();
            reducer.push(row, &mut decided);
            self.stays.extend(decided.kept.into_iter().map(|row| (row.time, row.cell)));
        }
    }

    fn finish(&mut self) {
        let mut decided = Decided::default();
        if let Some(reducer) = &mut self.reducer {
            reducer.finish(&mut decided);
        }
        self.stays.extend(decided.kept.into_iter().map(|row| (row.time, row.cell)));
    }

    /// All samples that are there.
    fn all(&self) -> impl Iterator<Item = (i64, Cell)> {
        let mut all = self.stays.clone();
        all.extend(self.reducer.iter().flat_map(|reducer| reducer.held()).map(|row| (row.time, row.cell.clone())));
        all.into_iter()
    }
}

fn reducer(spec: &TagSpec) -> Option<Reducer> {
    let settings = spec.reduction?.settings(spec)?;
    Some(Reducer::new(settings, spec.tag_type.is_float()))
}

fn value(spec: &TagSpec, level: i64) -> f64 {
    if spec.tag_type.is_float() { level as f64 / 10.0 } else { level as f64 }
}

fn cell(spec: &TagSpec, level: i64, status: Status) -> Cell {
    let bits = if spec.tag_type.is_float() { value(spec, level).to_bits() } else { level.cast_unsigned() };
    Cell { value: Some(bits), text: None, status }
}

/// Tags that are to come are reduced by the rule that says most of them.
#[test]
fn new_tags_are_reduced_by_pattern() {
    let rule = |pattern: &str, text: &str| ReductionRule {
        pattern: pattern.into(),
        reduction: Reduction::parse(text).unwrap(),
    };
    let rules = vec![rule("A.*", "CompDev=2"), rule("*", "ExcDev=1%"), rule("a.raw.*", "off")];
    let config = Config { reduction: rules, memory_budget: 16 << 20, ..Config::default() };
    let (engine, _) = Engine::open(Sim::new(1).env(), Path::new("/archive"), config).unwrap();
    let text = |name: &str| Block {
        shape: Shape::Series { tag: TagRef::Name(name.into()), times: vec![START] },
        values: Values::Texts(vec![if name.ends_with("note") { "word" } else { "1.5" }.into()]),
        statuses: Vec::new(),
    };
    let names = ["a.x", "a.raw.x", "b.x", "a.note"];
    let source = engine.open_source("", "", 0).unwrap();
    source.submit(1, Batch { blocks: names.map(text).into() }, |done| drop(done.unwrap())).unwrap();
    while engine.commit_step() {}
    let declared =
        TagSpec { reduction: Some(Reduction::parse("CompDev=7").unwrap()), ..TagSpec::new("a.y", TagType::Float64) };
    let spanned = TagSpec { low: Some(0.0), high: Some(200.0), ..TagSpec::new("b.y", TagType::Float64) };
    engine.create_tags(vec![declared, spanned]).unwrap();
    let reduction =
        |name: &str| engine.tags().find(name).unwrap().spec.reduction.map(|reduction| reduction.to_string());
    let has = |name: &str, expected: &str| assert_eq!(reduction(name).as_deref(), Some(expected), "{name}");
    has("a.x", "CompDev=2,CompMin=0s,CompMax=28800s");
    has("a.y", "CompDev=7,CompMin=0s,CompMax=28800s");
    has("b.y", "ExcDev=1%,ExcMin=0s,ExcMax=600s");
    has("a.raw.x", "off");
    assert_eq!((reduction("b.x"), reduction("a.note")), (None, None), "it does not fit them");

    // A quarter of the budget holds so many; tags beyond it are created all the same.
    let many: Vec<TagSpec> = (0..2100).map(|i| TagSpec::new(format!("a.n{i}"), TagType::Float64)).collect();
    engine.create_tags(many).unwrap();
    let reduced = engine.tags().iter().filter(|tag| tag.spec.reduction.is_some_and(|r| r.is_on())).count();
    assert_eq!(reduced, (16 << 20) / 4 / tagus_engine::limits::REDUCER_BYTES);
    let change = TagChange { reduction: Some(Reduction::parse("CompDev=1").unwrap()), ..TagChange::default() };
    let error = engine.update_tag("a.raw.x", change).unwrap_err().to_string();
    assert!(error.contains("2048") && error.contains("memory_budget"), "{error}");
}

/// In order of time, whatever the engine does meanwhile.
#[test]
fn what_comes_in_order_is_exact_by_whole_minutes() {
    let (mut compared, mut reduced) = (0, 0);
    for seed in 0..60 {
        let mut plant = Plant::new(seed);
        for step in 0..60 {
            match plant.below(24) {
                0 => plant.engine().flush().unwrap(),
                1 => drop(plant.engine().merge_step().unwrap()),
                2 => plant.engine().compact().unwrap(),
                3 => plant.change(),
                6 => plant.change_meanwhile(),
                7 => plant.read_meanwhile(),
                4 | 5 => {
                    let clean = plant.below(2) == 0;
                    plant.reopen(clean);
                }
                number => plant.write(number as usize % TAGS, false),
            }
            if step % 4 == 0 {
                let context = format!("seed {seed}, step {step}");
                plant.check(&context);
                compared += plant.compare(true, &context).0;
            }
        }
        // As many are there as were counted, but for one of each tag that waits for its turn.
        let there: u64 = plant.tags.iter().map(|tag| tag.all().count() as u64).sum();
        assert_eq!(plant.counts.rows(), plant.written);
        assert!((there..=there + 40).contains(&plant.counts.stored), "{there} are there, {:?}", plant.counts);
        reduced += plant.counts.reduced;
    }
    assert!(compared > 50_000 && reduced > 10_000, "{compared} compared, {reduced} left out");
}

/// With late samples, values that come twice, and deletes.
#[test]
fn what_is_not_exact_is_said_to_be_uncertain() {
    let (mut compared, mut inexact) = (0, 0);
    for seed in 0..60 {
        let mut plant = Plant::new(seed + 1000);
        for step in 0..60 {
            match plant.below(24) {
                0 => plant.engine().flush().unwrap(),
                1 => drop(plant.engine().merge_step().unwrap()),
                2 => plant.engine().compact().unwrap(),
                3 | 4 => plant.delete(),
                5 => {
                    let clean = plant.below(2) == 0;
                    plant.reopen(clean);
                }
                number => plant.write(number as usize % TAGS, true),
            }
            if step % 4 == 0 {
                let context = format!("seed {}, step {step}", seed + 1000);
                plant.check(&context);
                let (all, some) = plant.compare(false, &context);
                (compared, inexact) = (compared + all, inexact + some);
            }
        }
    }
    assert!(compared > 50_000 && inexact > 500 && inexact < compared / 3, "{compared} compared, {inexact} not exact");
}
