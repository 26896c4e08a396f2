//! The life of a plant on the real engine and disk, under a clock that the benchmark moves: scans in
//! order, and late data of every kind. It measures what flushes and merges write.
//!
//! Of all samples `late` percent come late: half of them from a gateway that stores three days and
//! then forwards them at once, a fifth minutes to days late, one by one; the rest a year old, one
//! after the other, and in the place of others.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use tagus_engine::env::{Env, OsDisk};
use tagus_engine::ingest::{Batch, Block, Shape, Values};
use tagus_engine::tag::{TagSpec, TagType};
use tagus_engine::{Committed, Config, Engine, OpenSource};
use tagus_sim::{SimClock, SimRandom};

const SECOND: i64 = 1_000_000_000;
const DAY: i64 = 86_400 * SECOND;
/// Rows of one batch at most.
const BATCH_ROWS: usize = 10_000;
/// How long the gateway stores before it forwards.
const STORED: i64 = 3 * DAY;

/// What kind of plant it is.
#[derive(Clone, Debug)]
pub struct Options {
    /// Its tags.
    pub tags: u32,
    /// How long it lives, in days.
    pub days: u32,
    /// Seconds between two samples of a tag.
    pub period_s: u32,
    /// Percent of the samples that come late.
    pub late: u32,
    /// Bytes of memory of the engine.
    pub memory_budget: usize,
    /// Where the random choices come from.
    pub seed: u64,
}

/// What was seen.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Samples written, replacements among them.
    pub samples: u64,
    /// Samples that must be there at the end.
    pub rows: u64,
    /// Samples that came late.
    pub late: u64,
    /// Bytes of segments that flushes wrote.
    pub flushed_bytes: u64,
    /// Bytes of segments that merges wrote.
    pub merged_bytes: u64,
    /// Merges.
    pub merges: u64,
    /// Live bytes and rows at the end.
    pub live: (u64, u64),
    /// Most live segments at any time, and at the end.
    pub segments: (usize, usize),
    /// CPU seconds of flushes and of merges.
    pub cpu: (f64, f64),
    /// Seconds that all of it took.
    pub wall_s: f64,
}

impl Report {
    /// Bytes that flushes and merges wrote for each live byte.
    pub fn amplification(&self) -> f64 {
        (self.flushed_bytes + self.merged_bytes) as f64 / self.live.0.max(1) as f64
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let per_row = |bytes: u64, rows: u64| bytes as f64 / rows.max(1) as f64;
        let millions = self.samples as f64 / 1e6;
        writeln!(f, "samples {} of which late {}", self.samples, self.late)?;
        writeln!(
            f,
            "flushed {} bytes, merged {} bytes in {} merges",
            self.flushed_bytes, self.merged_bytes, self.merges
        )?;
        writeln!(f, "live {} bytes of {} samples", self.live.0, self.live.1)?;
        writeln!(f, "write amplification {:.2}", self.amplification())?;
        let (flushed, live) = (per_row(self.flushed_bytes, self.samples), per_row(self.live.0, self.live.1));
        writeln!(f, "bytes a sample: flushed {flushed:.3}, live {live:.3}")?;
        writeln!(f, "segments: at most {}, at the end {}", self.segments.0, self.segments.1)?;
        let (flush, merge) = (self.cpu.0 / millions, self.cpu.1 / millions);
        writeln!(f, "CPU seconds a million samples: flush {flush:.3}, merge {merge:.3}")?;
        write!(f, "took {:.0} s", self.wall_s)
    }
}

/// Late samples a second, and how long all took: written, durable, visible and counted.
#[derive(Clone, Copy, Debug)]
pub struct LateRate {
    /// Samples.
    pub samples: u64,
    /// Seconds of CPU, flushes apart.
    pub cpu_s: f64,
    /// Seconds.
    pub wall_s: f64,
}

/// A plant and the archive it writes to.
pub struct Life {
    options: Options,
    clock: SimClock,
    random: SimRandom,
    engine: Engine,
    source: OpenSource,
    sequence: u64,
    start: i64,
    now: i64,
    values: Vec<i32>,
    /// Samples on their way, by the time at which they arrive.
    delayed: BTreeMap<(i64, u64), Row>,
    /// What the gateway holds while it is cut off.
    stored: Vec<Row>,
    /// How far the backfill of last year has come.
    backfilled: i64,
    waiting: Vec<Row>,
    report: Report,
    unsettled: Arc<Mutex<Vec<Committed>>>,
}

#[derive(Clone, Copy)]
struct Row {
    tag: u32,
    time: i64,
    value: f64,
}

impl Life {
    /// A new plant in an empty folder.
    ///
    /// # Errors
    /// Those of the engine.
    pub fn new(options: Options, dir: &Path) -> Result<Life, Box<dyn Error>> {
        let clock = SimClock::default();
        let random = SimRandom::new(options.seed);
        let env = Env { disk: Arc::new(OsDisk), clock: Arc::new(clock.clone()), random: Arc::new(random.clone()) };
        let config = Config { memory_budget: options.memory_budget, ..Config::default() };
        let (engine, _) = Engine::open(env, dir, config)?;
        let tags: Vec<TagSpec> =
            (1..=options.tags).map(|tag| TagSpec::new(format!("plant.{tag}"), TagType::Float64)).collect();
        for some in tags.chunks(10_000) {
            engine.create_tags(some.to_vec())?;
        }
        let source = engine.open_source("plant", "", 1)?;
        let start = tagus_engine::env::Clock::now(&clock);
        let values = (0..options.tags).map(|_| 1000 + random.below(9000) as i32).collect();
        Ok(Life {
            options,
            clock,
            random,
            engine,
            source,
            sequence: 0,
            start,
            now: start,
            values,
            delayed: BTreeMap::new(),
            stored: Vec::new(),
            backfilled: start - 365 * DAY,
            waiting: Vec::new(),
            report: Report::default(),
            unsettled: Arc::default(),
        })
    }

    /// The engine, to be asked.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Lives to the end; then all is flushed and every merge done that is worth it.
    ///
    /// # Errors
    /// Those of the engine.
    pub fn live(&mut self) -> Result<Report, Box<dyn Error>> {
        let began = Instant::now();
        let scans = i64::from(self.options.days) * 86_400 / i64::from(self.options.period_s);
        for scan in 0..scans {
            self.now = self.start + scan * self.period();
            self.scan(scan)?;
            self.arrivals()?;
            self.send()?;
            self.clock.advance(self.period().unsigned_abs());
            self.work()?;
        }
        // What is still on its way arrives.
        let mut rest = std::mem::take(&mut self.stored);
        rest.extend(std::mem::take(&mut self.delayed).into_values());
        self.report.late += rest.len() as u64;
        for row in rest {
            self.write(row)?;
        }
        self.send()?;
        self.flush()?;
        self.work()?;
        let segments = self.engine.segments();
        self.report.live = (segments.iter().map(|s| s.bytes).sum(), segments.iter().map(|s| s.rows).sum());
        self.report.segments.1 = segments.len();
        let status = self.engine.status();
        self.report.flushed_bytes = status.flushed_bytes;
        (self.report.merged_bytes, self.report.merges) = (status.merged_bytes, status.merges);
        self.report.wall_s = began.elapsed().as_secs_f64();
        Ok(self.report.clone())
    }

    /// Writes `samples` of the last year: a tag after the other in order of time, or tags and times as
    /// they come, where there are samples already and where there are none.
    ///
    /// # Errors
    /// Those of the engine.
    pub fn write_late(&mut self, samples: u64, sorted: bool) -> Result<LateRate, Box<dyn Error>> {
        let began = (Instant::now(), cpu_seconds() - self.report.cpu.0);
        let (tags, year) = (u64::from(self.options.tags), 365 * 86_400);
        let each = samples.div_ceil(tags);
        for i in 0..samples {
            let (tag, second) = match sorted {
                true => (i / each, i % each * year / each),
                false => (self.random.below(tags), self.random.below(year)),
            };
            let time = self.now - (year - second).cast_signed() * SECOND;
            self.late(Row { tag: 1 + tag as u32, time, value: self.random.below(1000) as f64 / 10.0 })?;
        }
        self.send()?;
        let cpu_s = cpu_seconds() - self.report.cpu.0 - began.1;
        Ok(LateRate { samples, cpu_s, wall_s: began.0.elapsed().as_secs_f64() })
    }

    /// One value of every tag, unless it is held back.
    fn scan(&mut self, scan: i64) -> Result<(), Box<dyn Error>> {
        let gateway = self.gateway();
        let slow = u64::from(self.options.late) * 2;
        for tag in 1..=self.options.tags {
            let row = Row { tag, time: self.time_of(tag, scan), value: self.step(tag) };
            self.report.rows += 1;
            if tag <= gateway {
                self.stored.push(row);
            } else if self.random.below(1000) < slow {
                let minutes = 1 << self.random.below(12);
                let due = self.now + minutes * 60 * SECOND;
                self.delayed.insert((due, self.report.rows), row);
            } else {
                self.write(row)?;
            }
        }
        Ok(())
    }

    /// The next value of a tag: a walk in hundredths; every tenth tag stands mostly still.
    fn step(&mut self, tag: u32) -> f64 {
        let value = &mut self.values[tag as usize - 1];
        let moves = !tag.is_multiple_of(10) || self.random.below(100) == 0;
        if moves {
            *value += self.random.below(21) as i32 - 10;
        }
        f64::from(*value) / 100.0
    }

    /// Late data that is due now.
    fn arrivals(&mut self) -> Result<(), Box<dyn Error>> {
        let later = self.delayed.split_off(&(self.now + 1, 0));
        for row in std::mem::replace(&mut self.delayed, later).into_values() {
            self.late(row)?;
        }
        if (self.now - self.start) % STORED < self.period() {
            for row in std::mem::take(&mut self.stored) {
                self.late(row)?;
            }
        }
        // By thousandths of a scan: a year old, and in the place of others.
        let wanted = u64::from(self.options.tags) * u64::from(self.options.late) * 15;
        let count = wanted / 10_000 + u64::from(self.random.below(10_000) < wanted % 10_000);
        for _ in 0..count {
            self.backfilled += 977 * 1_000_000;
            let tag = 1 + (self.backfilled / DAY) as u32 % self.options.tags;
            self.report.rows += 1;
            let row = Row { tag, time: self.backfilled, value: self.random.below(1000) as f64 / 10.0 };
            self.late(row)?;
        }
        let passed = ((self.now - self.start) / self.period()).unsigned_abs();
        for _ in 0..count {
            let scan = self.random.below(passed + 1).cast_signed();
            let tag = self.gateway() + 1 + self.random.below(u64::from(self.options.tags - self.gateway())) as u32;
            let time = self.time_of(tag, scan);
            self.late(Row { tag, time, value: self.random.below(1000) as f64 / 10.0 })?;
        }
        Ok(())
    }

    /// When a tag is sampled in a scan: scans jitter by up to 20 ms, as gateways do.
    fn time_of(&self, tag: u32, scan: i64) -> i64 {
        let mixed = ((u64::from(tag) << 32) ^ scan.unsigned_abs()).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.start + scan * self.period() + ((mixed >> 32) % 20 * 1_000_000).cast_signed()
    }

    fn period(&self) -> i64 {
        i64::from(self.options.period_s) * SECOND
    }

    /// Tags that hang on the gateway that is cut off: the first ones.
    fn gateway(&self) -> u32 {
        self.options.tags * self.options.late / 200
    }

    fn late(&mut self, row: Row) -> Result<(), Box<dyn Error>> {
        self.report.late += 1;
        self.write(row)
    }

    fn write(&mut self, row: Row) -> Result<(), Box<dyn Error>> {
        self.waiting.push(row);
        if self.waiting.len() >= BATCH_ROWS { self.send() } else { Ok(()) }
    }

    /// Sends what waits as one batch, and waits until it is durable and counted.
    fn send(&mut self) -> Result<(), Box<dyn Error>> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        self.report.samples += self.waiting.len() as u64;
        let mut batch = Batch::default();
        for same in self.waiting.chunk_by(|a, b| a.time == b.time) {
            let handles = same.iter().map(|row| row.tag).collect();
            let shape = Shape::Scan { time: same[0].time, handles, names: Vec::new() };
            let values = Values::Doubles(same.iter().map(|row| row.value).collect());
            batch.blocks.push(Block { shape, values, statuses: Vec::new() });
        }
        self.waiting.clear();
        self.sequence += 1;
        let unsettled = Arc::clone(&self.unsettled);
        let done = move |result: tagus_engine::Result<Committed>| {
            unsettled.lock().expect("one thread").extend(result);
        };
        self.source.submit(self.sequence, batch, done)?;
        while self.engine.commit_step() {}
        let settled = std::mem::take(&mut *self.unsettled.lock().expect("one thread"));
        for committed in settled {
            committed.counts();
        }
        // Memory is looked at between batches, as the engine's threads do.
        let began = cpu_seconds();
        while self.engine.job_step()? {}
        self.report.cpu.0 += cpu_seconds() - began;
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Box<dyn Error>> {
        let began = cpu_seconds();
        self.engine.flush()?;
        self.report.cpu.0 += cpu_seconds() - began;
        Ok(())
    }

    /// What the engine's threads would do meanwhile.
    fn work(&mut self) -> Result<(), Box<dyn Error>> {
        let began = cpu_seconds();
        while self.engine.job_step()? {}
        let flushed = cpu_seconds();
        while self.engine.merge_step()? {}
        self.report.cpu.0 += flushed - began;
        self.report.cpu.1 += cpu_seconds() - flushed;
        self.report.segments.0 = self.report.segments.0.max(self.engine.status().segments);
        Ok(())
    }
}

/// User and system time of this process.
fn cpu_seconds() -> f64 {
    const TICKS_A_SECOND: f64 = 100.0;
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |i: usize| fields.get(i).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / TICKS_A_SECOND
}
