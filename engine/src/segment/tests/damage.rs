#![expect(clippy::disallowed_methods, reason = "these tests damage files")]

use std::fs;

use proptest::prelude::*;

use super::support::{plant, read_all, sets, write};
use crate::ErrorKind;
use crate::segment::Segment;
use crate::tag::TagId;

/// Reads all there is: directory, then rows.
fn read_everything(segment: &Segment) -> crate::Result<usize> {
    segment.forget();
    let runs = segment.runs(TagId(0)..=TagId(u32::MAX))?;
    Ok(runs.len() + read_all(segment)?.len())
}

#[test]
fn every_flipped_byte_is_found() {
    let mut set = plant(3, 150);
    set[1].2.set(7, &crate::sample::Cell { value: None, text: Some("Bad".into()), status: crate::status::Status::BAD });
    set[2].2.set(8, &crate::sample::Cell::good((0.1f64 + 0.2).to_bits()));
    let written = write(&set, 1000);
    let path = written.segment.path().to_path_buf();
    let whole = fs::read(&path).unwrap();
    let count = read_everything(&written.segment).unwrap();
    assert_eq!(count, 453);
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 1 << (at % 8);
        fs::write(&path, &damaged).unwrap();
        let error = read_everything(&written.segment).expect_err(&format!("byte {at} of {}", whole.len()));
        assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
        assert!(error.to_string().contains("at byte "), "{error}");
    }
    for length in [0, 1, whole.len() / 2, whole.len() - 1] {
        fs::write(&path, &whole[..length]).unwrap();
        assert_eq!(read_everything(&written.segment).unwrap_err().kind(), ErrorKind::Damaged);
        // The tail is known already; what is missing are rows.
        fs::write(&path, &whole).unwrap();
        read_everything(&written.segment).unwrap();
        fs::write(&path, &whole[..length.min(100)]).unwrap();
        assert_eq!(read_all(&written.segment).unwrap_err().kind(), ErrorKind::Damaged);
    }
    fs::write(&path, &whole).unwrap();
    assert!(written.segment.verify().is_empty());
    let mut damaged = whole.clone();
    damaged[4] ^= 1;
    fs::write(&path, &damaged).unwrap();
    let damages = written.segment.verify();
    assert_eq!(damages.len(), 1);
    assert!(damages[0].to_string().contains("7.parquet at byte 0 "), "{}", damages[0]);
    let mut longer = whole.clone();
    longer.push(0);
    fs::write(&path, &longer).unwrap();
    assert_eq!(read_everything(&written.segment).unwrap_err().kind(), ErrorKind::Damaged);
}

#[test]
fn verify_lists_each_damaged_block() {
    let written = write(&plant(400, 5000), 5000);
    let path = written.segment.path().to_path_buf();
    let mut bytes = fs::read(&path).unwrap();
    let block = crate::limits::CHECKSUM_BLOCK_BYTES;
    assert!(bytes.len() > 4 * block, "{}", bytes.len());
    bytes[block + 77] ^= 0x80;
    bytes[3 * block] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let damages: Vec<String> = written.segment.verify().iter().map(ToString::to_string).collect();
    assert_eq!(damages.len(), 2, "{damages:?}");
    assert!(damages[0].contains(&format!("at byte {block} ")), "{damages:?}");
    assert!(damages[1].contains(&format!("at byte {} ", 3 * block)), "{damages:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(30))]

    #[test]
    fn what_is_whole_is_found_whole(set in sets(200), piece in 1usize..300) {
        let written = write(&set, piece);
        let damages: Vec<String> = written.segment.verify().iter().map(ToString::to_string).collect();
        prop_assert!(damages.is_empty(), "{:?}", damages);
    }

    /// Damage that the checksums were made to agree with ends as an error or as other rows, but
    /// never as a panic.
    #[test]
    fn damage_under_a_right_checksum_is_no_panic(set in sets(60), flips in prop::collection::vec((any::<prop::sample::Index>(), 1u8..), 1..6)) {
        let written = write(&set, 100);
        let path = written.segment.path().to_path_buf();
        let mut bytes = fs::read(&path).unwrap();
        let mut meta = written.segment.meta().clone();
        let tail = usize::try_from(meta.tail_offset).unwrap();
        for (at, flip) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
        }
        let sums = tail.div_ceil(crate::limits::CHECKSUM_BLOCK_BYTES);
        for (i, block) in bytes[..tail].to_vec().chunks(crate::limits::CHECKSUM_BLOCK_BYTES).enumerate().take(sums) {
            bytes[tail + i * 4..][..4].copy_from_slice(&crate::format::crc32c(block).to_le_bytes());
        }
        meta.tail_crc = crate::format::crc32c(&bytes[tail..]);
        fs::write(&path, &bytes).unwrap();
        let disk: std::sync::Arc<dyn crate::env::Disk> = std::sync::Arc::new(crate::env::OsDisk);
        let segment = Segment::new(disk, written.dir.path(), meta);
        let _ = read_everything(&segment);
        let _ = segment.verify();
    }
}
