//! A small process plant, the same from the same seed: no I/O, no clock.

use tagus_client::Value;
use tagus_proto::v1::{Interpolation, State, Tag, TagType};

use super::area::Area;
use super::catalogue::{Definition, Reading, definitions};

/// Areas of one site.
const AREAS_A_SITE: usize = 10;
/// Milliseconds by which controllers of different areas are read after the full second.
const OFFSETS_MS: usize = 20;
/// A value that does not change is reported again after so many steps, floats and others.
const REPEAT_FLOAT_STEPS: u32 = 60;
const REPEAT_OTHER_STEPS: u32 = 600;

/// A plant of areas that work alike; each step is a second of its life.
pub struct Plant {
    definitions: Vec<Definition>,
    areas: Vec<Area>,
    tags: usize,
    /// What was reported last, by tag.
    reported: Vec<Option<Reported>>,
}

struct Reported {
    reading: Reading,
    steps_ago: u32,
}

/// What an instrument reports.
#[derive(Clone, PartialEq, Debug)]
pub struct Sample {
    /// Index into [`Plant::tags`].
    pub tag: usize,
    /// Nanoseconds since 1970 UTC.
    pub time_ns: i64,
    pub reading: Reading,
}

impl Plant {
    /// A plant with `tags` tags, in as many areas as that takes.
    pub fn new(seed: u64, tags: usize) -> Plant {
        let definitions = definitions();
        let areas = tags.div_ceil(definitions.len());
        Plant {
            areas: (0..areas).map(|index| Area::new(seed, index)).collect(),
            definitions,
            tags,
            reported: (0..tags).map(|_| None).collect(),
        }
    }

    /// The tags to declare, in the order of [`Sample::tag`].
    pub fn tags(&self) -> Vec<Tag> {
        (0..self.tags).map(|tag| self.tag(tag)).collect()
    }

    fn tag(&self, tag: usize) -> Tag {
        let (area, definition) = self.place(tag);
        let (site, number) = (area / AREAS_A_SITE + 1, area % AREAS_A_SITE + 1);
        let states = (0..).zip(definition.states).map(|(code, name)| State { code, name: (*name).to_owned() });
        Tag {
            name: format!("site{site}.area{number}.{}", definition.name),
            r#type: definition.tag_type.into(),
            unit: definition.unit.to_owned(),
            description: definition.description.clone(),
            interpolation: Interpolation::Unspecified.into(),
            low: definition.span.map(|(low, _)| low),
            high: definition.span.map(|(_, high)| high),
            states: states.collect(),
            future: false,
            created: 0,
            reduction: String::new(),
        }
    }

    fn place(&self, tag: usize) -> (usize, &Definition) {
        (tag / self.definitions.len(), &self.definitions[tag % self.definitions.len()])
    }

    /// A second passes; what the instruments report at `time_ns` (nanoseconds since 1970 UTC, and
    /// up to 20 ms later: areas are read one after the other). All report in the first step;
    /// after it those whose value moved beyond their deadband or is old.
    pub fn step(&mut self, time_ns: i64) -> Vec<Sample> {
        for area in &mut self.areas {
            area.step();
        }
        (0..self.tags).filter_map(|tag| self.report(tag, time_ns)).collect()
    }

    fn report(&mut self, tag: usize, time_ns: i64) -> Option<Sample> {
        let (area, definition) = self.place(tag);
        let reading = definition.read.of(&self.areas[area]);
        let (deadband, is_float) = (definition.deadband, is_float(definition.tag_type));
        let last = &mut self.reported[tag];
        if let Some(last) = last {
            last.steps_ago += 1;
            let old = last.steps_ago >= if is_float { REPEAT_FLOAT_STEPS } else { REPEAT_OTHER_STEPS };
            if !old && !moved(&last.reading, &reading, deadband) {
                return None;
            }
        }
        *last = Some(Reported { reading: reading.clone(), steps_ago: 0 });
        let offset_ns = (area * 7 % OFFSETS_MS) as i64 * 1_000_000;
        Some(Sample { tag, time_ns: time_ns.saturating_add(offset_ns), reading })
    }
}

fn is_float(tag_type: TagType) -> bool {
    matches!(tag_type, TagType::Float64 | TagType::Float32)
}

fn moved(from: &Reading, to: &Reading, deadband: f64) -> bool {
    match (&from.value, &to.value) {
        (Value::Number(a), Value::Number(b)) if from.status == to.status => (a - b).abs() > deadband,
        _ => from != to,
    }
}

#[cfg(test)]
mod tests;
