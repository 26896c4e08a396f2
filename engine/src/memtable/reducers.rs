//! Who decides which samples of which tags stay.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::reduction::{Reducer, ReducerState};
use crate::tag::TagId;

/// The reducers of tags that have one, as they go on from memtable to memtable.
#[derive(Default)]
pub(super) struct Reducers {
    /// By tag id.
    of: Vec<Option<Entry>>,
    count: usize,
    /// Tags of which something has changed in this memtable.
    touched: Vec<TagId>,
}

#[derive(Clone)]
struct Entry {
    reducer: Arc<Reducer>,
    is_touched: bool,
}

impl Reducers {
    /// The same for the next memtable.
    pub fn carried(&self) -> Reducers {
        let untouched = |entry: &Entry| Entry { reducer: Arc::clone(&entry.reducer), is_touched: false };
        let of = self.of.iter().map(|entry| entry.as_ref().map(untouched)).collect();
        Reducers { of, count: self.count, touched: Vec::new() }
    }

    pub fn get(&self, tag: TagId) -> Option<&Arc<Reducer>> {
        self.of.get(tag.0 as usize)?.as_ref().map(|entry| &entry.reducer)
    }

    /// Whether samples of a tag are decided on.
    pub fn has(&self, tag: TagId) -> bool {
        self.count > 0 && self.get(tag).is_some()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// A reducer that takes a sample.
    pub fn touch(&mut self, tag: TagId) -> Option<&mut Reducer> {
        let entry = self.of.get_mut(tag.0 as usize)?.as_mut()?;
        if !entry.is_touched {
            entry.is_touched = true;
            self.touched.push(tag);
        }
        Some(Arc::make_mut(&mut entry.reducer))
    }

    /// Puts a reducer in the place of another, or none.
    pub fn set(&mut self, tag: TagId, reducer: Option<Reducer>) {
        let at = tag.0 as usize;
        if at >= self.of.len() {
            self.of.resize(at + 1, None);
        }
        self.count = self.count + usize::from(reducer.is_some()) - usize::from(self.of[at].is_some());
        self.of[at] = reducer.map(|reducer| Entry { reducer: Arc::new(reducer), is_touched: true });
        self.touched.push(tag);
    }

    /// Those of tags from `first` to `last`.
    pub fn among(&self, first: TagId, last: TagId) -> impl Iterator<Item = (TagId, &Arc<Reducer>)> {
        let end = self.of.len().min((last.0 as usize).saturating_add(1));
        let start = end.min(first.0 as usize);
        let some = self.of[start..end].iter();
        (first.0..).map(TagId).zip(some).filter_map(|(tag, entry)| Some((tag, &entry.as_ref()?.reducer)))
    }

    /// What those that were touched have to remember, by tag.
    pub fn states(&self) -> Vec<(TagId, Option<Arc<ReducerState>>)> {
        let touched: BTreeSet<TagId> = self.touched.iter().copied().collect();
        let state = |tag: &TagId| self.get(*tag).and_then(|reducer| reducer.state()).map(Arc::new);
        touched.iter().map(|tag| (*tag, state(tag))).collect()
    }
}
