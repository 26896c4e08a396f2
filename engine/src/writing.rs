//! Writing: tags are declared, sources are opened, batches are queued.

use std::sync::Arc;

use crate::commit::Committed;
use crate::engine::{Engine, Shared};
use crate::error::{Error, ErrorKind, Result};
use crate::format::{Frame, SampleFrame, SourceMark, encode_frame};
use crate::ingest::{Batch, Counts, Prepared, Rules, Slot, Submitted, Turn, check_shape, missing_tags, prepare};
use crate::limits;
use crate::manifest::SourceState;
use crate::queue::{Done, Queued};
use crate::reduction::Reduction;
use crate::tag::{Interpolation, Tag, TagId, TagSpec, quoted};
use crate::tag_table::TagTable;

/// Changes of a tag's metadata; what is `None` stays.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TagChange {
    /// The new unit.
    pub unit: Option<String>,
    /// The new description.
    pub description: Option<String>,
    /// The new interpolation.
    pub interpolation: Option<Interpolation>,
    /// The new low end of the span, or its absence.
    pub low: Option<Option<f64>>,
    /// The new high end of the span, or its absence.
    pub high: Option<Option<f64>>,
    /// States to add, and new names for codes that are there. None is taken away: samples, and
    /// words that writers append meanwhile, refer to them.
    pub states: Option<Vec<(i64, Arc<str>)>>,
    /// Whether samples may lie in the future.
    pub future: Option<bool>,
    /// The new reduction; one without filters turns it off.
    pub reduction: Option<Reduction>,
}

/// A writer's place in its source's epoch. A newer opening of the same source ends it.
pub struct OpenSource {
    shared: Arc<Shared>,
    /// None for a writer that keeps no sequence.
    mark: Option<(Arc<str>, Arc<str>, u64)>,
    slot: Arc<Slot>,
    opening: u64,
    last_sequence: u64,
    counts: Counts,
}

impl Engine {
    /// Creates tags, all or none; durable when it returns.
    ///
    /// # Errors
    /// `InvalidInput` for a specification that cannot be, `Conflict` for a name that is there.
    pub fn create_tags(&self, specs: Vec<TagSpec>) -> Result<Vec<TagId>> {
        let _one_at_a_time = self.shared.tag_changes.lock();
        let tags = self.shared.tags.read().clone();
        let mut names = std::collections::HashSet::new();
        for spec in &specs {
            spec.check()?;
            if let Some(there) = tags.find(&spec.name) {
                return Err(exists(&there.spec.name));
            }
            if !names.insert(spec.name.to_lowercase()) {
                return Err(exists(&spec.name));
            }
        }
        self.shared.check_reducers(specs.iter().filter(|spec| is_reduced(spec)).count())?;
        self.shared.add_tags(&tags, specs)
    }

    /// Changes a tag's metadata; durable when it returns.
    ///
    /// # Errors
    /// `NotFound` with the nearest name; `InvalidInput` for a change that cannot be.
    pub fn update_tag(&self, name: &str, change: TagChange) -> Result<Arc<Tag>> {
        let _one_at_a_time = self.shared.tag_changes.lock();
        let tags = self.shared.tags.read().clone();
        let tag = tags.find(name).ok_or_else(|| unknown_tag(name, &tags))?;
        let mut changed = (**tag).clone();
        change.apply(&mut changed.spec);
        changed.spec.check()?;
        if is_reduced(&changed.spec) && !is_reduced(&tag.spec) {
            self.shared.check_reducers(1)?;
        }
        let changed = Arc::new(changed);
        self.shared.write_tags(vec![Arc::clone(&changed)])?;
        Ok(changed)
    }

    /// Opens a source for writing, ending an older opening of it. An empty name opens a writer
    /// that keeps no sequence: its batches are numbered from 1.
    ///
    /// # Errors
    /// `InvalidInput` for a name that is too long; `Conflict` where the source belongs to another
    /// identity; `ReadOnly` after a failed write.
    pub fn open_source(&self, source: &str, identity: &str, epoch: u64) -> Result<OpenSource> {
        let shared = Arc::clone(&self.shared);
        if let Some(error) = shared.latched() {
            return Err(error);
        }
        check_source(source, identity)?;
        if source.is_empty() {
            let slot = Arc::new(Slot::default());
            return Ok(OpenSource {
                shared,
                mark: None,
                opening: slot.open(),
                slot,
                last_sequence: 0,
                counts: Counts::default(),
            });
        }
        let name: Arc<str> = source.into();
        // Who is refused does not end the opening of another.
        let state = shared.published.read().source(&name);
        check_identity(state.as_ref(), source, identity)?;
        check_epoch(state.as_ref(), source, epoch)?;
        let slot = shared.sources.slot(&name);
        shared.drain_unthreaded();
        let opening = slot.open();
        let published = shared.published.read().clone();
        published.frozen.iter().chain([&published.active]).for_each(|generation| generation.settle());
        let state = published.source(&name);
        // What was in flight before may have been the first batch of another identity.
        check_identity(state.as_ref(), source, identity)?;
        check_epoch(state.as_ref(), source, epoch)?;
        let state = state.filter(|s| s.epoch == epoch);
        let (last_sequence, counts) = state.map_or((0, Counts::default()), |s| (s.sequence, s.counts));
        slot.start(opening, last_sequence);
        Ok(OpenSource { shared, mark: Some((name, identity.into(), epoch)), slot, opening, last_sequence, counts })
    }
}

impl OpenSource {
    /// The epoch's last durable sequence at opening.
    pub fn last_sequence(&self) -> u64 {
        self.last_sequence
    }

    /// What had become of the epoch's samples at opening.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Checks, coerces and queues a batch; waits while the queue, the log or memory is full.
    /// `done` is called once the batch is durable and visible, or refused after all. A batch that
    /// is old gives `None` and calls nothing.
    ///
    /// # Errors
    /// `InvalidInput` for a gap in the sequence or a malformed batch; `Conflict` where a newer
    /// opening holds the source; `Exhausted` and `ReadOnly` where nothing can be written now.
    pub fn submit(
        &self,
        sequence: u64,
        batch: Batch,
        done: impl FnOnce(Result<Committed>) + Send + 'static,
    ) -> Result<Option<Submitted>> {
        if self.slot.is_old(self.opening, sequence)? {
            return Ok(None);
        }
        let prepared = self.shared.prepare(batch)?;
        let mark = self.mark.as_ref().map(|(name, identity, epoch)| SourceMark {
            name: Arc::clone(name),
            identity: Arc::clone(identity),
            epoch: *epoch,
            sequence,
        });
        let frame = Frame::Samples(SampleFrame {
            source: mark,
            received: self.shared.env.clock.now(),
            rejected: prepared.rejections.len() as u64,
            blocks: prepared.blocks,
        });
        let payload = encode_frame(&frame);
        check_frame(&payload)?;
        if self.slot.take(self.opening, sequence)? == Turn::Old {
            return Ok(None);
        }
        let done = Done::new(Some(Arc::clone(&self.slot)), done);
        self.shared.queue.push(Queued { payload, frame, done }, || self.shared.admit())?;
        Ok(Some(Submitted { rejections: prepared.rejections, handles: prepared.handles }))
    }
}

impl Shared {
    /// Checks and coerces a batch; creates the tags and states it needs, unless it makes too long
    /// a frame.
    fn prepare(&self, batch: Batch) -> Result<Prepared> {
        check_shape(&batch)?;
        let rules = Rules { now: self.env.clock.now(), max_future: self.config.max_future };
        let mut tags = self.tags.read().clone();
        let missing = if self.config.auto_create { missing_tags(&batch, &tags, rules) } else { Vec::new() };
        if !missing.is_empty() {
            check_blocks(&mut prepare(&batch, &with_tags(&tags, missing), rules))?;
            let _one_at_a_time = self.tag_changes.lock();
            // Another writer may have created some meanwhile.
            tags = self.tags.read().clone();
            self.add_tags(&tags, missing_tags(&batch, &tags, rules))?;
            tags = self.tags.read().clone();
        }
        let mut prepared = prepare(&batch, &tags, rules);
        if !prepared.new_states.is_empty() {
            check_blocks(&mut prepared)?;
            self.add_states(&prepared)?;
            prepared.close_codes(&self.tags.read())?;
        }
        Ok(prepared)
    }

    /// Gives each new word of a digital tag the next free code.
    fn add_states(&self, prepared: &Prepared) -> Result<()> {
        let _one_at_a_time = self.tag_changes.lock();
        let tags = self.tags.read().clone();
        let mut changed = Vec::new();
        for (id, words) in &prepared.new_states {
            let Some(tag) = tags.get(*id) else { continue };
            let mut tag = (**tag).clone();
            for word in words {
                if tag.spec.state_code(word).is_none() && tag.spec.states.len() < limits::STATES_MAX {
                    let code = tag.spec.states.last().map_or(0, |(code, _)| code.saturating_add(1).max(0));
                    tag.spec.states.push((code, Arc::from(word.as_str())));
                }
            }
            if tag.spec.check().is_ok() {
                changed.push(Arc::new(tag));
            }
        }
        self.write_tags(changed)
    }

    /// How many tags have reduction, and how many may.
    fn reducers(&self) -> (usize, usize) {
        let most = self.config.memory_budget / 4 / limits::REDUCER_BYTES;
        (self.published.read().active.memtable.reducers(), most)
    }

    /// Gives new tags the reduction of the rule that matches them, as long as memory has room for it.
    fn reduce_by_rules(&self, specs: &mut [TagSpec]) {
        if self.config.reduction.is_empty() {
            return;
        }
        let (there, most) = self.reducers();
        let mut room = most.saturating_sub(there + specs.iter().filter(|spec| is_reduced(spec)).count());
        for spec in specs.iter_mut().filter(|spec| spec.reduction.is_none()) {
            let Some(reduction) = self.config.reduction_of(spec) else { continue };
            if room == 0 {
                tracing::warn!("new tags are not reduced: the memory budget has room for {most} that are");
                return;
            }
            room -= 1;
            spec.reduction = Some(reduction);
        }
    }

    /// Refuses reduction of so many tags more than there are where memory is too small for them.
    fn check_reducers(&self, more: usize) -> Result<()> {
        let (there, most) = self.reducers();
        if more == 0 || there + more <= most {
            return Ok(());
        }
        let why = format!("{there} tags have it, and the memory budget has room for {most}");
        let advice = "raise memory_budget, or turn the reduction of other tags off";
        Err(Error::new(ErrorKind::Exhausted, "reducing a tag failed", why, advice))
    }

    fn add_tags(&self, tags: &TagTable, mut specs: Vec<TagSpec>) -> Result<Vec<TagId>> {
        self.reduce_by_rules(&mut specs);
        if tags.len() + specs.len() > limits::TAGS_MAX {
            return Err(Error::new(
                ErrorKind::Exhausted,
                "creating tags failed",
                format!(
                    "the archive would have {} tags, at most {} are allowed",
                    tags.len() + specs.len(),
                    limits::TAGS_MAX
                ),
                "use another archive",
            ));
        }
        let created = self.env.clock.now();
        let first = u32::try_from(tags.len() + 1).expect("the limit of tags is below 2^32");
        let new: Vec<Arc<Tag>> =
            (first..).zip(specs).map(|(id, spec)| Arc::new(Tag { id: TagId(id), created, spec })).collect();
        let ids = new.iter().map(|tag| tag.id).collect();
        self.write_tags(new)?;
        Ok(ids)
    }

    /// Makes tags durable and visible, in frames of moderate size.
    fn write_tags(&self, tags: Vec<Arc<Tag>>) -> Result<()> {
        const TAGS_PER_FRAME: usize = 256;
        for some in tags.chunks(TAGS_PER_FRAME) {
            let mut groups = vec![some.to_vec()];
            while let Some(group) = groups.pop() {
                let frame = Frame::Tags(group.clone());
                let payload = encode_frame(&frame);
                if payload.len() > limits::FRAME_BYTES_MAX && group.len() > 1 {
                    let (left, right) = group.split_at(group.len() / 2);
                    groups.push(right.to_vec());
                    groups.push(left.to_vec());
                    continue;
                }
                if payload.len() > limits::FRAME_BYTES_MAX {
                    return Err(Error::invalid(
                        format!("tag {}", quoted(&group[0].spec.name)),
                        format!(
                            "its metadata takes {} bytes, at most {} are allowed",
                            payload.len(),
                            limits::FRAME_BYTES_MAX
                        ),
                        "shorten its states",
                    ));
                }
                self.commit(payload, frame)?;
            }
        }
        Ok(())
    }
}

impl TagChange {
    fn apply(self, spec: &mut TagSpec) {
        let TagChange { unit, description, interpolation, low, high, states, future, reduction } = self;
        set(&mut spec.unit, unit);
        set(&mut spec.description, description);
        set(&mut spec.interpolation, interpolation);
        set(&mut spec.low, low);
        set(&mut spec.high, high);
        for (code, name) in states.unwrap_or_default() {
            match spec.states.binary_search_by_key(&code, |(code, _)| *code) {
                Ok(at) => spec.states[at].1 = name,
                Err(at) => spec.states.insert(at, (code, name)),
            }
        }
        set(&mut spec.future, future);
        if let Some(reduction) = reduction
            && (reduction.is_on() || spec.reduction.is_some())
        {
            spec.reduction = Some(reduction);
        }
    }
}

/// Whether samples of a tag are left out.
fn is_reduced(spec: &TagSpec) -> bool {
    spec.reduction.is_some_and(|reduction| reduction.is_on())
}

fn set<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}

/// The table as it will be with these tags.
fn with_tags(tags: &TagTable, specs: Vec<TagSpec>) -> TagTable {
    let mut with = tags.clone();
    for spec in specs {
        let id = u32::try_from(with.len() + 1).expect("a batch has fewer rows than ids are left");
        with.put(Arc::new(Tag { id: TagId(id), created: 0, spec }));
    }
    with
}

/// Refuses a batch that makes too long a frame.
fn check_blocks(prepared: &mut Prepared) -> Result<()> {
    let blocks = std::mem::take(&mut prepared.blocks);
    let frame = Frame::Samples(SampleFrame { source: None, received: 0, rejected: 0, blocks });
    let checked = check_frame(&encode_frame(&frame));
    if let Frame::Samples(frame) = frame {
        prepared.blocks = frame.blocks;
    }
    checked
}

fn check_frame(payload: &[u8]) -> Result<()> {
    let (bytes, most) = (payload.len(), limits::FRAME_BYTES_MAX);
    if bytes <= most {
        return Ok(());
    }
    let why = format!("it takes {bytes} bytes of log, at most {most} are allowed");
    Err(Error::invalid("the batch", why, "send smaller batches"))
}

/// Refuses a source that another identity has written to.
fn check_identity(state: Option<&SourceState>, source: &str, identity: &str) -> Result<()> {
    if state.is_none_or(|state| *state.identity == *identity) {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Conflict,
        format!("opening source {}", quoted(source)),
        "it belongs to another identity",
        "choose another source name",
    ))
}

/// Refuses an epoch that a newer one has ended: its batches would count from 1 again.
fn check_epoch(state: Option<&SourceState>, source: &str, epoch: u64) -> Result<()> {
    if state.is_none_or(|state| state.epoch == epoch || !state.ended.contains(&epoch)) {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Conflict,
        format!("opening source {}", quoted(source)),
        "a newer epoch has ended this one",
        "begin a new epoch, and give every writer a source name of its own",
    ))
}

fn check_source(source: &str, identity: &str) -> Result<()> {
    for (what, text, most) in
        [("source name", source, limits::SOURCE_NAME_BYTES_MAX), ("identity", identity, limits::IDENTITY_BYTES_MAX)]
    {
        if text.len() > most || text.chars().any(char::is_control) {
            return Err(Error::invalid(
                format!("{what} {}", quoted(text)),
                format!("it has {} bytes or control characters, at most {most} bytes are allowed", text.len()),
                "choose another name",
            ));
        }
    }
    Ok(())
}

fn exists(name: &str) -> Error {
    Error::new(
        ErrorKind::Conflict,
        format!("creating tag {} failed", quoted(name)),
        "a tag of this name exists",
        "names may not differ by case alone; use `tagus tags set` to change it",
    )
}

/// The error for a name that no tag has, with the nearest.
pub fn unknown_tag(name: &str, tags: &TagTable) -> Error {
    let nearest = tags.nearest(name, 3).into_iter().map(quoted).collect::<Vec<_>>().join(", ");
    let advice = if nearest.is_empty() {
        "list the tags with `tagus tags list`".into()
    } else {
        format!("did you mean {nearest}?")
    };
    Error::new(ErrorKind::NotFound, format!("finding tag {} failed", quoted(name)), "there is no such tag", advice)
}
