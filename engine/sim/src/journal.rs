//! Changes of directories that no sync has made durable yet.

use std::collections::BTreeMap;

use crate::inode::InodeId;

/// A name in a directory.
pub(crate) type Name = (InodeId, String);

/// An atomic change: each name and what it leads to afterwards. A rename changes two names.
pub(crate) type Change = Vec<(Name, Option<InodeId>)>;

/// Pending changes, oldest first.
#[derive(Clone, Default)]
pub(crate) struct Journal(Vec<Change>);

impl Journal {
    pub(crate) fn push(&mut self, change: Change) {
        self.0.push(change);
    }

    pub(crate) fn changes(&self) -> impl Iterator<Item = &Change> {
        self.0.iter()
    }

    /// Takes all changes, in groups that share no name, each group oldest first. Names of one
    /// group hang together by renames: what becomes of one decides about the others.
    pub(crate) fn take_groups(&mut self) -> Vec<Vec<Change>> {
        let mut groups: Vec<Vec<(usize, Change)>> = Vec::new();
        let mut group_of: BTreeMap<Name, usize> = BTreeMap::new();
        for (order, change) in self.0.drain(..).enumerate() {
            let target = change.iter().find_map(|(name, _)| group_of.get(name).copied()).unwrap_or_else(|| {
                groups.push(Vec::new());
                groups.len() - 1
            });
            for (name, _) in &change {
                let other = group_of.insert(name.clone(), target).unwrap_or(target);
                if other != target {
                    let joined = std::mem::take(&mut groups[other]);
                    groups[target].extend(joined);
                    group_of.values_mut().filter(|group| **group == other).for_each(|group| *group = target);
                }
            }
            groups[target].push((order, change));
        }
        groups.retain(|group| !group.is_empty());
        groups
            .into_iter()
            .map(|mut group| {
                group.sort_by_key(|(order, _)| *order);
                group.into_iter().map(|(_, change)| change).collect()
            })
            .collect()
    }

    /// Takes the changes that a sync of `dir` makes durable: those of its names, and those that
    /// renames tie to them.
    pub(crate) fn take_for(&mut self, dir: InodeId) -> Vec<Change> {
        let (taken, kept): (Vec<_>, Vec<_>) =
            self.take_groups().into_iter().partition(|group| group.iter().flatten().any(|((at, _), _)| *at == dir));
        self.0 = kept.into_iter().flatten().collect();
        taken.into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(dir: InodeId, name: &str) -> Name {
        (dir, name.to_owned())
    }

    #[test]
    fn renames_join_the_changes_of_their_names() {
        let mut journal = Journal::default();
        journal.push(vec![(name(0, "a"), Some(10))]);
        journal.push(vec![(name(0, "b"), Some(11))]);
        journal.push(vec![(name(1, "c"), Some(12))]);
        journal.push(vec![(name(0, "a"), None), (name(1, "c"), Some(10))]);
        journal.push(vec![(name(1, "c"), None)]);
        let mut copy = journal.clone();

        let groups = journal.take_groups();
        assert_eq!(groups.iter().map(Vec::len).collect::<Vec<_>>(), [4, 1]);
        assert_eq!(groups[0][3], [(name(1, "c"), None)]);
        assert_eq!(journal.changes().count(), 0);

        // Directory 1 hangs on `a` of directory 0, not on its `b`.
        assert_eq!(copy.take_for(1).len(), 4);
        assert_eq!(copy.changes().collect::<Vec<_>>(), [&vec![(name(0, "b"), Some(11))]]);
    }
}
