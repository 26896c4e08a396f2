//! Who wants to hear of new current values.
//!
//! A subscription notes which tags have changed, and how often, not what they changed to: who takes its
//! notes reads what is current then. A slow reader therefore gets the newest value of each tag and
//! learns how many it has missed, and its notes never outgrow the tags.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Weak};

use parking_lot::{Mutex, RwLock};

use crate::delete::Delete;
use crate::format::SampleFrame;
use crate::tag::TagId;

/// All subscriptions.
#[derive(Default)]
pub(crate) struct Changes {
    /// Spares writers the lock while nobody listens.
    any: AtomicBool,
    subscribers: RwLock<Vec<Weak<Subscriber>>>,
}

/// What changed, for one reader; it ends when it is dropped.
pub struct Subscription(Arc<Subscriber>);

struct Subscriber {
    /// The tags that it follows, but for those created after it began.
    tags: BTreeSet<TagId>,
    /// The last tag there was when it began: any later one is noted, for the reader to choose.
    known: TagId,
    notes: Mutex<Notes>,
    wake: Box<dyn Fn() + Send + Sync>,
}

#[derive(Default)]
struct Notes {
    changed: BTreeMap<TagId, Note>,
    /// Notes are taken from here on, round and round, so that none waits for ever.
    next: Option<TagId>,
}

struct Note {
    /// The newest time that was written; older samples change no current value.
    time: i64,
    count: u64,
}

impl Changes {
    /// Follows these tags, and any created after `known`. `wake` is called when there are notes, from a
    /// thread that must not wait.
    pub fn subscribe(
        &self,
        tags: BTreeSet<TagId>,
        known: TagId,
        wake: impl Fn() + Send + Sync + 'static,
    ) -> Subscription {
        let subscriber = Arc::new(Subscriber { tags, known, notes: Mutex::default(), wake: Box::new(wake) });
        let mut subscribers = self.subscribers.write();
        subscribers.retain(|other| other.strong_count() > 0);
        subscribers.push(Arc::downgrade(&subscriber));
        self.any.store(true, Relaxed);
        Subscription(subscriber)
    }

    /// Whether anybody follows anything.
    pub fn any(&self) -> bool {
        self.any.load(Relaxed)
    }

    /// Notes the samples of a frame that is visible now. `newest` is the newest time of its tags before
    /// it, where they had one: what is older changes no current value.
    pub fn written(&self, frame: &SampleFrame, newest: &BTreeMap<TagId, i64>) {
        self.each(|subscriber| {
            let mut notes = subscriber.notes.lock();
            for block in &frame.blocks {
                for (i, time) in block.rows.times.iter().enumerate() {
                    let tag = block.tag(i);
                    if subscriber.follows(tag) && newest.get(&tag).is_none_or(|newest| time >= newest) {
                        notes.note(tag, *time);
                    }
                }
            }
            !notes.changed.is_empty()
        });
    }

    /// Notes the tags of a delete that is visible now: their current values may be others. `last` is the
    /// last tag there is.
    pub fn deleted(&self, delete: &Delete, last: TagId) {
        self.each(|subscriber| {
            let mut notes = subscriber.notes.lock();
            for (from, to) in delete.tags.ranges() {
                subscriber.tags.range(from..=to).for_each(|tag| notes.note(*tag, i64::MIN));
                let created_later = from.0.max(subscriber.known.0.saturating_add(1))..=to.0.min(last.0);
                created_later.for_each(|tag| notes.note(TagId(tag), i64::MIN));
            }
            !notes.changed.is_empty()
        });
    }

    fn each(&self, note: impl Fn(&Subscriber) -> bool) {
        if !self.any.load(Relaxed) {
            return;
        }
        let list = self.subscribers.read();
        let subscribers: Vec<Arc<Subscriber>> = list.iter().filter_map(Weak::upgrade).collect();
        if subscribers.is_empty() {
            // Whoever subscribes says so while holding the list.
            self.any.store(false, Relaxed);
        }
        drop(list);
        for subscriber in subscribers {
            if note(&subscriber) {
                (subscriber.wake)();
            }
        }
    }
}

impl Subscriber {
    fn follows(&self, tag: TagId) -> bool {
        tag > self.known || self.tags.contains(&tag)
    }
}

impl Notes {
    fn note(&mut self, tag: TagId, time: i64) {
        let note = self.changed.entry(tag).or_insert(Note { time, count: 0 });
        // A delete has no time and counts in any case.
        if time >= note.time || time == i64::MIN {
            (note.time, note.count) = (note.time.max(time), note.count + 1);
        }
    }
}

impl Subscription {
    /// Takes up to `most` tags that have changed since they were taken last, each with how often.
    pub fn take(&self, most: usize) -> Vec<(TagId, u64)> {
        let mut notes = self.0.notes.lock();
        let next = notes.next.unwrap_or(TagId(0));
        let round = notes.changed.range(next..).chain(notes.changed.range(..next));
        let taken: Vec<(TagId, u64)> = round.take(most).map(|(tag, note)| (*tag, note.count)).collect();
        for (tag, _) in &taken {
            notes.changed.remove(tag);
        }
        notes.next = taken.last().map(|(tag, _)| TagId(tag.0.saturating_add(1)));
        taken
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;
    use crate::delete::{Cause, TagRanges};

    #[test]
    fn notes_are_of_the_tags_followed_and_count_what_was_missed() {
        let (changes, woken) = (Changes::default(), Arc::new(AtomicUsize::new(0)));
        let counter = Arc::clone(&woken);
        let tags = [1, 3].map(TagId).into_iter().collect();
        let subscription = changes.subscribe(tags, TagId(4), move || _ = counter.fetch_add(1, Relaxed));
        for (tag, time) in [(1, 10), (1, 20), (1, 5), (2, 10), (5, 1), (3, 7)] {
            let mut notes = subscription.0.notes.lock();
            if subscription.0.follows(TagId(tag)) {
                notes.note(TagId(tag), time);
            }
        }
        assert_eq!(subscription.take(2), [(TagId(1), 2), (TagId(3), 1)], "the late one changes nothing");
        assert_eq!(subscription.take(2), [(TagId(5), 1)], "a tag that is new may be followed");
        assert_eq!(subscription.take(2), []);
        // Whoever takes little gets round to all.
        let note_all = || (1..5).for_each(|tag| subscription.0.notes.lock().note(TagId(tag), 30));
        note_all();
        let mut taken: Vec<u32> = subscription.take(3).iter().map(|(tag, _)| tag.0).collect();
        note_all();
        taken.extend(subscription.take(3).iter().map(|(tag, _)| tag.0));
        assert_eq!(taken, [1, 2, 3, 4, 1, 2]);
        subscription.take(9);
        let tags = TagRanges::of(&[TagId(2), TagId(3), TagId(6), TagId(7)]);
        let delete = Delete { sequence: 9, received: 0, cause: Cause::Request, tags, from: 0, to: 1 };
        changes.deleted(&delete, TagId(6));
        let taken: BTreeMap<TagId, u64> = subscription.take(9).into_iter().collect();
        assert_eq!((taken, woken.load(Relaxed)), ([(TagId(3), 1), (TagId(6), 1)].into(), 1), "6 is there, 7 is not");
        drop(subscription);
        changes.deleted(&delete, TagId(6));
        assert!(!changes.any.load(Relaxed), "nobody listens");
        assert_eq!(woken.load(Relaxed), 1);
    }
}
