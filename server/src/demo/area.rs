//! One area: a feed section, a reactor and a product section that pass material on.

use super::equipment::Random;
use super::feed::Feed;
use super::product::Product;
use super::reactor::Reactor;

/// The state of an area after a step.
pub struct Area {
    pub feed: Feed,
    pub reactor: Reactor,
    pub product: Product,
    /// Electric power of all machines, kW.
    pub power: f64,
    random: Random,
}

impl Area {
    /// Area number `index` from 0; areas of one seed differ and do not depend on how many there are.
    pub fn new(seed: u64, index: usize) -> Area {
        let mut random = Random::new(seed, index as u64);
        let feed = Feed::new(&mut random);
        let reactor = Reactor::new(index, &mut random);
        let product = Product::new(&mut random);
        Area { feed, reactor, product, power: 0.0, random }
    }

    /// One second.
    pub fn step(&mut self) {
        let Area { feed, reactor, product, power, random } = self;
        feed.step(reactor.charge_flow(), random);
        reactor.step(feed.buffer_level(), product.tank_level(), feed.outlet.pv, random);
        product.step(reactor.discharge_flow(), random);
        let machines = 0.55 * (feed.pump.amps + product.pump.amps) + 0.08 * reactor.agitator;
        *power = (14.0 + machines + random.noise(0.2)).max(0.0);
    }
}
