//! Which column holds what, and how statuses and qualities are read.

use tagus_engine::status::{Quality, Status};

/// The columns of a file by position.
#[derive(Clone, Debug, PartialEq)]
pub struct Columns {
    /// The tag's name.
    pub tag: usize,
    /// The source's timestamp.
    pub time: usize,
    /// The value.
    pub value: usize,
    /// What the table `samples` has beside the value; where it is not NULL, it says more. Only in
    /// files that have all columns of that table: elsewhere a text may be a comment.
    pub text: Option<usize>,
    /// OPC UA status; it beats the quality.
    pub status: Option<usize>,
    /// OPC Classic quality.
    pub quality: Option<usize>,
    /// How many fields a row has at least.
    pub least: usize,
    /// How many fields a row has at most.
    pub most: usize,
}

impl Columns {
    /// Finds the columns by their names, in any case and order; others are ignored.
    pub fn from_names(names: &[String]) -> Result<Columns, String> {
        let find = |wanted: &str| -> Result<Option<usize>, String> {
            let mut found = names.iter().enumerate().filter(|(_, name)| name.trim().eq_ignore_ascii_case(wanted));
            match (found.next(), found.next()) {
                (_, Some(_)) => Err(format!("the column {wanted} is there twice")),
                (first, None) => Ok(first.map(|(index, _)| index)),
            }
        };
        let missing = |wanted: &str| {
            let shown: Vec<String> = names.iter().take(20).map(|name| name.trim().chars().take(40).collect()).collect();
            format!("there is no column {wanted} (its columns are: {})", shown.join(", "))
        };
        let time = match find("timestamp")? {
            Some(index) => Some(index),
            None => find("time")?,
        };
        let (status, quality) = (find("status")?, find("quality")?);
        let text = if status.is_some() && quality.is_some() { find("text")? } else { None };
        Ok(Columns {
            tag: find("tag")?.ok_or_else(|| missing("tag"))?,
            time: time.ok_or_else(|| missing("timestamp or time"))?,
            value: find("value")?.ok_or_else(|| missing("value"))?,
            text,
            status,
            quality,
            least: names.len(),
            most: names.len(),
        })
    }

    /// Without a header: tag, timestamp, value and, where there is a fourth, status.
    pub fn default_order() -> Columns {
        Columns { tag: 0, time: 1, value: 2, text: None, status: Some(3), quality: None, least: 3, most: 4 }
    }

    /// Whether fields are a header: names of columns stand where else a tag and a time would.
    pub fn is_header(names: &[String]) -> bool {
        names.iter().any(|name| name.trim().eq_ignore_ascii_case("tag"))
            && names.iter().any(|name| name.trim().eq_ignore_ascii_case("value"))
    }
}

/// Reads statuses and qualities; neighbours are mostly alike, so the last of each is remembered.
#[derive(Default)]
pub struct StatusReader {
    last_status: (Vec<u8>, u32),
    last_quality: (Vec<u8>, u32),
}

impl StatusReader {
    /// The status of a row whose cells these are; Good where both are empty.
    pub fn read(&mut self, status: &[u8], quality: &[u8]) -> Result<u32, String> {
        if !status.trim_ascii().is_empty() {
            return remembered(&mut self.last_status, status, status_of_text);
        }
        if !quality.trim_ascii().is_empty() {
            return remembered(&mut self.last_quality, quality, quality_of_text);
        }
        Ok(Status::GOOD.0)
    }
}

fn remembered(last: &mut (Vec<u8>, u32), cell: &[u8], read: fn(&str) -> Result<Status, String>) -> Result<u32, String> {
    if last.0 != cell {
        let text = std::str::from_utf8(cell).map_err(|_| "the status is not UTF-8".to_string())?;
        last.1 = read(text)?.0;
        last.0.clear();
        last.0.extend_from_slice(cell);
    }
    Ok(last.1)
}

/// A status as users write it.
pub fn status_of_text(text: &str) -> Result<Status, String> {
    Status::parse(text).ok_or_else(|| format!("the status {} is no number and no OPC UA name", shown(text)))
}

/// An OPC Classic quality byte or one of the words.
pub fn quality_of_text(text: &str) -> Result<Status, String> {
    let text = text.trim();
    if let Ok(byte) = text.parse::<u8>() {
        return Ok(Status::from_classic(byte));
    }
    let word = Quality::ALL.into_iter().find(|quality| quality.word().eq_ignore_ascii_case(text));
    match word {
        Some(Quality::Good) => Ok(Status::GOOD),
        Some(Quality::Uncertain) => Ok(Status::UNCERTAIN),
        Some(Quality::Bad) => Ok(Status::BAD),
        None => Err(format!("the quality {} is neither 0 to 255 nor good, uncertain or bad", shown(text))),
    }
}

/// A status that came as a number. Tools without unsigned numbers write Bad codes as negative
/// 32-bit integers; the bits count.
pub fn status_of_number(number: i64) -> Result<u32, String> {
    u32::try_from(number)
        .or_else(|_| i32::try_from(number).map(i32::cast_unsigned))
        .map_err(|_| format!("the status {number} has more than 32 bits"))
}

/// An OPC Classic quality byte.
pub fn quality_of_number(number: i64) -> Result<u32, String> {
    match u8::try_from(number) {
        Ok(byte) => Ok(Status::from_classic(byte).0),
        Err(_) => Err(format!("the quality {number} is not within 0 to 255")),
    }
}

fn shown(text: &str) -> String {
    tagus_engine::tag::quoted(text.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        text.split(',').map(ToString::to_string).collect()
    }

    #[test]
    fn columns_are_found_in_any_order() {
        let columns = Columns::from_names(&names("quality, Value,note,TIME,tag")).unwrap();
        assert_eq!((columns.tag, columns.time, columns.value), (4, 3, 1));
        assert_eq!((columns.status, columns.quality, columns.least, columns.most), (None, Some(0), 5, 5));
        let columns = Columns::from_names(&names("time,timestamp,tag,value,status")).unwrap();
        assert_eq!((columns.time, columns.status), (1, Some(4)));
    }

    #[test]
    fn what_is_missing_is_named_with_what_is_there() {
        for (header, expected) in [
            ("a,b", "there is no column tag (its columns are: a, b)"),
            ("tag,value", "there is no column timestamp or time (its columns are: tag, value)"),
            ("tag,time", "there is no column value (its columns are: tag, time)"),
            ("tag,time,value,Tag", "the column tag is there twice"),
        ] {
            assert_eq!(Columns::from_names(&names(header)), Err(expected.to_string()));
        }
        assert!(Columns::is_header(&names("timestamp,tag,value")));
        assert!(!Columns::is_header(&names("tag,2026-01-01,5")));
    }

    #[test]
    fn status_beats_quality_and_nothing_is_good() {
        let mut reader = StatusReader::default();
        for (status, quality, expected) in [
            ("", "", 0),
            ("BadNoData", "192", 0x809B_0000),
            ("0x40950000", "", 0x4095_0000),
            ("2147483648", "", 0x8000_0000),
            (" ", "192", 0),
            ("", "64", 0x4000_0000),
            ("", "0", 0x8000_0000),
            ("", "128", 0x8000_0000),
            ("", "219", 0),
            ("", "Uncertain", 0x4000_0000),
            ("", "bad", 0x8000_0000),
        ] {
            for _ in 0..2 {
                assert_eq!(reader.read(status.as_bytes(), quality.as_bytes()), Ok(expected), "{status} {quality}");
            }
        }
        assert!(reader.read(b"Splendid", b"192").unwrap_err().contains("'Splendid'"));
        assert!(reader.read(b"", b"256").unwrap_err().contains("0 to 255"));
        assert!(reader.read(b"\xFF", b"").unwrap_err().contains("UTF-8"));
    }

    #[test]
    fn numbers_are_taken_by_their_bits() {
        assert_eq!(status_of_number(0x809B_0000), Ok(0x809B_0000));
        assert_eq!(status_of_number(-2_137_325_568), Ok(0x809B_0000));
        assert!(status_of_number(1 << 32).is_err());
        assert!(status_of_number(-(1 << 32)).is_err());
        assert_eq!(quality_of_number(64), Ok(0x4000_0000));
        assert!(quality_of_number(-1).is_err());
    }
}
