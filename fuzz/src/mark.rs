//! The file FORMAT.

use std::path::{Path, PathBuf};

use tagus_engine::format::crc32c;
use tagus_engine::verify;

use crate::one_line;
use crate::rooms::machine;

/// The mark of a directory.
pub fn mark(data: &[u8]) {
    verified(data);
    let body = String::from_utf8_lossy(data);
    let body = body.rfind("crc32c ").map_or(&*body, |end| &body[..end]);
    verified(format!("{body}crc32c {:08x}\n", crc32c(body.as_bytes())).as_bytes());
}

fn verified(mark: &[u8]) {
    let sim = machine([(PathBuf::from("/archive/FORMAT"), mark)]);
    match verify(&sim.env(), Path::new("/archive"), &mut |_, _| {}) {
        Ok(report) => report.damages.iter().for_each(one_line),
        Err(error) => one_line(&error),
    }
}
