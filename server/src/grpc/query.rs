//! The query service: SQL, and current values.

use std::pin::Pin;

use futures::{Stream, StreamExt};
use tagus_engine::Engine;
use tagus_engine::sample::Row;
use tagus_engine::tag::{Tag, TagType};
use tagus_proto::v1;
use tagus_proto::v1::current_value::Value;
use tagus_proto::v1::query_server::Query;
use tokio::sync::watch;
use tonic::{Request, Response, Status};

use super::{live, status, tags};
use crate::limits;
use crate::query::Queries;

/// Serves `tagus.v1.Query`.
pub struct QueryService {
    engine: Engine,
    queries: Queries,
    stopping: watch::Receiver<bool>,
}

impl QueryService {
    /// A service of one engine, whose subscriptions end once `stopping` holds true.
    pub fn new(engine: Engine, queries: Queries, stopping: watch::Receiver<bool>) -> QueryService {
        QueryService { engine, queries, stopping }
    }
}

#[tonic::async_trait]
impl Query for QueryService {
    type SqlStream = Pin<Box<dyn Stream<Item = Result<v1::SqlResponse, Status>> + Send>>;

    async fn sql(&self, request: Request<v1::SqlRequest>) -> Result<Response<Self::SqlStream>, Status> {
        let sql = request.into_inner().sql;
        status::check_bound("the SQL", sql.len(), limits::SQL_BYTES_MAX, "bytes")?;
        let messages = self.queries.run(sql).map(|message| {
            message.map(|message| v1::SqlResponse { header: message.data_header, body: message.data_body })
        });
        Ok(Response::new(Box::pin(messages)))
    }

    type SubscribeStream = Pin<Box<dyn Stream<Item = Result<v1::SubscribeResponse, Status>> + Send>>;

    async fn subscribe(
        &self,
        request: Request<v1::SubscribeRequest>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        let patterns = request.into_inner().tags;
        let changes = live::subscribe(self.engine.clone(), patterns, self.stopping.clone())?;
        Ok(Response::new(Box::pin(changes)))
    }

    async fn current(&self, request: Request<v1::CurrentRequest>) -> Result<Response<v1::CurrentResponse>, Status> {
        let names = request.into_inner().names;
        status::check_bound("the request", names.len(), limits::CURRENT_NAMES_MAX, "names")?;
        let engine = self.engine.clone();
        // A future tag's newest value may have to be read from a segment.
        let values = tokio::task::spawn_blocking(move || current_values(&engine, &names)).await;
        let values = values.map_err(|error| status::of_join(&error))??;
        Ok(Response::new(v1::CurrentResponse { values }))
    }
}

fn current_values(engine: &Engine, names: &[String]) -> Result<Vec<v1::CurrentValue>, Status> {
    let table = engine.tags();
    let value = |name: &String| {
        status::check_bound("the name", name.len(), tagus_engine::limits::TAG_NAME_BYTES_MAX, "bytes")?;
        let tag = tags::find(&table, name).map_err(|error| status::of_engine(&error))?;
        let row = engine.current(tag.id).map_err(|error| status::of_engine(&error))?;
        Ok(current_value(tag, row))
    };
    names.iter().map(value).collect()
}

pub(super) fn current_value(tag: &Tag, row: Option<Row>) -> v1::CurrentValue {
    let name = tag.spec.name.clone();
    let Some(Row { time, cell }) = row else { return v1::CurrentValue { name, ..v1::CurrentValue::default() } };
    let value = cell.value.map(|bits| match tag.spec.tag_type.is_float() {
        true => Value::Number(f64::from_bits(bits)),
        false => Value::Integer(bits.cast_signed()),
    });
    let state = cell.value.filter(|_| tag.spec.tag_type == TagType::Digital);
    let state = state.and_then(|code| tag.spec.state_name(code.cast_signed()));
    let text = cell.text.as_ref().or(state).map(ToString::to_string);
    v1::CurrentValue { name, time: Some(time), value, text, status: cell.status.0 }
}

#[cfg(test)]
mod tests {
    use tagus_engine::sample::Cell;
    use tagus_engine::status::Status as Quality;
    use tagus_engine::tag::{TagId, TagSpec};

    use super::*;

    fn tag(tag_type: TagType) -> Tag {
        let mut spec = TagSpec::new("T", tag_type);
        if tag_type == TagType::Digital {
            spec.states = TagSpec::parse_states("0=Closed,1=Open").unwrap();
        }
        Tag { id: TagId(1), created: 0, spec }
    }

    fn shown(tag_type: TagType, cell: Cell) -> (Option<Value>, Option<String>, u32) {
        let value = current_value(&tag(tag_type), Some(Row { time: 7, cell }));
        assert_eq!((value.name.as_str(), value.time), ("T", Some(7)));
        (value.value, value.text, value.status)
    }

    #[test]
    fn values_are_shown_by_type() {
        let bits = 2.5f64.to_bits();
        assert_eq!(shown(TagType::Float32, Cell::good(bits)), (Some(Value::Number(2.5)), None, 0));
        let minus = (-5i64).cast_unsigned();
        assert_eq!(shown(TagType::Int64, Cell::good(minus)), (Some(Value::Integer(-5)), None, 0));
        let open = (Some(Value::Integer(1)), Some("Open".into()), 0);
        assert_eq!(shown(TagType::Digital, Cell::good(1)), open);
        assert_eq!(shown(TagType::Digital, Cell::good(9)), (Some(Value::Integer(9)), None, 0));
        let state = Cell { value: None, text: Some("Scan Timeout".into()), status: Quality::BAD };
        assert_eq!(shown(TagType::Bool, state), (None, Some("Scan Timeout".into()), 0x8000_0000));
    }

    #[test]
    fn a_tag_without_samples_has_a_name_only() {
        let value = current_value(&tag(TagType::Text), None);
        assert_eq!(value, v1::CurrentValue { name: "T".into(), ..v1::CurrentValue::default() });
    }
}
