//! What an operator may set of the engine.

use crate::error::{Error, Result};
use crate::limits;
use crate::reduction::Reduction;
use crate::tag::TagSpec;
use crate::tag_table::{glob_matches, literals};

/// Settings of an engine. None of them affects the format.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Bytes of memory to live within. A memtable is flushed at a quarter of it; at five sixteenths of it in
    /// memtables, and at a sixteenth in frames that wait for the log, writers wait. Footers of segments
    /// have a sixteenth. The rest is for who embeds the engine.
    pub memory_budget: usize,
    /// How far ahead of the clock samples of ordinary tags may lie, in nanoseconds.
    pub max_future: i64,
    /// Whether a tag that is not declared is created by its first sample.
    pub auto_create: bool,
    /// Age at which unflushed samples are flushed, in nanoseconds. Long: the log keeps them safe and
    /// bounds what a start has to read again, and segments with few samples a tag take five times
    /// the bytes.
    pub flush_age: u64,
    /// Unflushed log in bytes at most; a flush begins at a third of it. Not below
    /// [`LOG_BYTES_MIN`](crate::limits::LOG_BYTES_MIN).
    pub log_bytes_max: u64,
    /// Bytes that merges give a segment at most, about: it ends with the tag that reaches it.
    pub segment_bytes: u64,
    /// How long samples are kept; those of tags that no rule matches, for ever.
    pub retention: Vec<Retention>,
    /// What is left out of tags that are created from now on and declare nothing of it.
    pub reduction: Vec<ReductionRule>,
}

/// What is left out of some tags.
#[derive(Clone, Debug, PartialEq)]
pub struct ReductionRule {
    /// Which tags: a name, or a pattern with `*` and `?`, in any case.
    pub pattern: String,
    /// Their reduction. Those that it does not fit have none: texts, and tags without the span of which it
    /// is a percentage.
    pub reduction: Reduction,
}

/// How long the samples of some tags are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Which tags: a name, or a pattern with `*` and `?`, in any case.
    pub pattern: String,
    /// Age in nanoseconds after which samples go.
    pub age: i64,
}

impl Config {
    /// The share of memory that footers of segments have: at about 10 KiB for a million rows,
    /// the default keeps those of billions.
    pub(crate) fn footer_bytes_max(&self) -> usize {
        self.memory_budget / 16
    }

    /// The share of memory that frames have which wait for the log.
    pub(crate) fn queue_bytes_max(&self) -> usize {
        (self.memory_budget / 16).min(limits::QUEUE_BYTES_MAX)
    }

    /// The reduction of a new tag that declares none: that of the rule with the most characters that are no
    /// wildcards, if it fits.
    pub(crate) fn reduction_of(&self, spec: &TagSpec) -> Option<Reduction> {
        let matching = self.reduction.iter().filter(|rule| glob_matches(&rule.pattern, &spec.name));
        let rule = matching.max_by_key(|rule| literals(&rule.pattern))?;
        let reduced = TagSpec { reduction: Some(rule.reduction), ..spec.clone() };
        reduced.check().ok().and(reduced.reduction)
    }

    /// Refuses settings with which writing would stop for ever, or everything would go.
    pub(crate) fn check(&self) -> Result<()> {
        if self.retention.len() > limits::RETENTION_RULES_MAX || self.retention.iter().any(|rule| rule.age <= 0) {
            let why = format!("there are {} rules, or one keeps samples for no time", self.retention.len());
            let advice = format!("give at most {} rules, with ages above 0", limits::RETENTION_RULES_MAX);
            return Err(Error::invalid("the retention", why, advice));
        }
        let (most, least) = (self.log_bytes_max, limits::LOG_BYTES_MIN);
        if most >= least {
            return Ok(());
        }
        Err(Error::invalid(
            "the bound of the unflushed log",
            format!("{most} bytes are too few for what is written while a flush goes on, {least} are the least"),
            "choose a larger bound",
        ))
    }
}

impl Default for Config {
    fn default() -> Config {
        Config {
            memory_budget: 1 << 30,
            max_future: 3_600_000_000_000,
            auto_create: true,
            flush_age: 86_400_000_000_000,
            log_bytes_max: limits::LOG_BYTES_MAX,
            segment_bytes: limits::SEGMENT_BYTES,
            retention: Vec::new(),
            reduction: Vec::new(),
        }
    }
}
