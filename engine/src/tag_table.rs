//! All tags of an archive, as one reader sees them.

use std::collections::HashMap;
use std::sync::Arc;

use crate::tag::{Tag, TagId, TagType};

const CHUNK: usize = 1024;
const SHARDS: usize = 256;

/// An immutable view of all tags.
///
/// Changing it copies one chunk and one shard of the name index, so that neither readers nor
/// the creation of the next tag pay for the number of tags there are.
#[derive(Clone)]
pub struct TagTable {
    chunks: Vec<Arc<Vec<Arc<Tag>>>>,
    /// Names in lowercase, spread by hash.
    names: Vec<Arc<HashMap<String, TagId>>>,
    len: usize,
}

impl Default for TagTable {
    fn default() -> TagTable {
        TagTable { chunks: Vec::new(), names: vec![Arc::default(); SHARDS], len: 0 }
    }
}

impl TagTable {
    /// The number of tags; their ids are 1 to this number.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The tag of this id.
    pub fn get(&self, id: TagId) -> Option<&Arc<Tag>> {
        let index = (id.0 as usize).checked_sub(1)?;
        self.chunks.get(index / CHUNK)?.get(index % CHUNK)
    }

    /// The type of a tag's values; those of summaries are doubles.
    pub(crate) fn type_of(&self, id: TagId) -> Option<TagType> {
        if id.is_summary() { Some(TagType::Float64) } else { self.get(id).map(|tag| tag.spec.tag_type) }
    }

    /// The tag of this name in any case.
    pub fn find(&self, name: &str) -> Option<&Arc<Tag>> {
        let folded = name.to_lowercase();
        self.get(*self.names[shard(&folded)].get(&folded)?)
    }

    /// The tag of exactly this name.
    pub fn find_exact(&self, name: &str) -> Option<&Arc<Tag>> {
        self.find(name).filter(|tag| tag.spec.name == name)
    }

    /// All tags by id.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Tag>> {
        self.chunks.iter().flat_map(|chunk| chunk.iter())
    }

    /// The tags whose name matches a pattern with `*` and `?` in any case, by name.
    pub fn glob(&self, pattern: &str) -> Vec<&Arc<Tag>> {
        if !pattern.contains(['*', '?']) {
            return self.find(pattern).into_iter().collect();
        }
        let pattern: Vec<char> = pattern.to_lowercase().chars().collect();
        let mut found: Vec<&Arc<Tag>> =
            self.iter().filter(|tag| folded_matches(&pattern, &tag.spec.name.to_lowercase())).collect();
        found.sort_by(|a, b| a.spec.name.cmp(&b.spec.name));
        found
    }

    /// Up to `count` names that look most like `name`, best first, for messages.
    pub fn nearest(&self, name: &str, count: usize) -> Vec<&str> {
        const ALIKE: f64 = 0.7;
        let folded = name.to_lowercase();
        let mut scored: Vec<(f64, &str)> = self
            .iter()
            .map(|tag| (strsim::jaro_winkler(&folded, &tag.spec.name.to_lowercase()), tag.spec.name.as_str()))
            .filter(|(score, _)| *score >= ALIKE)
            .collect();
        scored.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(b.1)));
        scored.into_iter().take(count).map(|(_, name)| name).collect()
    }

    /// Adds the next tag or replaces one of the same id. Only what stands in for a lost tag ever
    /// gets another name.
    ///
    /// # Panics
    /// If the id is neither present nor the next one: tags enter in the order of the log.
    pub(crate) fn put(&mut self, tag: Arc<Tag>) {
        let index = tag.id.0 as usize - 1;
        assert!(index <= self.len, "tag ids follow each other: {} after {}", tag.id.0, self.len);
        if index == self.len {
            self.put_name(&tag);
            if index.is_multiple_of(CHUNK) {
                self.chunks.push(Arc::default());
            }
            Arc::make_mut(&mut self.chunks[index / CHUNK]).push(tag);
            self.len += 1;
        } else {
            let place = &mut Arc::make_mut(&mut self.chunks[index / CHUNK])[index % CHUNK];
            let before = std::mem::replace(place, Arc::clone(&tag));
            if before.spec.name != tag.spec.name {
                self.remove_name(&before);
                self.put_name(&tag);
            }
        }
    }

    fn put_name(&mut self, tag: &Tag) {
        let folded = tag.spec.name.to_lowercase();
        Arc::make_mut(&mut self.names[shard(&folded)]).insert(folded, tag.id);
    }

    fn remove_name(&mut self, tag: &Tag) {
        let folded = tag.spec.name.to_lowercase();
        Arc::make_mut(&mut self.names[shard(&folded)]).remove(&folded);
    }
}

/// FNV-1a: the index must not depend on a random state, for runs to be repeatable.
fn shard(folded: &str) -> usize {
    let hash = folded.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    (hash >> 32) as usize % SHARDS
}

/// The characters of a pattern that are no wildcards: the more, the more it says.
pub(crate) fn literals(pattern: &str) -> usize {
    pattern.chars().filter(|c| !matches!(c, '*' | '?')).count()
}

/// Whether a name matches a pattern with `*` and `?` in any case.
pub fn glob_matches(pattern: &str, name: &str) -> bool {
    folded_matches(&pattern.to_lowercase().chars().collect::<Vec<_>>(), &name.to_lowercase())
}

/// Whether `name` matches `pattern`, both folded. Linear but for back-tracking to the last star.
fn folded_matches(pattern: &[char], name: &str) -> bool {
    let name: Vec<char> = name.chars().collect();
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(&c) if c == '?' || c == name[n] => {
                p += 1;
                n += 1;
            }
            _ => {
                let Some((star_p, star_n)) = star else { return false };
                star = Some((star_p, star_n + 1));
                p = star_p + 1;
                n = star_n + 1;
            }
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tag::TagSpec;

    fn table(names: &[&str]) -> TagTable {
        let mut table = TagTable::default();
        for (id, name) in (1..).zip(names) {
            let spec = TagSpec::new(*name, TagType::Float64);
            table.put(Arc::new(Tag { id: TagId(id), created: 0, spec }));
        }
        table
    }

    #[test]
    fn tags_are_found_in_any_case() {
        let table = table(&["Site1.FIC101.PV", "ÄHRE"]);
        assert_eq!(table.find("site1.fic101.pv").unwrap().id, TagId(1));
        assert_eq!(table.find("ähre").unwrap().id, TagId(2));
        assert!(table.find_exact("ähre").is_none());
        assert!(table.get(TagId(0)).is_none() && table.get(TagId(3)).is_none());
    }

    #[test]
    fn globs_match_whole_names() {
        let table = table(&["a.b.PV", "a.b.SP", "a.bb.PV", "x"]);
        let names = |glob: &str| table.glob(glob).iter().map(|t| t.spec.name.clone()).collect::<Vec<_>>();
        assert_eq!(names("A.*.pv"), ["a.b.PV", "a.bb.PV"]);
        assert_eq!(names("a.?.PV"), ["a.b.PV"]);
        assert_eq!(names("*"), ["a.b.PV", "a.b.SP", "a.bb.PV", "x"]);
        assert_eq!(names("*.b.*V"), ["a.b.PV"]);
        assert!(names("b*").is_empty());
    }

    #[test]
    fn a_changed_table_leaves_the_older_view_alone() {
        let names: Vec<String> = (0..3000).map(|i| format!("tag{i}")).collect();
        let before = table(&names.iter().map(String::as_str).collect::<Vec<_>>());
        let mut after = before.clone();
        let mut tag = (**after.find("tag7").unwrap()).clone();
        tag.spec.unit = "bar".into();
        after.put(Arc::new(tag));
        assert_eq!(before.find("tag7").unwrap().spec.unit, "");
        assert_eq!(after.find("tag7").unwrap().spec.unit, "bar");
        assert_eq!(after.len(), 3000);
        assert_eq!(after.iter().count(), 3000);
    }

    #[test]
    fn the_nearest_name_is_offered() {
        let table = table(&["site1.FIC101.PV", "site1.TIC7.PV"]);
        assert_eq!(table.nearest("site1.FIC11.PV", 1), ["site1.FIC101.PV"]);
        assert!(table.nearest("qqqq", 3).is_empty());
    }
}
