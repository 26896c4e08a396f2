//! OPC UA status codes and the quality they stand for.
//!
//! Source of the codes: OPC UA Part 4, 7.39 and Part 8, 6.3 (StatusCodes).

use std::fmt;

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

    /// The symbolic name of the code without its flag bits, where the standard names it here.
    pub fn name(self) -> Option<&'static str> {
        let code = self.0 & 0xFFFF_0000;
        NAMES.iter().find(|(known, _)| *known == code).map(|(_, name)| *name)
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

/// Codes that data values carry in practice, with their standard names.
const NAMES: &[(u32, &str)] = &[
    (0x0000_0000, "Good"),
    (0x0096_0000, "GoodLocalOverride"),
    (0x00A2_0000, "GoodEntryInserted"),
    (0x00A3_0000, "GoodEntryReplaced"),
    (0x00A5_0000, "GoodNoData"),
    (0x00A6_0000, "GoodMoreData"),
    (0x4000_0000, "Uncertain"),
    (0x408F_0000, "UncertainNoCommunicationLastUsableValue"),
    (0x4090_0000, "UncertainLastUsableValue"),
    (0x4091_0000, "UncertainSubstituteValue"),
    (0x4092_0000, "UncertainInitialValue"),
    (0x4093_0000, "UncertainSensorNotAccurate"),
    (0x4094_0000, "UncertainEngineeringUnitsExceeded"),
    (0x4095_0000, "UncertainSubNormal"),
    (0x40A4_0000, "UncertainDataSubNormal"),
    (0x8000_0000, "Bad"),
    (0x8001_0000, "BadUnexpectedError"),
    (0x8002_0000, "BadInternalError"),
    (0x8003_0000, "BadOutOfMemory"),
    (0x8004_0000, "BadResourceUnavailable"),
    (0x8005_0000, "BadCommunicationError"),
    (0x800A_0000, "BadTimeout"),
    (0x8031_0000, "BadNoCommunication"),
    (0x8032_0000, "BadWaitingForInitialData"),
    (0x803C_0000, "BadOutOfRange"),
    (0x8074_0000, "BadTypeMismatch"),
    (0x8089_0000, "BadConfigurationError"),
    (0x808A_0000, "BadNotConnected"),
    (0x808B_0000, "BadDeviceFailure"),
    (0x808C_0000, "BadSensorFailure"),
    (0x808D_0000, "BadOutOfService"),
    (0x808E_0000, "BadDeadbandFilterInvalid"),
    (0x809B_0000, "BadNoData"),
    (0x809D_0000, "BadDataLost"),
    (0x809E_0000, "BadDataUnavailable"),
    (0x80D4_0000, "BadAggregateListMismatch"),
    (0x80D5_0000, "BadAggregateNotSupported"),
    (0x80D6_0000, "BadAggregateInvalidInputs"),
];

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
    fn names_are_unique_in_both_columns() {
        for (i, (code, name)) in NAMES.iter().enumerate() {
            assert!(NAMES[i + 1..].iter().all(|(c, n)| c != code && !n.eq_ignore_ascii_case(name)), "{name}");
        }
    }
}
