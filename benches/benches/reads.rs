//! Reading checked ranges of a warm file: pread into buffers beside a memory map.
//!
//! `cargo bench -p tagus-benches --bench reads`. Both sides end with the checksum of each 64 KiB, as
//! a scan does before it uses a byte.

use std::fs::File;
use std::hint::black_box;
use std::io::Write;
use std::ops::Range;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tagus_engine::env::{Disk, OpenMode, OsDisk};
use tagus_engine::format::crc32c;

const FILE_BYTES: u64 = 512 << 20;
const BLOCK_BYTES: u64 = 64 << 10;

/// `count` ranges of `bytes` spread over the file by a fixed rule.
fn ranges(count: u64, bytes: u64) -> Vec<Range<u64>> {
    let blocks = FILE_BYTES / BLOCK_BYTES;
    let starts = (0..count).map(|i| i * 7_919 % (blocks - bytes / BLOCK_BYTES) * BLOCK_BYTES);
    starts.map(|start| start..start + bytes).collect()
}

fn check(bytes: &[u8]) -> u32 {
    bytes.chunks(BLOCK_BYTES as usize).fold(0, |sum, block| sum ^ crc32c(block))
}

fn reads(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("room for a folder");
    let path = folder.path().join("file");
    let mut file = File::create(&path).expect("a new file");
    let block: Vec<u8> = (0..BLOCK_BYTES).map(|i| (i * 31 % 251) as u8).collect();
    for _ in 0..FILE_BYTES / BLOCK_BYTES {
        file.write_all(&block).expect("room for the file");
    }
    let opened = OsDisk.open(&path, OpenMode::Read).expect("a readable file");
    for (name, ranges) in [
        ("one 64 KiB", ranges(1, 64 << 10)),
        ("64 of 64 KiB", ranges(64, 64 << 10)),
        ("16 of 4 MiB", ranges(16, 4 << 20)),
    ] {
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Bytes(ranges.iter().map(|r| r.end - r.start).sum()));
        group.bench_function("pread", |b| {
            b.iter(|| {
                let read = opened.read_ranges(black_box(&ranges)).expect("a readable file");
                read.iter().fold(0, |sum, bytes| sum ^ check(bytes))
            });
        });
        // SAFETY (of this map and the next): a map is sound as long as nobody changes or cuts the
        // file. It is in a temporary folder whose name nobody else knows, was written and closed
        // before, and lives until the group has ended; the map does not leave its closure.
        group.bench_function("memory map, kept", |b| {
            #[expect(unsafe_code, reason = "nobody else changes the file of this bench")]
            let map = unsafe { memmap2::Mmap::map(&File::open(&path).expect("a readable file")) }.expect("a map");
            b.iter(|| black_box(&ranges).iter().fold(0, |sum, r| sum ^ check(&map[r.start as usize..r.end as usize])));
        });
        group.bench_function("memory map, opened each time", |b| {
            b.iter(|| {
                #[expect(unsafe_code, reason = "nobody else changes the file of this bench")]
                let map = unsafe { memmap2::Mmap::map(&File::open(&path).expect("a readable file")) }.expect("a map");
                black_box(&ranges).iter().fold(0, |sum, r| sum ^ check(&map[r.start as usize..r.end as usize]))
            });
        });
        group.finish();
    }
}

criterion_group!(benches, reads);
criterion_main!(benches);
