use datafusion::logical_expr::{cast, col, lit};

use super::*;

const SECOND: i64 = 1_000_000_000;

fn time(seconds: i64) -> Expr {
    lit(ScalarValue::TimestampNanosecond(Some(seconds * SECOND), Some("UTC".into())))
}

fn tag(name: &str) -> Expr {
    col("tag")
        .eq(lit(ScalarValue::Dictionary(Box::new(DataType::Int32), Box::new(ScalarValue::Utf8(Some(name.into()))))))
}

fn times(bound: &Bound) -> (i64, i64) {
    (bound.region.from, bound.region.to)
}

#[test]
fn comparisons_with_time_are_ranges() {
    for (filter, from, to) in [
        (col("time").eq(time(5)), 5 * SECOND, 5 * SECOND),
        (col("time").gt(time(5)), 5 * SECOND + 1, i64::MAX),
        (col("time").gt_eq(time(5)), 5 * SECOND, i64::MAX),
        (col("time").lt(time(5)), i64::MIN, 5 * SECOND - 1),
        (time(5).lt_eq(col("time")), 5 * SECOND, i64::MAX),
        (col("time").between(time(1), time(2)), SECOND, 2 * SECOND),
        (col("samples.time").gt(time(1)).and(col("time").lt(time(3))), SECOND + 1, 3 * SECOND - 1),
        (col("time").lt(time(2)).or(col("time").eq(time(2))), i64::MIN, 2 * SECOND),
        (cast(col("time"), DataType::Timestamp(TimeUnit::Nanosecond, None)).eq(time(5)), 5 * SECOND, 5 * SECOND),
    ] {
        let bound = Bound::of(&filter);
        assert_eq!((times(&bound), bound.exact), ((from, to), true), "{filter}");
    }
    let ends = |literal, op: fn(Expr, Expr) -> Expr| {
        Bound::of(&op(col("time"), lit(ScalarValue::TimestampNanosecond(Some(literal), Some("UTC".into())))))
    };
    assert!(ends(i64::MAX, |a, b| a.gt(b)).region.is_empty());
    assert!(ends(i64::MIN, |a, b| a.lt(b)).region.is_empty());
}

#[test]
fn coarser_units_are_covered_and_checked_again() {
    let seconds = |value| lit(ScalarValue::TimestampSecond(Some(value), None));
    let whole = cast(col("time"), DataType::Timestamp(TimeUnit::Second, None));
    for value in [-3, -1, 0, 1, 7] {
        let bound = Bound::of(&whole.clone().eq(seconds(value)));
        assert!(!bound.exact);
        // Both ways of dropping the fraction are inside.
        for rest in [-SECOND + 1, 0, SECOND - 1] {
            let inside = value * SECOND + rest;
            if inside / SECOND == value || inside.div_euclid(SECOND) == value {
                assert!(bound.region.from <= inside && inside <= bound.region.to, "{value} {inside}");
            }
        }
    }
    let bound = Bound::of(&cast(col("time"), DataType::Date32).gt_eq(lit(ScalarValue::Date32(Some(2)))));
    assert_eq!(times(&bound), (86_400 * SECOND + 1, i64::MAX));
    assert!(Bound::of(&whole.gt(seconds(i64::MAX - 1))).region.from > 0, "far times saturate");
}

#[test]
fn a_cast_of_a_cast_is_not_the_time() {
    let zone = |zone: &str| DataType::Timestamp(TimeUnit::Nanosecond, Some(zone.into()));
    let clock = DataType::Timestamp(TimeUnit::Nanosecond, None);
    let berlin = |literal| lit(ScalarValue::TimestampNanosecond(Some(literal), Some("Europe/Berlin".into())));
    assert!(Bound::of(&cast(col("time"), zone("Europe/Berlin")).gt(berlin(5))).exact, "the same instant");
    let twice = cast(cast(col("time"), clock), zone("Europe/Berlin"));
    assert!(!Bound::of(&twice.clone().gt(berlin(5))).helps());
    let millis = DataType::Timestamp(TimeUnit::Millisecond, None);
    let number = cast(cast(col("time"), DataType::Int64), millis);
    assert!(!Bound::of(&number.gt(lit(ScalarValue::TimestampMillisecond(Some(5), None)))).helps());
    let minute = lit(ScalarValue::new_interval_mdn(0, 0, 60 * SECOND));
    let bin = |of: Expr| datafusion::functions::datetime::expr_fn::date_bin(minute.clone(), of, time(0));
    assert!(Bound::of(&bin(col("time")).eq(time(60))).helps());
    assert!(!Bound::of(&bin(twice).eq(berlin(60))).helps());
    let backwards = lit(ScalarValue::new_interval_mdn(0, 0, -60 * SECOND));
    let bin = datafusion::functions::datetime::expr_fn::date_bin(backwards, col("time"), time(0));
    assert!(!Bound::of(&bin.eq(time(60))).helps());
}

#[test]
fn or_is_exact_where_one_side_of_the_box_differs() {
    let early = || col("time").lt(time(5));
    let exact = |filter: Expr| Bound::of(&filter).exact;
    assert!(exact(tag("a").or(tag("b"))));
    assert!(exact(tag("a").and(early()).or(tag("b").and(early()))));
    assert!(exact(early().or(col("time").between(time(3), time(9)))));
    assert!(!exact(early().or(col("time").gt(time(9)))), "a gap lies between");
    assert!(!exact(tag("a").and(early()).or(tag("b"))), "the box has corners that nobody asked for");
    assert!(!exact(tag("a").or(early())));
    assert!(exact(tag("a").or(tag("b").and(col("quality").eq(lit("none"))))), "the second is empty");
}

#[test]
fn qualities_and_statuses_become_sets() {
    let set = |filter: Expr| {
        let bound = Bound::of(&filter);
        (Quality::ALL.map(|q| bound.region.qualities.contains(q)), bound.exact)
    };
    let word = |word: &str| {
        lit(ScalarValue::Dictionary(Box::new(DataType::Int8), Box::new(ScalarValue::Utf8(Some(word.into())))))
    };
    assert_eq!(set(col("quality").eq(word("good"))), ([true, false, false], true));
    assert_eq!(set(col("quality").not_eq(word("good"))), ([false, true, true], true));
    assert_eq!(set(col("quality").in_list(vec![word("bad"), word("good")], false)), ([true, false, true], true));
    assert_eq!(set(col("quality").is_null()), ([false, false, false], true));
    assert_eq!(set(col("status").eq(lit(0_i64))), ([true, false, false], false));
    assert_eq!(set(col("status").lt(lit(0x4000_0000_i64))), ([true, false, false], true));
    assert_eq!(set(col("status").gt_eq(lit(0x8000_0000_i64))), ([false, false, true], true));
    assert_eq!(set(col("status").gt(lit(0x8000_0000_i64))), ([false, false, true], false));
    assert_eq!(set(col("status").lt(lit(0_i64))), ([false, false, false], true));
}

#[test]
fn what_is_not_understood_reads_everything() {
    for filter in [
        col("value").gt(lit(1.0)),
        col("time").not_eq(time(5)),
        col("text").eq(lit("a")),
        col("tag").eq(col("text")),
        datafusion::functions::expr_fn::random().gt(lit(0.5)),
    ] {
        assert!(!Bound::of(&filter).helps(), "{filter}");
    }
}

#[test]
fn null_is_never_true() {
    let null = lit(ScalarValue::TimestampNanosecond(None, Some("UTC".into())));
    assert!(Bound::of(&col("time").lt(null)).region.is_empty());
    assert!(Bound::of(&lit(ScalarValue::Boolean(None))).region.is_empty());
}
