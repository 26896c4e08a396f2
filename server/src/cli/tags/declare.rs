//! Declares tags: creates those that are missing, and gives those that exist the metadata said.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};
use prost::Message;
use tagus_client::{Connection, Error};
use tagus_engine::tag::{Interpolation, TagType, quoted};
use tagus_proto::v1;
use tonic::Code;

use super::super::connect::{PATIENCE, answer};
use super::super::error::{Failure, Result};
use super::super::import::tags::Declared;

/// Tags of one request to create some.
const REQUEST_TAGS: usize = 10_000;
/// Tags that are asked for one by one; beyond it all are listed.
const ASKED_TAGS: usize = 1000;
/// Bytes of one request, about.
const REQUEST_BYTES: usize = 16 << 20;
/// Requests for single tags that are on their way at the same time.
const AT_ONCE: usize = 32;

/// What became of declarations.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Done {
    created: usize,
    changed: usize,
    unchanged: usize,
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "created={} changed={} unchanged={}", self.created, self.changed, self.unchanged)
    }
}

/// Declares tags. One that exists with another type is an error, and then nothing is changed.
pub async fn declare(connection: &Connection, declared: Vec<Declared>) -> Result<Done> {
    let fits = request_len(&declared) == declared.len();
    if fits && create(connection, declared.iter()).await? {
        return Ok(Done { created: declared.len(), ..Done::default() });
    }
    let names: Vec<&str> = declared.iter().map(|tag| &*tag.name).collect();
    let known = known(connection, &names).await?;
    let mut changes = Vec::new();
    let mut missing = Vec::new();
    for tag in declared {
        match known.get(&tag.name.to_lowercase()) {
            Some(known) => changes.extend(change(&tag, known)?),
            None => missing.push(tag),
        }
    }
    let (created, changed) = (missing.len(), changes.len());
    let mut rest = &missing[..];
    while !rest.is_empty() {
        let (now, later) = rest.split_at(request_len(rest));
        if !create(connection, now.iter()).await? {
            let why = "somebody else created some of them at the same time";
            return Err(Failure::new("creating tags", why, "try again"));
        }
        rest = later;
    }
    let update = |change| async move {
        let mut client = connection.tags();
        answer("changing a tag", client.update(change)).await.map(drop)
    };
    futures::stream::iter(changes.into_iter().map(update)).buffered(AT_ONCE).try_collect::<Vec<()>>().await?;
    Ok(Done { created, changed, unchanged: known.len() - changed })
}

/// How many tags go into one request.
fn request_len(tags: &[Declared]) -> usize {
    let mut bytes = 0;
    let fits = tags.iter().take(REQUEST_TAGS).take_while(|tag| {
        bytes += message(tag).encoded_len();
        bytes <= REQUEST_BYTES
    });
    fits.count().max(1)
}

/// Creates tags, all or none; false where one of them is there already.
async fn create(connection: &Connection, tags: impl Iterator<Item = &Declared>) -> Result<bool> {
    let tags: Vec<v1::Tag> = tags.map(message).collect();
    if tags.is_empty() {
        return Ok(true);
    }
    let mut client = connection.tags();
    let call = client.create(v1::CreateTagsRequest { tags });
    match tokio::time::timeout(PATIENCE, call).await {
        Ok(Err(status)) if status.code() == Code::AlreadyExists => Ok(false),
        Ok(Err(status)) => Err(Failure::from(Error::from_status("creating tags", &status))),
        Ok(Ok(_)) => Ok(true),
        Err(_) => Err(Failure::new("creating tags", "the server does not answer", "check it and try again")),
    }
}

/// Those tags of the names that exist, by name in lower case. A few are asked for one by one,
/// many are picked from the list of all.
pub async fn known(connection: &Connection, names: &[&str]) -> Result<HashMap<String, v1::Tag>> {
    let lower = |tag: v1::Tag| (tag.name.to_lowercase(), tag);
    if names.len() <= ASKED_TAGS {
        let asked = futures::stream::iter(names.iter().map(|name| find(connection, name))).buffered(AT_ONCE);
        let found: Vec<Option<v1::Tag>> = asked.try_collect().await?;
        return Ok(found.into_iter().flatten().map(lower).collect());
    }
    let wanted: HashSet<String> = names.iter().map(|name| name.to_lowercase()).collect();
    let mut known = HashMap::new();
    let mut all = super::stream(connection, String::new()).await?;
    while let Some(tag) = answer("listing tags", all.message()).await? {
        known.extend(Some(lower(tag)).filter(|(name, _)| wanted.contains(name)));
    }
    Ok(known)
}

async fn find(connection: &Connection, name: &str) -> Result<Option<v1::Tag>> {
    let mut client = connection.tags();
    let call = client.get(v1::GetTagRequest { name: name.to_string() });
    match tokio::time::timeout(PATIENCE, call).await {
        Ok(Err(status)) if status.code() == Code::NotFound => Ok(None),
        Ok(Err(status)) => Err(Failure::from(Error::from_status("looking up a tag", &status))),
        Ok(Ok(tag)) => Ok(Some(tag.into_inner())),
        Err(_) => Err(Failure::new("looking up a tag", "the server does not answer", "check it and try again")),
    }
}

/// What has to change for `known` to be as declared; `None` where it is. What the declaration
/// does not say stays as it is; states that came up since stay too.
fn change(declared: &Declared, known: &v1::Tag) -> Result<Option<v1::UpdateTagRequest>> {
    let spec = declared.spec();
    if known.r#type != i32::from(tag_type(spec.tag_type)) {
        let there = known_type(known.r#type).map_or("another", TagType::word);
        let why = format!("it exists with type {there}, not {}", spec.tag_type.word());
        return Err(Failure::new(format_args!("declaring tag {}", quoted(&declared.name)), why, "correct the type"));
    }
    let said = &declared.metadata;
    let interpolation: i32 = interpolation(spec.interpolation).into();
    let merged = states(&merged_states(&spec.states, &known.states));
    let differs = |limit: Option<f64>, known: Option<f64>| limit.filter(|l| Some(*l).filter(|l| !l.is_nan()) != known);
    let change = v1::UpdateTagRequest {
        name: known.name.clone(),
        unit: said.unit.clone().filter(|unit| *unit != known.unit),
        description: said.description.clone().filter(|text| *text != known.description),
        interpolation: said.interpolation.and(Some(interpolation)).filter(|word| *word != known.interpolation),
        low: differs(said.low, known.low),
        high: differs(said.high, known.high),
        states: (merged != known.states).then_some(v1::States { states: merged }),
        future: said.future.filter(|future| *future != known.future),
        reduction: said.reduction.map(|reduction| reduction.to_string()).filter(|text| *text != known.reduction),
    };
    let nothing = v1::UpdateTagRequest { name: known.name.clone(), ..v1::UpdateTagRequest::default() };
    Ok((change != nothing).then_some(change))
}

/// Declared states, and those of other codes that are known; by code.
fn merged_states(declared: &[(i64, Arc<str>)], known: &[v1::State]) -> Vec<(i64, Arc<str>)> {
    let mut merged: BTreeMap<i64, Arc<str>> =
        known.iter().map(|state| (state.code, Arc::from(state.name.as_str()))).collect();
    merged.extend(declared.iter().cloned());
    merged.into_iter().collect()
}

/// A declaration as it is sent.
pub fn message(declared: &Declared) -> v1::Tag {
    let spec = declared.spec();
    v1::Tag {
        name: spec.name,
        r#type: tag_type(spec.tag_type).into(),
        unit: spec.unit,
        description: spec.description,
        interpolation: interpolation(spec.interpolation).into(),
        low: spec.low,
        high: spec.high,
        states: states(&spec.states),
        future: spec.future,
        created: 0,
        reduction: spec.reduction.map_or(String::new(), |reduction| reduction.to_string()),
    }
}

/// Named states as they are sent.
pub fn states(states: &[(i64, Arc<str>)]) -> Vec<v1::State> {
    states.iter().map(|(code, name)| v1::State { code: *code, name: name.to_string() }).collect()
}

/// An interpolation as it is sent.
pub fn interpolation(interpolation: Interpolation) -> v1::Interpolation {
    match interpolation {
        Interpolation::Linear => v1::Interpolation::Linear,
        Interpolation::Step => v1::Interpolation::Step,
    }
}

/// A type as it is sent.
fn tag_type(tag_type: TagType) -> v1::TagType {
    match tag_type {
        TagType::Float64 => v1::TagType::Float64,
        TagType::Float32 => v1::TagType::Float32,
        TagType::Int64 => v1::TagType::Int64,
        TagType::Bool => v1::TagType::Bool,
        TagType::Digital => v1::TagType::Digital,
        TagType::Text => v1::TagType::Text,
    }
}

/// The type of a number that came; `None` where a newer server knows more types.
pub fn known_type(number: i32) -> Option<TagType> {
    TagType::ALL.into_iter().find(|known| i32::from(tag_type(*known)) == number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::Metadata;
    use crate::cli::parse;

    fn declared(tag_type: TagType, metadata: Metadata) -> Declared {
        Declared { name: "a".into(), tag_type, metadata }
    }

    #[test]
    fn what_is_as_declared_is_left_alone() {
        let metadata = Metadata { unit: Some("bar".into()), low: Some(0.0), ..Metadata::default() };
        let tag = declared(TagType::Float64, metadata);
        let known = v1::Tag { name: "A".into(), description: "kept".into(), high: Some(9.0), ..message(&tag) };
        assert_eq!(change(&tag, &known), Ok(None));
    }

    #[test]
    fn only_what_differs_is_changed() {
        let tag = declared(TagType::Float64, Metadata { unit: Some("bar".into()), ..Metadata::default() });
        let known = v1::Tag { unit: "Pa".into(), low: Some(1.0), ..message(&tag) };
        let expected = v1::UpdateTagRequest { name: "a".into(), unit: Some("bar".into()), ..Default::default() };
        assert_eq!(change(&tag, &known), Ok(Some(expected)));
        let tag = declared(TagType::Float64, Metadata { low: Some(f64::NAN), ..Metadata::default() });
        let change = change(&tag, &v1::Tag { low: Some(1.0), ..message(&tag) }).unwrap().unwrap();
        assert!(change.low.is_some_and(f64::is_nan));
    }

    #[test]
    fn another_type_is_an_error() {
        let known = message(&declared(TagType::Text, Metadata::default()));
        assert_eq!(
            change(&declared(TagType::Int64, Metadata::default()), &known),
            Err(Failure::Failed(
                "declaring tag 'a' failed: it exists with type text, not int64; correct the type".to_string()
            ))
        );
    }

    #[test]
    fn states_that_came_up_since_stay() {
        let states = |text| Some(parse::States(parse::states(text).unwrap().0));
        let tag = declared(TagType::Digital, Metadata { states: states("0=Shut,1=Open"), ..Metadata::default() });
        let now = Metadata { states: states("0=Closed,1=Open,7=Fault"), ..Metadata::default() };
        let known = message(&declared(TagType::Digital, now));
        let change = change(&tag, &known).unwrap().unwrap();
        let names: Vec<(i64, String)> =
            change.states.unwrap().states.into_iter().map(|state| (state.code, state.name)).collect();
        assert_eq!(names, [(0, "Shut".into()), (1, "Open".into()), (7, "Fault".into())]);
    }

    #[test]
    fn requests_are_bounded() {
        let long = declared(TagType::Float64, Metadata { unit: Some("x".repeat(1 << 20)), ..Metadata::default() });
        assert_eq!(request_len(&vec![long; 40]), 15);
        assert_eq!(request_len(&vec![declared(TagType::Bool, Metadata::default()); 30_000]), 10_000);
        let huge = declared(TagType::Float64, Metadata { unit: Some("x".repeat(20 << 20)), ..Metadata::default() });
        assert_eq!(request_len(&[huge]), 1);
    }
}
