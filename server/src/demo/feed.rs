//! The continuous section: feed tank TK101, pump P101, heat exchanger E103, buffer tank TK102.

use super::equipment::{Analyser, Drift, Loop, Mode, Pump, Random, Valve, lag};

const TK101_CUBIC_METRES: f64 = 8.0;
const TK102_CUBIC_METRES: f64 = 10.0;
/// Flow through the fully open inlet valve, m3/h.
const INLET_FLOW_MAX: f64 = 40.0;
/// Flow through the fully open feed valve, m3/h; also the span of FIC102.
pub const FEED_FLOW_MAX: f64 = 30.0;

/// The section's state, as the process has it and as the instruments show it.
pub struct Feed {
    pub level: Loop,
    pub inlet_flow: f64,
    pub inlet_valve: Valve,
    pub pump: Pump,
    pub flow: Loop,
    /// Litres since the start.
    pub total_litres: f64,
    pub cold: f64,
    pub oil: f64,
    pub outlet: Loop,
    pub buffer: Loop,
    pub ph: Analyser,
    pub ambient: f64,
    /// True levels, 0 to 100 percent.
    tank: f64,
    buffer_tank: f64,
    outlet_celsius: f64,
    supply: Drift,
    weather: Drift,
    acid: Drift,
    operator: Operator,
}

/// What people do: a loop in manual for a while, a setpoint changed.
struct Operator {
    until_action: u32,
    manual_left: u32,
}

impl Feed {
    pub fn new(random: &mut Random) -> Feed {
        let mut flow = Loop::new((0.0, FEED_FLOW_MAX), 11.0, 37.0, 0.4, 6.0);
        flow.mode = Mode::Cascade;
        let tank = random.between(45.0, 75.0);
        Feed {
            level: Loop::new((0.0, 100.0), 60.0, 30.0, 4.0, 700.0),
            inlet_flow: 0.0,
            inlet_valve: Valve::new(true),
            pump: Pump::new(true, 32.0),
            flow,
            total_litres: random.between(1e5, 9e6).floor(),
            cold: 19.0,
            oil: 165.0,
            outlet: Loop::new((0.0, 150.0), 72.0, 40.0, 2.5, 40.0),
            buffer: Loop::new((0.0, 100.0), 60.0, 37.0, 1.0, 3000.0),
            ph: Analyser::new(7.2, random),
            ambient: 18.0,
            tank,
            buffer_tank: random.between(50.0, 70.0),
            outlet_celsius: random.between(66.0, 74.0),
            supply: Drift::default(),
            weather: Drift::default(),
            acid: Drift::default(),
            operator: Operator { until_action: random.steps(120, 600), manual_left: 0 },
        }
    }

    /// The buffer tank's true level in percent.
    pub fn buffer_level(&self) -> f64 {
        self.buffer_tank
    }

    /// One second; `charged` is the flow into the reactor in m3/h.
    pub fn step(&mut self, charged: f64, random: &mut Random) {
        self.act(random);
        let supply = 1.0 + 0.15 * self.supply.step(random, 600.0);
        // The inlet valve closes on a level that is too high and opens again well below it.
        let fill = if self.inlet_valve.state() == 0 { self.tank < 75.0 } else { self.tank < 92.0 };
        self.inlet_valve.step(fill);
        let inlet = (INLET_FLOW_MAX * self.level.op / 100.0 * self.inlet_valve.position * supply).max(0.0);
        self.pump.step(self.tank > 6.0, self.flow.op / 100.0, random);
        let feed = FEED_FLOW_MAX * self.flow.op / 100.0 * self.pump.speed;
        self.tank = filled(self.tank, inlet - feed, TK101_CUBIC_METRES);
        self.buffer_tank = filled(self.buffer_tank, feed - charged, TK102_CUBIC_METRES);
        self.total_litres += feed / 3.6;
        self.exchange(feed, random);
        self.measure(inlet, feed, random);
    }

    fn exchange(&mut self, feed: f64, random: &mut Random) {
        self.ambient = 18.0 + 5.0 * self.weather.step(random, 5000.0);
        self.cold = lag(self.cold, self.ambient + 1.0, 300.0);
        self.oil = lag(self.oil, 168.0 - 0.12 * self.outlet.op, 120.0);
        let share = self.outlet.op / 100.0;
        // The less flows, the hotter it gets; the oil's temperature is the end.
        let gained = (self.oil - self.cold) * share / (share + 0.15 + 2.2 * feed / FEED_FLOW_MAX);
        self.outlet_celsius = lag(self.outlet_celsius, self.cold + gained, 35.0);
    }

    fn measure(&mut self, inlet: f64, feed: f64, random: &mut Random) {
        self.inlet_flow = if inlet > 0.0 { (inlet + random.noise(0.12)).max(0.0) } else { 0.0 };
        self.level.control(self.tank + random.noise(0.08));
        self.buffer.control(self.buffer_tank + random.noise(0.08));
        if self.flow.mode == Mode::Cascade {
            self.flow.sp = self.buffer.op / 100.0 * FEED_FLOW_MAX;
        }
        let flow = if feed > 0.0 { feed + random.noise(0.06) } else { 0.0 };
        self.flow.control(flow);
        self.outlet.control(self.outlet_celsius + random.noise(0.05));
        let ph = 7.2 + 0.25 * self.acid.step(random, 900.0) + random.noise(0.01);
        self.ph.step(ph.clamp(0.0, 14.0), random);
    }

    fn act(&mut self, random: &mut Random) {
        if self.operator.manual_left > 0 {
            self.operator.manual_left -= 1;
            if self.operator.manual_left == 0 || !(15.0..=88.0).contains(&self.tank) {
                self.operator.manual_left = 0;
                self.level.mode = Mode::Auto;
            }
        }
        self.operator.until_action = self.operator.until_action.saturating_sub(1);
        if self.operator.until_action > 0 {
            return;
        }
        self.operator.until_action = random.steps(300, 1200);
        match random.steps(0, 3) {
            0 => {
                self.level.mode = Mode::Manual;
                self.level.op = (self.level.op + random.between(-10.0, 10.0)).round().clamp(5.0, 95.0);
                self.operator.manual_left = random.steps(120, 300);
            }
            1 => self.level.sp = random.between(50.0, 70.0).round(),
            _ => self.outlet.sp = random.between(66.0, 80.0).round(),
        }
    }
}

/// The level in percent after a second of `flow` in m3/h into a tank.
pub fn filled(level: f64, flow: f64, cubic_metres: f64) -> f64 {
    (level + flow / 3600.0 / cubic_metres * 100.0).clamp(0.0, 100.0)
}
