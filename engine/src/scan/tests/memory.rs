//! How much of a memtable is copied at once.

use std::sync::Arc;

use crate::memtable::Memtable;
use crate::sample::{Cell, Rows};
use crate::scan::inventory::TagSource;
use crate::scan::source::{Reading, Sizes};
use crate::scan::{Order, QualitySet};
use crate::segment::Columns;
use crate::tag::TagId;

const TAG: TagId = TagId(1);
const DENSE: i64 = 200_000;

/// A tag with one sample long before a dense run of others.
fn uneven() -> Arc<Memtable> {
    let memtable = Memtable::default();
    let times = [-1_000_000_000_000].into_iter().chain(0..DENSE);
    for (sequence, time) in (1..).zip(times) {
        let mut rows = Rows::default();
        rows.push(time, &Cell::good(sequence));
        memtable.write(sequence).put(TAG, &rows, 0);
    }
    Arc::new(memtable)
}

#[test]
fn a_dense_run_is_copied_in_pieces() {
    let memtable = uneven();
    for order in [Order::Ascending, Order::Descending] {
        for rows_hint in [1, u64::MAX] {
            let source = TagSource::of_memtable(0, &memtable, TAG, i64::MIN, i64::MAX).unwrap().unwrap();
            let sizes = Sizes::USUAL;
            let (columns, qualities) = (Columns::ALL, QualitySet::ALL);
            let reading = Reading { columns, qualities, order, rows_hint, sizes, metrics: Arc::default() };
            let mut rows = reading.open(&source);
            let mut times = Vec::new();
            while let Some(piece) = rows.next().unwrap() {
                assert!(piece.len() <= sizes.batch, "{} rows at once", piece.len());
                times.extend(piece.times);
            }
            if order == Order::Descending {
                times.reverse();
            }
            let expected: Vec<i64> = [-1_000_000_000_000].into_iter().chain(0..DENSE).collect();
            assert!(times == expected, "{} rows, {order:?}", times.len());
        }
    }
}
