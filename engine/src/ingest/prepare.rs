//! Checks and coerces a batch: pure, but for the tags it is told of.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::{Batch, Block, Rejection, Shape, TagRef, Values};
use crate::coerce::{Input, coerce, type_of};
use crate::error::{Error, ErrorKind, Result};
use crate::format::{BlockTags, FrameBlock};
use crate::limits;
use crate::sample::Rows;
use crate::status::Status;
use crate::tag::{Tag, TagId, TagSpec, TagType, check_name, quoted};
use crate::tag_table::TagTable;

/// What a batch is checked against besides the tags.
#[derive(Clone, Copy)]
pub(crate) struct Rules {
    /// The server's clock, nanoseconds since 1970 UTC.
    pub now: i64,
    /// How far ahead of it samples of ordinary tags may lie, in nanoseconds.
    pub max_future: i64,
}

/// A batch as the log keeps it.
#[derive(Default)]
pub(crate) struct Prepared {
    pub blocks: Vec<FrameBlock>,
    pub rejections: Vec<Rejection>,
    pub handles: Vec<(String, TagId)>,
    /// Words that digital tags have no state for yet.
    pub new_states: BTreeMap<TagId, Vec<String>>,
    /// Samples that wait for the codes of these words.
    open_codes: Vec<OpenCode>,
}

/// A sample whose value is the code of a state that is still to be declared.
struct OpenCode {
    block: usize,
    row: usize,
    tag: TagId,
    /// Which of the tag's new words.
    word: usize,
}

impl Prepared {
    /// Fills in the codes of new states, once they are declared.
    ///
    /// # Errors
    /// `Exhausted` where other writers took the last free states meanwhile.
    pub fn close_codes(&mut self, tags: &TagTable) -> Result<()> {
        for OpenCode { block, row, tag, word } in self.open_codes.drain(..) {
            let word = &self.new_states[&tag][word];
            let code = tags.get(tag).and_then(|tag| tag.spec.state_code(word)).ok_or_else(|| {
                let why = format!("a digital tag has no room for state {}", quoted(word));
                Error::new(ErrorKind::Exhausted, "writing the batch failed", why, "declare fewer states")
            })?;
            self.blocks[block].rows.values[row] = code.cast_unsigned();
        }
        Ok(())
    }

    /// Notes why a sample is refused. Reasons are shared: a million samples of a tag that cannot be
    /// have one.
    fn reject(&mut self, index: usize, reason: &str) {
        let shared = self.rejections.last().filter(|last| *last.reason == *reason).map(|last| Arc::clone(&last.reason));
        let reason = shared.unwrap_or_else(|| reason.into());
        self.rejections.push(Rejection { index: u32::try_from(index).unwrap_or(u32::MAX), reason });
    }

    /// The number of a word among the new ones of a tag; none where it is not there and may not
    /// be appended, or the tag takes no more.
    fn new_state(&mut self, tag: &Tag, word: &str, may_append: bool) -> Option<usize> {
        let known = self.new_states.get(&tag.id).and_then(|words| words.iter().position(|known| known == word));
        if known.is_some() || !may_append {
            return known;
        }
        let words = self.new_states.entry(tag.id).or_default();
        if !takes_state(&tag.spec, words, word) {
            return None;
        }
        words.push(word.to_owned());
        Some(words.len() - 1)
    }
}

/// Whether a tag has a place, a code and the bytes for a state more, after those in `words`.
fn takes_state(spec: &TagSpec, words: &[String], word: &str) -> bool {
    let next = i64::try_from(words.len()).ok().and_then(|more| match spec.states.last() {
        Some((last, _)) => last.checked_add(more + 1),
        None => Some(more),
    });
    let bytes: usize = spec.states.iter().map(|(_, name)| name.len()).sum::<usize>()
        + words.iter().map(String::len).sum::<usize>()
        + word.len();
    spec.states.len() + words.len() < limits::STATES_MAX && next.is_some() && bytes <= limits::STATES_BYTES_MAX
}

/// Tags that the batch names and the table does not have, with the type of their first value that
/// is neither empty nor Bad. Names that cannot be names are left to be rejected sample by sample, and
/// so are samples of impossible times: none of them makes a tag.
pub(crate) fn missing_tags(batch: &Batch, tags: &TagTable, rules: Rules) -> Vec<TagSpec> {
    let mut missing = Missing::default();
    for block in &batch.blocks {
        match &block.shape {
            Shape::Scan { time, .. } if check_time(*time, false, rules).is_err() => {}
            Shape::Scan { handles, names, .. } => {
                for (i, name) in (handles.len()..).zip(names) {
                    missing.see(name, i..i + 1, block, tags);
                }
            }
            Shape::Series { tag: TagRef::Name(name), times } if times.is_empty() => {
                if let Some(at) = missing.add(name, tags) {
                    missing.specs[at].1 = missing.specs[at].1.or(kind_of(&block.values));
                }
            }
            Shape::Series { tag: TagRef::Name(name), times } => {
                let possible: Vec<usize> =
                    (0..times.len()).filter(|i| check_time(times[*i], false, rules).is_ok()).collect();
                if !possible.is_empty() {
                    missing.see(name, possible.into_iter(), block, tags);
                }
            }
            Shape::Series { tag: TagRef::Handle(_), .. } => {}
        }
    }
    missing.specs.into_iter().map(|(name, kind)| TagSpec::new(name, kind.unwrap_or(TagType::Float64))).collect()
}

#[derive(Default)]
struct Missing<'a> {
    by_name: HashMap<String, usize>,
    specs: Vec<(&'a str, Option<TagType>)>,
}

impl<'a> Missing<'a> {
    /// The place of a name that is missing and can be.
    fn add(&mut self, name: &'a str, tags: &TagTable) -> Option<usize> {
        let folded = name.to_lowercase();
        if let Some(at) = self.by_name.get(&folded) {
            return Some(*at);
        }
        if tags.find(name).is_some() || check_name(name).is_err() {
            return None;
        }
        self.specs.push((name, None));
        self.by_name.insert(folded, self.specs.len() - 1);
        Some(self.specs.len() - 1)
    }

    /// Learns from `samples` of a block what type the tag of this name would have.
    fn see(&mut self, name: &'a str, samples: impl Iterator<Item = usize>, block: &Block, tags: &TagTable) {
        let Some(at) = self.add(name, tags) else { return };
        if self.specs[at].1.is_none() {
            let good = samples.filter(|i| !status(block, *i).is_bad());
            self.specs[at].1 = good.filter_map(|i| input(&block.values, i)).find_map(|value| type_of(&value));
        }
    }
}

/// The type of a tag that a series without samples declares.
fn kind_of(values: &Values) -> Option<TagType> {
    match values {
        Values::Doubles(_) | Values::Integers(_) => Some(TagType::Float64),
        Values::Booleans(_) => Some(TagType::Bool),
        Values::Texts(_) => Some(TagType::Text),
        Values::None => None,
    }
}

/// Checks and coerces every sample of a batch that [`check_shape`] accepts. Samples that cannot be
/// kept are rejections.
pub(crate) fn prepare(batch: &Batch, tags: &TagTable, rules: Rules) -> Prepared {
    let mut out = Prepared::default();
    let mut base = 0;
    for block in &batch.blocks {
        let rows = block.shape.len();
        match plain_series(block, tags, rules).filter(|_| rows > 0) {
            Some(done) => out.blocks.push(done),
            None => prepare_block(block, base, tags, rules, &mut out),
        }
        name_handles(&block.shape, tags, &mut out.handles);
        base += rows;
    }
    out.handles.sort();
    out.handles.dedup();
    out
}

/// Refuses a batch whose columns do not fit each other, before anything looks into them.
pub(crate) fn check_shape(batch: &Batch) -> Result<()> {
    let refuse = |why: String| Err(Error::invalid("the batch", why, "send smaller or well-formed batches"));
    let rows: usize = batch.blocks.iter().map(|b| b.shape.len()).sum();
    if rows > limits::BATCH_ROWS_MAX {
        return refuse(format!("it has {rows} samples, at most {} are allowed", limits::BATCH_ROWS_MAX));
    }
    for block in &batch.blocks {
        let rows = block.shape.len();
        if let Some(values) = block.values.len().filter(|values| *values != rows) {
            return refuse(format!("a block has {rows} samples and {values} values"));
        }
        if !matches!(block.statuses.len(), 0 | 1) && block.statuses.len() != rows {
            return refuse(format!("a block has {rows} samples and {} statuses", block.statuses.len()));
        }
    }
    Ok(())
}

fn name_handles(shape: &Shape, tags: &TagTable, handles: &mut Vec<(String, TagId)>) {
    let names = match shape {
        Shape::Scan { names, .. } => names.as_slice(),
        Shape::Series { tag: TagRef::Name(name), .. } => std::slice::from_ref(name),
        Shape::Series { tag: TagRef::Handle(_), .. } => &[],
    };
    handles.extend(names.iter().filter_map(|name| Some((name.clone(), tags.find(name)?.id))));
}

/// The common case without a look at each sample's kind: good finite numbers of one float tag.
fn plain_series(block: &Block, tags: &TagTable, rules: Rules) -> Option<FrameBlock> {
    let (Shape::Series { tag, times }, Values::Doubles(values)) = (&block.shape, &block.values) else { return None };
    let tag = find(tag, tags).ok()?;
    let latest = latest_time(tag.spec.future, rules);
    let fits = tag.spec.tag_type == TagType::Float64
        && block.statuses.is_empty()
        && values.iter().all(|v| v.is_finite())
        && times.iter().all(|t| (limits::TIME_MIN..=latest).contains(t));
    fits.then(|| FrameBlock {
        tags: BlockTags::One(tag.id),
        rows: Rows { times: times.clone(), values: values.iter().map(|v| v.to_bits()).collect(), ..Rows::default() },
        coerced: Vec::new(),
    })
}

fn prepare_block(block: &Block, base: usize, tags: &TagTable, rules: Rules, out: &mut Prepared) {
    let rows = block.shape.len();
    let mut kept =
        FrameBlock { tags: BlockTags::Each(Vec::with_capacity(rows)), rows: Rows::default(), coerced: Vec::new() };
    let mut kept_tags = Vec::with_capacity(rows);
    kept.rows.times.reserve(rows);
    kept.rows.values.reserve(rows);
    for i in 0..rows {
        match prepare_sample(block, i, tags, rules, out, &mut kept) {
            Ok(tag) => kept_tags.push(tag),
            Err(reason) => out.reject(base + i, &reason),
        }
    }
    if kept_tags.is_empty() {
        return;
    }
    kept.tags = match &block.shape {
        Shape::Series { .. } => BlockTags::One(kept_tags[0]),
        Shape::Scan { .. } => BlockTags::Each(kept_tags),
    };
    out.blocks.push(kept);
}

/// Appends sample `i` to `kept`, or says why it is refused.
fn prepare_sample(
    block: &Block,
    i: usize,
    tags: &TagTable,
    rules: Rules,
    out: &mut Prepared,
    kept: &mut FrameBlock,
) -> std::result::Result<TagId, String> {
    let (tag, time) = match &block.shape {
        Shape::Scan { time, handles, names } => match handles.get(i) {
            Some(handle) => (by_handle(*handle, tags), *time),
            None => (by_name(&names[i - handles.len()], tags), *time),
        },
        Shape::Series { tag, times } => (find(tag, tags), times[i]),
    };
    // A tag may be missing just because its samples have impossible times.
    check_time(time, tag.as_ref().is_ok_and(|tag| tag.spec.future), rules)?;
    let tag = tag?;
    let status = status(block, i);
    let plain = match &block.values {
        Values::Doubles(values) if tag.spec.tag_type == TagType::Float64 && values[i].is_finite() => {
            Some(values[i].to_bits())
        }
        Values::Integers(values) if tag.spec.tag_type == TagType::Int64 => Some(values[i].cast_unsigned()),
        _ => None,
    };
    if let Some(value) = plain {
        kept.rows.push_value(time, value, status);
        if !kept.coerced.is_empty() {
            kept.coerced.push(false);
        }
        return Ok(tag.id);
    }
    let mut open = None;
    let mut new_state = |word: &str, may_append: bool| {
        open = out.new_state(tag, word, may_append);
        // Any code will do until the state has its own.
        open.map(|_| 0)
    };
    let coerced = coerce(&tag.spec, input(&block.values, i).unwrap_or(Input::Empty), status, &mut new_state)?;
    if let Some(word) = open {
        out.open_codes.push(OpenCode { block: out.blocks.len(), row: kept.rows.len(), tag: tag.id, word });
    }
    if coerced.changed && kept.coerced.is_empty() {
        kept.coerced.resize(kept.rows.len(), false);
    }
    kept.rows.push(time, &coerced.cell);
    if coerced.changed || !kept.coerced.is_empty() {
        kept.coerced.push(coerced.changed);
    }
    Ok(tag.id)
}

fn find<'a>(tag: &TagRef, tags: &'a TagTable) -> std::result::Result<&'a Tag, String> {
    match tag {
        TagRef::Handle(handle) => by_handle(*handle, tags),
        TagRef::Name(name) => by_name(name, tags),
    }
}

fn by_handle(handle: u32, tags: &TagTable) -> std::result::Result<&Tag, String> {
    tags.get(TagId(handle)).map(|tag| &**tag).ok_or_else(|| format!("no tag has handle {handle}"))
}

fn by_name<'a>(name: &str, tags: &'a TagTable) -> std::result::Result<&'a Tag, String> {
    tags.find(name).map(|tag| &**tag).ok_or_else(|| match check_name(name) {
        Err(error) => error.to_string(),
        Ok(()) => format!("tag {} does not exist and auto_create is off", quoted(name)),
    })
}

fn latest_time(future: bool, rules: Rules) -> i64 {
    if future { limits::TIME_MAX } else { rules.now.saturating_add(rules.max_future).min(limits::TIME_MAX) }
}

fn check_time(time: i64, future: bool, rules: Rules) -> std::result::Result<(), String> {
    if !(limits::TIME_MIN..=limits::TIME_MAX).contains(&time) {
        return Err("its time is not between 1900 and 2262".into());
    }
    if time > latest_time(future, rules) {
        let ahead = time.saturating_sub(rules.now) / 1_000_000_000;
        let most = rules.max_future / 1_000_000_000;
        return Err(format!("its time is {ahead} s in the future, at most {most} s are allowed"));
    }
    Ok(())
}

fn status(block: &Block, i: usize) -> Status {
    match block.statuses.as_slice() {
        [] => Status::GOOD,
        [one] => Status(*one),
        each => Status(each[i]),
    }
}

fn input(values: &Values, i: usize) -> Option<Input<'_>> {
    match values {
        Values::Doubles(v) => Some(Input::Number(v[i])),
        Values::Integers(v) => Some(Input::Integer(v[i])),
        Values::Booleans(v) => Some(Input::Boolean(v[i])),
        Values::Texts(v) => Some(Input::Word(&v[i])),
        Values::None => None,
    }
}

#[cfg(test)]
#[path = "prepare_tests.rs"]
mod tests;
