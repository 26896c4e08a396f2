//! A machine that runs the engine, everything that can happen to it, and what must hold afterwards.

use std::path::Path;
use std::sync::{Arc, Mutex};

use tagus_engine::env::Clock;
use tagus_engine::ingest::Counts;
use tagus_engine::tag::{TagId, TagSpec, TagType};
use tagus_engine::{Config, Engine, ErrorKind, OpenSource, Result, Retention, TagChange};
use tagus_sim::{Fate, Sim};

use crate::model::{Change, Model};
use crate::{checks, samples};

pub const DIR: &str = "/archive";
const HOUR: i64 = 3_600_000_000_000;
const DAY: i64 = 24 * HOUR;
const SOURCES: usize = 3;

/// What is known of the changes that were asked for last.
enum Outcome {
    Done,
    /// Refused for certain: nothing of it will ever be there.
    Refused,
    /// It may be there after the next start.
    Unknown,
}

/// A running machine and what it owes.
pub struct Plant {
    pub sim: Sim,
    pub seed: u64,
    pub config: Config,
    engine: Option<Engine>,
    sources: Vec<OpenSource>,
    pub model: Model,
    /// Changes that may be durable or not, in the order of the log.
    unknown: Vec<Change>,
    /// Epochs of each source that have ended.
    ended: Vec<Vec<u64>>,
    units: u64,
    /// What happened, for people.
    pub story: Vec<String>,
    pub observed: u64,
}

impl Drop for Plant {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let last = self.story.len().saturating_sub(25);
            eprintln!("seed {} failed after {} steps; the last ones:", self.seed, self.story.len());
            self.story[last..].iter().for_each(|step| eprintln!("  {step}"));
            eprintln!("again with TAGUS_TORTURE_SEEDS={}..{}", self.seed, self.seed + 1);
        }
    }
}

impl Plant {
    pub fn new(seed: u64) -> Plant {
        let sim = Sim::new(seed);
        let rule = |pattern: &str, days: i64| Retention { pattern: pattern.into(), age: days * DAY };
        let retention = if seed % 3 == 0 { vec![rule("*", 500), rule("f1", 2)] } else { Vec::new() };
        let config = Config { retention, memory_budget: 64 << 20, ..Config::default() };
        let model = Model { sources: vec![Default::default(); SOURCES], ..Model::default() };
        let mut plant = Plant {
            sim,
            seed,
            config,
            engine: None,
            sources: Vec::new(),
            model,
            unknown: Vec::new(),
            ended: vec![Vec::new(); SOURCES],
            units: 0,
            story: Vec::new(),
            observed: 0,
        };
        for (index, source) in plant.model.sources.iter_mut().enumerate() {
            source.epoch = 100 * (index as u64 + 1);
        }
        plant.start();
        plant
    }

    pub fn engine(&self) -> &Engine {
        self.engine.as_ref().expect("an engine that runs")
    }

    pub fn now(&self) -> i64 {
        self.sim.clock.now()
    }

    pub fn note(&mut self, step: impl Into<String>) {
        self.story.push(step.into());
    }

    /// Opens the archive and all sources. Where that meets a fault, the machine is cut off and
    /// started again without one.
    fn start(&mut self) {
        let opened = self.try_start();
        if let Err(error) = opened {
            self.note(format!("starting failed: {error}"));
            self.leave();
            self.sim.disk.set_capacity(None);
            self.sim.disk.restart(Fate::Torn(self.seed));
            self.try_start().expect("a healthy disk");
        }
    }

    fn try_start(&mut self) -> Result<()> {
        let (engine, report) = Engine::open(self.sim.env(), Path::new(DIR), self.config.clone())?;
        assert!(report.lost.is_empty(), "nothing that was acknowledged is lost: {report:?}");
        if engine.tags().is_empty() {
            engine.create_tags(first_tags())?;
        }
        self.engine = Some(engine);
        self.sources = (0..SOURCES).map(|source| self.open_source(source)).collect::<Result<_>>()?;
        Ok(())
    }

    fn open_source(&self, source: usize) -> Result<OpenSource> {
        self.engine().open_source(&name(source), "", self.model.sources[source].epoch)
    }

    /// Lets go of the engine without closing it.
    fn leave(&mut self) {
        self.sources.clear();
        self.engine = None;
    }

    /// Ends the process and starts it again: of what was not acknowledged any beginning may be there.
    pub fn restart(&mut self, how: &str, fate: Option<Fate>) {
        self.note(format!("restart: {how}"));
        self.leave();
        match fate {
            Some(fate) => {
                self.sim.disk.crash();
                self.sim.disk.restart(fate);
            }
            None => self.sim.disk.kill_process(),
        }
        self.sim.disk.set_capacity(None);
        self.start();
        self.recover();
    }

    /// Stops in order; where that fails, the machine is cut off.
    pub fn stop_and_start(&mut self) {
        match self.engine().close() {
            Ok(()) => self.restart("after a clean stop", None),
            Err(error) => {
                self.note(format!("stopping failed: {error}"));
                self.restart("after a stop that failed", Some(Fate::Lost));
            }
        }
    }

    /// Finds out which of the unknown changes are there, and holds the archive to it.
    fn recover(&mut self) {
        let found = checks::everything(self.engine(), 1);
        let mut model = self.model.clone();
        let mut taken = 0;
        while !self.agrees(&model, &found) {
            assert!(taken < self.unknown.len(), "no beginning of what was sent explains what is there");
            model.apply(&self.unknown[taken]);
            taken += 1;
        }
        self.note(format!("{taken} of {} changes were there", self.unknown.len()));
        self.model = model;
        self.unknown.clear();
        self.sources.clear();
        self.sources = (0..SOURCES).map(|source| self.open_source(source).expect("a healthy disk")).collect();
    }

    fn agrees(&self, model: &Model, found: &crate::model::Map) -> bool {
        if model.map != *found {
            return false;
        }
        let books = |source: usize| {
            let expected = &model.sources[source];
            match self.engine().open_source(&name(source), "", expected.epoch) {
                Ok(open) => open.last_sequence() == expected.sequence && open.counts() == expected.counts,
                Err(_) => false,
            }
        };
        (0..SOURCES).all(books) && self.units_agree(model)
    }

    fn units_agree(&self, model: &Model) -> bool {
        let tags = self.engine().tags();
        model.units.iter().all(|(tag, unit)| tags.find(tag).is_some_and(|tag| tag.spec.unit == *unit))
    }

    /// Takes note of what became of some changes. After an error that is not the disk's fullness the
    /// engine reads on, and what it then says is what was acknowledged.
    fn settle(&mut self, changes: Vec<Change>, outcome: Outcome) {
        match outcome {
            Outcome::Done => {
                for change in &changes {
                    self.model.apply(change);
                }
            }
            Outcome::Refused => {}
            Outcome::Unknown => self.unknown.extend(changes),
        }
    }

    fn outcome<T>(&mut self, what: &str, result: &Result<T>) -> Outcome {
        match result {
            Ok(_) => Outcome::Done,
            Err(error) => {
                self.note(format!("{what} failed: {error}"));
                if error.kind() == ErrorKind::Exhausted { Outcome::Refused } else { Outcome::Unknown }
            }
        }
    }

    /// Whether nothing more can be written until the next start.
    pub fn is_broken(&self) -> bool {
        self.sim.disk.is_off() || self.engine().status().latched.is_some()
    }

    /// Writes a few batches of several sources as one group.
    pub fn write(&mut self) {
        let mut waiting = Vec::new();
        for _ in 0..1 + self.sim.random.below(3) {
            let source = self.sim.random.below(SOURCES as u64) as usize;
            if self.sim.random.chance(1, 25) {
                self.begin_epoch(source);
            }
            let (batch, sent) = samples::batch(&self.sim, self.engine(), self.now());
            let books = &self.model.sources[source];
            let before = waiting.iter().filter(|(of, ..)| *of == source).count() as u64;
            let sequence = books.sequence + 1 + before;
            let change = Change::Batch { source, epoch: books.epoch, sequence, samples: sent };
            let done = Arc::new(Mutex::new(None));
            let slot = Arc::clone(&done);
            let submitted = self.sources[source]
                .submit(sequence, batch, move |result| *slot.lock().expect("one thread") = Some(result));
            match submitted {
                Ok(Some(_)) => waiting.push((source, change, done)),
                Ok(None) => panic!("batch {sequence} of source {source} is new"),
                // States and tags that it was to create are not looked at.
                Err(error) => self.note(format!("a batch was not taken: {error}")),
            }
        }
        while self.engine().commit_step() {}
        self.note(format!("write {} batches", waiting.len()));
        let mut refused = false;
        for (source, change, done) in waiting {
            let result = done.lock().expect("one thread").take().expect("a step answers what waits");
            assert!(!(refused && result.is_ok()), "what comes after a refused batch of a group is refused");
            match result {
                Ok(committed) => {
                    let expected = self.model.clone().apply(&change);
                    let counts: Counts = committed.counts();
                    assert_eq!(counts, expected, "counts of {change:?}");
                    self.model.apply(&change);
                }
                Err(error) => {
                    refused = true;
                    let outcome = self.outcome("a batch", &Result::<()>::Err(error));
                    self.settle(vec![change], outcome);
                    self.reopen(source);
                }
            }
        }
    }

    /// After a refusal a source is opened again; that tells where it is.
    fn reopen(&mut self, source: usize) {
        if let Ok(open) = self.open_source(source) {
            let books = &self.model.sources[source];
            if self.unknown.is_empty() {
                assert_eq!((open.last_sequence(), open.counts()), (books.sequence, books.counts), "source {source}");
            }
            self.sources[source] = open;
        }
    }

    /// Begins a new epoch; the older one is never taken again.
    fn begin_epoch(&mut self, source: usize) {
        let books = &self.model.sources[source];
        let (before, epoch) = (books.epoch, books.epoch + 1);
        if books.sequence == 0 {
            return;
        }
        let Ok(open) = self.engine().open_source(&name(source), "", epoch) else { return };
        assert_eq!((open.last_sequence(), open.counts()), (0, Counts::default()), "a new epoch begins at 0");
        let block = samples::one("f0", self.now(), 0.5);
        let sent = crate::model::Sent { tag: "f0".into(), time: self.now(), cell: Some(block.1), coerced: false };
        let result = Arc::new(Mutex::new(None));
        let slot = Arc::clone(&result);
        let submitted = open.submit(1, block.0, move |done| *slot.lock().expect("one thread") = Some(done.map(drop)));
        while self.engine().commit_step() {}
        self.sources[source] = open;
        let done =
            submitted.and_then(|_| result.lock().expect("one thread").take().expect("a step answers what waits"));
        let change = Change::Batch { source, epoch, sequence: 1, samples: vec![sent] };
        let outcome = self.outcome("a new epoch", &done);
        if matches!(outcome, Outcome::Done) {
            self.note(format!("source {source} begins epoch {epoch}"));
            self.ended[source].push(before);
            self.settle(vec![change], outcome);
            let again = self.engine().open_source(&name(source), "", before);
            assert!(again.is_err_and(|e| e.kind() == ErrorKind::Conflict), "epoch {before} has ended");
        } else {
            self.settle(vec![change], outcome);
            self.reopen(source);
        }
    }

    pub fn delete(&mut self) {
        let tags = self.engine().tags();
        let count = 1 + self.sim.random.below(3);
        let ids: Vec<TagId> = (0..count).map(|_| TagId(1 + self.sim.random.below(tags.len() as u64) as u32)).collect();
        let names: Vec<String> = ids.iter().filter_map(|id| Some(tags.get(*id)?.spec.name.clone())).collect();
        let (from, to) = match self.sim.random.below(6) {
            0 => (i64::MIN, i64::MAX),
            1 => (i64::MIN, self.now() - self.sim.random.below(900).cast_signed() * DAY),
            _ => {
                let from = self.now() - self.sim.random.below(100).cast_signed() * HOUR;
                (from, from + self.sim.random.below(40).cast_signed() * HOUR)
            }
        };
        let result = self.engine().delete(&ids, from, to);
        self.note(format!("delete {names:?} from {from} to {to}: {:?}", result.as_ref().ok()));
        let change = Change::Delete { tags: names, from, to };
        if let Ok(gone) = &result {
            let mut after = self.model.clone();
            after.apply(&change);
            assert_eq!(*gone, (self.model.map.len() - after.map.len()) as u64, "deleted samples");
        }
        let outcome = self.outcome("deleting", &result);
        self.settle(vec![change], outcome);
    }

    /// Retention deletes what is past its age by the newest sample, of each tag by its rule.
    pub fn retire(&mut self) {
        let changes = self.expired();
        let result = self.engine().retire_step();
        self.note(format!("retention: {:?}", result.as_ref().ok()));
        match result {
            Ok(false) => {}
            Ok(true) => {
                assert!(!changes.is_empty(), "nothing is too old");
                self.settle(changes, Outcome::Done);
            }
            // Some of it may be done, some refused: the next start tells.
            Err(error) => {
                self.note(format!("retention failed: {error}"));
                self.settle(changes, Outcome::Unknown);
                self.restart("after a retention that failed", Some(Fate::Torn(self.seed)));
            }
        }
    }

    fn expired(&self) -> Vec<Change> {
        let keys = || self.model.map.keys().filter(|(tag, _)| tag != "ahead");
        let Some(newest) = keys().map(|(_, time)| *time).max() else { return Vec::new() };
        let now = newest.min(self.now());
        // The rule of the tag's own name beats that of all tags.
        let rules = [(false, 500), (true, 2)];
        let change = |(own, days): (bool, i64)| {
            let tags = self.engine().tags();
            let named = tags.iter().map(|tag| tag.spec.name.clone()).filter(|name| (name == "f1") == own).collect();
            Change::Delete { tags: named, from: i64::MIN, to: now - days * DAY }
        };
        let takes = |change: &Change| {
            let mut after = self.model.clone();
            after.apply(change);
            after.map.len() < self.model.map.len()
        };
        rules.into_iter().map(change).filter(takes).collect()
    }

    pub fn change_tags(&mut self) {
        self.units += 1;
        let tags = self.engine().tags();
        if tags.len() < 12 && self.sim.random.chance(1, 3) {
            let created =
                self.engine().create_tags(vec![TagSpec::new(format!("more{}", self.units), TagType::Float64)]);
            self.note(format!("create a tag: {}", created.is_ok()));
            return;
        }
        let tag = TagId(1 + self.sim.random.below(tags.len() as u64) as u32);
        let tag = tags.get(tag).expect("ids are dense").spec.name.clone();
        let unit = format!("unit {}", self.units);
        let change = TagChange { unit: Some(unit.clone()), ..TagChange::default() };
        let result = self.engine().update_tag(&tag, change);
        self.note(format!("change tag {tag}"));
        let outcome = self.outcome("changing a tag", &result);
        self.settle(vec![Change::Unit { tag, unit }], outcome);
    }

    /// Work of the engine's own that changes nothing that is read.
    pub fn work(&mut self, what: &str, work: impl FnOnce(&Engine) -> Result<()>) {
        let result = work(self.engine());
        self.note(format!("{what}: {}", result.as_ref().map_or_else(ToString::to_string, |()| "done".into())));
    }

    /// A reader that begins before merges and ends after them.
    pub fn read_across_merges(&mut self) {
        let (view, expected) = (self.engine().view(), self.model.map.clone());
        self.work("compact under a reader", Engine::compact);
        if !self.sim.disk.is_off() && self.unknown.is_empty() {
            assert_eq!(checks::all_of(&view, &self.engine().tags(), 2), expected, "a view reads on");
        }
    }
}

fn name(source: usize) -> String {
    format!("gateway {source}")
}

fn first_tags() -> Vec<TagSpec> {
    let mut digital = TagSpec::new("d0", TagType::Digital);
    digital.states = vec![(0, "Closed".into()), (1, "Open".into())];
    let mut ahead = TagSpec::new("ahead", TagType::Float64);
    ahead.future = true;
    let of = |name: &str, kind| TagSpec::new(name, kind);
    let floats = ["f0", "f1", "f2"].map(|name| of(name, TagType::Float64));
    let others =
        [of("f32", TagType::Float32), of("i0", TagType::Int64), of("b0", TagType::Bool), of("t0", TagType::Text)];
    floats.into_iter().chain(others).chain([digital, ahead]).collect()
}
