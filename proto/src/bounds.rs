//! Every bound of the wire, once; and the memory that a message may take, on its bytes, before
//! any is taken.
//!
//! Two bytes on the wire can be an empty sub-message or string, which takes a hundred in memory: a
//! message within its limit of bytes could still take gigabytes. Entries of repeated fields are
//! therefore counted first. Packed numbers need no count: they take at most eight times their bytes.

use crate::v1;

/// Largest message of the ingest stream that is accepted, in bytes.
pub const INGEST_MESSAGE_BYTES_MAX: usize = 8 << 20;

/// Largest message of the other services that is accepted, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// Most samples in one batch.
pub const BATCH_ROWS_MAX: usize = 500_000;

/// Longest tag name in bytes of UTF-8.
pub const TAG_NAME_BYTES_MAX: usize = 1024;

/// Longest text value in bytes of UTF-8.
pub const TEXT_BYTES_MAX: usize = 32 << 10;

/// Longest source name in bytes of UTF-8.
pub const SOURCE_NAME_BYTES_MAX: usize = 255;

/// Most tags of one server.
pub const TAGS_MAX: usize = 16_000_000;

/// Bytes of memory that the entries of one message's repeated fields may take.
pub const ENTRY_BYTES_MAX: usize = 64 << 20;

/// A message whose repeated fields are known.
pub trait Bounded {
    /// The repeated fields, of strings and of messages.
    const SHAPE: Shape = Shape(&[]);
    /// Whether it keeps parts of the bytes that it is read from, so as not to copy them.
    const KEEPS_BYTES: bool = false;
}

/// Fields of a message in which entries are counted.
pub struct Shape(&'static [Field]);

/// A field that holds strings or messages.
struct Field {
    number: u64,
    /// Bytes that one entry takes in memory, without what it holds in turn.
    entry_bytes: usize,
    shape: &'static Shape,
}

const fn strings(number: u64) -> Field {
    Field { number, entry_bytes: size_of::<String>(), shape: &Shape(&[]) }
}

const fn messages<T>(number: u64, shape: &'static Shape) -> Field {
    Field { number, entry_bytes: size_of::<T>(), shape }
}

/// A field that is there at most once; where it comes again, it is merged with the first.
const fn within(number: u64, shape: &'static Shape) -> Field {
    Field { number, entry_bytes: 0, shape }
}

impl Bounded for v1::WriteRequest {
    const SHAPE: Shape = Shape(&[within(2, &BATCH)]);
}

const BATCH: Shape = Shape(&[messages::<v1::Block>(2, &BLOCK)]);
const BLOCK: Shape = Shape(&[within(1, &SCAN), within(6, &TEXTS)]);
const SCAN: Shape = Shape(&[strings(3)]);
const TEXTS: Shape = Shape(&[strings(1)]);

impl Bounded for v1::WriteResponse {
    const SHAPE: Shape = Shape(&[within(2, &ACK)]);
}

const ACK: Shape = Shape(&[messages::<v1::Rejection>(3, &NOTHING), messages::<v1::TagHandle>(4, &NOTHING)]);
const NOTHING: Shape = Shape(&[]);
const STATES: Shape = Shape(&[messages::<v1::State>(1, &NOTHING)]);

impl Bounded for v1::Tag {
    const SHAPE: Shape = Shape(&[messages::<v1::State>(8, &NOTHING)]);
}

impl Bounded for v1::CreateTagsRequest {
    const SHAPE: Shape = Shape(&[messages::<v1::Tag>(1, &<v1::Tag as Bounded>::SHAPE)]);
}

impl Bounded for v1::UpdateTagRequest {
    const SHAPE: Shape = Shape(&[within(7, &STATES)]);
}

impl Bounded for v1::CurrentRequest {
    const SHAPE: Shape = Shape(&[strings(1)]);
}

impl Bounded for v1::CurrentResponse {
    const SHAPE: Shape = Shape(&[messages::<v1::CurrentValue>(1, &NOTHING)]);
}

impl Bounded for v1::SubscribeRequest {
    const SHAPE: Shape = Shape(&[strings(1)]);
}

impl Bounded for v1::SubscribeResponse {
    const SHAPE: Shape = Shape(&[messages::<v1::Change>(1, &NOTHING)]);
}

impl Bounded for v1::SegmentsResponse {
    const SHAPE: Shape = Shape(&[messages::<v1::Segment>(1, &NOTHING)]);
}

impl Bounded for v1::CreateTagsResponse {}
impl Bounded for v1::ListTagsRequest {}
impl Bounded for v1::GetTagRequest {}
impl Bounded for v1::SqlRequest {}
impl Bounded for v1::SqlResponse {
    const KEEPS_BYTES: bool = true;
}
impl Bounded for v1::FlushRequest {}
impl Bounded for v1::CompactRequest {}
impl Bounded for v1::DeleteRequest {}
impl Bounded for v1::DeleteResponse {}
impl Bounded for v1::BackupRequest {}
impl Bounded for v1::BackupResponse {}

/// Bytes of memory that the entries of a message would take, as far as its bytes can be read:
/// decoding ends where they cannot.
pub fn entry_bytes(message: &[u8], shape: &Shape) -> usize {
    let mut total = 0_usize;
    let mut rest = Rest(message);
    while let Some((number, content)) = rest.field() {
        if let (Some(content), Some(field)) = (content, shape.0.iter().find(|field| field.number == number)) {
            total = total.saturating_add(field.entry_bytes);
            if !field.shape.0.is_empty() {
                total = total.saturating_add(entry_bytes(content, field.shape));
            }
        }
    }
    total
}

/// What is still to be read of a message.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    /// The next field: its number, and its bytes where it is a string, a message or packed.
    fn field(&mut self) -> Option<(u64, Option<&'a [u8]>)> {
        let key = self.varint()?;
        let content = match key & 7 {
            0 => self.varint().map(|_| None)?,
            1 => self.take(8).map(|_| None)?,
            2 => {
                let length = self.varint()?;
                Some(self.take(usize::try_from(length).ok()?)?)
            }
            5 => self.take(4).map(|_| None)?,
            _ => return None,
        };
        Some((key >> 3, content))
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            value |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;

    fn of<T: Message + Bounded>(message: &T) -> usize {
        entry_bytes(&message.encode_to_vec(), &T::SHAPE)
    }

    fn written(blocks: Vec<v1::Block>) -> v1::WriteRequest {
        let batch = v1::Batch { sequence: 300, blocks };
        v1::WriteRequest { request: Some(v1::write_request::Request::Batch(batch)) }
    }

    #[test]
    fn entries_are_counted_where_they_stand() {
        assert_eq!(of(&v1::WriteRequest::default()), 0);
        assert_eq!(of(&written(vec![v1::Block::default(); 1000])), 1000 * size_of::<v1::Block>());
        let names = vec![String::new(), "a name".into(), "another".into()];
        let scan = v1::Scan { time: -1, handles: vec![1, 2, 3], names };
        let texts = v1::Texts { values: vec!["word".into(); 6] };
        let block = v1::Block {
            shape: Some(v1::block::Shape::Scan(scan)),
            values: Some(v1::block::Values::Texts(texts)),
            statuses: vec![7; 6],
        };
        assert_eq!(of(&written(vec![block])), size_of::<v1::Block>() + 9 * size_of::<String>());
        let series = v1::Series { tag: Some(v1::series::Tag::Name("t".into())), times: vec![1; 1000] };
        let doubles = v1::Doubles { values: vec![0.5; 1000] };
        let block = v1::Block {
            shape: Some(v1::block::Shape::Series(series)),
            values: Some(v1::block::Values::Doubles(doubles)),
            statuses: Vec::new(),
        };
        assert_eq!(of(&written(vec![block])), size_of::<v1::Block>());
        let tag = v1::Tag { name: "t".into(), states: vec![v1::State::default(); 3], ..v1::Tag::default() };
        let tags = v1::CreateTagsRequest { tags: vec![tag; 2] };
        assert_eq!(of(&tags), 2 * size_of::<v1::Tag>() + 6 * size_of::<v1::State>());
    }

    #[test]
    fn bytes_that_are_no_message_are_read_as_far_as_they_go() {
        let mut bytes = written(vec![v1::Block::default(); 10]).encode_to_vec();
        bytes.extend([0xFF; 30]);
        assert_eq!(entry_bytes(&bytes, &v1::WriteRequest::SHAPE), 10 * size_of::<v1::Block>());
        for cut in 0..bytes.len() {
            entry_bytes(&bytes[..cut], &v1::WriteRequest::SHAPE);
        }
        // A length beyond the end.
        assert_eq!(entry_bytes(&[0x12, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F, 0, 0], &v1::WriteRequest::SHAPE), 0);
    }
}
