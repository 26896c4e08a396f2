//! Log files: headers, and which frames count.

use std::path::{Path, PathBuf};

use tagus_engine::Result;
use tagus_engine::format::crc32c;
use tagus_engine::wal::{Log, LogOptions, Replay, verify};
use tagus_sim::Sim;

use crate::one_line;
use crate::rooms::{fork, machine};

const FILE_BYTES: usize = 8 * BLOCK;
const BLOCK: usize = 4096;
const FILES_MAX: usize = 4;
const OPTIONS: LogOptions = LogOptions { file_bytes: FILE_BYTES as u64, bytes_max: 16 * FILE_BYTES as u64 };
const DIR: &str = "/archive/wal";

type Frames = Vec<(u64, Vec<u8>)>;

/// Log files of 32 KiB, one after another: recovering twice accepts the same frames, and what is
/// appended then comes back behind them.
pub fn wal_file(data: &[u8]) {
    let data = &data[..data.len().min(FILES_MAX * FILE_BYTES)];
    recovered(data);
    let mut mended = data.to_vec();
    mended.chunks_mut(FILE_BYTES).for_each(mend);
    if mended != data {
        recovered(&mended);
    }
}

fn recovered(data: &[u8]) {
    let files = data.chunks(FILE_BYTES).zip(1..).map(|(bytes, n)| (PathBuf::from(format!("{DIR}/{n:08}.log")), bytes));
    let sim = machine(files.chain([(PathBuf::from("/archive/none"), &[][..])]));
    // What segments hold is one of the few first sequences.
    let after = data.len() as u64 % 4;
    match verify(&sim.env().disk, Path::new(DIR), after) {
        Ok(found) => found.damages.iter().for_each(|damage| one_line(&damage.why)),
        Err(error) => one_line(&error),
    }
    let other = fork(&sim);
    let (mut log, replay, frames) = match recover(&sim, after) {
        Ok(recovered) => recovered,
        Err(error) => {
            assert!(recover(&other, after).is_err());
            return one_line(&error);
        }
    };
    assert!(frames.iter().zip(frames.iter().skip(1)).all(|(one, next)| one.0 < next.0), "sequences do not ascend");
    let bytes: usize = frames.iter().map(|(_, payload)| payload.len()).sum();
    assert!(bytes <= data.len(), "{bytes} bytes of payloads in {} bytes", data.len());
    let (_, other_replay, other_frames) = recover(&other, after).expect("the same files");
    assert!(frames == other_frames && replay.lost == other_replay.lost, "two recoveries differ");
    match log.append(&[b"one more"]) {
        Ok(sequence) => {
            drop(log);
            let (_, _, more) = recover(&sim, after).expect("files that the log has written");
            assert_eq!(more.last(), Some(&(sequence, b"one more".to_vec())), "the appended frame is gone");
            assert!(frames.last().is_none_or(|last| last.0 < sequence));
        }
        Err(error) => one_line(&error),
    }
}

fn recover(sim: &Sim, after: u64) -> Result<(Log, Replay, Frames)> {
    let mut frames = Vec::new();
    let (log, replay) = Log::recover(&sim.env(), Path::new(DIR), OPTIONS, after, &mut |sequence, payload| {
        frames.push((sequence, payload.to_vec()));
        Ok(())
    })?;
    Ok((log, replay, frames))
}

/// Mends the checksums of a file: of its header, and of all that begins as a frame does.
fn mend(file: &mut [u8]) {
    if file.len() >= 60 && file.starts_with(b"TAGUSLOG") {
        let crc = crc32c(&file[..56]);
        file[56..60].copy_from_slice(&crc.to_le_bytes());
    }
    let mut at = BLOCK;
    while at + 40 <= file.len() {
        let length = u32::from_le_bytes([file[at + 8], file[at + 9], file[at + 10], file[at + 11]]) as usize;
        let end = at.saturating_add(40).saturating_add(length).next_multiple_of(8);
        if file[at..].starts_with(b"TLF1") && end <= file.len() {
            let crc = crc32c(&file[at + 8..end]);
            file[at + 4..at + 8].copy_from_slice(&crc.to_le_bytes());
            at = end;
        } else {
            at += 8;
        }
    }
}
