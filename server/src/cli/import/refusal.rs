//! Why a server refused samples, worked out here: for those whose reasons were on their way when
//! the connection broke.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use tagus_client::{Connection, Unseen, Value};
use tagus_engine::coerce::{Input, coerce};
use tagus_engine::limits::{TIME_MAX, TIME_MIN};
use tagus_engine::status::Status;
use tagus_engine::tag::{TagSpec, quoted};
use tagus_proto::v1;

use crate::cli::connect;
use crate::cli::error::Result;
use crate::cli::tags::{known, known_type};

/// What the rules say of a sample.
#[derive(Debug, PartialEq)]
enum Verdict {
    Kept,
    /// Refused where its time was further ahead than the server allows.
    Ahead,
    Refused(String),
}

/// Finds the refused samples, as their indices with reasons, in order. Where the rules do not
/// account for as many as the server counted, there are fewer.
pub async fn find(connection: &Connection, unseen: &Unseen) -> Result<Vec<(usize, String)>> {
    let mut names: Vec<&str> = unseen.samples.iter().map(|sample| &*sample.tag).collect();
    names.sort_unstable();
    names.dedup();
    let tags = connect::patiently(|| known(connection, &names)).await?;
    let specs: HashMap<&str, TagSpec> =
        names.iter().filter_map(|name| Some((*name, spec(tags.get(&name.to_lowercase())?)?))).collect();
    Ok(pick(unseen, &specs, now()))
}

fn pick(unseen: &Unseen, specs: &HashMap<&str, TagSpec>, now: i64) -> Vec<(usize, String)> {
    let mut refused = Vec::new();
    let mut ahead = Vec::new();
    for (index, sample) in unseen.samples.iter().enumerate() {
        let spec = specs.get(&*sample.tag);
        match verdict(&sample.tag, spec, sample.time_ns, &sample.value, Status(sample.status.0), now) {
            Verdict::Kept => {}
            Verdict::Ahead => ahead.push((sample.time_ns, index)),
            Verdict::Refused(reason) => refused.push((index, reason)),
        }
    }
    // The server's clock and its bound are not known here, but those furthest ahead break it first.
    let rest = usize::try_from(unseen.rejected).unwrap_or(usize::MAX).saturating_sub(refused.len());
    ahead.sort_unstable_by(|a, b| b.cmp(a));
    let reason = "its time is further in the future than the server allows";
    refused.extend(ahead.into_iter().take(rest).map(|(_, index)| (index, reason.to_string())));
    refused.sort_unstable_by_key(|(index, _)| *index);
    refused
}

fn verdict(name: &str, spec: Option<&TagSpec>, time: i64, value: &Value, status: Status, now: i64) -> Verdict {
    let Some(spec) = spec else {
        return Verdict::Refused(format!("tag {} does not exist and auto_create is off", quoted(name)));
    };
    if !(TIME_MIN..=TIME_MAX).contains(&time) {
        return Verdict::Refused("its time is not between 1900 and 2262".to_string());
    }
    // Every word that a digital tag took is among its states by now.
    match coerce(spec, input(value), status, &mut |_, _| None) {
        Err(reason) => Verdict::Refused(reason),
        Ok(_) if !spec.future && time > now => Verdict::Ahead,
        Ok(_) => Verdict::Kept,
    }
}

/// A value as the server's rules take it.
pub fn input(value: &Value) -> Input<'_> {
    match value {
        Value::Empty => Input::Empty,
        Value::Number(number) => Input::Number(*number),
        Value::Integer(number) => Input::Integer(*number),
        Value::Boolean(truth) => Input::Boolean(*truth),
        Value::Text(text) => Input::Word(text),
    }
}

fn spec(tag: &v1::Tag) -> Option<TagSpec> {
    let mut spec = TagSpec::new(&tag.name, known_type(tag.r#type)?);
    spec.states = tag.states.iter().map(|state| (state.code, Arc::from(state.name.as_str()))).collect();
    spec.future = tag.future;
    Some(spec)
}

fn now() -> i64 {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_1970.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use tagus_client::Sent;
    use tagus_engine::tag::TagType;

    use super::*;

    #[test]
    fn the_refused_are_found_by_the_rules() {
        let specs: HashMap<&str, TagSpec> = [("i", TagType::Int64), ("plan", TagType::Float64)]
            .map(|(name, tag_type)| (name, TagSpec { future: name == "plan", ..TagSpec::new(name, tag_type) }))
            .into();
        let samples: Vec<Sent> = [
            ("i", 5, "2.5"),
            ("i", 5, "2"),
            ("i", 2000, "3"),
            ("i", i64::MAX, "3"),
            ("plan", 5000, "4"),
            ("i", 3000, "5"),
            ("gone", 5, "6"),
        ]
        .map(|(tag, time_ns, text)| {
            let (value, status) = (Value::from(text), tagus_client::Status::GOOD);
            Sent { ordinal: 0, tag: tag.into(), time_ns, value, status }
        })
        .into();
        let found = |rejected| pick(&Unseen { rejected, samples: samples.clone() }, &specs, 1000);
        let indices = |rejected| found(rejected).into_iter().map(|(index, _)| index).collect::<Vec<_>>();
        assert_eq!(indices(3), [0, 3, 6]);
        assert_eq!(indices(4), [0, 3, 5, 6]);
        assert_eq!(indices(9), [0, 2, 3, 5, 6]);
        let reasons: Vec<String> = found(3).into_iter().map(|(_, reason)| reason).collect();
        assert!(reasons[0].contains("no whole number") && reasons[1].contains("1900"), "{reasons:?}");
        assert!(reasons[2].contains("auto_create is off"), "{reasons:?}");
    }
}
