//! The product section: tank TK301, pump P301 and shipping under FIC301.

use super::equipment::{Loop, Pump, Random};
use super::feed::filled;

const CUBIC_METRES: f64 = 12.0;
const FLOW_MAX: f64 = 40.0;
const TONNES_A_CUBIC_METRE: f64 = 1.04;

/// The section's state, as the process has it and as the instruments show it.
pub struct Product {
    pub level: f64,
    pub flow: Loop,
    pub pump: Pump,
    /// Kilograms shipped since the start.
    pub shipped_kilograms: f64,
    /// True level, 0 to 100 percent.
    tank: f64,
    shipping: bool,
}

impl Product {
    pub fn new(random: &mut Random) -> Product {
        Product {
            level: 30.0,
            flow: Loop::new((0.0, FLOW_MAX), 0.0, 0.0, 0.4, 6.0),
            pump: Pump::new(false, 24.0),
            shipped_kilograms: random.between(1e6, 5e7).floor(),
            tank: random.between(20.0, 50.0),
            shipping: false,
        }
    }

    /// The tank's true level in percent.
    pub fn tank_level(&self) -> f64 {
        self.tank
    }

    /// One second; `discharged` is the flow out of the reactor in m3/h.
    pub fn step(&mut self, discharged: f64, random: &mut Random) {
        // Shipping starts on a well filled tank and stops near its end.
        self.shipping = self.tank > if self.shipping { 12.0 } else { 48.0 };
        if self.shipping && self.flow.sp == 0.0 {
            self.flow.sp = random.between(16.0, 26.0).round();
        } else if !self.shipping {
            self.flow.sp = 0.0;
        }
        self.pump.step(self.shipping, self.flow.op / 100.0, random);
        let shipped = if self.tank > 0.0 { FLOW_MAX * self.flow.op / 100.0 * self.pump.speed } else { 0.0 };
        self.tank = filled(self.tank, discharged - shipped, CUBIC_METRES);
        self.shipped_kilograms += shipped / 3.6 * TONNES_A_CUBIC_METRE;
        self.level = (self.tank + random.noise(0.06)).clamp(0.0, 100.0);
        let flow = if shipped > 0.05 { shipped + random.noise(0.08) } else { 0.0 };
        self.flow.control(flow);
    }
}
