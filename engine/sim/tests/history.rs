//! Histories: what retrieval reads of tags is what a list of all samples says, wherever they lie.

#![expect(clippy::unwrap_used, reason = "a call that fails is a failed test")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, mpsc};

use tagus_engine::ingest::{Batch, Block, Shape, TagRef, Values};
use tagus_engine::retrieval::{Context, Span, is_marker};
use tagus_engine::scan::{HistoryPart, HistoryRequest, QualitySet};
use tagus_engine::segment::Columns;
use tagus_engine::status::{Quality, Status};
use tagus_engine::tag::{TagId, TagSpec, TagType};
use tagus_engine::{Config, Engine};
use tagus_sim::Sim;

/// 2026-01-01T00:00:00Z, where the simulated clock stands.
const NOW: i64 = 1_767_225_600_000_000_000;
const SECOND: i64 = 1_000_000_000;
const TAGS: u64 = 7;
/// Good is likely; the last one says that there is no data.
const STATUSES: [u32; 6] = [0, 0, 0, 0x4000_0000, 0x8000_0000, 0x809B_0000];

/// Values and statuses by tag and time.
type Model = BTreeMap<(u64, i64), (f64, u32)>;

/// Time, value and status of a sample.
type Row = (i64, f64, u32);

struct Plant {
    sim: Sim,
    engine: Engine,
    model: Model,
}

impl Plant {
    fn new(seed: u64) -> Plant {
        let sim = Sim::new(seed);
        let (engine, _) = Engine::open(sim.env(), Path::new("/archive"), Config::default()).unwrap();
        let spec = |tag| TagSpec::new(format!("tag{tag}"), TagType::Float64);
        engine.create_tags((0..TAGS).map(spec).collect()).unwrap();
        Plant { sim, engine, model: Model::new() }
    }

    fn below(&self, bound: u64) -> u64 {
        self.sim.random.below(bound)
    }

    fn time(&self) -> i64 {
        NOW - 1000 * SECOND + self.below(1000).cast_signed() * SECOND
    }

    /// Some samples of one tag. The last tag never gets any but ones without data.
    fn write(&mut self) {
        let tag = self.below(TAGS - 1);
        let start = self.time();
        let mut times: Vec<i64> = (0..1 + self.below(20).cast_signed()).map(|i| start + i * SECOND * 3).collect();
        times.retain(|time| *time < NOW);
        let status = |_: &i64| if tag == TAGS - 2 { 0x809B_0000 } else { STATUSES[self.below(6) as usize] };
        let statuses: Vec<u32> = times.iter().map(status).collect();
        let values: Vec<f64> = times.iter().map(|_| self.below(1000) as f64).collect();
        for ((time, value), status) in times.iter().zip(&values).zip(&statuses) {
            self.model.insert((tag, *time), (*value, *status));
        }
        let shape = Shape::Series { tag: TagRef::Name(format!("tag{tag}")), times };
        let batch = Batch { blocks: vec![Block { shape, values: Values::Doubles(values), statuses }] };
        let source = self.engine.open_source("", "", 0).unwrap();
        let (send, receive) = mpsc::channel();
        source.submit(1, batch, move |done| drop(send.send(done.map(drop)))).unwrap();
        while self.engine.commit_step() {}
        receive.recv().unwrap().unwrap();
    }

    fn delete(&mut self) {
        let (tag, a, b) = (self.below(TAGS), self.time(), self.time());
        let (from, to) = (a.min(b), (a.min(b) + 30 * SECOND).min(a.max(b)));
        let id = self.engine.tags().find(&format!("tag{tag}")).unwrap().id;
        self.engine.delete(&[id], from, to).unwrap();
        self.model.retain(|(of, time), _| *of != tag || !(from..=to).contains(time));
    }

    /// The samples of a tag as the model has them.
    fn all(&self, tag: u64) -> Vec<Row> {
        let range = self.model.range((tag, i64::MIN)..=(tag, i64::MAX));
        range.map(|((_, time), (value, status))| (*time, *value, *status)).collect()
    }

    /// What a history of a tag has to be, found by looking at every sample.
    fn expected(&self, tag: u64, request: &HistoryRequest) -> (Span, Vec<Row>) {
        let all = self.all(tag);
        let is_value = |row: &&Row| request.values.contains(Status(row.2).quality());
        let is_data = |row: &&Row| !is_marker(Status(row.2));
        let first = all.iter().find(is_data).map(|row| row.0);
        let span = first.zip(all.iter().rfind(is_data).map(|row| row.0));
        let before: Vec<_> = all.iter().filter(|row| row.0 < request.low).collect();
        let after: Vec<_> = all.iter().filter(|row| row.0 > request.high).collect();
        let mut rows: Vec<Row> = Vec::new();
        rows.extend(before.iter().copied().rev().filter(is_value).take(request.context.values_before));
        rows.extend(before.last().copied());
        rows.extend(all.iter().filter(|row| (request.low..=request.high).contains(&row.0)));
        rows.extend(after.first().copied());
        if request.context.value_after || request.spans {
            rows.extend(after.iter().copied().find(is_value));
        }
        rows.sort_by_key(|row| row.0);
        rows.dedup();
        if request.spans {
            rows.retain(|row| span.is_some_and(|(first, last)| (first..=last).contains(&row.0)));
        }
        (span, rows)
    }

    fn check(&self, request: HistoryRequest, context: &str) {
        type Found = (Span, Vec<Row>);
        let mut found: BTreeMap<TagId, Found> = BTreeMap::new();
        let mut tag = None;
        for part in self.engine.view().histories(request.clone(), Arc::default()) {
            match part.unwrap() {
                HistoryPart::Begin(id, span) => {
                    assert!(tag.replace(id).is_none() && !found.contains_key(&id), "{context}: begun twice");
                    found.insert(id, (span, Vec::new()));
                }
                HistoryPart::Samples(rows, range) => {
                    let row = |i: usize| (rows.times[i], f64::from_bits(rows.values[i]), rows.status(i).0);
                    found.get_mut(&tag.expect("a tag that has begun")).unwrap().1.extend(range.map(row));
                }
                HistoryPart::LeftOut(_) => unreachable!("nothing is reduced"),
                HistoryPart::End(id) => assert_eq!(tag.take(), Some(id), "{context}"),
            }
        }
        assert!(found.keys().eq(&request.tags), "{context}: all tags, each once");
        for (id, (span, rows)) in found {
            let (expected_span, expected) = self.expected(u64::from(id.0) - 1, &request);
            let context = format!("{context}, tag {}, {request:?}", id.0);
            assert_eq!(rows, expected, "{context}");
            if !request.spans {
                continue;
            }
            // What matters is whether data goes on beyond the range, and where it ends if it does not.
            let ends = |span: Span| {
                let (first, last) = span?;
                Some((first.max(request.low - 1), last.min(request.high + 1)))
            };
            let is_near = expected_span.is_some_and(|(first, last)| first <= request.high && last >= request.low);
            assert!(!is_near || ends(span) == ends(expected_span), "{context}: {span:?}, expected {expected_span:?}");
            assert_eq!(span.is_none(), expected_span.is_none(), "{context}");
        }
    }
}

#[test]
fn histories_are_those_of_a_list_of_all_samples() {
    for seed in 0..60 {
        let mut plant = Plant::new(seed);
        for step in 0..60 {
            match plant.below(12) {
                0 => plant.engine.flush().unwrap(),
                1 => plant.delete(),
                2 => drop(plant.engine.merge_step().unwrap()),
                _ => plant.write(),
            }
            if step % 6 > 0 {
                continue;
            }
            let (a, b) = (plant.time(), plant.time());
            let good = QualitySet::NONE.with(Quality::Good);
            let request = HistoryRequest {
                tags: (1..=TAGS).filter(|_| plant.below(4) > 0).map(|id| TagId(id as u32)).collect(),
                low: a.min(b),
                high: if plant.below(5) == 0 { a.min(b) } else { a.max(b) },
                context: Context { values_before: plant.below(3) as usize, value_after: plant.below(2) == 0 },
                values: if plant.below(2) == 0 { good } else { good.with(Quality::Uncertain) },
                spans: plant.below(2) == 0,
                columns: Columns::TIME | Columns::VALUE | Columns::STATUS,
                left_out: false,
            };
            plant.check(request, &format!("seed {seed}, step {step}"));
        }
    }
}
