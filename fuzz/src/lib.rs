//! Every decoder of Tagus, as a function of bytes that may be anything.
//!
//! Each target asserts what holds for all bytes: no panic, no error of several lines, and what was
//! read is read again once it is written. Where a checksum stands before a decoder, the bytes are
//! tried as they are and once more with all checksums mended, so that what lies behind is reached:
//! a checksum tells of accidents and not of intent.
//!
//! The tests of this crate run the seeds in `corpora/` and mutations of them that follow from a
//! number. The package in `libfuzzer/` hands the same functions to cargo-fuzz; `fuzz/run` starts it.

// The modules taken from the server bring unit tests, which need the rest of it. This crate has none.
#![cfg(not(test))]

mod batch;
mod csv;
mod frame;
mod log;
mod manifest;
mod mark;
mod rooms;
mod segment;
mod server;
mod text;

pub use batch::batch;
pub use csv::csv;
pub use frame::wal_frame;
pub use log::wal_file;
pub use manifest::manifest;
pub use mark::mark;
pub use segment::{Head, segment};
pub use text::text;

/// A decoder under test.
pub struct Target {
    /// Also the name of the folder of its seeds, and of its binary.
    pub name: &'static str,
    /// Panics where something does not hold that has to.
    pub run: fn(&[u8]),
    /// Mutations that a test tries: fewer where one takes long.
    pub mutations: u32,
}

/// All of them.
pub const TARGETS: &[Target] = &[
    Target { name: "batch", run: batch, mutations: 400 },
    Target { name: "csv", run: csv, mutations: 2000 },
    Target { name: "manifest", run: manifest, mutations: 4000 },
    Target { name: "mark", run: mark, mutations: 2000 },
    Target { name: "segment", run: segment, mutations: 3000 },
    Target { name: "text", run: text, mutations: 20_000 },
    Target { name: "wal_file", run: wal_file, mutations: 400 },
    Target { name: "wal_frame", run: wal_frame, mutations: 20_000 },
];

/// Asserts that an error is one line, whatever was put into it.
fn one_line(error: &impl std::fmt::Display) {
    let text = error.to_string();
    assert!(!text.is_empty() && !text.chars().any(|c| matches!(c, '\n' | '\r' | '\0')), "not one line: {text:?}");
}
