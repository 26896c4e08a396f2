//! Deleting samples: a frame of the log, applied like any other.

use crate::delete::{Cause, Delete, TagRanges};
use crate::engine::{Engine, Shared};
use crate::error::{Error, ErrorKind, Result};
use crate::format::{Frame, encode_frame};
use crate::limits;
use crate::reduction::{Field, minute_of};
use crate::scan::{ReadView, ScanRequest, TagSelection};
use crate::tag::TagId;

impl Engine {
    /// Deletes the samples of some tags from `from` to `to`, both included and in nanoseconds since
    /// 1970 UTC, that were acknowledged before the call. They are gone for readers when it returns,
    /// and stay so after a power cut; merges take them off the disk. Returns how many there were.
    ///
    /// # Errors
    /// `InvalidInput` for a range that ends before it begins; `Exhausted` where too many deletes
    /// wait for merges; `Damaged` where what was deleted could not be counted: it is deleted all the
    /// same, for nothing else ends the errors of a segment that is lost for good; those of writing.
    pub fn delete(&self, tags: &[TagId], from: i64, to: i64) -> Result<u64> {
        if from > to {
            let why = "the range ends before it begins";
            return Err(Error::invalid("deleting samples failed", why, "exchange its ends"));
        }
        let _one_at_a_time = self.shared.turns.deleting.lock();
        let request = ScanRequest { from, to, ..ScanRequest::of(TagSelection::Ids(tags.to_vec())) };
        let view = self.view();
        let counted = view.statistics(&request, std::sync::Arc::default()).map(|found| found.rows);
        let is_due = match &counted {
            // There may be only what was left out.
            Ok(0) => tags.iter().any(|tag| is_reduced(&view, *tag)),
            Ok(_) => true,
            Err(error) => error.kind() == ErrorKind::Damaged,
        };
        drop(view);
        if is_due {
            self.shared.write_delete(Cause::Request, &TagRanges::of(tags), from, to)?;
        }
        counted.map_err(|error| if is_due { uncounted(&error) } else { error })
    }

    /// Deletes what is past its retention, where that is due; says whether anything was.
    pub fn retire_step(&self) -> Result<bool> {
        self.shared.retire_step()
    }
}

impl Shared {
    /// Makes a delete durable and visible. `turns.deleting` is held.
    pub(crate) fn write_delete(&self, cause: Cause, tags: &TagRanges, from: i64, to: i64) -> Result<()> {
        for ranges in tags.ranges().chunks(limits::DELETE_RANGES_MAX) {
            self.check_deletes()?;
            let mut some = TagRanges::default();
            ranges.iter().for_each(|(first, last)| some.push(*first, *last));
            let delete = Delete { sequence: 0, received: self.env.clock.now(), cause, tags: some, from, to };
            let frame = Frame::Delete(delete);
            self.commit(encode_frame(&frame), frame)?;
        }
        Ok(())
    }

    fn check_deletes(&self) -> Result<()> {
        let (waiting, most) = (self.published.read().waiting_deletes(), limits::DELETES_MAX);
        if waiting < most {
            return Ok(());
        }
        let why = format!("{waiting} deletes wait to be applied to segments, at most {most} may");
        Err(Error::new(ErrorKind::Exhausted, "deleting samples failed", why, "run `tagus compact`, then try again"))
    }
}

/// The time of the oldest summary of what reduction has left out of these tags that may lie from `from` to
/// `to`.
pub(crate) fn left_out_in(view: &ReadView, tags: &[TagId], from: i64, to: i64) -> Result<Option<i64>> {
    let reduced: Vec<TagId> = tags.iter().filter(|tag| is_reduced(view, **tag)).copied().collect();
    if reduced.is_empty() {
        return Ok(None);
    }
    let series = TagSelection::Ids(reduced.iter().map(|tag| Field::Count.of(*tag)).collect());
    let request = ScanRequest { from: minute_of(from), to, ..ScanRequest::of(series) };
    let settled = view.statistics(&request, std::sync::Arc::default())?.first_time;
    let tails = reduced.iter().filter_map(|tag| view.held.as_ref()?.tail(*tag));
    let unsettled = tails.flat_map(|tail| tail.summaries).filter(|summary| summary.from <= to && summary.to >= from);
    Ok(settled.into_iter().chain(unsettled.map(|summary| summary.from)).min())
}

/// Whether samples of a tag may have been left out.
fn is_reduced(view: &ReadView, tag: TagId) -> bool {
    view.tags().get(tag).is_some_and(|tag| tag.spec.reduction.is_some())
}

/// The error for samples that are deleted and were never counted.
fn uncounted(error: &Error) -> Error {
    let advice = "they are deleted all the same; there is nothing to do";
    Error::new(ErrorKind::Damaged, "counting the deleted samples failed", error.finding(), advice)
}
