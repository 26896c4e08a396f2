//! OPC UA status codes and the quality they stand for.
//!
//! Source of the codes: OPC UA Part 4, 7.39 and Part 8, 6.3 (StatusCodes).

mod names;

use std::fmt;

use names::NAMES;

/// An OPC UA StatusCode: severity in the top two bits, then sub-code and flag bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, PartialOrd, Ord)]
pub struct Status(pub u32);

/// The word for the top two bits of a status. Ordered from best to worst.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
#[repr(u8)]
pub enum Quality {
    /// Top bits 00.
    Good = 0,
    /// Top bits 01.
    Uncertain = 1,
    /// Top bits 10, and the reserved 11.
    Bad = 2,
}

impl Status {
    /// Good, no sub-code.
    pub const GOOD: Status = Status(0);
    /// Uncertain, no sub-code.
    pub const UNCERTAIN: Status = Status(0x4000_0000);
    /// Bad, no sub-code: also what a system state gets.
    pub const BAD: Status = Status(0x8000_0000);
    /// BadNoData: a sample that came without a value.
    pub const BAD_NO_DATA: Status = Status(0x809B_0000);
    /// BadOutOfRange: a value that is not a number, or infinite.
    pub const BAD_OUT_OF_RANGE: Status = Status(0x803C_0000);

    /// The quality of the top two bits.
    pub const fn quality(self) -> Quality {
        match self.0 >> 30 {
            0 => Quality::Good,
            1 => Quality::Uncertain,
            _ => Quality::Bad,
        }
    }

    /// Whether the quality is bad.
    pub const fn is_bad(self) -> bool {
        self.0 >> 31 == 1
    }

    /// The status of an OPC Classic quality byte, of which the top two bits count.
    /// 192 is good, 64 uncertain, 0 and the reserved 128 are bad.
    pub const fn from_classic(quality: u8) -> Status {
        match quality >> 6 {
            3 => Status::GOOD,
            1 => Status::UNCERTAIN,
            _ => Status::BAD,
        }
    }

    /// Reads a status as users write it: a decimal or `0x` number, a symbolic name in any
    /// case, or one of the words `good`, `uncertain` and `bad`.
    pub fn parse(text: &str) -> Option<Status> {
        let text = text.trim();
        if let Some(hex) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
            return u32::from_str_radix(hex, 16).ok().map(Status);
        }
        if let Ok(number) = text.parse::<u32>() {
            return Some(Status(number));
        }
        NAMES.iter().find(|(_, name)| name.eq_ignore_ascii_case(text)).map(|(code, _)| Status(*code))
    }

    /// The symbolic name of the code without its flag bits, where the standard has one.
    pub fn name(self) -> Option<&'static str> {
        let code = self.0 & 0xFFFF_0000;
        NAMES.binary_search_by_key(&code, |(known, _)| *known).ok().map(|at| NAMES[at].1)
    }
}

impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) if self.0 & 0xFFFF == 0 => f.write_str(name),
            _ => write!(f, "0x{:08X}", self.0),
        }
    }
}

impl Quality {
    /// All three, from best to worst.
    pub const ALL: [Quality; 3] = [Quality::Good, Quality::Uncertain, Quality::Bad];

    /// `good`, `uncertain` or `bad`.
    pub const fn word(self) -> &'static str {
        match self {
            Quality::Good => "good",
            Quality::Uncertain => "uncertain",
            Quality::Bad => "bad",
        }
    }
}

impl fmt::Display for Quality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn top_two_bits_are_the_quality() {
        assert_eq!(Status(0x3FFF_FFFF).quality(), Quality::Good);
        assert_eq!(Status(0x4095_0000).quality(), Quality::Uncertain);
        assert_eq!(Status(0x8000_0000).quality(), Quality::Bad);
        assert_eq!(Status(0xC000_0000).quality(), Quality::Bad);
    }

    #[test]
    fn statuses_are_read_as_users_write_them() {
        for text in ["2157641728", "0x809B0000", "BadNoData", "badnodata", " BADNODATA "] {
            assert_eq!(Status::parse(text), Some(Status::BAD_NO_DATA), "{text}");
        }
        assert_eq!(Status::parse("good"), Some(Status::GOOD));
        assert_eq!(Status::parse("BadNotReadable"), Some(Status(0x803A_0000)));
        assert_eq!(Status(0x803A_0400).name(), Some("BadNotReadable"));
        assert_eq!(Status(0x0030_0000).to_string(), "GoodClamped");
        assert_eq!(Status::parse("0x1FFFFFFFF"), None);
        assert_eq!(Status::parse("Splendid"), None);
    }

    #[test]
    fn classic_quality_counts_its_top_two_bits() {
        assert_eq!(Status::from_classic(192), Status::GOOD);
        assert_eq!(Status::from_classic(216), Status::GOOD);
        assert_eq!(Status::from_classic(64), Status::UNCERTAIN);
        assert_eq!(Status::from_classic(128), Status::BAD);
        assert_eq!(Status::from_classic(0), Status::BAD);
    }

    #[test]
    fn names_are_sorted_by_code_and_unique() {
        assert!(NAMES.is_sorted_by_key(|(code, _)| *code));
        for (i, (code, name)) in NAMES.iter().enumerate() {
            assert!(NAMES[i + 1..].iter().all(|(c, n)| c != code && !n.eq_ignore_ascii_case(name)), "{name}");
        }
    }
}
