//! The bytes of the log, and the walk through them. Whole logs are tested on the simulated disk.
use proptest::prelude::*;

use super::frame::{Frame, HEAD_BYTES, frame_bytes, group_bytes};
use super::header::{HEADER_BYTES, Header, NoHeader};
use super::scan::{Scan, Step};
use crate::format::{Encoder, crc32c};
use crate::limits::{BLOCK_BYTES, FRAME_BYTES_MAX, SEQUENCE_MAX};

const ID: u64 = 0x1122_3344_5566_7788;

fn header() -> Header {
    Header { file_id: ID, number: 3, start_after: 41, data_through: 40, file_bytes: 16 << 20, closed: false }
}

/// The file of one header and some groups; each group is a list of payload lengths.
fn file(start_after: u64, groups: &[&[usize]]) -> Vec<u8> {
    let mut out = Encoder::new();
    out.raw(&Header { start_after, data_through: start_after, ..header() }.encode());
    let mut sequence = start_after;
    for group in groups {
        let durable_through = sequence;
        for length in *group {
            sequence += 1;
            let payload = vec![u8::try_from(sequence % 251).unwrap(); *length];
            Frame { sequence, file_id: ID, durable_through, payload: &payload }.encode(&mut out);
        }
        out.pad(BLOCK_BYTES);
    }
    out.raw(&[0; 2 * BLOCK_BYTES]);
    out.into_vec()
}

/// What a walk finds.
fn walk(bytes: &[u8], start_after: u64, next_start: Option<u64>) -> Vec<Found> {
    let header = Header { start_after, data_through: start_after, ..header() };
    let found = Scan::new(bytes, &header, next_start).map(|step| match step {
        Step::Frame(frame) => Found::Frame(frame.sequence),
        Step::Lost(range) => Found::Lost(*range.start(), *range.end()),
    });
    found.collect()
}

#[derive(Debug, PartialEq, Eq)]
enum Found {
    Frame(u64),
    Lost(u64, u64),
}
use Found::{Frame as Read, Lost};

/// Where the frame with a sequence begins.
fn place(bytes: &[u8], sequence: u64) -> usize {
    let mut places = (BLOCK_BYTES..bytes.len()).step_by(8);
    places.find(|at| Frame::parse(&bytes[*at..], Some(ID)).is_some_and(|it| it.sequence == sequence)).unwrap()
}

#[test]
fn a_header_has_the_documented_bytes() {
    let block = header().encode();
    assert_eq!(block.len(), BLOCK_BYTES);
    let expected = [
        &b"TAGUSLOG"[..],
        &[1, 0, 0, 0, 0, 0, 0, 0],
        &[0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11],
        &[3, 0, 0, 0, 0, 0, 0, 0, 41, 0, 0, 0, 0, 0, 0, 0, 40, 0, 0, 0, 0, 0, 0, 0],
        &[0, 0, 0, 1, 0, 0, 0, 0],
    ]
    .concat();
    assert_eq!(&block[..56], expected);
    assert_eq!(block[56..60], crc32c(&expected).to_le_bytes());
    assert_eq!(block[56..60], HEADER_CRC.to_le_bytes());
    assert!(block[60..].iter().all(|byte| *byte == 0));
    assert_eq!(Header::parse(&block), Ok(header()));
}

#[test]
fn a_frame_has_the_documented_bytes() {
    let mut out = Encoder::new();
    Frame { sequence: 42, file_id: ID, durable_through: 41, payload: b"tagus" }.encode(&mut out);
    let expected = [
        &b"TLF1"[..],
        &FRAME_CRC.to_le_bytes(),
        &[5, 0, 0, 0, 0, 0, 0, 0],
        &[42, 0, 0, 0, 0, 0, 0, 0],
        &[0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11],
        &[41, 0, 0, 0, 0, 0, 0, 0],
        b"tagus\0\0\0",
    ]
    .concat();
    assert_eq!(out.as_slice(), expected);
    assert_eq!(crc32c(&expected[8..]), FRAME_CRC);
    assert_eq!((HEAD_BYTES, frame_bytes(5)), (40, expected.len()));
}

/// Computed apart from this code, bit by bit.
const HEADER_CRC: u32 = 0xC542_FFBB;
const FRAME_CRC: u32 = 0x0444_E8D5;

#[test]
fn every_flipped_bit_of_a_header_is_found() {
    let block = header().encode();
    for bit in 0..HEADER_BYTES * 8 {
        let mut damaged = block.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(matches!(Header::parse(&damaged), Err(NoHeader::Damaged(_))), "bit {bit}");
    }
    assert_eq!(Header::parse(&[0; BLOCK_BYTES]), Err(NoHeader::Unused));
    let mut newer = block.clone();
    newer[8] = 2;
    let crc = crc32c(&newer[..56]);
    newer[56..60].copy_from_slice(&crc.to_le_bytes());
    assert_eq!(Header::parse(&newer), Err(NoHeader::Version(2)));
}

#[test]
fn every_flipped_bit_of_a_frame_is_found() {
    let mut out = Encoder::new();
    Frame { sequence: 42, file_id: ID, durable_through: 41, payload: b"tagus" }.encode(&mut out);
    for bit in 0..out.len() * 8 {
        let mut damaged = out.as_slice().to_vec();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(Frame::parse(&damaged, Some(ID)), None, "bit {bit}");
        assert_eq!(Frame::parse(&damaged, None), None, "bit {bit}");
    }
    assert!(Frame::parse(out.as_slice(), Some(ID)).is_some());
    assert_eq!(Frame::parse(out.as_slice(), Some(ID + 1)), None);
}

#[test]
fn a_group_takes_whole_blocks() {
    assert_eq!(group_bytes(&[&[0; 1]]), BLOCK_BYTES);
    assert_eq!(group_bytes(&[&[0; 4056]]), BLOCK_BYTES);
    assert_eq!(group_bytes(&[&[0; 4057]]), 2 * BLOCK_BYTES);
    assert_eq!(group_bytes(&[&[0; 1], &[0; 4040]]), 2 * BLOCK_BYTES);
    assert!(
        u64::try_from(group_bytes(&[&vec![0; FRAME_BYTES_MAX]]) + BLOCK_BYTES).unwrap() < crate::limits::LOG_FILE_BYTES
    );
}

#[test]
fn frames_follow_within_and_across_groups() {
    // The first group ends with its block: nothing is padded.
    let bytes = file(7, &[&[8, 4000], &[1, 2, 3], &[0], &[9000, 5]]);
    assert_eq!(walk(&bytes, 7, None), (8..=15).map(Read).collect::<Vec<_>>());
    assert_eq!(walk(&bytes, 7, Some(10)), [Read(8), Read(9), Read(10)]);
    assert_eq!(walk(&bytes, 7, Some(7)), []);
    assert_eq!(walk(&bytes, 20, None), [], "all are older than the file says");
}

#[test]
fn damage_before_a_later_group_is_a_loss() {
    let whole = file(0, &[&[100, 100, 100], &[100, 100], &[100]]);
    let damage = |sequences: &[u64]| {
        let mut bytes = whole.clone();
        for sequence in sequences {
            bytes[place(&whole, *sequence) + 50] ^= 0x40;
        }
        bytes
    };
    let walked = |sequences: &[u64]| walk(&damage(sequences), 0, None);
    assert_eq!(walked(&[2]), [Read(1), Lost(2, 2), Read(3), Read(4), Read(5), Read(6)]);
    assert_eq!(walked(&[1, 2, 3]), [Lost(1, 3), Read(4), Read(5), Read(6)]);
    assert_eq!(walked(&[1, 5]), [Lost(1, 1), Read(2), Read(3), Read(4), Lost(5, 5), Read(6)]);
    assert_eq!(walked(&[6]), [Read(1), Read(2), Read(3), Read(4), Read(5)], "the last group may be torn");
    // Frame 5 says that 3 was synced; nothing says so of 4 once 6 is gone.
    assert_eq!(walked(&[4, 6]), [Read(1), Read(2), Read(3)]);
    assert_eq!(walked(&[3, 4, 6]), [Read(1), Read(2), Lost(3, 4), Read(5)]);
}

#[test]
fn the_next_file_proves_the_last_group() {
    let whole = file(0, &[&[100], &[100, 100, 100]]);
    let mut bytes = whole.clone();
    bytes[place(&whole, 3)] ^= 1;
    assert_eq!(walk(&bytes, 0, None), [Read(1), Read(2)]);
    assert_eq!(walk(&bytes, 0, Some(4)), [Read(1), Read(2), Lost(3, 3), Read(4)]);
    assert_eq!(walk(&bytes, 0, Some(3)), [Read(1), Read(2)], "4 was never accepted");
}

#[test]
fn sequences_can_always_be_counted_on() {
    let parsed = |header: Header| Header::parse(&header.encode());
    let last = Header { start_after: SEQUENCE_MAX, data_through: SEQUENCE_MAX, number: SEQUENCE_MAX, ..header() };
    assert_eq!(parsed(last), Ok(last));
    let beyond = SEQUENCE_MAX + 1;
    for impossible in [
        Header { start_after: beyond, ..header() },
        Header { number: beyond, ..header() },
        Header { data_through: 42, ..header() },
    ] {
        assert!(matches!(parsed(impossible), Err(NoHeader::Damaged(_))), "{impossible:?}");
    }
    for (sequence, is_read) in [(SEQUENCE_MAX, true), (beyond, false)] {
        let mut out = Encoder::new();
        Frame { sequence, file_id: ID, durable_through: 0, payload: b"x" }.encode(&mut out);
        assert_eq!(Frame::parse(out.as_slice(), Some(ID)).is_some(), is_read, "{sequence}");
    }
}

#[test]
fn only_the_last_group_is_unproven() {
    let bytes = file(0, &[&[8], &[8, 8], &[0], &[1, 2, 3]]);
    let mut scan = Scan::new(&bytes, &Header { start_after: 0, data_through: 0, ..header() }, None);
    assert_eq!(scan.by_ref().count(), 7);
    assert_eq!(scan.durable_through(), (4, 3));
    let unproven: Vec<_> = scan.unproven().map(|(sequence, payload)| (sequence, payload.len())).collect();
    assert_eq!(unproven, [(5, 1), (6, 2), (7, 3)]);
    assert_eq!(scan.end(), place(&bytes, 7) + frame_bytes(3));
}

proptest! {
    #[test]
    fn any_bytes_are_walked_through(mut bytes in prop::collection::vec(any::<u8>(), 0..20_000), next in prop::option::of(0u64..9)) {
        prop_assert!(walk(&bytes, 0, next).is_empty());
        // The same behind a likeness of a frame.
        if bytes.len() > BLOCK_BYTES + HEAD_BYTES {
            bytes[BLOCK_BYTES..BLOCK_BYTES + 4].copy_from_slice(b"TLF1");
            bytes[BLOCK_BYTES + 12..BLOCK_BYTES + 16].fill(0);
            bytes[BLOCK_BYTES + 24..BLOCK_BYTES + 32].copy_from_slice(&ID.to_le_bytes());
        }
        prop_assert!(walk(&bytes, 0, next).is_empty());
    }

    #[test]
    fn damaged_files_never_give_a_wrong_frame(
        lengths in prop::collection::vec(prop::collection::vec(0usize..600, 1..5), 1..8),
        flips in prop::collection::vec((any::<prop::sample::Index>(), 0u8..8), 1..6),
        next in prop::option::of(0u64..30),
    ) {
        let groups: Vec<&[usize]> = lengths.iter().map(Vec::as_slice).collect();
        let whole = file(0, &groups);
        let mut bytes = whole.clone();
        for (index, bit) in flips {
            bytes[index.index(whole.len())] ^= 1 << bit;
        }
        let count: u64 = lengths.iter().map(|group| u64::try_from(group.len()).unwrap()).sum();
        let mut expected = 1;
        for found in walk(&bytes, 0, next) {
            let (first, last) = match found { Read(sequence) => (sequence, sequence), Lost(first, last) => (first, last) };
            prop_assert_eq!(first, expected);
            prop_assert!(last >= first && last <= count.min(next.unwrap_or(count)));
            expected = last + 1;
        }
    }
}
