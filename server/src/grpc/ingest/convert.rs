//! Between the wire's messages and the engine's types.

use tagus_engine::ingest::{self as engine, Shape, TagRef, Values};
use tagus_proto::v1;
use v1::block::{Shape as WireShape, Values as WireValues};
use v1::series::Tag as WireTag;

/// The engine's batch; columns move, nothing is copied.
///
/// # Errors
/// What a block lacks, as a phrase.
pub fn batch(batch: v1::Batch) -> Result<engine::Batch, &'static str> {
    Ok(engine::Batch { blocks: batch.blocks.into_iter().map(block).collect::<Result<_, _>>()? })
}

fn block(block: v1::Block) -> Result<engine::Block, &'static str> {
    let shape = match block.shape.ok_or("a block is neither a scan nor a series")? {
        WireShape::Scan(scan) => Shape::Scan { time: scan.time, handles: scan.handles, names: scan.names },
        WireShape::Series(series) => {
            let tag = match series.tag.ok_or("a series names no tag")? {
                WireTag::Handle(handle) => TagRef::Handle(handle),
                WireTag::Name(name) => TagRef::Name(name),
            };
            Shape::Series { tag, times: series.times }
        }
    };
    let values = match block.values.ok_or("a block has no values, not even no_values")? {
        WireValues::Doubles(v) => Values::Doubles(v.values),
        WireValues::Integers(v) => Values::Integers(v.values),
        WireValues::Booleans(v) => Values::Booleans(v.values),
        WireValues::Texts(v) => Values::Texts(v.values),
        WireValues::NoValues(v1::NoValues {}) => Values::None,
    };
    Ok(engine::Block { shape, values, statuses: block.statuses })
}

/// About how many bytes a batch takes in memory.
pub fn weight(batch: &v1::Batch) -> usize {
    batch.blocks.iter().map(|b| 64 + 4 * b.statuses.len() + shape_weight(b) + values_weight(b)).sum()
}

fn shape_weight(block: &v1::Block) -> usize {
    match &block.shape {
        Some(WireShape::Scan(scan)) => 4 * scan.handles.len() + texts_weight(&scan.names),
        Some(WireShape::Series(series)) => 8 * series.times.len(),
        None => 0,
    }
}

fn values_weight(block: &v1::Block) -> usize {
    match &block.values {
        Some(WireValues::Doubles(v)) => 8 * v.values.len(),
        Some(WireValues::Integers(v)) => 8 * v.values.len(),
        Some(WireValues::Booleans(v)) => v.values.len(),
        Some(WireValues::Texts(v)) => texts_weight(&v.values),
        Some(WireValues::NoValues(_)) | None => 0,
    }
}

fn texts_weight(texts: &[String]) -> usize {
    texts.iter().map(|text| size_of::<String>() + text.len()).sum()
}

/// Counts as the wire has them.
pub fn counts(counts: &engine::Counts) -> v1::Counts {
    v1::Counts {
        rows: counts.rows(),
        stored: counts.stored,
        replaced: counts.replaced,
        duplicate: counts.duplicate,
        reduced: counts.reduced,
        coerced: counts.coerced,
        rejected: counts.rejected,
    }
}
