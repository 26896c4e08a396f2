//! CRC32C: CRC-32/ISCSI, polynomial 0x1EDC6F41 reflected, initial value and final xor all ones.

use crc_fast::{CrcAlgorithm, Digest};

/// The CRC32C of `bytes`.
pub fn crc32c(bytes: &[u8]) -> u32 {
    crc_fast::crc32_iscsi(bytes)
}

/// A CRC32C of bytes that come piece by piece.
pub struct Checksum(Digest);

impl Checksum {
    /// The checksum of no bytes yet.
    pub fn new() -> Checksum {
        Checksum(Digest::new(CrcAlgorithm::Crc32Iscsi))
    }

    /// Adds the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The CRC32C of all bytes so far.
    pub fn value(&self) -> u32 {
        u32::try_from(self.0.finalize()).expect("a 32-bit checksum has 32 bits")
    }
}

impl Default for Checksum {
    fn default() -> Checksum {
        Checksum::new()
    }
}
