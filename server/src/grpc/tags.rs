//! The tags service.

use std::pin::Pin;
use std::sync::Arc;

use futures::Stream;
use tagus_engine::reduction::Reduction;
use tagus_engine::tag::{Interpolation, Tag, TagSpec, TagType, quoted};
use tagus_engine::{Engine, TagChange, TagTable, unknown_tag};
use tagus_proto::v1;
use tagus_proto::v1::tags_server::Tags;
use tonic::{Request, Response, Status};

use super::status;
use crate::limits;

/// Serves `tagus.v1.Tags`.
pub struct TagsService {
    engine: Engine,
}

impl TagsService {
    /// A service of one engine.
    pub fn new(engine: Engine) -> TagsService {
        TagsService { engine }
    }
}

#[tonic::async_trait]
impl Tags for TagsService {
    type ListStream = Pin<Box<dyn Stream<Item = Result<v1::Tag, Status>> + Send>>;

    async fn create(
        &self,
        request: Request<v1::CreateTagsRequest>,
    ) -> Result<Response<v1::CreateTagsResponse>, Status> {
        let tags = request.into_inner().tags;
        status::check_bound("the request", tags.len(), limits::CREATE_TAGS_MAX, "tags")?;
        let specs = tags.into_iter().map(spec).collect::<Result<Vec<_>, _>>()?;
        let engine = self.engine.clone();
        let ids = status::blocking(move || engine.create_tags(specs)).await?;
        Ok(Response::new(v1::CreateTagsResponse { created: u32::try_from(ids.len()).unwrap_or(u32::MAX) }))
    }

    async fn update(&self, request: Request<v1::UpdateTagRequest>) -> Result<Response<v1::Tag>, Status> {
        let request = request.into_inner();
        let name = request.name.clone();
        let tag = found(self.engine.tags(), name.clone()).await?;
        let change = change(&tag, request)?;
        let engine = self.engine.clone();
        let tag = status::blocking(move || engine.update_tag(&name, change)).await?;
        Ok(Response::new(wire_tag(&tag)))
    }

    async fn list(&self, request: Request<v1::ListTagsRequest>) -> Result<Response<Self::ListStream>, Status> {
        let glob = request.into_inner().glob;
        status::check_bound("the glob", glob.len(), tagus_engine::limits::TAG_NAME_BYTES_MAX, "bytes")?;
        let table = self.engine.tags();
        // Matching names takes a while where there are many.
        let tags = status::blocking(move || {
            let glob = if glob.is_empty() { "*" } else { &glob };
            Ok(table.glob(glob).into_iter().cloned().collect::<Vec<Arc<Tag>>>())
        });
        let tags = tags.await?.into_iter().map(|tag| Ok(wire_tag(&tag)));
        Ok(Response::new(Box::pin(tokio_stream::iter(tags))))
    }

    async fn get(&self, request: Request<v1::GetTagRequest>) -> Result<Response<v1::Tag>, Status> {
        let tag = found(self.engine.tags(), request.into_inner().name).await?;
        Ok(Response::new(wire_tag(&tag)))
    }
}

/// The tag of this name in any case.
///
/// # Errors
/// NOT_FOUND with the names that look most like it.
async fn found(tags: Arc<TagTable>, name: String) -> Result<Arc<Tag>, Status> {
    // Comparing with all names takes as long as they are many, and an endless one is not compared.
    status::check_bound("the name", name.len(), tagus_engine::limits::TAG_NAME_BYTES_MAX, "bytes")?;
    status::blocking(move || find(&tags, &name).cloned()).await
}

/// The tag of this name in any case. Blocks where it is unknown: its nearest names are looked for.
///
/// # Errors
/// `NotFound` with the names that look most like it.
pub fn find<'a>(tags: &'a TagTable, name: &str) -> tagus_engine::Result<&'a Arc<Tag>> {
    tags.find(name).ok_or_else(|| unknown_tag(name, tags))
}

fn refused(name: &str, why: &str) -> Status {
    Status::invalid_argument(format!("tag {}: {why}", quoted(name)))
}

fn spec(tag: v1::Tag) -> Result<TagSpec, Status> {
    let tag_type = match v1::TagType::try_from(tag.r#type) {
        Ok(v1::TagType::Float64) => TagType::Float64,
        Ok(v1::TagType::Float32) => TagType::Float32,
        Ok(v1::TagType::Int64) => TagType::Int64,
        Ok(v1::TagType::Bool) => TagType::Bool,
        Ok(v1::TagType::Digital) => TagType::Digital,
        Ok(v1::TagType::Text) => TagType::Text,
        Ok(v1::TagType::Unspecified) | Err(_) => {
            return Err(refused(&tag.name, "its type is missing or unknown; name one"));
        }
    };
    let interpolation = interpolation(&tag.name, tag.interpolation, tag_type)?;
    let states = states(tag.states);
    let reduction = Some(tag.reduction.as_str()).filter(|text| !text.is_empty()).map(reduction).transpose()?;
    let v1::Tag { name, unit, description, low, high, future, .. } = tag;
    Ok(TagSpec { name, tag_type, unit, description, interpolation, low, high, states, future, reduction })
}

fn interpolation(name: &str, wire: i32, tag_type: TagType) -> Result<Interpolation, Status> {
    match v1::Interpolation::try_from(wire) {
        Ok(v1::Interpolation::Unspecified) => Ok(tag_type.default_interpolation()),
        Ok(v1::Interpolation::Linear) => Ok(Interpolation::Linear),
        Ok(v1::Interpolation::Step) => Ok(Interpolation::Step),
        Err(_) => Err(refused(name, "its interpolation is unknown; use linear or step")),
    }
}

fn change(tag: &Tag, request: v1::UpdateTagRequest) -> Result<TagChange, Status> {
    let v1::UpdateTagRequest {
        name,
        unit,
        description,
        interpolation: wire,
        low,
        high,
        states: wire_states,
        future,
        reduction: text,
    } = request;
    let reduction = text.as_deref().map(reduction).transpose()?;
    let interpolation = wire.map(|wire| interpolation(&name, wire, tag.spec.tag_type)).transpose()?;
    // NaN takes a limit away; another number sets it.
    let limit = |limit: Option<f64>| limit.map(|limit| (!limit.is_nan()).then_some(limit));
    let states = wire_states.map(|wire| states(wire.states));
    Ok(TagChange { unit, description, interpolation, low: limit(low), high: limit(high), states, future, reduction })
}

fn reduction(text: &str) -> Result<Reduction, Status> {
    status::check_bound("the reduction", text.len(), tagus_engine::limits::METADATA_BYTES_MAX, "bytes")?;
    Reduction::parse(text).map_err(|error| Status::invalid_argument(error.to_string()))
}

fn states(states: Vec<v1::State>) -> Vec<(i64, Arc<str>)> {
    let mut states: Vec<(i64, Arc<str>)> = states.into_iter().map(|s| (s.code, s.name.into())).collect();
    states.sort_by_key(|(code, _)| *code);
    states
}

fn wire_tag(tag: &Tag) -> v1::Tag {
    let spec = &tag.spec;
    let tag_type = match spec.tag_type {
        TagType::Float64 => v1::TagType::Float64,
        TagType::Float32 => v1::TagType::Float32,
        TagType::Int64 => v1::TagType::Int64,
        TagType::Bool => v1::TagType::Bool,
        TagType::Digital => v1::TagType::Digital,
        TagType::Text => v1::TagType::Text,
    };
    let interpolation = match spec.interpolation {
        Interpolation::Linear => v1::Interpolation::Linear,
        Interpolation::Step => v1::Interpolation::Step,
    };
    v1::Tag {
        name: spec.name.clone(),
        r#type: tag_type.into(),
        unit: spec.unit.clone(),
        description: spec.description.clone(),
        interpolation: interpolation.into(),
        low: spec.low,
        high: spec.high,
        states: spec.states.iter().map(|(code, name)| v1::State { code: *code, name: name.to_string() }).collect(),
        future: spec.future,
        created: tag.created,
        reduction: spec.reduction.map_or(String::new(), |reduction| reduction.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_survive_the_wire() {
        for tag_type in TagType::ALL {
            let mut spec_in = TagSpec::new("a.b", tag_type);
            (spec_in.unit, spec_in.description, spec_in.future) = ("bar".into(), "pressure".into(), true);
            (spec_in.low, spec_in.high) = (Some(-1.5), None);
            if tag_type == TagType::Digital {
                spec_in.states = TagSpec::parse_states("7=Open,-1=Closed").unwrap();
            }
            if tag_type != TagType::Text {
                spec_in.reduction = Some(Reduction::parse("ExcDev=0.5,CompDev=1,CompMax=1h").unwrap());
            }
            let tag = Tag { id: tagus_engine::tag::TagId(1), created: 5, spec: spec_in.clone() };
            let wire = wire_tag(&tag);
            assert_eq!(wire.created, 5);
            assert_eq!(spec(wire).unwrap(), spec_in);
        }
    }

    #[test]
    fn what_a_tag_lacks_is_said() {
        let status = spec(v1::Tag { name: "x".into(), ..v1::Tag::default() }).unwrap_err();
        assert!(status.message().contains("'x'") && status.message().contains("type"), "{}", status.message());
        let wire = v1::Tag { r#type: 1, interpolation: 9, ..v1::Tag::default() };
        assert!(spec(wire).unwrap_err().message().contains("interpolation"));
    }

    #[test]
    fn a_change_of_nan_takes_a_limit_away() {
        let spec = TagSpec::new("x", TagType::Float64);
        let tag = Tag { id: tagus_engine::tag::TagId(1), created: 0, spec };
        let request = v1::UpdateTagRequest { low: Some(f64::NAN), high: Some(2.0), ..v1::UpdateTagRequest::default() };
        let change = change(&tag, request).unwrap();
        assert_eq!((change.low, change.high, change.unit), (Some(None), Some(Some(2.0)), None));
    }
}
