//! An archive on a simulated machine, what it must hold, and what a restart may find.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex};

use tagus_engine::sample::Cell;
use tagus_engine::scan::ReadView;
use tagus_engine::tag::{TagId, TagSpec, TagType};
use tagus_engine::{Config, Engine, Error, ErrorKind, OpenSource, Retention};
use tagus_sim::{Digest, Fate, Sim, SimRandom};

use crate::batches::DAY;
use crate::checks;
use crate::model::{Model, Op};

pub const DIR: &str = "/archive";
/// Steps that a failure shows.
const SHOWN: usize = 40;

/// Every cell that was ever sent to a place.
pub type Ever = BTreeMap<(TagId, i64), Vec<Cell>>;

/// What happened last, for whoever has to understand a failure.
pub type Story = Arc<Mutex<VecDeque<String>>>;

/// How often a history came to what it is there for.
pub type Reached = BTreeMap<&'static str, u64>;

/// The machine, the archive on it, and the model.
pub struct Machine {
    pub sim: Sim,
    pub config: Config,
    /// None while the process is down.
    engine: Option<Engine>,
    /// Open sources, each with its epoch.
    pub sources: BTreeMap<String, (OpenSource, u64)>,
    /// What everything reads as now.
    pub model: Model,
    /// What a restart may find instead: the model after frames that were sent and not answered.
    pub unsure: Vec<Model>,
    /// Views that are read later, each with what it must go on to show.
    pub held: Vec<Held>,
    /// Faults that were ordered and had not come when the step began.
    faults_before: usize,
    pub disk_is_short: bool,
    /// Whether the disk refuses every change.
    pub read_only: bool,
    /// Epochs given so far.
    pub epochs: u64,
    pub ever: Ever,
    story: Story,
    pub observed: Digest,
    pub reached: Reached,
}

/// A view that is read later.
pub struct Held {
    pub view: ReadView,
    /// What it showed at first.
    pub model: Model,
    /// Whether it must show that for ever: its newest memtable was flushed right away. Others show
    /// some of what was written afterwards, too.
    pub is_fixed: bool,
}

/// How a process ends.
#[derive(Clone, Copy, Debug)]
pub enum Stop {
    Clean,
    Kill,
    PowerCut(Fate),
}

impl Machine {
    /// An archive with a tag of each type.
    pub fn new(seed: u64, story: Story) -> Machine {
        let sim = Sim::new(seed);
        let config = config(&sim.random);
        let mut machine = Machine {
            sim,
            config,
            engine: None,
            sources: BTreeMap::new(),
            model: Model::default(),
            unsure: Vec::new(),
            held: Vec::new(),
            faults_before: 0,
            disk_is_short: false,
            read_only: false,
            epochs: 1,
            ever: BTreeMap::new(),
            story,
            observed: Digest::new(),
            reached: Reached::new(),
        };
        machine.open();
        let specs = first_tags();
        machine.engine().create_tags(specs.clone()).expect("a healthy disk");
        let ids = (1..).map(TagId);
        machine.model.apply(&Op::Tags(ids.zip(specs).collect()));
        machine
    }

    pub fn engine(&self) -> &Engine {
        self.engine.as_ref().expect("a running process")
    }

    pub fn now(&self) -> i64 {
        tagus_engine::env::Clock::now(&self.sim.clock)
    }

    pub fn below(&self, bound: u64) -> u64 {
        self.sim.random.below(bound)
    }

    pub fn chance(&self, numerator: u64, denominator: u64) -> bool {
        self.sim.random.chance(numerator, denominator)
    }

    /// Notes what is done, for the story and the digest.
    pub fn note(&mut self, what: impl Into<String>) {
        let what = what.into();
        self.observed.add(what.as_bytes());
        let mut story = self.story.lock().expect("no panic holds it");
        if story.len() == SHOWN {
            story.pop_front();
        }
        story.push_back(what);
    }

    /// Counts something that histories have to come to.
    pub fn reach(&mut self, what: &'static str) {
        *self.reached.entry(what).or_default() += 1;
    }

    /// Begins a step: errors from here on have to have a reason.
    pub fn begin(&mut self) {
        self.faults_before = self.sim.disk.faults_left();
    }

    /// Whether a fault that was ordered came in this step.
    pub fn has_struck(&self) -> bool {
        self.sim.disk.faults_left() < self.faults_before
    }

    /// Another machine with the same disk, and without what was ordered of it.
    pub fn sound_copy(&self) -> Sim {
        let sim = Sim { disk: self.sim.disk.fork(), ..self.sim.clone() };
        sim.disk.call_off_faults();
        sim.disk.set_capacity(None);
        sim
    }

    pub fn is_latched(&self) -> bool {
        self.engine().status().latched.is_some()
    }

    /// Whether what was sent and refused may yet be found after a restart.
    pub fn is_in_doubt(&self) -> bool {
        self.sim.disk.is_off() || self.is_latched()
    }

    /// Accepts an error that has a reason, of the kind for it.
    pub fn accept(&mut self, what: &str, error: &Error) {
        self.note(format!("{what}: {error}"));
        let struck = self.has_struck();
        let off = self.sim.disk.is_off();
        let tight = self.config.memory_budget < 1 << 20 || self.disk_is_short;
        match error.kind() {
            ErrorKind::Exhausted => {
                assert!(tight || struck || off || self.is_latched(), "{what}: {error}");
                self.reach("a refusal for want of room");
            }
            ErrorKind::Io => {
                assert!(struck || off || self.read_only, "{what}: {error}");
                self.reach("an error of the disk");
            }
            ErrorKind::ReadOnly => {
                assert!(self.is_latched(), "{what}: {error}");
                self.reach("a refusal after writing has ended");
            }
            _ => panic!("{what}: {error}"),
        }
    }

    /// Ends the process and starts it again, however often it takes.
    pub fn restart(&mut self, stop: Stop) {
        self.note(format!("stop: {stop:?}"));
        self.reach(match stop {
            Stop::Clean => "a clean stop",
            Stop::Kill => "a kill",
            Stop::PowerCut(Fate::Kept) => "a power cut that lost nothing",
            Stop::PowerCut(Fate::Lost) => "a power cut that lost all that was not synced",
            Stop::PowerCut(Fate::Torn(_)) => "a power cut that tore",
        });
        self.held.clear();
        self.sources.clear();
        let engine = self.engine.take().expect("a running process");
        match stop {
            Stop::Clean => match engine.close() {
                Ok(()) => drop(engine),
                Err(error) => {
                    self.engine = Some(engine);
                    self.accept("close", &error);
                    self.engine = None;
                    self.sim.disk.kill_process();
                }
            },
            Stop::Kill => self.sim.disk.kill_process(),
            Stop::PowerCut(fate) => {
                self.sim.disk.crash();
                self.sim.disk.restart(fate);
            }
        }
        self.open();
    }

    /// Starts the process: the first tries may meet what was ordered, the last one must do.
    pub fn open(&mut self) {
        const TRIES: u64 = 4;
        for left in (0..TRIES).rev() {
            self.begin();
            let (faults, off) = (self.faults_before, self.sim.disk.is_off());
            match Engine::open(self.sim.env(), Path::new(DIR), self.config.clone()) {
                Ok((engine, report)) => {
                    assert_eq!(report.lost, [], "frames are lost");
                    assert_eq!(report.quarantined, [] as [std::path::PathBuf; 0], "something is damaged");
                    self.note(format!("opened: {} frames, {} files removed", report.frames, report.removed));
                    self.engine = Some(engine);
                    break;
                }
                Err(error) => {
                    self.note(format!("open: {error}"));
                    let excused = self.sim.disk.faults_left() < faults || off || self.sim.disk.is_off();
                    let short = self.disk_is_short && error.kind() == ErrorKind::Exhausted;
                    assert!(left > 0 && (excused || short || self.read_only), "open: {error}");
                    assert_ne!(error.kind(), ErrorKind::Damaged, "open: {error}");
                    self.sim.disk.kill_process();
                    if self.sim.disk.is_off() || self.chance(1, 2) {
                        let fate = self.fate();
                        self.note(format!("power cut: {fate:?}"));
                        self.sim.disk.restart(fate);
                    }
                    if left == 1 {
                        self.give_room();
                        self.sim.disk.call_off_faults();
                    }
                }
            }
        }
        self.recognise();
    }

    /// Takes as the model which of the possible states the archive is in.
    fn recognise(&mut self) {
        if self.sim.disk.is_off() {
            let fate = self.fate();
            self.engine = None;
            self.sim.disk.restart(fate);
            return self.open();
        }
        let candidates: Vec<Model> = std::iter::once(self.model.clone()).chain(self.unsure.drain(..)).collect();
        let engine = self.engine().clone();
        // The last one: a batch that changes no sample still moves its source, which an older state
        // may not know of.
        let found = candidates.iter().rposition(|model| checks::is_state(&engine, model));
        let Some(found) = found else {
            let sure = &candidates[0];
            let differences = candidates.iter().map(|model| checks::difference(&engine, model)).collect::<Vec<_>>();
            panic!(
                "what was found after a restart is none of {} possible states (the acknowledged one has {} samples): {}",
                candidates.len(),
                sure.samples.len(),
                differences.join(" / ")
            );
        };
        let files = checks::segment_files(&self.sim.disk);
        let mut named: Vec<String> = engine.segments().into_iter().map(|segment| segment.name).collect();
        named.sort();
        assert_eq!(files, named, "the folder of segments after a start");
        let count = candidates.len();
        if found > 0 {
            self.reach("frames that nobody had answered");
        }
        self.model = candidates.into_iter().nth(found).expect("its place");
        self.note(format!("found: state {found} of {count}, {} samples", self.model.samples.len()));
    }

    pub fn fate(&self) -> Fate {
        match self.below(4) {
            0 => Fate::Kept,
            1 => Fate::Lost,
            _ => Fate::Torn(self.below(1 << 40)),
        }
    }

    /// Ends a shortage of disk, and a refusal of changes.
    pub fn give_room(&mut self) {
        self.sim.disk.set_capacity(None);
        self.sim.disk.set_read_only(false);
        (self.disk_is_short, self.read_only) = (false, false);
    }
}

fn config(random: &SimRandom) -> Config {
    let rule = |pattern: &str, age| Retention { pattern: pattern.into(), age };
    let retention = match random.below(3) {
        0 => vec![rule("*", 400 * DAY), rule("plant.*", 15 * DAY)],
        1 => vec![rule("AUTO.*", 30 * DAY)],
        _ => Vec::new(),
    };
    let memory_budget = if random.chance(1, 3) { 1 << 19 } else { 1 << 30 };
    // Runs of several segments are the rule in large archives.
    let segment_bytes = if random.chance(1, 2) { 6 << 10 } else { 1 << 30 };
    Config { memory_budget, segment_bytes, retention, ..Config::default() }
}

fn first_tags() -> Vec<TagSpec> {
    let spec = |name: &str, tag_type| TagSpec::new(name, tag_type);
    let mut valve = spec("plant.valve", TagType::Digital);
    valve.states = (0..4).map(|code| (code, format!("state {code}").as_str().into())).collect();
    let mut forecast = spec("forecast", TagType::Float64);
    forecast.future = true;
    vec![
        spec("plant.flow", TagType::Float64),
        spec("plant.level", TagType::Float64),
        spec("Plant.Single", TagType::Float32),
        spec("count", TagType::Int64),
        spec("plant.running", TagType::Bool),
        valve,
        spec("mode", TagType::Digital),
        spec("batch", TagType::Text),
        forecast,
    ]
}
