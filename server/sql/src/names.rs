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

/// Edits between two words, counting no further than `bound` + 1.
fn distance(a: &str, b: &str, bound: usize) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    if a.len().abs_diff(b.len()) > bound {
        return bound + 1;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
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
        assert_eq!(nearest("orders", tables.into_iter()), None);
        assert_eq!(nearest("", tables.into_iter()), None);
        assert_eq!(list(tables.into_iter()), "samples, tags, current_values");
    }
}
