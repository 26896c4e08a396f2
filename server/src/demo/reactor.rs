//! The batch section: the jacketed reactor R201 with an exothermic reaction.

use super::equipment::{Loop, Mode, Random, Valve, lag};
use super::feed::filled;

const CUBIC_METRES: f64 = 5.0;
const CHARGE_FLOW: f64 = 75.0;
const DISCHARGE_FLOW: f64 = 90.0;
/// Degrees that a full batch would warm up by itself.
const ADIABATIC_RISE: f64 = 55.0;
/// Share of the reactant that reacts in a second at 80 degrees.
const RATE_AT_80: f64 = 1.0 / 160.0;
/// Activation energy by the gas constant, kelvin.
const ACTIVATION_KELVIN: f64 = 7000.0;
const AGITATOR_RPM: f64 = 120.0;
/// Above it the batch is cooled down, whatever it was to become.
const TRIP_CELSIUS: f64 = 118.0;

/// What a batch is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    Idle,
    Charge,
    Heat,
    React,
    Cool,
    Discharge,
    Clean,
}

impl Phase {
    pub const STATES: &[&str] = &["Idle", "Charge", "Heat", "React", "Cool", "Discharge", "Clean"];

    pub fn code(self) -> i64 {
        match self {
            Phase::Idle => 0,
            Phase::Charge => 1,
            Phase::Heat => 2,
            Phase::React => 3,
            Phase::Cool => 4,
            Phase::Discharge => 5,
            Phase::Clean => 6,
        }
    }
}

/// What is made, at which temperature.
struct Recipe {
    name: &'static str,
    celsius: f64,
}

const RECIPES: [Recipe; 3] = [
    Recipe { name: "Resin A-40", celsius: 80.0 },
    Recipe { name: "Resin A-60", celsius: 85.0 },
    Recipe { name: "Binder C", celsius: 76.0 },
];

/// The reactor's state, as the process has it and as the instruments show it.
pub struct Reactor {
    pub phase: Phase,
    pub temperature: Loop,
    pub jacket: f64,
    pub pressure: f64,
    pub level: f64,
    pub conversion: f64,
    pub agitator: f64,
    pub charge_valve: Valve,
    pub discharge_valve: Valve,
    pub batches: i64,
    pub batch: String,
    pub high_temperature: bool,
    area: usize,
    recipe: usize,
    /// Seconds in this phase, and how long it lasts at most or at least.
    elapsed: u32,
    lasts: u32,
    celsius: f64,
    jacket_celsius: f64,
    /// True level, 0 to 100 percent.
    tank: f64,
    /// Share of the reactant that has not reacted.
    reactant: f64,
}

impl Reactor {
    pub fn new(area: usize, random: &mut Random) -> Reactor {
        let mut temperature = Loop::new((0.0, 150.0), 25.0, 50.0, 6.0, 220.0);
        temperature.mode = Mode::Manual;
        Reactor {
            phase: Phase::Idle,
            temperature,
            jacket: 25.0,
            pressure: 1.01,
            level: 2.0,
            conversion: 0.0,
            agitator: 0.0,
            charge_valve: Valve::new(false),
            discharge_valve: Valve::new(false),
            batches: 0,
            batch: String::new(),
            high_temperature: false,
            area,
            recipe: 0,
            elapsed: 0,
            // The first area starts soon, the others are spread over a cycle.
            lasts: if area == 0 { 10 } else { random.steps(10, 900) },
            celsius: 25.0,
            jacket_celsius: 25.0,
            tank: 2.0,
            reactant: 0.0,
        }
    }

    /// The product that is or was last made.
    pub fn recipe(&self) -> &'static str {
        RECIPES[self.recipe].name
    }

    pub fn agitator_runs(&self) -> bool {
        self.agitator > AGITATOR_RPM / 2.0
    }

    /// Flow out of the buffer tank, m3/h.
    pub fn charge_flow(&self) -> f64 {
        CHARGE_FLOW * self.charge_valve.position
    }

    /// Flow into the product tank, m3/h.
    pub fn discharge_flow(&self) -> f64 {
        if self.tank > 0.0 { DISCHARGE_FLOW * self.discharge_valve.position } else { 0.0 }
    }

    /// One second; levels of the tanks before and after in percent, feed temperature in Celsius.
    pub fn step(&mut self, buffer: f64, product: f64, feed_celsius: f64, random: &mut Random) {
        self.elapsed += 1;
        if let Some(next) = self.next_phase(buffer, product) {
            self.enter(next, random);
        }
        self.charge_valve.step(self.phase == Phase::Charge);
        self.discharge_valve.step(self.phase == Phase::Discharge);
        self.fill(feed_celsius);
        self.react();
        self.measure(random);
    }

    fn next_phase(&self, buffer: f64, product: f64) -> Option<Phase> {
        if self.high_temperature && matches!(self.phase, Phase::Heat | Phase::React) {
            return Some(Phase::Cool);
        }
        let over = self.elapsed >= self.lasts;
        match self.phase {
            Phase::Idle => (over && buffer > 45.0).then_some(Phase::Charge),
            Phase::Charge => (self.tank >= 70.0 || buffer < 4.0).then_some(Phase::Heat),
            Phase::Heat => (self.celsius > RECIPES[self.recipe].celsius - 2.0).then_some(Phase::React),
            Phase::React => (over || self.reactant < 0.02).then_some(Phase::Cool),
            Phase::Cool => (self.celsius < 40.0 && product < 60.0).then_some(Phase::Discharge),
            Phase::Discharge => (self.tank < 2.0).then_some(Phase::Clean),
            Phase::Clean => over.then_some(Phase::Idle),
        }
    }

    fn enter(&mut self, phase: Phase, random: &mut Random) {
        self.elapsed = 0;
        self.phase = phase;
        self.lasts = match phase {
            Phase::Idle => random.steps(20, 120),
            Phase::React => 480,
            Phase::Clean => random.steps(40, 80),
            _ => 0,
        };
        self.temperature.mode = match phase {
            Phase::Heat | Phase::React | Phase::Cool => Mode::Auto,
            _ => Mode::Manual,
        };
        match phase {
            Phase::Charge => {
                self.batches += 1;
                self.recipe = random.steps(0, RECIPES.len() as u32) as usize;
                self.batch = format!("{:02}-{:05}", self.area + 1, self.batches);
                self.reactant = 1.0;
            }
            // The ramp starts where the batch is.
            Phase::Heat => self.temperature.sp = self.celsius.round(),
            Phase::Discharge => self.temperature.op = 50.0,
            _ => {}
        }
    }

    fn fill(&mut self, feed_celsius: f64) {
        let before = self.tank;
        let charged = self.charge_flow();
        self.tank = filled(self.tank, charged - self.discharge_flow(), CUBIC_METRES);
        if charged > 0.0 && self.tank > before {
            // What comes in mixes with what is there; it has cooled in the pipe.
            let share = (self.tank - before) / self.tank;
            self.celsius += (0.5 * feed_celsius - self.celsius) * share;
        }
    }

    fn react(&mut self) {
        let target = match self.phase {
            Phase::Heat | Phase::React => RECIPES[self.recipe].celsius,
            Phase::Cool => 35.0,
            _ => 25.0,
        };
        self.temperature.sp += (target - self.temperature.sp).clamp(-0.5, 0.25);
        // One output for both: below half it cools, above it heats.
        let split = (self.temperature.op - 50.0) / 50.0;
        let service = if split >= 0.0 { 25.0 + 110.0 * split } else { 25.0 + 15.0 * split };
        self.jacket_celsius = lag(self.jacket_celsius, service, 25.0);
        let kelvin = self.celsius + 273.15;
        let rate = RATE_AT_80 * (ACTIVATION_KELVIN * (1.0 / 353.15 - 1.0 / kelvin)).exp();
        let reacted = if self.phase == Phase::Charge { 0.0 } else { self.reactant * rate.min(0.2) };
        self.reactant -= reacted;
        let full = (self.tank / 70.0).max(0.1);
        let exchanged = (self.jacket_celsius - self.celsius) / (150.0 * full);
        let lost = (self.celsius - 20.0) / 4000.0;
        self.celsius = (self.celsius + ADIABATIC_RISE * reacted + exchanged - lost).clamp(0.0, 148.0);
    }

    fn measure(&mut self, random: &mut Random) {
        self.high_temperature = self.celsius > TRIP_CELSIUS;
        let stirred = self.tank > 15.0;
        self.agitator = lag(self.agitator, if stirred { AGITATOR_RPM } else { 0.0 }, 5.0);
        self.level = (self.tank + random.noise(if stirred { 0.2 } else { 0.05 })).clamp(0.0, 100.0);
        self.pressure = (1.01 + 0.09 * ((self.celsius - 25.0) / 22.0).exp() + random.noise(0.003)).clamp(0.0, 10.0);
        self.jacket = self.jacket_celsius + random.noise(0.08);
        self.conversion = if self.batches == 0 { 0.0 } else { (1.0 - self.reactant) * 100.0 };
        self.temperature.control(self.celsius + random.noise(0.06));
    }
}
