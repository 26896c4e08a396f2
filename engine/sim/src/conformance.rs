//! What every `Disk` must do, whichever machine it stands for.

#![expect(clippy::unwrap_used, reason = "a call that fails is a failed test")]

use std::io::{self, ErrorKind};
use std::path::Path;
use std::slice::from_ref;
use std::sync::Arc;

use tagus_engine::env::{Disk, File, OpenMode};

/// Checks a disk in the empty directory `root`.
///
/// # Panics
///
/// Where the disk does not do what the trait says.
pub fn check_disk(disk: &dyn Disk, root: &Path) {
    let checks: [(&str, Check); 11] = [
        ("directories", directories),
        ("open-modes", open_modes),
        ("bytes", bytes),
        ("ranges", ranges),
        ("links", links),
        ("renames", renames),
        ("removal", removal),
        ("syncs", syncs),
        ("locks", locks),
        ("canonical-paths", canonical_paths),
        ("free-bytes", free_bytes),
    ];
    for (name, check) in checks {
        let dir = root.join(name);
        disk.create_dir(&dir).unwrap_or_else(|error| panic!("creating {name}: {error}"));
        check(disk, &dir);
    }
    let mut names: Vec<&str> = checks.iter().map(|(name, _)| *name).collect();
    names.sort_unstable();
    assert_eq!(disk.list(root).unwrap(), names);
}

/// Checks one promise in a directory of its own.
type Check = fn(&dyn Disk, &Path);

fn create(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> Arc<dyn File> {
    let file = disk.open(path, OpenMode::CreateNew).unwrap();
    file.write_all_at(bytes, 0).unwrap();
    file
}

fn read(disk: &dyn Disk, path: &Path) -> Vec<u8> {
    let file = disk.open(path, OpenMode::Read).unwrap();
    let mut bytes = vec![0xEE; usize::try_from(file.len().unwrap()).unwrap()];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

/// The kind of an error that must have come.
#[track_caller]
fn refused<T>(result: io::Result<T>) -> ErrorKind {
    match result {
        Ok(_) => panic!("this had to fail"),
        Err(error) => error.kind(),
    }
}

fn directories(disk: &dyn Disk, dir: &Path) {
    assert!(disk.list(dir).unwrap().is_empty());
    disk.create_dir(&dir.join("a/b/c")).unwrap();
    disk.create_dir(&dir.join("a/b")).unwrap();
    create(disk, &dir.join("a/B"), b"1");
    create(disk, &dir.join("a/10"), b"1");
    assert_eq!(disk.list(&dir.join("a")).unwrap(), ["10", "B", "b"]);
    assert_eq!(disk.list(&dir.join("a/b")).unwrap(), ["c"]);

    assert_eq!(refused(disk.list(&dir.join("none"))), ErrorKind::NotFound);
    assert_eq!(refused(disk.list(&dir.join("a/B"))), ErrorKind::NotADirectory);
    refused(disk.create_dir(&dir.join("a/B")));
    refused(disk.create_dir(&dir.join("a/B/below")));
}

fn open_modes(disk: &dyn Disk, dir: &Path) {
    let path = dir.join("file");
    for mode in [OpenMode::Read, OpenMode::Write] {
        assert_eq!(refused(disk.open(&path, mode)), ErrorKind::NotFound);
        assert_eq!(refused(disk.open(dir, mode)), ErrorKind::IsADirectory);
    }
    assert_eq!(refused(disk.open(&dir.join("none/file"), OpenMode::CreateNew)), ErrorKind::NotFound);
    let file = create(disk, &path, b"first");
    assert_eq!(refused(disk.open(&path, OpenMode::CreateNew)), ErrorKind::AlreadyExists);
    assert_eq!(refused(disk.open(dir, OpenMode::CreateNew)), ErrorKind::AlreadyExists);
    assert_eq!(refused(disk.open(&path.join("below"), OpenMode::Read)), ErrorKind::NotADirectory);

    // Opening cuts nothing, and all handles see one file.
    let writer = disk.open(&path, OpenMode::Write).unwrap();
    writer.write_all_at(b"F", 0).unwrap();
    let reader = disk.open(&path, OpenMode::Read).unwrap();
    refused(reader.write_all_at(b"x", 0));
    for handle in [file, writer, reader] {
        let mut bytes = [0; 5];
        handle.read_exact_at(&mut bytes, 0).unwrap();
        assert_eq!(&bytes, b"First");
    }
}

fn bytes(disk: &dyn Disk, dir: &Path) {
    let path = dir.join("file");
    let file = create(disk, &path, b"");
    assert!(file.is_empty().unwrap());
    file.write_all_at(b"", 700).unwrap();
    assert_eq!(file.len().unwrap(), 0);

    // A gap reads as zeros, and the length is that of the furthest byte.
    file.write_all_at(&[7; 5000], 10_000).unwrap();
    file.write_all_at(&[8; 3], 4095).unwrap();
    assert_eq!(file.len().unwrap(), 15_000);
    let mut expected = vec![0; 15_000];
    expected[10_000..].fill(7);
    expected[4095..4098].fill(8);
    assert!(read(disk, &path) == expected);

    let mut buf = [0; 10];
    assert_eq!(refused(file.read_exact_at(&mut buf, 14_995)), ErrorKind::UnexpectedEof);
    assert_eq!(refused(file.read_exact_at(&mut buf, 20_000)), ErrorKind::UnexpectedEof);
    file.read_exact_at(&mut [], 20_000).unwrap();
    refused(file.write_all_at(b"x", u64::MAX));
}

fn ranges(disk: &dyn Disk, dir: &Path) {
    let bytes: Vec<u8> = (0..20_000u32).map(|at| (at % 251) as u8).collect();
    let file = create(disk, &dir.join("file"), &bytes);
    let asked = [19_000..20_000, 0..1, 5..5, 100..9_000, 0..20_000, 0..1, 20_000..20_000];
    let got = file.read_ranges(&asked).unwrap();
    assert_eq!(got.len(), asked.len());
    for (range, got) in asked.iter().zip(got) {
        assert!(got == bytes[range.start as usize..range.end as usize], "{range:?}");
    }
    assert!(file.read_ranges(&[]).unwrap().is_empty());

    // A range from damaged bytes costs an error, not the memory it names.
    assert_eq!(refused(file.read_ranges(&[0..1, 19_999..20_001])), ErrorKind::UnexpectedEof);
    assert_eq!(refused(file.read_ranges(from_ref(&(0..u64::MAX)))), ErrorKind::UnexpectedEof);
    #[expect(clippy::reversed_empty_ranges, reason = "this is what has to be refused")]
    let reversed = 9..8;
    assert_eq!(refused(file.read_ranges(from_ref(&reversed))), ErrorKind::InvalidInput);
}

fn links(disk: &dyn Disk, dir: &Path) {
    let (temporary, name, other) = (dir.join("temporary"), dir.join("1"), dir.join("2"));
    let file = create(disk, &temporary, b"edit");
    disk.link(&temporary, &name).unwrap();
    create(disk, &other, b"other");
    assert_eq!(refused(disk.link(&temporary, &other)), ErrorKind::AlreadyExists);
    assert_eq!(refused(disk.link(&temporary, &name)), ErrorKind::AlreadyExists);
    assert_eq!(refused(disk.link(&dir.join("none"), &dir.join("3"))), ErrorKind::NotFound);
    assert_eq!(refused(disk.link(&temporary, &dir.join("none/3"))), ErrorKind::NotFound);
    assert_eq!(read(disk, &other), b"other");

    // Both names lead to one file, until one is removed.
    file.write_all_at(b"E", 0).unwrap();
    assert_eq!(read(disk, &name), b"Edit");
    disk.remove(&temporary).unwrap();
    assert_eq!(read(disk, &name), b"Edit");
    assert_eq!(disk.list(dir).unwrap(), ["1", "2"]);
}

fn renames(disk: &dyn Disk, dir: &Path) {
    let (from, to) = (dir.join("from"), dir.join("to"));
    create(disk, &from, b"new");
    create(disk, &to, b"old");
    let old = disk.open(&to, OpenMode::Read).unwrap();
    disk.rename(&from, &to).unwrap();
    assert_eq!(disk.list(dir).unwrap(), ["to"]);
    assert_eq!(read(disk, &to), b"new");
    let mut bytes = [0; 3];
    old.read_exact_at(&mut bytes, 0).unwrap();
    assert_eq!(&bytes, b"old", "a replaced file stays as long as it is open");

    assert_eq!(refused(disk.rename(&from, &to)), ErrorKind::NotFound);
    assert_eq!(refused(disk.rename(&to, &dir.join("none/to"))), ErrorKind::NotFound);
    disk.create_dir(&dir.join("sub")).unwrap();
    refused(disk.rename(&to, &dir.join("sub")));
    disk.rename(&to, &to).unwrap();
    disk.rename(&to, &dir.join("sub/moved")).unwrap();
    assert_eq!(read(disk, &dir.join("sub/moved")), b"new");

    // POSIX leaves two names of one file as they are.
    disk.link(&dir.join("sub/moved"), &to).unwrap();
    disk.rename(&dir.join("sub/moved"), &to).unwrap();
    assert_eq!(disk.list(&dir.join("sub")).unwrap(), ["moved"]);
}

fn removal(disk: &dyn Disk, dir: &Path) {
    let path = dir.join("file");
    let file = create(disk, &path, b"bytes");
    disk.remove(&path).unwrap();
    disk.sync_dir(dir).unwrap();
    assert!(disk.list(dir).unwrap().is_empty());
    assert_eq!(refused(disk.remove(&path)), ErrorKind::NotFound);
    refused(disk.remove(dir));

    // A removed file can be read and written as long as it is open; its name is free.
    file.write_all_at(b"B", 0).unwrap();
    create(disk, &path, b"another");
    let mut bytes = [0; 5];
    file.read_exact_at(&mut bytes, 0).unwrap();
    assert_eq!(&bytes, b"Bytes");
    assert_eq!(read(disk, &path), b"another");
}

fn syncs(disk: &dyn Disk, dir: &Path) {
    let path = dir.join("file");
    let file = create(disk, &path, b"bytes");
    file.sync_data().unwrap();
    file.sync_data().unwrap();
    disk.open(&path, OpenMode::Read).unwrap().sync_data().unwrap();
    disk.sync_dir(dir).unwrap();
    assert_eq!(refused(disk.sync_dir(&dir.join("none"))), ErrorKind::NotFound);
    assert_eq!(refused(disk.sync_dir(&path)), ErrorKind::NotADirectory);
    assert_eq!(read(disk, &path), b"bytes");
}

fn locks(disk: &dyn Disk, dir: &Path) {
    let path = dir.join("LOCK");
    let guard = disk.lock(&path).unwrap();
    assert_eq!(disk.list(dir).unwrap(), ["LOCK"]);
    assert_eq!(refused(disk.lock(&path)), ErrorKind::WouldBlock);
    let other = disk.lock(&dir.join("OTHER")).unwrap();
    drop(guard);
    let again = disk.lock(&path).unwrap();
    drop(other);
    assert_eq!(refused(disk.lock(&path)), ErrorKind::WouldBlock);
    drop(again);
    assert_eq!(refused(disk.lock(&dir.join("none/LOCK"))), ErrorKind::NotFound);

    // Locking cuts nothing.
    let named = dir.join("named");
    create(disk, &named, b"host");
    drop(disk.lock(&named).unwrap());
    assert_eq!(read(disk, &named), b"host");
}

fn canonical_paths(disk: &dyn Disk, dir: &Path) {
    let file = create(disk, &dir.join("file"), b"");
    let whole = disk.canonical(dir).unwrap();
    assert!(whole.is_absolute());
    assert_eq!(disk.canonical(&whole).unwrap(), whole);
    assert_eq!(disk.canonical(&dir.join("./file")).unwrap(), whole.join("file"));
    assert_eq!(refused(disk.canonical(&dir.join("other"))), ErrorKind::NotFound);
    assert_eq!(refused(disk.canonical(&dir.join("folder/other"))), ErrorKind::NotFound);
    drop(file);
}

fn free_bytes(disk: &dyn Disk, dir: &Path) {
    assert!(disk.free_bytes(dir).unwrap() > 0);
    assert_eq!(refused(disk.free_bytes(&dir.join("none"))), ErrorKind::NotFound);
}
