//! Simulated machines with files on them.

use std::path::{Path, PathBuf};

use tagus_engine::env::{Disk, OpenMode};
use tagus_sim::Sim;

/// A machine with these files, and the folders that they lie in.
pub fn machine<'a>(files: impl IntoIterator<Item = (PathBuf, &'a [u8])>) -> Sim {
    // Not the number that the seeds were made with: a new log file would get the id of an old one.
    let sim = Sim::new(0x7a67);
    for (path, bytes) in files {
        if let Some(folder) = path.parent() {
            make_folder(&sim, folder);
        }
        write(&sim, &path, bytes);
    }
    sim
}

fn make_folder(sim: &Sim, folder: &Path) {
    if let Some(above) = folder.parent() {
        make_folder(sim, above);
    }
    sim.disk.create_dir(folder).expect("a folder on a disk with room");
}

fn write(sim: &Sim, path: &Path, bytes: &[u8]) {
    let file = sim.disk.open(path, OpenMode::CreateNew).expect("a new file");
    file.write_all_at(bytes, 0).expect("a disk with room");
}

/// The same machine with a copy of its disk.
pub fn fork(sim: &Sim) -> Sim {
    Sim { disk: sim.disk.fork(), ..sim.clone() }
}
