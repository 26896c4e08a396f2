//! Who decides which samples of which tags stay.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::reduction::{Reducer, ReducerState};
use crate::tag::TagId;

/// The reducers of tags that have one, as they go on from memtable to memtable.
#[derive(Default)]
pub(super) struct Reducers {
    /// By tag id.
    of: Vec<Option<Arc<Reducer>>>,
    count: usize,
    /// Tags whose reducer came, went, or took a sample in this memtable.
    touched: BTreeSet<TagId>,
}

/// What one takes, about.
const BYTES: usize = 768;

impl Reducers {
    /// The same for the next memtable.
    pub fn carried(&self) -> Reducers {
        Reducers { of: self.of.clone(), count: self.count, touched: BTreeSet::new() }
    }

    pub fn get(&self, tag: TagId) -> Option<&Arc<Reducer>> {
        self.of.get(tag.0 as usize)?.as_ref()
    }

    /// Whether samples of a tag are decided on.
    pub fn has(&self, tag: TagId) -> bool {
        self.count > 0 && self.get(tag).is_some()
    }

    /// A reducer that takes a sample.
    pub fn touch(&mut self, tag: TagId) -> Option<&mut Reducer> {
        let reducer = self.of.get_mut(tag.0 as usize)?.as_mut()?;
        self.touched.insert(tag);
        Some(Arc::make_mut(reducer))
    }

    /// Puts a reducer in the place of another, or none.
    pub fn set(&mut self, tag: TagId, reducer: Option<Reducer>) {
        let at = tag.0 as usize;
        if at >= self.of.len() {
            self.of.resize(at + 1, None);
        }
        self.count = self.count + usize::from(reducer.is_some()) - usize::from(self.of[at].is_some());
        self.of[at] = reducer.map(Arc::new);
        self.touched.insert(tag);
    }

    /// Those of tags from `first` to `last`.
    pub fn among(&self, first: TagId, last: TagId) -> impl Iterator<Item = (TagId, &Arc<Reducer>)> {
        let end = self.of.len().min((last.0 as usize).saturating_add(1));
        let start = end.min(first.0 as usize);
        let some = self.of[start..end].iter();
        (first.0..).map(TagId).zip(some).filter_map(|(tag, reducer)| Some((tag, reducer.as_ref()?)))
    }

    /// What those that were touched have to remember.
    pub fn states(&self) -> Vec<(TagId, Option<Arc<ReducerState>>)> {
        let state = |tag: &TagId| self.get(*tag).and_then(|reducer| reducer.state()).map(Arc::new);
        self.touched.iter().map(|tag| (*tag, state(tag))).collect()
    }

    pub fn bytes(&self) -> usize {
        self.of.len() * size_of::<Option<Arc<Reducer>>>() + self.count * BYTES
    }
}
