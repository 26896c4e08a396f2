//! Names that look like a misspelt one, for messages.

/// Names listed in a message, at most.
const LISTED_MAX: usize = 8;

/// The candidate that looks most like `name` in any case, where one is near enough.
pub(crate) fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let folded = name.to_lowercase();
    let bound = folded.chars().count().div_ceil(3);
    candidates
        .map(|candidate| (distance(&folded, &candidate.to_lowercase(), bound), candidate))
        .filter(|(distance, _)| *distance <= bound)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The first few names, comma by comma.
pub(crate) fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut names: Vec<&str> = names.collect();
    let more = names.len() > LISTED_MAX;
    names.truncate(LISTED_MAX);
    names.join(", ") + if more { ", ..." } else { "" }
}

/// Edits between two words (a character added, left out, replaced, or two neighbours swapped),
/// counting no further than `bound` + 1.
fn distance(a: &str, b: &str, bound: usize) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    if a.len().abs_diff(b.len()) > bound {
        return bound + 1;
    }
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for i in 0..a.len() {
        let mut next = vec![i + 1];
        for j in 0..b.len() {
            let replaced = row[j] + usize::from(a[i] != b[j]);
            let mut edits = replaced.min(row[j + 1] + 1).min(next[j] + 1);
            if i > 0 && j > 0 && a[i] == b[j - 1] && a[i - 1] == b[j] {
                edits = edits.min(before[j - 1] + 1);
            }
            next.push(edits);
        }
        before = std::mem::replace(&mut row, next);
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found() {
        let tables = ["samples", "tags", "current_values"];
        assert_eq!(nearest("sample", tables.into_iter()), Some("samples"));
        assert_eq!(nearest("TAG", tables.into_iter()), Some("tags"));
        assert_eq!(nearest("curent_value", tables.into_iter()), Some("current_values"));
        assert_eq!(nearest("tgas", tables.into_iter()), Some("tags"));
        assert_eq!(nearest("orders", tables.into_iter()), None);
        assert_eq!(nearest("", tables.into_iter()), None);
        assert_eq!(list(tables.into_iter()), "samples, tags, current_values");
    }
}
