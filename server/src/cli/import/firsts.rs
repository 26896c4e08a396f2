//! First values: an undeclared tag gets its type from the first that is neither empty nor Bad,
//! however many rows of other tags, and so batches, lie before it.

use std::collections::HashMap;
use std::iter;
use std::sync::Arc;

use tagus_client::Value;
use tagus_engine::coerce::type_of;
use tagus_engine::limits::TEXT_BYTES_MAX;
use tagus_engine::tag::TagType;
use tagus_proto::v1;

use super::chunk::Names;
use super::refusal::input;
use crate::cli::args::ConnectArgs;
use crate::cli::connect;
use crate::cli::error::Result;

/// Tags that one batch declares.
const TAGS_PER_BATCH: usize = 1000;
const WHAT: &str = "declaring the tags of the file";

/// What the rows of all files say of their tags' types, as far as they are read.
#[derive(Default)]
pub struct Firsts {
    names: Names,
    /// Names, as they came first, of the tags for which no value has decided.
    undecided: HashMap<u32, Arc<str>>,
    /// Tags whose first row does not decide, and the type that a later one gives them.
    late: Vec<(Arc<str>, TagType)>,
}

impl Firsts {
    /// Whether rows of this tag need no more looking at.
    pub fn is_decided(&self, name: &[u8]) -> bool {
        self.names.known(name).is_some_and(|index| !self.undecided.contains_key(&index))
    }

    /// Learns from a row. One that will not be sent says nothing.
    pub fn see(&mut self, name: &[u8], value: &Value, status: u32) {
        let mut new = Vec::new();
        let Ok(index) = self.names.index(name, &mut new) else { return };
        let is_first = !new.is_empty();
        self.undecided.extend(new.pop().map(|name| (index, name)));
        let is_sent = !matches!(value, Value::Text(text) if text.len() > TEXT_BYTES_MAX);
        let decides = is_sent && !tagus_engine::status::Status(status).is_bad();
        let Some(tag_type) = type_of(&input(value)).filter(|_| decides) else { return };
        let first = self.undecided.remove(&index);
        // A tag without a deciding value becomes float64 anyway.
        if let Some(name) = first.filter(|_| !is_first && tag_type != TagType::Float64) {
            self.late.push((name, tag_type));
        }
    }

    /// Has the server create the tags whose type it would not see in time, by series without
    /// samples: it creates only what this writer's samples would have created.
    pub async fn introduce(self, args: &ConnectArgs) -> Result<()> {
        if self.late.is_empty() {
            return Ok(());
        }
        let open = v1::write_request::Request::Open(v1::Open { source: String::new(), epoch: 0 });
        let batches = (1..).zip(self.late.chunks(TAGS_PER_BATCH)).map(|(sequence, tags)| {
            let blocks = tags.iter().map(|(name, tag_type)| declaration(name, *tag_type)).collect();
            v1::write_request::Request::Batch(v1::Batch { sequence, blocks })
        });
        let requests: Vec<_> =
            iter::once(open).chain(batches).map(|request| v1::WriteRequest { request: Some(request) }).collect();
        let mut ingest = connect::open(args).await?.ingest();
        let answers = connect::answer(WHAT, ingest.write(tokio_stream::iter(requests))).await?;
        let mut answers = answers.into_inner();
        while connect::answer(WHAT, answers.message()).await?.is_some() {}
        Ok(())
    }
}

fn declaration(name: &str, tag_type: TagType) -> v1::Block {
    let series = v1::Series { tag: Some(v1::series::Tag::Name(name.to_owned())), times: Vec::new() };
    let values = match tag_type {
        TagType::Bool => v1::block::Values::Booleans(v1::Booleans::default()),
        _ => v1::block::Values::Texts(v1::Texts::default()),
    };
    v1::Block { shape: Some(v1::block::Shape::Series(series)), values: Some(values), statuses: Vec::new() }
}

#[cfg(test)]
mod tests {
    use tagus_client::Status;

    use super::*;

    #[test]
    fn the_first_value_that_is_neither_empty_nor_bad_decides() {
        let mut firsts = Firsts::default();
        let bad = Status::BAD.0;
        for (name, value, status) in [
            ("word", "", 0),
            ("at once", "ready", 0),
            ("number", "Scan Timeout", bad),
            ("switch", "off", bad),
            ("WORD", "stopped", bad),
            ("number", "17", 0),
            ("switch", "true", 0),
            ("word", "ready", 0),
            ("word", "17", 0),
            ("number", "ready", 0),
            ("nothing", "", 0),
        ] {
            let value = if value.is_empty() { Value::Empty } else { Value::from(value) };
            firsts.see(name.as_bytes(), &value, status);
        }
        assert_eq!(firsts.late, [("switch".into(), TagType::Bool), ("word".into(), TagType::Text)]);
        assert!(firsts.is_decided(b"at once") && firsts.is_decided(b"WORD") && !firsts.is_decided(b"nothing"));
    }
}
