//! Reads tags.csv: declarations of tags.

use std::collections::HashSet;
use std::fs::File;
use std::path::Path;

use tagus_engine::tag::{TagSpec, TagType};

use super::csv::Reader;
use super::source::unreadable;
use crate::cli::args::Metadata;
use crate::cli::error::{Failure, Result};
use crate::cli::parse;

const ADVICE: &str =
    "correct the line; columns are tag,type,unit,description[,interpolation,low,high,states,future,reduction]";

/// A tag as a file or a command line declares it.
#[derive(Clone, Debug)]
pub struct Declared {
    /// The name.
    pub name: String,
    /// The type.
    pub tag_type: TagType,
    /// Everything else; what is absent was not said.
    pub metadata: Metadata,
}

impl Declared {
    /// The declaration with the defaults of what was not said.
    pub fn spec(&self) -> TagSpec {
        let mut spec = TagSpec::new(&self.name, self.tag_type);
        let Metadata { unit, description, interpolation, low, high, states, future, reduction } = self.metadata.clone();
        spec.unit = unit.unwrap_or_default();
        spec.description = description.unwrap_or_default();
        spec.interpolation = interpolation.unwrap_or(spec.interpolation);
        spec.low = low.filter(|limit| !limit.is_nan());
        spec.high = high.filter(|limit| !limit.is_nan());
        spec.states = states.map(|states| states.0).unwrap_or_default();
        spec.future = future.unwrap_or_default();
        spec.reduction = reduction;
        spec
    }
}

/// Reads all declarations of a file and checks them.
pub fn read(path: &Path) -> Result<Vec<Declared>> {
    let file = File::open(path).map_err(|e| Failure::file("opening", path, &e))?;
    if path.is_dir() {
        return Err(unreadable(path, "it is a folder", "name a file"));
    }
    let mut reader = Reader::new(file);
    if !reader.next().map_err(|e| unreadable(path, e, ADVICE))? {
        return Err(unreadable(path, "it is empty", "give it a header line: tag,type,unit,description"));
    }
    let at = |line: u64, why: String| unreadable(path, format_args!("line {line}: {why}"), ADVICE);
    let columns = Columns::find(&reader).map_err(|why| at(reader.line(), why))?;
    let mut declared = Vec::new();
    let mut names = HashSet::new();
    while reader.next().map_err(|e| unreadable(path, e, ADVICE))? {
        let tag = columns.declared(&reader).map_err(|why| at(reader.line(), why))?;
        if !names.insert(tag.name.to_lowercase()) {
            return Err(at(reader.line(), format!("tag {} is declared twice", tagus_engine::tag::quoted(&tag.name))));
        }
        declared.push(tag);
    }
    Ok(declared)
}

/// Where the columns are.
struct Columns {
    tag: usize,
    tag_type: usize,
    /// In the order of `OPTIONAL`.
    others: [Option<usize>; OPTIONAL.len()],
    count: usize,
}

const OPTIONAL: [&str; 8] = ["unit", "description", "interpolation", "low", "high", "states", "future", "reduction"];

impl Columns {
    fn find(reader: &Reader<File>) -> std::result::Result<Columns, String> {
        let names: Vec<String> = (0..reader.len())
            .map(|index| String::from_utf8_lossy(reader.field(index)).trim().to_ascii_lowercase())
            .collect();
        let find = |wanted: &str| names.iter().position(|name| name == wanted);
        let needed = |wanted: &str| find(wanted).ok_or_else(|| format!("there is no column {wanted}"));
        Ok(Columns { tag: needed("tag")?, tag_type: needed("type")?, others: OPTIONAL.map(find), count: names.len() })
    }

    fn declared(&self, reader: &Reader<File>) -> std::result::Result<Declared, String> {
        if reader.len() != self.count {
            return Err(format!("the row has {} fields instead of {}", reader.len(), self.count));
        }
        let text = |index: usize| {
            std::str::from_utf8(reader.field(index)).map(str::to_string).map_err(|_| "it is not UTF-8".to_string())
        };
        let mut cells: [Option<String>; OPTIONAL.len()] = Default::default();
        for (cell, index) in cells.iter_mut().zip(self.others) {
            *cell = index.map(text).transpose()?.filter(|text| !text.trim().is_empty());
        }
        let [unit, description, interpolation, low, high, states, future, reduction] = cells;
        let metadata = Metadata {
            unit,
            description,
            interpolation: cell("interpolation", interpolation, parse::interpolation)?,
            low: cell("low", low, parse::limit)?,
            high: cell("high", high, parse::limit)?,
            states: cell("states", states, parse::states)?,
            future: cell("future", future, parse::boolean)?,
            reduction: cell("reduction", reduction, parse::reduction)?,
        };
        let word = text(self.tag_type)?;
        let tag_type = parse::tag_type(&word)
            .map_err(|why| format!("type {} is unknown: {why}", tagus_engine::tag::quoted(&word)))?;
        let declared = Declared { name: text(self.tag)?, tag_type, metadata };
        declared.spec().check().map_err(|error| error.to_string().replace("; ", ", "))?;
        Ok(declared)
    }
}

fn cell<T>(
    name: &str,
    text: Option<String>,
    parse: fn(&str) -> std::result::Result<T, String>,
) -> std::result::Result<Option<T>, String> {
    text.map(|text| parse(&text).map_err(|why| format!("{name} {}: {why}", tagus_engine::tag::quoted(&text))))
        .transpose()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn read_text(text: &str) -> Result<Vec<Declared>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tags.csv");
        std::fs::write(&path, text).unwrap();
        read(&path).map_err(|failure| match failure {
            Failure::Failed(text) => Failure::Failed(text.replace(&format!("{}/", folder.path().display()), "")),
            other => other,
        })
    }

    #[test]
    fn declarations_are_read() {
        let tags = read_text(
            "tag,type,unit,description,interpolation,low,high,states,future,created,reduction\n\
             A,float,m3/h,\"feed, flow\",step,-1.5,120,,,x,\"CompDev=1%,CompMax=1h\"\n\
             B,enum,,,,,,\"0=Closed,1=Open\",true,,\n",
        )
        .unwrap();
        let spec = tags[0].spec();
        assert_eq!((spec.tag_type, &*spec.unit, &*spec.description), (TagType::Float64, "m3/h", "feed, flow"));
        assert_eq!((spec.low, spec.high, spec.future), (Some(-1.5), Some(120.0), false));
        assert_eq!(tags[0].metadata.states, None);
        let reduction = spec.reduction.unwrap().to_string();
        assert_eq!(reduction, "CompDev=1%,CompMin=0s,CompMax=3600s");
        let spec = tags[1].spec();
        assert_eq!(spec.states, [(0, Arc::from("Closed")), (1, Arc::from("Open"))]);
        assert!(spec.future && tags[1].metadata.unit.is_none());
        assert_eq!(read_text("type,tag\nint,A\n").unwrap().len(), 1);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        for (text, expected) in [
            ("tag,unit\n", "line 1: there is no column type"),
            ("tag,type\nA,flaot\n", "line 2: type 'flaot' is unknown: types are float64"),
            ("tag,type\n,float\n", "line 2: tag name ''"),
            ("tag,type\nA,float\na,int\n", "line 3: tag 'a' is declared twice"),
            ("tag,type,reduction\nA,float,1%\n", "line 2: reduction '1%': '1%' has no value"),
            ("tag,type,low\nA,float,x\n", "line 2: low 'x': it is no number"),
            ("tag,type,low,high\nA,float,2,1\n", "line 2: tag 'A'"),
            ("tag,type\nA\n", "line 2: the row has 1 fields instead of 2"),
            ("tag,type\nA,\"float\n", "line 2: a quote is not closed"),
            ("", "it is empty"),
        ] {
            let Err(Failure::Failed(message)) = read_text(text) else { panic!("{text} must fail") };
            let expected = format!("reading tags.csv failed: {expected}");
            assert!(message.starts_with(&expected), "{message}\n{expected}");
        }
    }
}
