//! Inputs that are nearly right.

use tagus_engine::env::Random;
use tagus_sim::SimRandom;

/// Values at which something often ends.
const EDGES: [u64; 12] =
    [0, 1, 2, 0x7f, 0x80, 0xff, 0xffff, 0x7fff_ffff, 0xffff_ffff, i64::MAX as u64, i64::MIN as u64, u64::MAX];

/// One of the inputs with a few of its bytes changed, at most `bytes_max` long.
pub fn mutate(random: &SimRandom, inputs: &[(String, Vec<u8>)], bytes_max: usize) -> Vec<u8> {
    let one = |random: &SimRandom| &inputs[random.below(inputs.len() as u64) as usize].1;
    let mut bytes = one(random).clone();
    for _ in 0..=random.below(4) {
        step(random, &mut bytes, one(random));
    }
    bytes.truncate(bytes_max);
    bytes
}

fn step(random: &SimRandom, bytes: &mut Vec<u8>, other: &[u8]) {
    let below = |bound: usize| random.below(bound as u64) as usize;
    let at = below(bytes.len() + 1);
    // Mostly short: a long change is many at once, and the first of them ends the reading.
    let length = match below(4) {
        0 => below(64),
        _ => below(8) + 1,
    };
    match below(8) {
        0 | 1 if at < bytes.len() => bytes[at] ^= 1 << below(8),
        2 if at < bytes.len() => bytes[at] = random.next() as u8,
        3 => {
            let edge = EDGES[below(EDGES.len())].wrapping_add(random.below(3)).wrapping_sub(1).to_le_bytes();
            let width = [1, 2, 4, 8][below(4)];
            overwrite(bytes, at, &edge[..width]);
        }
        4 => drop(bytes.drain(at..(at + length).min(bytes.len()))),
        5 => {
            let part = bytes[at..(at + length).min(bytes.len())].to_vec();
            let to = below(bytes.len() + 1);
            bytes.splice(to..to, part);
        }
        6 => {
            let from = below(other.len() + 1);
            overwrite(bytes, at, &other[from..(from + length).min(other.len())]);
        }
        _ => {
            let from = below(other.len() + 1);
            let part = other[from..(from + length).min(other.len())].to_vec();
            bytes.splice(at..at, part);
        }
    }
}

fn overwrite(bytes: &mut [u8], at: usize, with: &[u8]) {
    for (byte, new) in bytes[at..].iter_mut().zip(with) {
        *byte = *new;
    }
}
