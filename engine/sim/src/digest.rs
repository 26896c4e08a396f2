//! What two runs of a seed are compared by.

/// Bytes folded into a number: FNV-1a, eight bytes at a time. It tells runs apart; it is no
/// protection against anybody.
#[derive(Clone, Debug)]
pub struct Digest(u64);

impl Digest {
    /// That of nothing.
    pub fn new() -> Digest {
        Digest(0xcbf2_9ce4_8422_2325)
    }

    /// Folds bytes, and that they end here.
    pub fn add(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.fold(u64::from_le_bytes(word));
        }
        self.fold(bytes.len() as u64);
    }

    /// The number.
    pub fn value(&self) -> u64 {
        self.0
    }

    fn fold(&mut self, word: u64) {
        self.0 = (self.0 ^ word).wrapping_mul(0x0100_0000_01b3).rotate_left(23);
    }
}

impl Default for Digest {
    fn default() -> Digest {
        Digest::new()
    }
}
