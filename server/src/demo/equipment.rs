//! What a plant is made of: controllers, valves, pumps and instruments. One step is a second.

use rand_pcg::Pcg64;
use rand_pcg::rand_core::Rng;

/// Random numbers of one area, the same from the same seed.
pub struct Random(Pcg64);

impl Random {
    pub fn new(seed: u64, stream: u64) -> Random {
        Random(Pcg64::new(u128::from(seed), u128::from(stream)))
    }

    /// Evenly between 0 and 1.
    pub fn unit(&mut self) -> f64 {
        f64::from(self.0.next_u32()) / f64::from(u32::MAX)
    }

    /// Evenly between `low` and `high`.
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// A whole number of steps from `low` to below `high`.
    pub fn steps(&mut self, low: u32, high: u32) -> u32 {
        low + self.0.next_u32() % (high - low)
    }

    /// Whether something that happens once in `steps` on average happens in this step.
    pub fn once_in(&mut self, steps: f64) -> bool {
        self.unit() * steps < 1.0
    }

    /// About normal, with the standard deviation `sigma`; never beyond 3 sigma.
    pub fn noise(&mut self, sigma: f64) -> f64 {
        (self.unit() + self.unit() + self.unit() - 1.5) * 2.0 * sigma
    }
}

/// Moves `value` towards `target` with the time constant `tau` in seconds.
pub fn lag(value: f64, target: f64, tau: f64) -> f64 {
    value + (target - value) / tau
}

/// A slow wandering around 0, mostly within 1.
#[derive(Default)]
pub struct Drift(f64);

impl Drift {
    /// One step of a walk that is pulled back within about `tau` seconds.
    pub fn step(&mut self, random: &mut Random, tau: f64) -> f64 {
        self.0 = lag(self.0, 0.0, tau) + random.noise((2.0 / tau).sqrt() * 0.5);
        self.0
    }
}

/// Who moves a controller's output.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    Manual,
    Auto,
    /// Automatic, with the setpoint from another controller.
    Cascade,
}

impl Mode {
    pub const STATES: &[&str] = &["Manual", "Auto", "Cascade"];

    pub fn code(self) -> i64 {
        match self {
            Mode::Manual => 0,
            Mode::Auto => 1,
            Mode::Cascade => 2,
        }
    }
}

/// A PI controller with its setpoint, measurement, output in percent, and mode.
pub struct Loop {
    pub pv: f64,
    pub sp: f64,
    pub op: f64,
    pub mode: Mode,
    low: f64,
    high: f64,
    /// Percent of output a percent of error; negative where the output has to fall with the
    /// measurement too low.
    gain: f64,
    /// Integral time in seconds.
    integral_time: f64,
    integral: f64,
}

impl Loop {
    pub fn new(span: (f64, f64), sp: f64, op: f64, gain: f64, integral_time: f64) -> Loop {
        let (low, high) = span;
        Loop { pv: sp, sp, op, mode: Mode::Auto, low, high, gain, integral_time, integral: op }
    }

    /// Takes a measurement; the output follows unless the mode is manual.
    pub fn control(&mut self, measured: f64) {
        self.pv = measured.clamp(self.low, self.high);
        if self.mode == Mode::Manual {
            self.integral = self.op;
            return;
        }
        let error = (self.sp - self.pv) / (self.high - self.low) * 100.0;
        let proportional = self.gain * error;
        // The integral stops where the output is at its end, so that it does not wind up.
        let integral = self.integral + proportional / self.integral_time;
        self.integral = integral.clamp(-proportional.max(0.0), 100.0 - proportional.min(0.0));
        self.op = (proportional + self.integral).clamp(0.0, 100.0);
    }
}

/// An on-off valve that takes its time.
pub struct Valve {
    open: bool,
    /// 0 closed to 1 open.
    pub position: f64,
}

impl Valve {
    pub const STATES: &[&str] = &["Closed", "Opening", "Open", "Closing"];
    const TRAVEL_SECONDS: f64 = 6.0;

    pub fn new(open: bool) -> Valve {
        Valve { open, position: if open { 1.0 } else { 0.0 } }
    }

    pub fn step(&mut self, open: bool) {
        self.open = open;
        let travel = if open { 1.0 } else { -1.0 } / Valve::TRAVEL_SECONDS;
        self.position = (self.position + travel).clamp(0.0, 1.0);
    }

    pub fn state(&self) -> i64 {
        match (self.open, self.position) {
            (false, position) if position <= 0.0 => 0,
            (true, position) if position < 1.0 => 1,
            (true, _) => 2,
            (false, _) => 3,
        }
    }
}

/// A motor with its machine; now and then it trips and is started again.
pub struct Pump {
    /// 0 standing to 1 at full speed.
    pub speed: f64,
    pub amps: f64,
    wanted: bool,
    /// Seconds until a trip is reset.
    tripped: u32,
    rated_amps: f64,
}

impl Pump {
    pub const STATES: &[&str] = &["Stopped", "Starting", "Running", "Stopping", "Tripped"];
    const RAMP_SECONDS: f64 = 4.0;
    const SECONDS_BETWEEN_TRIPS: f64 = 20_000.0;

    pub fn new(running: bool, rated_amps: f64) -> Pump {
        let speed = if running { 1.0 } else { 0.0 };
        Pump { speed, amps: 0.0, wanted: running, tripped: 0, rated_amps }
    }

    /// `load` is 0 to 1.
    pub fn step(&mut self, run: bool, load: f64, random: &mut Random) {
        self.wanted = run;
        self.tripped = self.tripped.saturating_sub(1);
        if self.tripped == 0 && self.speed >= 1.0 && random.once_in(Pump::SECONDS_BETWEEN_TRIPS) {
            self.tripped = random.steps(60, 180);
        }
        let target = self.wanted && self.tripped == 0;
        let change = if target { 1.0 } else { -1.0 } / Pump::RAMP_SECONDS;
        let starting = target && self.speed < 1.0;
        self.speed = if self.tripped > 0 { 0.0 } else { (self.speed + change).clamp(0.0, 1.0) };
        let inrush = if starting { 2.5 } else { 1.0 };
        let running = self.rated_amps * (0.45 + 0.55 * load) * self.speed * inrush;
        self.amps = if self.speed > 0.0 { (running + random.noise(0.15)).max(0.0) } else { 0.0 };
    }

    pub fn is_running(&self) -> bool {
        self.speed >= 1.0
    }

    pub fn state(&self) -> i64 {
        match (self.tripped > 0, self.wanted, self.speed) {
            (true, ..) => 4,
            (_, true, speed) if speed < 1.0 => 1,
            (_, true, _) => 2,
            (_, false, speed) if speed > 0.0 => 3,
            (_, false, _) => 0,
        }
    }
}

/// What an instrument delivers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Health {
    Good,
    /// No value, a device's failure.
    Failed,
    /// A system state instead of a value.
    Lost(&'static str),
    /// A value of doubtful accuracy, after a repair.
    Doubtful,
}

/// An analyser that fails now and then, and is repaired.
pub struct Analyser {
    pub value: f64,
    pub health: Health,
    /// Seconds until its health changes.
    left: u32,
}

impl Analyser {
    pub fn new(value: f64, random: &mut Random) -> Analyser {
        Analyser { value, health: Health::Good, left: random.steps(90, 400) }
    }

    pub fn step(&mut self, value: f64, random: &mut Random) {
        self.value = value;
        self.left = self.left.saturating_sub(1);
        if self.left > 0 {
            return;
        }
        (self.health, self.left) = match self.health {
            Health::Good => {
                let failure = match random.steps(0, 3) {
                    0 => Health::Failed,
                    1 => Health::Lost("Bad Input"),
                    _ => Health::Lost("Scan Timeout"),
                };
                (failure, random.steps(20, 120))
            }
            Health::Failed | Health::Lost(_) => (Health::Doubtful, random.steps(20, 60)),
            Health::Doubtful => (Health::Good, random.steps(600, 3600)),
        };
    }
}
