//! Which samples are past their retention: a pure decision.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::config::Retention;
use crate::delete::TagRanges;
use crate::tag::TagId;
use crate::tag_table::{TagTable, literals};

/// Samples that are to go.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Expiry {
    /// Whose.
    pub tags: TagRanges,
    /// Up to this time, included.
    pub to: i64,
}

/// What is past its retention at `now`. Of several rules that match a tag the most specific one
/// counts: the one with the most characters that are no wildcards.
pub fn expiries(tags: &TagTable, rules: &[Retention], now: i64) -> Vec<Expiry> {
    let mut by_weight: Vec<&Retention> = rules.iter().collect();
    by_weight.sort_by_key(|rule| (literals(&rule.pattern), Reverse(&rule.pattern)));
    let mut rule_of: BTreeMap<TagId, usize> = BTreeMap::new();
    for (index, rule) in by_weight.iter().enumerate() {
        rule_of.extend(tags.glob(&rule.pattern).into_iter().map(|tag| (tag.id, index)));
    }
    let mut of_rule = vec![TagRanges::default(); by_weight.len()];
    for (tag, index) in rule_of {
        of_rule[index].push(tag, tag);
    }
    let expiry = |(tags, rule): (TagRanges, &Retention)| Expiry { tags, to: now.saturating_sub(rule.age) };
    let all = of_rule.into_iter().zip(by_weight).map(expiry);
    all.filter(|expiry| !expiry.tags.ranges().is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::tag::{Tag, TagSpec, TagType};

    #[test]
    fn the_most_specific_rule_counts() {
        let mut table = TagTable::default();
        for (id, name) in (1..).zip(["a.x", "a.keep", "b.x", "a.y", "c"]) {
            let spec = TagSpec::new(name, TagType::Float64);
            table.put(Arc::new(Tag { id: TagId(id), created: 0, spec }));
        }
        let rule = |pattern: &str, age| Retention { pattern: pattern.into(), age };
        let expiry =
            |ids: &[u32], to| Expiry { tags: TagRanges::of(&ids.iter().map(|i| TagId(*i)).collect::<Vec<_>>()), to };
        assert_eq!(expiries(&table, &[rule("*", 30)], 100), [expiry(&[1, 2, 3, 4, 5], 70)]);
        let rules = [rule("A.KEEP", 90), rule("*", 30), rule("a.*", 10), rule("none.*", 1)];
        assert_eq!(expiries(&table, &rules, 100), [expiry(&[3, 5], 70), expiry(&[1, 4], 90), expiry(&[2], 10)]);
        assert_eq!(expiries(&table, &[rule("a.*", 10)], i64::MIN), [expiry(&[1, 2, 4], i64::MIN)]);
        assert_eq!(expiries(&table, &[], 100), []);
    }
}
