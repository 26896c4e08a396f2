//! A writer against servers that break: everything written is applied exactly once and in order.

#![expect(clippy::unwrap_used, reason = "a call that fails is a failed test")]

mod fake;
mod proxy;

use std::time::Duration;

use fake::{Applied, Fake, Source};
use proxy::cutting_proxy;
use rand_pcg::Pcg64;
use rand_pcg::rand_core::Rng;
use tagus_client::{Endpoint, Status, Value, Writer};

const MS: Duration = Duration::from_millis(1);

fn in_words(value: &Value) -> String {
    match value {
        Value::Empty => "empty".to_owned(),
        Value::Number(v) => format!("{v:?}"),
        Value::Integer(v) => format!("int {v}"),
        Value::Boolean(v) => format!("{v}"),
        Value::Text(v) => format!("text {v}"),
    }
}

/// A gateway's samples: scans with jitter, now and then a series, a bad status, another kind.
fn sample(random: &mut Pcg64, i: i64) -> (String, i64, Value, Status) {
    let below = |random: &mut Pcg64, n: u32| i64::from(random.next_u32() % n);
    let (tag, time) = match below(random, 10) {
        0 => ("backfill".to_owned(), below(random, 1000)),
        _ => (format!("tag{}", i % 17), i / 17 * 1000 + below(random, 3)),
    };
    let value = match below(random, 12) {
        0 => Value::Empty,
        1 => Value::Integer(i),
        2 => Value::Boolean(i % 2 == 0),
        3 => Value::from(format!("word{i}")),
        _ => Value::Number(i as f64),
    };
    let status = if below(random, 20) == 0 { Status::BAD } else { Status::GOOD };
    (tag, time, value, status)
}

async fn write_all(endpoint: Endpoint, source: String, seed: u64, rows: i64) -> Vec<Applied> {
    let builder = Writer::builder(endpoint).source(&*source).batch_rows(20).window(4).queue_rows(50);
    let writer = builder.batch_age(MS).retry_delays(MS, 4 * MS).start().unwrap();
    let mut random = Pcg64::new(seed.into(), 77);
    let mut written = Vec::new();
    for i in 0..rows {
        let (tag, time, value, status) = sample(&mut random, i);
        written.push((tag.clone(), time, in_words(&value), status.0));
        writer.write(&tag, time, value, status).await.unwrap();
        if random.next_u32().is_multiple_of(300) {
            writer.flush().await.unwrap();
            assert_eq!(writer.unacknowledged(), 0);
        }
    }
    let counts = writer.close().await.unwrap();
    assert_eq!((counts.rows, counts.stored, counts.rejected), (rows as u64, rows as u64, 0));
    written
}

/// The batches are consecutive pieces of what was written, each in some order of its own.
fn assert_once_and_in_order(source: &Source, written: &[Applied]) {
    let mut rest = written;
    for batch in &source.batches {
        let (piece, later) = rest.split_at(batch.len());
        let (mut sent, mut wanted) = (batch.clone(), piece.to_vec());
        sent.sort();
        wanted.sort();
        assert_eq!(sent, wanted);
        rest = later;
    }
    assert_eq!(rest, []);
}

#[tokio::test]
async fn a_server_that_breaks_loses_and_doubles_nothing() {
    for seed in 0..30 {
        println!("seed {seed}");
        let (fake, endpoint) = Fake::start(Some(seed)).await;
        let tasks: Vec<_> = (0..3u64)
            .map(|n| tokio::spawn(write_all(endpoint.clone(), format!("gateway{n}"), seed * 10 + n, 1500)))
            .collect();
        for (n, task) in (0..).zip(tasks) {
            let written = task.await.unwrap();
            let source = fake.source(&format!("gateway{n}"));
            assert_once_and_in_order(&source, &written);
            assert_eq!(source.epochs.len(), 1);
        }
        assert!(fake.state.lock().unwrap().streams > 6, "the server did break");
    }
}

#[tokio::test]
async fn a_connection_that_is_cut_loses_and_doubles_nothing() {
    for seed in 0..20 {
        println!("seed {seed}");
        let (fake, endpoint) = Fake::start(None).await;
        let proxy = cutting_proxy(&endpoint, seed, 25).await;
        let written = write_all(proxy, "gateway".to_owned(), seed, 4000).await;
        assert_once_and_in_order(&fake.source("gateway"), &written);
        assert!(fake.state.lock().unwrap().streams > 2, "the connection was cut");
    }
}
