//! Payloads of log frames.

use tagus_engine::format::{decode_frame, encode_frame};

use crate::one_line;

/// The payload of a log frame: what was read is written in one way, in no more bytes, and read again.
pub fn wal_frame(data: &[u8]) {
    let frame = match decode_frame(data) {
        Ok(frame) => frame,
        Err(error) => return one_line(&error),
    };
    let written = encode_frame(&frame);
    assert!(written.len() <= data.len(), "{} bytes became {}", data.len(), written.len());
    let again = decode_frame(&written).expect("what the encoder has written");
    assert_eq!(encode_frame(&again), written);
}
