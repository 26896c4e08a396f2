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

    /// Notes the samples of a frame that is visible now.
    pub fn written(&self, frame: &SampleFrame) {
        self.each(|subscriber| {
            let mut notes = subscriber.notes.lock();
            for block in &frame.blocks {
                for (i, time) in block.rows.times.iter().enumerate() {
                    let tag = block.tag(i);
                    if subscriber.follows(tag) {
                        notes.note(tag, *time);
                    }
                }
            }
            !notes.changed.is_empty()
        });
    }

    /// Notes the tags of a delete that is visible now: their current values may be others.
    pub fn deleted(&self, delete: &Delete) {
        self.each(|subscriber| {
            let mut notes = subscriber.notes.lock();
            for (first, last) in delete.tags.ranges() {
                for tag in subscriber.tags.range(first..=last) {
                    notes.note(*tag, i64::MAX);
                }
            }
            !notes.changed.is_empty()
        });
    }

    fn each(&self, note: impl Fn(&Subscriber) -> bool) {
        if !self.any.load(Relaxed) {
            return;
        }
        let subscribers: Vec<Arc<Subscriber>> = self.subscribers.read().iter().filter_map(Weak::upgrade).collect();
        if subscribers.is_empty() {
            self.any.store(false, Relaxed);
            // One may have come in between.
            let has_some = self.subscribers.read().iter().any(|subscriber| subscriber.strong_count() > 0);
            self.any.store(has_some, Relaxed);
        }
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
        if time >= note.time {
            (note.time, note.count) = (time, note.count + 1);
        }
    }
}

impl Subscription {
    /// Takes up to `most` tags that have changed since they were taken last, each with how often.
    pub fn take(&self, most: usize) -> Vec<(TagId, u64)> {
        let mut notes = self.0.notes.lock();
        let rest = match notes.changed.keys().nth(most).copied() {
            Some(next) => notes.changed.split_off(&next),
            None => BTreeMap::new(),
        };
        let taken = std::mem::replace(&mut notes.changed, rest);
        taken.into_iter().map(|(tag, note)| (tag, note.count)).collect()
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
        let tags = TagRanges::of(&[TagId(2), TagId(3)]);
        let delete = Delete { sequence: 9, received: 0, cause: Cause::Request, tags, from: 0, to: 1 };
        changes.deleted(&delete);
        assert_eq!((subscription.take(9), woken.load(Relaxed)), (vec![(TagId(3), 1)], 1));
        drop(subscription);
        changes.deleted(&delete);
        assert!(!changes.any.load(Relaxed), "nobody listens");
        assert_eq!(woken.load(Relaxed), 1);
    }
}
