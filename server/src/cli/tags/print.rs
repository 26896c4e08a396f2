//! Tags as rows, with the columns of the SQL table `tags`.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Float64Array, RecordBatch, StringArray, TimestampNanosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use tagus_engine::tag::{Interpolation, TagType};
use tagus_proto::v1;

use super::super::error::{Failure, Result};
use super::super::format::table::printable;
use super::super::format::value::Column;
use super::super::output::Output;
use super::declare::known_type;

/// The columns.
pub fn schema() -> SchemaRef {
    let text = |name| Field::new(name, DataType::Utf8, true);
    let created = DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()));
    Arc::new(Schema::new(vec![
        text("tag"),
        text("type"),
        text("unit"),
        text("description"),
        text("interpolation"),
        Field::new("low", DataType::Float64, true),
        Field::new("high", DataType::Float64, true),
        text("states"),
        Field::new("future", DataType::Boolean, false),
        Field::new("created", created, false),
        text("reduction"),
    ]))
}

/// Tags as rows of [`schema`].
pub fn batch(tags: &[v1::Tag]) -> Result<RecordBatch> {
    // What is not declared is NULL, as in SQL.
    let declared = |text: String| Some(text).filter(|text| !text.is_empty());
    let text = |get: fn(&v1::Tag) -> String| {
        Arc::new(tags.iter().map(|tag| declared(get(tag))).collect::<StringArray>()) as ArrayRef
    };
    let number =
        |get: fn(&v1::Tag) -> Option<f64>| Arc::new(tags.iter().map(get).collect::<Float64Array>()) as ArrayRef;
    let future: BooleanArray = tags.iter().map(|tag| Some(tag.future)).collect();
    let created = TimestampNanosecondArray::from_iter_values(tags.iter().map(|tag| tag.created)).with_timezone("UTC");
    let columns = vec![
        text(|tag| tag.name.clone()),
        text(|tag| known_type(tag.r#type).map_or("unknown", TagType::word).to_string()),
        text(|tag| tag.unit.clone()),
        text(|tag| tag.description.clone()),
        text(|tag| interpolation_word(tag).to_string()),
        number(|tag| tag.low),
        number(|tag| tag.high),
        text(states_text),
        Arc::new(future),
        Arc::new(created),
        text(|tag| tag.reduction.clone()),
    ];
    RecordBatch::try_new(schema(), columns)
        .map_err(|e| Failure::new("printing tags", e, "use a server and a client of the same version"))
}

fn interpolation_word(tag: &v1::Tag) -> &'static str {
    match v1::Interpolation::try_from(tag.interpolation) {
        Ok(v1::Interpolation::Linear) => Interpolation::Linear.word(),
        Ok(v1::Interpolation::Step) => Interpolation::Step.word(),
        _ => known_type(tag.r#type).map_or("unknown", |known| known.default_interpolation().word()),
    }
}

fn states_text(tag: &v1::Tag) -> String {
    tagus_engine::tag::states_text(tag.states.iter().map(|state| (state.code, state.name.as_str())))
}

/// Prints the first row, one property a line.
pub fn properties(batch: &RecordBatch, mut output: Output) -> Result<()> {
    let schema = batch.schema();
    let width = schema.fields().iter().map(|field| field.name().len()).max().unwrap_or(0);
    let mut text = Vec::new();
    for (field, column) in schema.fields().iter().zip(batch.columns()) {
        text.clear();
        Column::new(column)?.text(0, &mut text)?;
        let line = format!("{:width$}  {}", field.name(), printable(&text));
        output.write(line.trim_end().as_bytes())?;
        output.write(b"\n")?;
    }
    output.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_shown_line_by_line() {
        let tag = v1::Tag {
            name: "XV7".into(),
            r#type: v1::TagType::Digital.into(),
            description: "a valve\n".into(),
            low: Some(-0.5),
            states: vec![v1::State { code: 0, name: "Closed".into() }, v1::State { code: 1, name: "Open".into() }],
            created: 1_500_000_000,
            ..v1::Tag::default()
        };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tag.txt");
        properties(&batch(&[tag]).unwrap(), Output::open(Some(&path)).unwrap()).unwrap();
        let expected = "\
tag            XV7
type           digital
unit
description    a valve\\n
interpolation  step
low            -0.5
high
states         0=Closed,1=Open
future         false
created        1970-01-01T00:00:01.500Z
reduction
";
        assert_eq!(std::fs::read_to_string(path).unwrap(), expected);
    }
}
