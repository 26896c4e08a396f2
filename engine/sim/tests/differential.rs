//! Random histories run the same on the machine's disk and on the simulated one.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tagus_engine::env::{Disk, File, OpenMode, OsDisk};
use tagus_sim::{SimDisk, SimRandom};

const DIRS: [&str; 3] = [".", "d", "d/e"];
const NAMES: [&str; 3] = ["a", "b", "c"];

/// One of two disks under the same history.
struct Side<'a> {
    disk: &'a dyn Disk,
    root: &'a Path,
    handles: BTreeMap<u64, Arc<dyn File>>,
}

/// What an operation answered, as far as the trait promises it.
#[derive(PartialEq, Debug)]
enum Answer {
    Done,
    Failed(ErrorKind),
    Names(Vec<String>),
    Bytes(Vec<u8>),
}

impl Side<'_> {
    fn path(&self, random: &SimRandom) -> PathBuf {
        let (dir, name) = (random.below(3), random.below(3));
        self.root.join(DIRS[dir as usize]).join(NAMES[name as usize])
    }

    /// One operation, drawn from `random`; both sides draw the same one.
    fn step(&mut self, random: &SimRandom) -> (u64, Answer) {
        let choice = random.below(10);
        let path = self.path(random);
        let slot = random.below(4);
        let answer = match choice {
            0 => self.disk.create_dir(&self.root.join(DIRS[random.below(3) as usize])).map(|()| Answer::Done),
            1 => self.disk.list(&self.root.join(DIRS[random.below(3) as usize])).map(Answer::Names),
            2 | 3 => self.open(&path, slot, OpenMode::CreateNew),
            4 => self.open(&path, slot, OpenMode::Write),
            5 => self.disk.link(&path, &self.path(random)).map(|()| Answer::Done),
            6 => self.disk.rename(&path, &self.path(random)).map(|()| Answer::Done),
            7 if random.chance(1, 2) => self.disk.remove(&path).map(|()| Answer::Done),
            7 => self.disk.sync_dir(&self.root.join(DIRS[random.below(3) as usize])).map(|()| Answer::Done),
            _ => self.use_handle(slot, random),
        };
        (choice, answer.unwrap_or_else(|error| Answer::Failed(error.kind())))
    }

    fn open(&mut self, path: &Path, slot: u64, mode: OpenMode) -> io::Result<Answer> {
        let file = self.disk.open(path, mode)?;
        self.handles.insert(slot, file);
        Ok(Answer::Done)
    }

    fn use_handle(&self, slot: u64, random: &SimRandom) -> io::Result<Answer> {
        let (start, len, byte) = (random.below(9000), random.below(6000), random.below(3) as u8);
        let Some(file) = self.handles.get(&slot) else { return Ok(Answer::Done) };
        match random.below(3) {
            0 => file.write_all_at(&vec![byte; len as usize], start).map(|()| Answer::Done),
            1 => file.sync_data().map(|()| Answer::Done),
            _ => Ok(Answer::Bytes(file.read_ranges(&[0..start.min(100), start..start + len])?.concat())),
        }
    }

    /// Every file under its name, with its bytes.
    fn contents(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let paths = DIRS.iter().flat_map(|dir| NAMES.iter().map(move |name| Path::new(dir).join(name)));
        paths.filter_map(|path| Some((path.clone(), self.read(&path).ok()?))).collect()
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let file = self.disk.open(&self.root.join(path), OpenMode::Read)?;
        let mut bytes = vec![0; file.len()? as usize];
        file.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    }
}

#[test]
fn random_histories_have_the_same_answers() {
    let mut succeeded = BTreeMap::<u64, u32>::new();
    for seed in 0..100 {
        let folder = tempfile::tempdir().unwrap();
        let simulated = SimDisk::new();
        let mut real = Side { disk: &OsDisk, root: folder.path(), handles: BTreeMap::new() };
        let mut sim = Side { disk: &simulated, root: Path::new("/"), handles: BTreeMap::new() };
        let (real_random, sim_random) = (SimRandom::new(seed), SimRandom::new(seed));
        for step in 0..150 {
            let (expected, got) = (real.step(&real_random), sim.step(&sim_random));
            assert!(got == expected, "seed {seed}, step {step}: operation {}", expected.0);
            *succeeded.entry(got.0).or_default() += u32::from(!matches!(got.1, Answer::Failed(_)));
        }
        assert!(real.contents() == sim.contents(), "seed {seed}: the end states differ");
    }
    assert!(succeeded.len() == 10 && succeeded.values().all(|&times| times > 100), "{succeeded:?}");
}
