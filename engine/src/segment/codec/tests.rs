use parquet::basic::Encoding;
use proptest::prelude::*;

use super::bits::{pack, unpack};
use super::*;

fn padded(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.extend_from_slice(&[0xAA; PADDING]);
    bytes
}

/// Numbers of all widths, often equal to the one before.
fn numbers() -> impl Strategy<Value = Vec<i64>> {
    let one = prop_oneof![
        3 => -3i64..3,
        2 => any::<i32>().prop_map(i64::from),
        1 => any::<i64>(),
        1 => Just(i64::MIN),
        1 => Just(i64::MAX),
    ];
    prop::collection::vec((one, 1usize..20), 0..60)
        .prop_map(|runs| runs.into_iter().flat_map(|(value, n)| std::iter::repeat_n(value, n)).collect())
}

proptest! {
    #[test]
    fn packed_bits_come_back(width in 1u32..=64, values in prop::collection::vec(any::<u64>(), 0..100)) {
        let values: Vec<u64> = values.into_iter().map(|value| value & (u64::MAX >> (64 - width))).collect();
        let mut bytes = vec![7];
        pack(&mut bytes, width, values.iter().copied());
        prop_assert_eq!(bytes.len(), 1 + (values.len() * width as usize).div_ceil(8));
        let bytes = padded(bytes);
        let source = Padded::new(&bytes).skip(1).unwrap();
        for (i, value) in values.iter().enumerate() {
            prop_assert_eq!(unpack(&source, width, i), *value);
        }
    }

    #[test]
    fn differences_come_back(values in numbers()) {
        let mut bytes = Vec::new();
        encode_delta(&mut bytes, &values);
        let bytes = padded(bytes);
        let mut out = vec![42];
        prop_assert_eq!(decode_delta(Padded::new(&bytes), values.len(), &mut out).unwrap(), values.len());
        prop_assert_eq!(&out[1..], &values[..]);
        let part = values.len() / 2;
        let mut out = Vec::new();
        prop_assert_eq!(decode_delta(Padded::new(&bytes), part, &mut out).unwrap(), values.len());
        prop_assert_eq!(&out[..], &values[..part]);
        prop_assert!(decode_delta(Padded::new(&bytes), values.len() + 1, &mut out).is_err());
    }

    #[test]
    fn runs_come_back(width in 0u32..=32, runs in prop::collection::vec((any::<u32>(), 1u32..40), 0..40)) {
        let mut all = Runs::default();
        for (value, count) in runs {
            all.push(u64::from(value).checked_rem(1 << width).unwrap_or(0), count);
        }
        let values: Vec<u32> = all.values().map(|value| value as u32).collect();
        let mut bytes = Vec::new();
        encode_hybrid(&mut bytes, width, all.iter());
        let bytes = padded(bytes);
        let series = decode_hybrid(Padded::new(&bytes), width, values.len()).unwrap();
        let decoded: Vec<u32> = (0..values.len()).map(|i| series.at(i)).collect();
        prop_assert_eq!(decoded, values);
    }

    #[test]
    fn byte_planes_come_back(values in prop::collection::vec(any::<u64>(), 0..100)) {
        let mut bytes = Vec::new();
        encode_split(&mut bytes, &values);
        let bytes = padded(bytes);
        let signed: Vec<i64> = values.iter().map(|value| value.cast_signed()).collect();
        for part in [values.len(), values.len() / 2] {
            let mut out = Vec::new();
            prop_assert_eq!(decode_split(Padded::new(&bytes), part, &mut out).unwrap(), values.len());
            prop_assert_eq!(&out[..], &signed[..part]);
        }
        prop_assert!(decode_split(Padded::new(&bytes), values.len() + 1, &mut Vec::new()).is_err());
    }

    /// Every decoder takes any bytes without a panic and without more memory than it was told.
    #[test]
    fn any_bytes_are_taken(bytes in prop::collection::vec(any::<u8>(), 0..300), count in 0usize..2000, width in 0u32..70) {
        let bytes = padded(bytes);
        let source = Padded::new(&bytes);
        let mut out = Vec::new();
        if decode_delta(source, count, &mut out).is_ok() {
            prop_assert_eq!(out.len(), count);
        }
        if let Ok(Series::Each(values)) = decode_hybrid(source, width, count) {
            prop_assert_eq!(values.len(), count);
        }
        let _ = decode_split(source, count, &mut out);
        let _ = decode_plain(source, count, &mut out);
        let _ = decode_plain_texts(source, count);
        let _ = PageHeader::read(&mut source.clone());
    }

    #[test]
    fn headers_come_back(plain in any::<u32>(), stored in any::<u32>(), values in any::<u32>(), data in any::<bool>()) {
        let (kind, encoding) = match data {
            true => (PageKind::Data, Encoding::DELTA_BINARY_PACKED),
            false => (PageKind::Dictionary, Encoding::PLAIN),
        };
        let [plain_bytes, stored_bytes, values] = [plain, stored, values].map(|n| n / 2);
        let header = PageHeader { kind, plain_bytes, stored_bytes, values, encoding };
        let mut bytes = Vec::new();
        header.write(&mut bytes);
        prop_assert!(bytes.len() < 64);
        bytes.push(9);
        let bytes = padded(bytes);
        let mut source = Padded::new(&bytes);
        prop_assert_eq!(PageHeader::read(&mut source).unwrap(), header);
        prop_assert_eq!(source.len(), 1);
    }
}

#[test]
fn long_runs_take_no_room() {
    let mut runs = Runs::default();
    runs.push(1, 20_000);
    let mut bytes = Vec::new();
    encode_hybrid(&mut bytes, 1, runs.iter());
    assert!(bytes.len() <= 5, "{bytes:?}");
    let bytes = padded(bytes);
    assert_eq!(decode_hybrid(Padded::new(&bytes), 1, 20_000).unwrap(), Series::Same(1));
}
