//! Manifest files: a snapshot and edits behind it.

use std::path::{Path, PathBuf};

use tagus_engine::Result;
use tagus_engine::format::crc32c;
use tagus_engine::limits;
use tagus_engine::manifest::{Edit, Manifest, ManifestState};
use tagus_engine::reduction::{Decided, Reducer};
use tagus_engine::sample::{Cell, Row};
use tagus_sim::Sim;

use crate::one_line;
use crate::rooms::{fork, machine};

const DIR: &str = "/archive/manifest";
/// The archive that the seeds belong to.
pub const ARCHIVE: u64 = 7;
const FILES_MAX: usize = 8;
/// Magic, version, kind, archive and number.
const HEAD_BYTES: usize = 29;

/// Manifest files, each behind its length: what they say is what a snapshot of it says.
pub fn manifest(data: &[u8]) {
    let files = split(data);
    opened(&files);
    let mended: Vec<Vec<u8>> = (1..).zip(&files).map(|(number, file)| mended(file, number)).collect();
    opened(&mended.iter().map(|file| &file[..]).collect::<Vec<_>>());
}

/// The files in an input; the last may be shorter than it says.
fn split(mut data: &[u8]) -> Vec<&[u8]> {
    let mut files = Vec::new();
    while let Some((length, rest)) = data.split_first_chunk::<4>().filter(|_| files.len() < FILES_MAX) {
        let length = (u32::from_le_bytes(*length) as usize).min(rest.len());
        files.push(&rest[..length]);
        data = &rest[length..];
    }
    files
}

fn opened(files: &[&[u8]]) {
    let named = (1..).zip(files).map(|(number, bytes)| (PathBuf::from(format!("{DIR}/{number:020}.manifest")), *bytes));
    let sim = machine(named.chain([(PathBuf::from("/archive/none"), &[][..])]));
    let mut manifest = match open(&sim) {
        Ok(manifest) => manifest,
        Err(error) => return one_line(&error),
    };
    check(manifest.state());
    let before = manifest.state().as_edit();
    let again = open(&fork(&sim)).expect("the same files");
    assert!(again.state().as_edit() == before, "two readings differ");
    let mut state = ManifestState { number: again.state().number, ..ManifestState::default() };
    state.apply(before.clone()).expect("a state is an edit of an empty one");
    assert!(state.as_edit() == before, "a snapshot says something else");
    let nothing = Edit { log_position: before.log_position, ..Edit::default() };
    match manifest.append(manifest.state().number, nothing) {
        Ok(_) => {
            let after = open(&sim).expect("files that the manifest has written");
            assert!(after.state().as_edit() == before, "an edit of nothing changes something");
        }
        Err(error) => one_line(&error),
    }
}

fn open(sim: &Sim) -> Result<Manifest> {
    Manifest::open(&sim.env(), Path::new(DIR), ARCHIVE)
}

/// What others rely on.
fn check(state: &ManifestState) {
    for segment in &state.segments {
        assert!(segment.tail_offset < segment.bytes && segment.rows > 0 && segment.tags > 0);
        assert!(segment.first_tag <= segment.last_tag && segment.first_time <= segment.last_time);
        assert!(!segment.name.chars().any(char::is_control), "{:?}", segment.name);
    }
    assert!(state.log_position.checked_add(1).is_some() && state.next_segment_id.checked_add(1).is_some());
    for (tag, remembered) in &state.reducers {
        let spec = &state.tags.get(*tag).expect("reducers are of tags").spec;
        let settings = spec.reduction.and_then(|reduction| reduction.settings(spec)).expect("its reduction is on");
        goes_on(Reducer::resume(settings, spec.tag_type.is_float(), remembered));
    }
}

/// Takes another sample, and ends.
fn goes_on(mut reducer: Reducer) {
    let tail = reducer.tail();
    assert!(tail.is_none_or(|tail| tail.rows.len() <= 2));
    let time = reducer.newest_time().max(limits::TIME_MIN) + 1;
    let mut decided = Decided::default();
    reducer.push(Row { time, cell: Cell::good(0) }, &mut decided);
    reducer.finish(&mut decided);
    assert!(decided.kept.len() <= 3);
    assert!(decided.summaries.iter().all(|summary| summary.numbers().count() > 0));
}

/// A file with the head and checksum that it needs; kind and version stay.
fn mended(file: &[u8], number: u64) -> Vec<u8> {
    let mut file = file.to_vec();
    file.truncate(file.len().saturating_sub(4));
    if file.len() >= HEAD_BYTES {
        file[..8].copy_from_slice(b"TAGUSMAN");
        file[13..21].copy_from_slice(&ARCHIVE.to_le_bytes());
        file[21..29].copy_from_slice(&number.to_le_bytes());
    }
    let crc = crc32c(&file);
    file.extend_from_slice(&crc.to_le_bytes());
    file
}
