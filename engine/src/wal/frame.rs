//! One frame of the log: a head of 40 bytes, the payload, and zeros up to a multiple of 8.

use crate::format::{Decoder, Encoder, crc32c};
use crate::limits::{BLOCK_BYTES, FRAME_BYTES_MAX, SEQUENCE_MAX};

/// The first bytes of every frame.
pub(super) const MAGIC: u32 = u32::from_le_bytes(*b"TLF1");
/// Bytes before the payload.
pub(super) const HEAD_BYTES: usize = 40;
/// Frames begin at multiples of this.
pub(super) const ALIGNMENT: usize = 8;
/// Where the bytes under the checksum begin; they end with the frame.
const CHECKED_FROM: usize = 8;

/// A frame that was read and whose checksum matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame<'a> {
    /// Its number, from 1.
    pub sequence: u64,
    /// The id of the file it was written to.
    pub file_id: u64,
    /// All frames up to this were synced when it was written.
    pub durable_through: u64,
    /// Empty in an idle frame.
    pub payload: &'a [u8],
}

/// Bytes that a frame takes with its head and padding.
pub(super) fn frame_bytes(payload_bytes: usize) -> usize {
    (HEAD_BYTES + payload_bytes).next_multiple_of(ALIGNMENT)
}

impl<'a> Frame<'a> {
    /// Bytes it takes in the file.
    pub fn bytes(&self) -> usize {
        frame_bytes(self.payload.len())
    }

    /// Appends the frame to a buffer that began at a multiple of [`ALIGNMENT`]. The caller has
    /// checked the payload against [`FRAME_BYTES_MAX`].
    pub fn encode(&self, out: &mut Encoder) {
        let start = out.len();
        let length = u32::try_from(self.payload.len()).expect("the payload was checked against FRAME_BYTES_MAX");
        out.u32(MAGIC);
        out.u32(0);
        out.u32(length);
        out.u32(0);
        out.u64(self.sequence);
        out.u64(self.file_id);
        out.u64(self.durable_through);
        out.raw(self.payload);
        out.pad(ALIGNMENT);
        let crc = crc32c(&out.as_slice()[start + CHECKED_FROM..]);
        out.as_mut_slice()[start + 4..start + 8].copy_from_slice(&crc.to_le_bytes());
    }

    /// The frame at the beginning of `bytes`, if there is one of file `file_id` (of any where None).
    pub fn parse(bytes: &'a [u8], file_id: Option<u64>) -> Option<Frame<'a>> {
        let mut input = Decoder::new(bytes);
        if input.u32().ok()? != MAGIC {
            return None;
        }
        let crc = input.u32().ok()?;
        let length = usize::try_from(input.u32().ok()?).ok()?;
        let flags = input.u32().ok()?;
        let sequence = input.u64().ok()?;
        let found_id = input.u64().ok()?;
        let durable_through = input.u64().ok()?;
        // The id is compared first: a checksum over megabytes for each likeness of a frame inside
        // a damaged payload would take minutes.
        let plausible = flags == 0 && length <= FRAME_BYTES_MAX && durable_through < sequence;
        if !plausible || sequence > SEQUENCE_MAX || file_id.is_some_and(|id| id != found_id) {
            return None;
        }
        let payload = input.raw(length).ok()?;
        let checked = bytes.get(CHECKED_FROM..frame_bytes(length))?;
        (crc32c(checked) == crc).then_some(Frame { sequence, file_id: found_id, durable_through, payload })
    }
}

/// Bytes of a group of payloads: its frames, padded to whole blocks.
pub(super) fn group_bytes(payloads: &[&[u8]]) -> usize {
    let frames = payloads.iter().map(|payload| frame_bytes(payload.len()));
    frames.fold(0usize, usize::saturating_add).checked_next_multiple_of(BLOCK_BYTES).unwrap_or(usize::MAX)
}
