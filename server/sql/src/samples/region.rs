//! What a filter says about tag, time and quality: the part of `samples` that has to be read.
//!
//! Each filter becomes a [`Bound`]: a region that holds every row the filter lets through, and
//! whether it holds no other. Regions are boxes (tags × one time range × qualities), so AND is
//! exact and OR is exact only where the boxes differ along one side and leave no gap.

use std::sync::LazyLock;

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::logical_expr::{Between, BinaryExpr, Expr, Operator};
use datafusion::scalar::ScalarValue;
use tagus_engine::status::Quality;

use super::predicate;
use crate::output::ZONE;

/// A day in nanoseconds.
const DAY: i64 = 86_400_000_000_000;
/// The type of the column `time`.
static TIME: LazyLock<DataType> = LazyLock::new(crate::output::time_type);

/// A box of samples.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Region {
    /// A predicate over `tag` alone; `None` for all tags.
    pub(crate) tags: Option<Expr>,
    /// The first time, in nanoseconds since 1970 UTC.
    pub(crate) from: i64,
    /// The last time, included.
    pub(crate) to: i64,
    /// The qualities.
    pub(crate) qualities: Qualities,
}

/// A set of qualities.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Qualities(u8);

/// A region that holds all rows of a filter, and whether it holds only those.
#[derive(Clone, Debug)]
pub(crate) struct Bound {
    pub(crate) region: Region,
    pub(crate) exact: bool,
}

impl Qualities {
    pub(crate) const ALL: Qualities = Qualities(0b111);
    pub(crate) const NONE: Qualities = Qualities(0);

    pub(crate) fn of(quality: Quality) -> Qualities {
        Qualities(match quality {
            Quality::Good => 0b001,
            Quality::Uncertain => 0b010,
            Quality::Bad => 0b100,
        })
    }

    pub(crate) fn contains(self, quality: Quality) -> bool {
        self.0 & Qualities::of(quality).0 != 0
    }

    pub(crate) fn union(self, other: Qualities) -> Qualities {
        Qualities(self.0 | other.0)
    }

    fn intersection(self, other: Qualities) -> Qualities {
        Qualities(self.0 & other.0)
    }
}

impl FromIterator<Quality> for Qualities {
    fn from_iter<I: IntoIterator<Item = Quality>>(qualities: I) -> Qualities {
        qualities.into_iter().fold(Qualities::NONE, |set, quality| set.union(Qualities::of(quality)))
    }
}

impl Region {
    /// All samples.
    pub(crate) fn all() -> Region {
        Region { tags: None, from: i64::MIN, to: i64::MAX, qualities: Qualities::ALL }
    }

    fn none() -> Region {
        Region { qualities: Qualities::NONE, ..Region::all() }
    }

    /// Whether it is empty whatever tags there are.
    pub(crate) fn is_empty(&self) -> bool {
        self.from > self.to || self.qualities == Qualities::NONE
    }

    fn and(self, other: Region) -> Region {
        Region {
            tags: join(self.tags, other.tags, |a, b| a.and(b)),
            from: self.from.max(other.from),
            to: self.to.min(other.to),
            qualities: self.qualities.intersection(other.qualities),
        }
    }

    /// The smallest box around both, and whether it holds nothing else.
    fn or(self, other: Region) -> (Region, bool) {
        if self.is_empty() {
            return (other, true);
        }
        if other.is_empty() {
            return (self, true);
        }
        let times_equal = (self.from, self.to) == (other.from, other.to);
        let times_touch = self.from <= other.to.saturating_add(1) && other.from <= self.to.saturating_add(1);
        let differences = [self.tags != other.tags, !times_equal, self.qualities != other.qualities];
        let differ = differences.into_iter().filter(|d| *d).count();
        let region = Region {
            tags: match (self.tags, other.tags) {
                (Some(a), Some(b)) if a == b => Some(a),
                (Some(a), Some(b)) => Some(a.or(b)),
                _ => None,
            },
            from: self.from.min(other.from),
            to: self.to.max(other.to),
            qualities: self.qualities.union(other.qualities),
        };
        (region, differ <= 1 && times_touch)
    }
}

fn join(a: Option<Expr>, b: Option<Expr>, both: impl Fn(Expr, Expr) -> Expr) -> Option<Expr> {
    match (a, b) {
        (Some(a), Some(b)) => Some(both(a, b)),
        (a, b) => a.or(b),
    }
}

impl Bound {
    /// A filter of which nothing is known.
    fn unknown() -> Bound {
        Bound { region: Region::all(), exact: false }
    }

    fn exact(region: Region) -> Bound {
        Bound { region, exact: true }
    }

    /// A filter that every row passes.
    pub(crate) fn everything() -> Bound {
        Bound::exact(Region::all())
    }

    /// A filter that no row passes.
    fn nothing() -> Bound {
        Bound::exact(Region::none())
    }

    /// Whether reading only the region saves anything.
    pub(crate) fn helps(&self) -> bool {
        self.exact || self.region != Region::all()
    }

    /// Both filters together.
    pub(crate) fn and(self, other: Bound) -> Bound {
        Bound { exact: self.exact && other.exact, region: self.region.and(other.region) }
    }

    fn or(self, other: Bound) -> Bound {
        let exact = self.exact && other.exact;
        let (region, tight) = self.region.or(other.region);
        Bound { region, exact: exact && tight }
    }

    /// What `filter` says. Its columns may be qualified with the table's name.
    pub(crate) fn of(filter: &Expr) -> Bound {
        match predicate::only_column(filter) {
            Some("tag") => Bound::exact(Region { tags: Some(filter.clone()), ..Region::all() }),
            Some("quality") => of_quality(filter),
            _ => of_tree(filter),
        }
    }
}

fn of_tree(filter: &Expr) -> Bound {
    match filter {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => Bound::of(left).and(Bound::of(right)),
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => Bound::of(left).or(Bound::of(right)),
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => of_comparison(left, *op, right),
        Expr::Between(Between { expr, negated: false, low, high }) => {
            of_comparison(expr, Operator::GtEq, low).and(of_comparison(expr, Operator::LtEq, high))
        }
        Expr::InList(list) if !list.negated && list.list.iter().all(|item| matches!(item, Expr::Literal(..))) => {
            let items = list.list.iter().map(|item| of_comparison(&list.expr, Operator::Eq, item));
            items.reduce(Bound::or).unwrap_or_else(Bound::nothing)
        }
        Expr::Not(inner) => of_negation(inner),
        Expr::Literal(ScalarValue::Boolean(Some(true)), _) => Bound::everything(),
        Expr::Literal(ScalarValue::Boolean(_) | ScalarValue::Null, _) => Bound::nothing(),
        Expr::ScalarFunction(_) if is_good(filter) => {
            Bound::exact(Region { qualities: Qualities::of(Quality::Good), ..Region::all() })
        }
        _ => Bound::unknown(),
    }
}

fn of_negation(inner: &Expr) -> Bound {
    if !is_good(inner) {
        return Bound::unknown();
    }
    let qualities = [Quality::Uncertain, Quality::Bad].into_iter().collect();
    Bound::exact(Region { qualities, ..Region::all() })
}

/// Whether this is `is_good(status)`.
fn is_good(expr: &Expr) -> bool {
    match expr {
        Expr::ScalarFunction(call) => {
            call.name() == crate::functions::IS_GOOD
                && matches!(call.args.as_slice(), [Expr::Column(column)] if column.name == "status")
        }
        _ => false,
    }
}

/// A predicate over `quality` alone lets those words through for which it is true.
fn of_quality(filter: &Expr) -> Bound {
    let words = Quality::ALL.map(Quality::word);
    match predicate::Predicate::over_words("quality", filter).and_then(|p| p.matches(&words)) {
        Ok(matches) => {
            let qualities = Quality::ALL.into_iter().zip(matches).filter(|(_, m)| *m).map(|(q, _)| q).collect();
            Bound::exact(Region { qualities, ..Region::all() })
        }
        Err(_) => Bound::unknown(),
    }
}

fn of_comparison(left: &Expr, op: Operator, right: &Expr) -> Bound {
    let (side, op, literal) = match (left, right) {
        (Expr::Literal(value, _), side) => match op.swap() {
            Some(op) => (side, op, value),
            None => return Bound::unknown(),
        },
        (side, Expr::Literal(value, _)) => (side, op, value),
        _ => return Bound::unknown(),
    };
    if literal.is_null() && compares(op) {
        return Bound::nothing();
    }
    if let Some(unit) = time_unit(side) {
        // The planner compares like with like; where it does not, nothing is known.
        return match unit_of(&literal.data_type()) {
            Some(same) if same == unit => of_time(unit, op, literal),
            _ => Bound::unknown(),
        };
    }
    if let Some(width) = bin_width(side) {
        return of_bin(width, op, literal);
    }
    match (side, integer(literal)) {
        (Expr::Column(column), Some(status)) if column.name == "status" => of_status(op, status),
        _ => Bound::unknown(),
    }
}

/// Whether the operator compares, so that with NULL it is never true.
fn compares(op: Operator) -> bool {
    matches!(op, Operator::Eq | Operator::NotEq | Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq)
}

/// The values that `op` and a literal leave, as a range with both ends included.
fn range(op: Operator, literal: i64) -> Option<(i64, i64)> {
    match op {
        Operator::Eq | Operator::IsNotDistinctFrom => Some((literal, literal)),
        Operator::GtEq => Some((literal, i64::MAX)),
        Operator::LtEq => Some((i64::MIN, literal)),
        Operator::Gt => literal.checked_add(1).map(|next| (next, i64::MAX)),
        Operator::Lt => literal.checked_sub(1).map(|last| (i64::MIN, last)),
        _ => None,
    }
}

/// The type of `time`, or of a cast directly of it to a type whose instants are known: a timestamp of
/// any zone is the same instant, one without a zone is UTC's wall clock, an integer is nanoseconds.
/// A cast of a cast is something else: a wall clock may become another zone's, or a number one of
/// other units.
fn time_type(expr: &Expr) -> Option<&DataType> {
    let (inner, to) = match expr {
        Expr::Column(column) if column.name == "time" => return Some(&TIME),
        Expr::Cast(cast) => (&cast.expr, cast.field.data_type()),
        Expr::TryCast(cast) => (&cast.expr, cast.field.data_type()),
        _ => return None,
    };
    matches!(&**inner, Expr::Column(column) if column.name == "time").then_some(to)
}

/// `time`, or a cast directly of it, in nanoseconds a unit.
fn time_unit(expr: &Expr) -> Option<i64> {
    time_type(expr).and_then(unit_of)
}

fn unit_of(data_type: &DataType) -> Option<i64> {
    match data_type {
        DataType::Timestamp(TimeUnit::Nanosecond, _) | DataType::Int64 => Some(1),
        DataType::Timestamp(TimeUnit::Microsecond, _) => Some(1_000),
        DataType::Timestamp(TimeUnit::Millisecond, _) => Some(1_000_000),
        DataType::Timestamp(TimeUnit::Second, _) => Some(1_000_000_000),
        DataType::Date32 => Some(DAY),
        _ => None,
    }
}

/// Whether it is a timestamp in nanoseconds whose wall clock is UTC's.
fn is_utc(data_type: &DataType) -> bool {
    match data_type {
        DataType::Timestamp(TimeUnit::Nanosecond, zone) => zone.as_deref().is_none_or(|zone| zone == ZONE),
        _ => false,
    }
}

/// `date_trunc(..., time)` or `date_bin(..., time, ...)`: how far, in nanoseconds, its result can be
/// from the time at most.
fn bin_width(expr: &Expr) -> Option<i64> {
    let Expr::ScalarFunction(call) = expr else { return None };
    let [Expr::Literal(width, _), time, ..] = call.args.as_slice() else { return None };
    time_type(time).filter(|data_type| is_utc(data_type))?;
    let width = match (call.name(), width) {
        ("date_trunc", _) => 366 * DAY,
        ("date_bin", ScalarValue::IntervalMonthDayNano(Some(width))) => {
            let days = i64::from(width.months).checked_mul(31)?.checked_add(i64::from(width.days))?;
            days.checked_mul(DAY)?.checked_add(width.nanoseconds)?
        }
        ("date_bin", ScalarValue::IntervalDayTime(Some(width))) => {
            let millis = i64::from(width.milliseconds).checked_mul(1_000_000)?;
            i64::from(width.days).checked_mul(DAY)?.checked_add(millis)?
        }
        _ => return None,
    };
    (width > 0).then_some(width)
}

/// The times whose bins compare as they should lie that much around the bins.
fn of_bin(width: i64, op: Operator, literal: &ScalarValue) -> Bound {
    let ScalarValue::TimestampNanosecond(Some(value), _) = literal else { return Bound::unknown() };
    match range(op, *value) {
        Some((first, last)) => {
            let (from, to) = (first.saturating_sub(width), last.saturating_add(width));
            Bound { region: Region { from, to, ..Region::all() }, exact: false }
        }
        None => Bound::unknown(),
    }
}

fn integer(value: &ScalarValue) -> Option<i64> {
    match value {
        ScalarValue::TimestampNanosecond(v, _)
        | ScalarValue::TimestampMicrosecond(v, _)
        | ScalarValue::TimestampMillisecond(v, _)
        | ScalarValue::TimestampSecond(v, _)
        | ScalarValue::Int64(v) => *v,
        ScalarValue::Date32(v) => v.map(i64::from),
        _ => None,
    }
}

fn of_time(unit: i64, op: Operator, literal: &ScalarValue) -> Bound {
    let Some((first, last)) = integer(literal).and_then(|value| range(op, value)) else {
        return match (integer(literal), op) {
            // Nothing is above the largest time or below the smallest.
            (Some(_), Operator::Gt | Operator::Lt) => Bound::nothing(),
            _ => Bound::unknown(),
        };
    };
    if unit == 1 {
        return Bound::exact(Region { from: first, to: last, ..Region::all() });
    }
    // A coarser unit drops the rest, downwards or towards zero: the range covers both ways, and
    // the filter is evaluated again.
    let from = if first == i64::MIN { i64::MIN } else { (first - 1).saturating_mul(unit).saturating_add(1) };
    let to = if last == i64::MAX { i64::MAX } else { (last + 1).saturating_mul(unit).saturating_sub(1) };
    Bound { region: Region { from, to, ..Region::all() }, exact: false }
}

/// Statuses in order are first all good, then all uncertain, then all bad ones.
fn of_status(op: Operator, literal: i64) -> Bound {
    const CODES: [(Quality, i64, i64); 3] = [
        (Quality::Good, 0, 0x3FFF_FFFF),
        (Quality::Uncertain, 0x4000_0000, 0x7FFF_FFFF),
        (Quality::Bad, 0x8000_0000, 0xFFFF_FFFF),
    ];
    let Some((first, last)) = range(op, literal) else { return Bound::unknown() };
    let met = CODES.into_iter().filter(|(_, low, high)| first <= *high && *low <= last);
    let exact = met.clone().all(|(_, low, high)| first <= low && high <= last);
    let qualities = met.map(|(quality, ..)| quality).collect();
    Bound { region: Region { qualities, ..Region::all() }, exact }
}

#[cfg(test)]
#[path = "region_tests.rs"]
mod tests;
