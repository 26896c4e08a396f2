use proptest::prelude::*;

use super::*;

#[test]
fn crc32c_is_the_iscsi_polynomial() {
    // The check value of CRC-32/ISCSI, and two vectors of RFC 3720 B.4.
    assert_eq!(crc32c(b"123456789"), 0xE306_9283);
    assert_eq!(crc32c(&[0; 32]), 0x8A91_36AA);
    assert_eq!(crc32c(&[0xFF; 32]), 0x62A8_AB43);
    let mut pieces = Checksum::new();
    pieces.update(b"1234");
    pieces.update(b"");
    pieces.update(b"56789");
    assert_eq!(pieces.value(), 0xE306_9283);
}

#[test]
fn bytes_are_laid_out_as_documented() {
    let mut out = Encoder::new();
    out.u8(1);
    out.u16(0x0203);
    out.u32(0x0405_0607);
    out.u64(0x0809_0A0B_0C0D_0E0F);
    out.i64(-2);
    out.f64(1.0);
    out.bool(true);
    out.varint(300);
    out.zigzag(-3);
    out.str("ä");
    out.pad(8);
    let expected = [
        &[1, 3, 2, 7, 6, 5, 4, 0x0F, 0x0E, 0x0D, 0x0C, 0x0B, 0x0A, 9, 8][..],
        &[0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF],
        &[0, 0, 0, 0, 0, 0, 0xF0, 0x3F, 1, 0xAC, 2, 5, 2, 0xC3, 0xA4],
        &[0, 0],
    ]
    .concat();
    assert_eq!(out.as_slice(), expected);
}

#[test]
fn damaged_numbers_are_errors() {
    let long = [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 2];
    assert_eq!(Decoder::new(&long).varint().unwrap_err().why, "a number is longer than 64 bits");
    assert_eq!(Decoder::new(&[0x80, 0]).varint().unwrap_err().why, "a number is not in its shortest form");
    assert_eq!(Decoder::new(&[0x80]).varint().unwrap_err().offset, 1);
    assert_eq!(Decoder::new(&[2]).bool().unwrap_err().offset, 0);
    let mut padded = Decoder::new(&[1, 0, 0, 4]);
    padded.u8().unwrap();
    assert_eq!(padded.pad(4).unwrap_err().offset, 3);
}

#[test]
fn counts_are_bounded_by_what_is_left() {
    let mut out = Encoder::new();
    out.varint(u64::MAX);
    out.raw(&[0; 64]);
    assert!(Decoder::new(out.as_slice()).count(1).is_err());
    assert!(Decoder::new(out.as_slice()).bytes().is_err());
    assert_eq!(Decoder::new(&[4, 0, 0, 0, 0]).count(1).unwrap(), 4);
    assert_eq!(Decoder::new(&[4, 0, 0, 0, 0]).count(2).unwrap_err().why, "a count of 4 where at most 2 fit");
    assert!(Decoder::new(&[2, b'a', b'b']).bytes_within(1).is_err());
    assert!(Decoder::new(&[2, 0xC3, 0x28]).str().is_err());
}

#[test]
fn an_error_names_file_and_offset() {
    let error = DecodeError::new(5, "a text is not UTF-8").in_file(std::path::Path::new("x.log"), 4096);
    assert!(error.to_string().starts_with("reading x.log at byte 4101 failed: a text is not UTF-8;"), "{error}");
}

proptest! {
    #[test]
    fn what_was_written_is_read(a: u64, b: i64, c: u32, text in ".{0,40}", raw: Vec<u8>) {
        let mut out = Encoder::new();
        out.varint(a);
        out.zigzag(b);
        out.u32(c);
        out.varint(u64::from(c));
        out.str(&text);
        out.bytes(&raw);
        out.pad(8);
        let mut input = Decoder::new(out.as_slice());
        prop_assert_eq!(input.varint().unwrap(), a);
        prop_assert_eq!(input.zigzag().unwrap(), b);
        prop_assert_eq!(input.u32().unwrap(), c);
        prop_assert_eq!(input.varint_u32().unwrap(), c);
        prop_assert_eq!(input.str().unwrap(), text);
        prop_assert_eq!(input.bytes().unwrap(), raw);
        input.pad(8).unwrap();
        input.finish().unwrap();
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes: Vec<u8>, calls in prop::collection::vec(0u8..12, 0..64)) {
        let mut input = Decoder::new(&bytes);
        for call in calls {
            let before = (input.offset(), input.remaining());
            let failed = match call {
                0 => input.u8().is_err(),
                1 => input.u16().is_err(),
                2 => input.u32().is_err(),
                3 => input.u64().is_err(),
                4 => input.bool().is_err(),
                5 => input.varint().is_err(),
                6 => input.zigzag().is_err(),
                7 => input.count(3).is_err(),
                8 => input.bytes().is_err(),
                9 => input.str_within(16).is_err(),
                10 => input.pad(8).is_err(),
                _ => input.raw(5).is_err(),
            };
            prop_assert_eq!(input.offset() + input.remaining(), before.0 + before.1);
            if failed {
                break;
            }
        }
    }
}
