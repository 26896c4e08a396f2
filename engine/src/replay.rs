//! Replay: the frames of the log are applied at start as they come, and what rests on lost ones is
//! told apart.
//!
//! 1. A tag id that was ever given is never given again: where the creation of a tag is lost, a
//!    stand-in takes its id.
//! 2. Samples of a tag whose type is not known are not kept: their bits could mean anything.
//! 3. Replaying the same frames again makes the same tags and leaves out the same samples.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::Arc;

use crate::engine::Shared;
use crate::error::{Error, ErrorKind, Result};
use crate::format::{BlockTags, Frame, FrameBlock, SampleFrame, decode_frame};
use crate::limits;
use crate::sample::Rows;
use crate::tag::{Tag, TagId, TagSpec, TagType};

/// Takes the frames of the log in their order.
pub(crate) struct Replayer<'a> {
    shared: &'a Shared,
    /// Tags that only have a stand-in.
    unknown: BTreeSet<TagId>,
    /// Frames of which samples were left out.
    incomplete: Vec<u64>,
    /// Whether the disk had no room for a flush.
    full: bool,
}

impl<'a> Replayer<'a> {
    pub fn new(shared: &'a Shared) -> Replayer<'a> {
        Replayer { shared, unknown: BTreeSet::new(), incomplete: Vec::new(), full: false }
    }

    /// Applies the frame with this payload.
    ///
    /// # Errors
    /// `Damaged` for a frame that came through its checksum and is none.
    pub fn take(&mut self, sequence: u64, payload: &[u8]) -> Result<()> {
        let frame = decode_frame(payload).map_err(|e| self.impossible(sequence, &e.to_string()))?;
        let frame = match frame {
            Frame::Tags(tags) => Frame::Tags(self.known_tags(sequence, tags)?),
            Frame::Samples(samples) => Frame::Samples(self.known_samples(sequence, samples)?),
            Frame::Delete(delete) => {
                self.stand_in_up_to(sequence, delete.tags.ranges().last().map_or(TagId(0), |range| range.1))?;
                Frame::Delete(delete)
            }
        };
        let mut committer = self.shared.committer.lock();
        self.shared.apply(&mut committer, sequence, frame);
        drop(committer);
        self.relieve_memory()
    }

    /// All frames that were lost, in part or as a whole, given those that the log has lost.
    pub fn finish(self, lost: &[RangeInclusive<u64>]) -> Vec<(u64, u64)> {
        let incomplete = self.incomplete.iter().map(|sequence| (*sequence, *sequence));
        let mut all: Vec<(u64, u64)> = lost.iter().map(|gap| (*gap.start(), *gap.end())).chain(incomplete).collect();
        all.sort_unstable();
        all.dedup_by(|next, before| {
            let adjacent = next.0 == before.1 + 1;
            if adjacent {
                before.1 = next.1;
            }
            adjacent
        });
        all
    }

    /// Stands in for tags between those known and those of a frame.
    fn known_tags(&mut self, sequence: u64, tags: Vec<Arc<Tag>>) -> Result<Vec<Arc<Tag>>> {
        for tag in &tags {
            self.stand_in_up_to(sequence, TagId(tag.id.0.saturating_sub(1)))?;
            self.unknown.remove(&tag.id);
            // The tags of a frame may follow each other.
            self.shared.put_tags(vec![Arc::clone(tag)]);
        }
        Ok(tags)
    }

    /// Leaves out the samples of tags that are not known.
    fn known_samples(&mut self, sequence: u64, mut frame: SampleFrame) -> Result<SampleFrame> {
        let highest = frame.blocks.iter().filter_map(|block| tags_of(block).max()).max();
        self.stand_in_up_to(sequence, highest.unwrap_or(TagId(0)))?;
        if !self.unknown.is_empty() && frame.blocks.iter().flat_map(tags_of).any(|tag| self.unknown.contains(&tag)) {
            self.incomplete.push(sequence);
            frame.blocks = frame.blocks.iter().map(|block| self.known_rows(block)).collect();
        }
        Ok(frame)
    }

    fn known_rows(&self, block: &FrameBlock) -> FrameBlock {
        let (mut tags, mut rows, mut coerced) = (Vec::new(), Rows::default(), Vec::new());
        for i in (0..block.rows.len()).filter(|i| !self.unknown.contains(&block.tag(*i))) {
            tags.push(block.tag(i));
            rows.push(block.rows.times[i], &block.rows.cell(i));
            coerced.extend(block.coerced.get(i));
        }
        FrameBlock { tags: BlockTags::Each(tags), rows, coerced }
    }

    fn stand_in_up_to(&mut self, sequence: u64, highest: TagId) -> Result<()> {
        let tags = self.shared.tags.read().clone();
        if highest.0 as usize <= tags.len() {
            return Ok(());
        }
        if highest.0 as usize > limits::TAGS_MAX {
            return Err(self.impossible(sequence, &format!("it names tag {}", highest.0)));
        }
        let first = u32::try_from(tags.len() + 1).expect("the limit of tags is below 2^32");
        let ids: Vec<TagId> = (first..=highest.0).map(TagId).collect();
        tracing::error!("frame {sequence} rests on tags {first} to {}, whose creation is lost", highest.0);
        let stand_ins = ids.iter().map(|id| {
            let mut name = format!("lost.tag.{}", id.0);
            while tags.find(&name).is_some() {
                name.push('_');
            }
            let created = self.shared.env.clock.now();
            Arc::new(Tag { id: *id, created, spec: TagSpec::new(name, TagType::Float64) })
        });
        self.shared.put_tags(stand_ins.collect());
        self.unknown.extend(ids);
        Ok(())
    }

    /// Keeps the memory of the replay within its bounds, while the disk has room.
    fn relieve_memory(&mut self) -> Result<()> {
        let bytes = self.shared.published.read().active.memtable.bytes();
        if self.full || bytes < self.shared.config.memory_budget / 4 {
            return Ok(());
        }
        match self.shared.flush() {
            Err(error) if error.kind() == ErrorKind::Exhausted => self.full = true,
            other => other?,
        }
        Ok(())
    }

    fn impossible(&self, sequence: u64, why: &str) -> Error {
        Error::new(
            ErrorKind::Damaged,
            format!("reading frame {sequence} in {} failed", self.shared.archive.log_dir().display()),
            why,
            "run `tagus verify` and restore the archive from a backup",
        )
    }
}

fn tags_of(block: &FrameBlock) -> impl Iterator<Item = TagId> {
    let (one, each) = match &block.tags {
        BlockTags::One(tag) => (Some(*tag).filter(|_| !block.rows.is_empty()), [].as_slice()),
        BlockTags::Each(tags) => (None, tags.as_slice()),
    };
    one.into_iter().chain(each.iter().copied())
}
