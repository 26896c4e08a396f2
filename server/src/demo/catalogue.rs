//! The tags of one area: what they are called, what they mean, and how they are read.

use tagus_client::{Status, Value};
use tagus_proto::v1::TagType;

use super::area::Area;
use super::equipment::{Health, Loop, Mode, Pump, Valve};
use super::feed::FEED_FLOW_MAX;
use super::reactor::Phase;

/// A value with its status, as an instrument gives it.
#[derive(Clone, PartialEq, Debug)]
pub struct Reading {
    pub value: Value,
    pub status: Status,
}

/// A tag of every area.
pub struct Definition {
    /// The name behind the area's.
    pub name: String,
    pub tag_type: TagType,
    pub unit: &'static str,
    pub description: String,
    pub span: Option<(f64, f64)>,
    /// Names of the codes from 0.
    pub states: &'static [&'static str],
    /// A change of at most this much is not reported; 0: every change is.
    pub deadband: f64,
    pub read: Read,
}

/// How a tag is read.
pub enum Read {
    Signal(fn(&Area) -> Reading),
    Loop(fn(&Area) -> &Loop, Part),
}

/// What a controller shows.
#[derive(Clone, Copy)]
pub enum Part {
    Pv,
    Sp,
    Op,
    Mode,
}

/// UncertainSensorNotAccurate.
const NOT_ACCURATE: Status = Status(0x4093_0000);
/// BadSensorFailure.
const SENSOR_FAILURE: Status = Status(0x808C_0000);

impl Read {
    pub fn of(&self, area: &Area) -> Reading {
        match self {
            Read::Signal(read) => read(area),
            Read::Loop(find, part) => {
                let controller = find(area);
                match part {
                    Part::Pv => number(controller.pv),
                    Part::Sp => number(controller.sp),
                    Part::Op => number(controller.op),
                    Part::Mode => integer(controller.mode.code()),
                }
            }
        }
    }
}

/// Instruments give hundredths.
fn number(value: f64) -> Reading {
    good(Value::Number((value * 100.0).round() / 100.0))
}

fn integer(value: i64) -> Reading {
    good(Value::Integer(value))
}

fn boolean(value: bool) -> Reading {
    good(Value::Boolean(value))
}

fn text(value: &str) -> Reading {
    good(Value::from(value))
}

fn good(value: Value) -> Reading {
    Reading { value, status: Status::GOOD }
}

/// A totaliser counts whole units.
fn total(value: f64) -> Reading {
    integer(value as i64)
}

fn ph(area: &Area) -> Reading {
    let ph = number(area.feed.ph.value);
    match area.feed.ph.health {
        Health::Good => ph,
        Health::Doubtful => Reading { status: NOT_ACCURATE, ..ph },
        Health::Failed => Reading { value: Value::Empty, status: SENSOR_FAILURE },
        Health::Lost(word) => Reading { value: Value::from(word), status: Status::BAD },
    }
}

/// All tags of an area, in the order in which they are declared and written.
pub fn definitions() -> Vec<Definition> {
    let mut tags = Vec::new();
    feed(&mut tags);
    reactor(&mut tags);
    product(&mut tags);
    tags
}

type Tags = Vec<Definition>;

fn signal(
    tags: &mut Tags,
    name: &str,
    tag_type: TagType,
    measure: (&'static str, f64, f64, f64),
    description: &str,
    read: fn(&Area) -> Reading,
) {
    let (unit, low, high, deadband) = measure;
    tags.push(Definition {
        name: name.to_owned(),
        tag_type,
        unit,
        description: description.to_owned(),
        span: (low < high).then_some((low, high)),
        states: &[],
        deadband,
        read: Read::Signal(read),
    });
}

/// A measurement as a double.
fn measure(
    tags: &mut Tags,
    name: &str,
    span: (&'static str, f64, f64, f64),
    description: &str,
    read: fn(&Area) -> Reading,
) {
    signal(tags, name, TagType::Float64, span, description, read);
}

/// A measurement of moderate accuracy.
fn measure32(
    tags: &mut Tags,
    name: &str,
    span: (&'static str, f64, f64, f64),
    description: &str,
    read: fn(&Area) -> Reading,
) {
    signal(tags, name, TagType::Float32, span, description, read);
}

fn plain(tags: &mut Tags, name: &str, tag_type: TagType, description: &str, read: fn(&Area) -> Reading) {
    signal(tags, name, tag_type, ("", 0.0, 0.0, 0.0), description, read);
}

fn state(tags: &mut Tags, name: &str, states: &'static [&'static str], description: &str, read: fn(&Area) -> Reading) {
    plain(tags, name, TagType::Digital, description, read);
    if let Some(tag) = tags.last_mut() {
        tag.states = states;
    }
}

/// The four tags of a controller.
fn controller(tags: &mut Tags, name: &str, span: (&'static str, f64, f64, f64), what: &str, find: fn(&Area) -> &Loop) {
    let (unit, low, high, deadband) = span;
    let parts = [
        (Part::Pv, "PV", "measured", unit, low, high, deadband),
        (Part::Sp, "SP", "setpoint", unit, low, high, 0.0),
        (Part::Op, "OP", "controller output", "%", 0.0, 100.0, 0.2),
        (Part::Mode, "MODE", "controller mode", "", 0.0, 0.0, 0.0),
    ];
    for (part, suffix, meaning, unit, low, high, deadband) in parts {
        let mode = matches!(part, Part::Mode);
        tags.push(Definition {
            name: format!("{name}.{suffix}"),
            tag_type: if mode { TagType::Digital } else { TagType::Float64 },
            unit,
            description: format!("{what}, {meaning}"),
            span: (low < high).then_some((low, high)),
            states: if mode { Mode::STATES } else { &[] },
            deadband,
            read: Read::Loop(find, part),
        });
    }
}

/// Running, state and current of a pump.
fn pump(tags: &mut Tags, name: &str, what: &str, reads: [fn(&Area) -> Reading; 3]) {
    let [run, states, amps] = reads;
    plain(tags, &format!("{name}.RUN"), TagType::Bool, &format!("{what} runs"), run);
    state(tags, &format!("{name}.STATE"), Pump::STATES, &format!("{what}, state"), states);
    measure32(tags, &format!("{name}.AMPS"), ("A", 0.0, 100.0, 0.3), &format!("{what}, motor current"), amps);
}

fn feed(tags: &mut Tags) {
    controller(tags, "TIC103", ("°C", 0.0, 150.0, 0.1), "Heat exchanger E103 outlet temperature", |a| &a.feed.outlet);
    controller(tags, "LIC101", ("%", 0.0, 100.0, 0.1), "Feed tank TK101 level", |a| &a.feed.level);
    measure(tags, "FI101.PV", ("m3/h", 0.0, 60.0, 0.1), "Flow into feed tank TK101", |a| number(a.feed.inlet_flow));
    state(tags, "XV101.STATE", Valve::STATES, "Inlet valve of feed tank TK101", |a| {
        integer(a.feed.inlet_valve.state())
    });
    plain(tags, "LAH101.ALM", TagType::Bool, "Feed tank TK101 level high", |a| boolean(a.feed.level.pv > 85.0));
    pump(
        tags,
        "P101",
        "Feed pump P101",
        [|a| boolean(a.feed.pump.is_running()), |a| integer(a.feed.pump.state()), |a| number(a.feed.pump.amps)],
    );
    controller(tags, "FIC102", ("m3/h", 0.0, FEED_FLOW_MAX, 0.1), "Feed flow to exchanger E103", |a| &a.feed.flow);
    plain(tags, "FQ102.TOTAL", TagType::Int64, "Feed through exchanger E103, total", |a| total(a.feed.total_litres));
    if let Some(tag) = tags.last_mut() {
        tag.unit = "L";
    }
    measure(tags, "TI103A.PV", ("°C", -20.0, 100.0, 0.05), "Exchanger E103 inlet temperature", |a| {
        number(a.feed.cold)
    });
    measure(tags, "TI103B.PV", ("°C", 0.0, 250.0, 0.1), "Exchanger E103 oil temperature", |a| number(a.feed.oil));
    measure(tags, "AI103.PV", ("pH", 0.0, 14.0, 0.01), "Feed acidity behind exchanger E103", ph);
    controller(tags, "LIC102", ("%", 0.0, 100.0, 0.1), "Buffer tank TK102 level, sets FIC102", |a| &a.feed.buffer);
}

fn reactor(tags: &mut Tags) {
    controller(tags, "TIC201", ("°C", 0.0, 150.0, 0.1), "Reactor R201 temperature", |a| &a.reactor.temperature);
    state(tags, "R201.PHASE", Phase::STATES, "Reactor R201, phase of the batch", |a| integer(a.reactor.phase.code()));
    plain(tags, "R201.BATCH", TagType::Text, "Reactor R201, batch number", |a| text(&a.reactor.batch));
    plain(tags, "R201.RECIPE", TagType::Text, "Reactor R201, recipe", |a| text(a.reactor.recipe()));
    plain(tags, "R201.COUNT", TagType::Int64, "Reactor R201, batches since the start", |a| integer(a.reactor.batches));
    measure(tags, "TI201J.PV", ("°C", 0.0, 200.0, 0.2), "Reactor R201 jacket temperature", |a| {
        number(a.reactor.jacket)
    });
    measure32(tags, "PI201.PV", ("bar", 0.0, 10.0, 0.01), "Reactor R201 pressure", |a| number(a.reactor.pressure));
    measure(tags, "LI201.PV", ("%", 0.0, 100.0, 0.3), "Reactor R201 level", |a| number(a.reactor.level));
    measure(tags, "AI201.PV", ("%", 0.0, 100.0, 0.1), "Reactor R201 conversion", |a| number(a.reactor.conversion));
    measure32(tags, "SI201.PV", ("rpm", 0.0, 150.0, 0.5), "Reactor R201 agitator speed", |a| {
        number(a.reactor.agitator)
    });
    plain(tags, "M201.RUN", TagType::Bool, "Reactor R201 agitator runs", |a| boolean(a.reactor.agitator_runs()));
    state(tags, "XV201.STATE", Valve::STATES, "Charge valve of reactor R201", |a| {
        integer(a.reactor.charge_valve.state())
    });
    state(tags, "XV202.STATE", Valve::STATES, "Discharge valve of reactor R201", |a| {
        integer(a.reactor.discharge_valve.state())
    });
    plain(tags, "TAH201.ALM", TagType::Bool, "Reactor R201 temperature high", |a| boolean(a.reactor.high_temperature));
}

fn product(tags: &mut Tags) {
    measure(tags, "LI301.PV", ("%", 0.0, 100.0, 0.1), "Product tank TK301 level", |a| number(a.product.level));
    controller(tags, "FIC301", ("m3/h", 0.0, 40.0, 0.1), "Product flow to shipping", |a| &a.product.flow);
    pump(
        tags,
        "P301",
        "Product pump P301",
        [
            |a| boolean(a.product.pump.is_running()),
            |a| integer(a.product.pump.state()),
            |a| number(a.product.pump.amps),
        ],
    );
    plain(tags, "FQ301.TOTAL", TagType::Int64, "Product shipped, total", |a| total(a.product.shipped_kilograms));
    if let Some(tag) = tags.last_mut() {
        tag.unit = "kg";
    }
    measure32(tags, "JI100.PV", ("kW", 0.0, 150.0, 0.3), "Electric power of the area", |a| number(a.power));
    measure(tags, "TI100.PV", ("°C", -40.0, 60.0, 0.05), "Ambient temperature", |a| number(a.feed.ambient));
}
