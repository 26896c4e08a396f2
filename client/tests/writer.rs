//! A writer's behaviour, one rule a test.

#![expect(clippy::unwrap_used, reason = "a call that fails is a failed test")]

mod fake;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use fake::{Fake, Source};
use tagus_client::{Endpoint, ErrorKind, Rejection, Status, Unseen, Writer, WriterBuilder};
use tonic::Status as Answer;

const MS: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3600);

fn builder(endpoint: &Endpoint) -> WriterBuilder {
    Writer::builder(endpoint.clone()).source("gateway").batch_age(MS).retry_delays(MS, 2 * MS)
}

async fn write(writer: &Writer, rows: std::ops::Range<i64>) {
    for i in rows {
        writer.write("a", i, i, Status::GOOD).await.unwrap();
    }
}

/// Changes what the server has kept and breaks its streams, like a restart from a backup.
fn restart(fake: &Fake, change: impl FnOnce(&mut fake::Source)) {
    change(fake.state.lock().unwrap().sources.get_mut("gateway").unwrap());
    fake.break_streams.notify_waiters();
}

#[tokio::test]
async fn tags_go_by_handle_once_the_server_has_given_them() {
    let (fake, endpoint) = Fake::start(None).await;
    let writer = builder(&endpoint).open().await.unwrap();
    let key = writer.tag("b").unwrap();
    for i in 0..5 {
        writer.write("a", i, 1.5, Status::GOOD).await.unwrap();
        writer.write(key, i, 2.5, Status::GOOD).await.unwrap();
        writer.flush().await.unwrap();
    }
    let counts = writer.close().await.unwrap();
    assert_eq!(counts.to_string(), "rows=10 stored=10 replaced=0 duplicate=0 reduced=0 coerced=0 rejected=0");
    let state = fake.state.lock().unwrap();
    assert_eq!(state.by_name, 2);
    assert!(state.by_handle >= 4);
}

#[tokio::test]
async fn a_key_of_another_writer_is_refused() {
    let (_fake, endpoint) = Fake::start(None).await;
    let writer = builder(&endpoint).start().unwrap();
    let other = builder(&endpoint).source("other").start().unwrap();
    let key = other.tag("a").unwrap();
    let error = writer.write(key, 1, 1.0, Status::GOOD).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

#[tokio::test]
async fn a_full_queue_holds_writers_back() {
    let (fake, endpoint) = Fake::start(None).await;
    fake.state.lock().unwrap().stalled = true;
    let writer = builder(&endpoint).batch_rows(5).queue_rows(10).window(2).open().await.unwrap();
    // Two batches are on their way at most, and ten samples wait.
    write(&writer, 0..20).await;
    let mut taken = 20;
    while writer.try_write("a", taken, taken, Status::GOOD).is_ok() {
        taken += 1;
        assert!(taken <= 20, "more was taken than two batches and a queue hold");
    }
    let error = writer.try_write("a", 20, 20, Status::GOOD).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Exhausted);
    fake.state.lock().unwrap().stalled = false;
    fake.resume.notify_waiters();
    write(&writer, 20..100).await;
    assert_eq!(writer.close().await.unwrap().stored, 100);
    assert!(fake.state.lock().unwrap().largest_batch <= 5);
}

#[tokio::test]
async fn rejections_name_the_sample_that_was_written() {
    let (fake, endpoint) = Fake::start(None).await;
    fake.state.lock().unwrap().reject_tag = Some("bad".to_owned());
    let seen: Arc<Mutex<Vec<Rejection>>> = Arc::default();
    let sink = seen.clone();
    let writer = builder(&endpoint)
        .batch_age(HOUR)
        .on_rejection(move |rejection| sink.lock().unwrap().push(rejection))
        .open()
        .await
        .unwrap();
    // The second batch has tags by handle and by name, so that its order changes on the way.
    for round in 0..2 {
        for i in 0..6i64 {
            let tag = if i == 2 { "bad".to_owned() } else { format!("t{}", i * (round + 1)) };
            writer.write(&tag, 1000 + round, i, Status::GOOD).await.unwrap();
        }
        writer.write("bad", 2000 + round, 9, Status::GOOD).await.unwrap();
        writer.flush().await.unwrap();
    }
    let counts = writer.close().await.unwrap();
    assert_eq!((counts.rows, counts.stored, counts.rejected), (14, 10, 4));
    let mut seen = seen.lock().unwrap().clone();
    seen.sort_by_key(|rejection| rejection.ordinal);
    let seen: Vec<_> = seen.iter().map(|r| (r.ordinal, &*r.tag, r.time_ns, r.reason.as_str())).collect();
    assert_eq!(
        seen,
        [
            (2, "bad", 1000, "no int 2"),
            (6, "bad", 2000, "no int 9"),
            (9, "bad", 1001, "no int 2"),
            (13, "bad", 2001, "no int 9")
        ]
    );
}

#[tokio::test]
async fn refusals_that_broke_with_the_connection_are_reported_with_their_samples() {
    for seed in 0..10 {
        println!("seed {seed}");
        let (fake, endpoint) = Fake::start(Some(seed)).await;
        fake.state.lock().unwrap().reject_tag = Some("bad".to_owned());
        let told: Arc<Mutex<Vec<u64>>> = Arc::default();
        let unseen: Arc<Mutex<Vec<Unseen>>> = Arc::default();
        let (tell, see) = (told.clone(), unseen.clone());
        let writer = builder(&endpoint)
            .batch_rows(10)
            .on_rejection(move |rejection| tell.lock().unwrap().push(rejection.ordinal))
            .on_unseen(move |samples| see.lock().unwrap().push(samples))
            .open()
            .await
            .unwrap();
        for i in 0..1000 {
            let tag = if i % 7 == 0 { "bad" } else { "good" };
            writer.write(tag, i, i, Status(i as u32)).await.unwrap();
        }
        let counts = writer.close().await.unwrap();
        let mut refused = told.lock().unwrap().clone();
        let unseen = unseen.lock().unwrap();
        assert!(!unseen.is_empty(), "acknowledgements were lost");
        for Unseen { rejected, samples } in &*unseen {
            let bad: Vec<u64> = samples.iter().filter(|s| &*s.tag == "bad").map(|s| s.ordinal).collect();
            assert_eq!(bad.len() as u64, *rejected);
            refused.extend(bad);
            for sample in samples {
                let ordinal = i64::try_from(sample.ordinal).unwrap();
                assert_eq!((sample.time_ns, &sample.value), (ordinal, &ordinal.into()));
                assert_eq!(sample.status, Status(ordinal as u32));
            }
        }
        refused.sort_unstable();
        assert_eq!(refused, (0..1000).step_by(7).collect::<Vec<u64>>());
        assert_eq!(counts.rejected, refused.len() as u64);
    }
}

#[tokio::test]
async fn a_forgotten_epoch_is_replaced_and_counts_add_up() {
    let (fake, endpoint) = Fake::start(None).await;
    let writer = builder(&endpoint).batch_rows(10).open().await.unwrap();
    write(&writer, 0..50).await;
    writer.flush().await.unwrap();
    restart(&fake, |source| *source = Source::default());
    write(&writer, 50..80).await;
    assert_eq!(writer.close().await.unwrap().stored, 80);
    let source = fake.source("gateway");
    assert_eq!(source.epochs.len(), 2, "the old epoch was opened in vain, then a new one");
    assert_ne!(source.epochs[0], source.epochs[1]);
    let times: Vec<i64> = source.batches.iter().flatten().map(|(_, time, _, _)| *time).collect();
    assert_eq!(times, (50..80).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_server_that_lost_acknowledged_batches_is_reported() {
    let (fake, endpoint) = Fake::start(None).await;
    let writer = builder(&endpoint).batch_rows(10).open().await.unwrap();
    write(&writer, 0..50).await;
    writer.flush().await.unwrap();
    restart(&fake, |source| source.last -= 1);
    write(&writer, 50..51).await;
    let error = writer.flush().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DataLoss);
    assert_eq!(writer.counts().stored, 50);
}

#[tokio::test]
async fn handles_are_forgotten_with_their_stream() {
    let (fake, endpoint) = Fake::start(None).await;
    let writer = builder(&endpoint).open().await.unwrap();
    for round in 0..4 {
        write(&writer, round..round + 1).await;
        writer.flush().await.unwrap();
        fake.break_streams.notify_waiters();
    }
    // The server refuses handles of another stream for good.
    assert_eq!(writer.close().await.unwrap().stored, 4);
    assert_eq!(fake.state.lock().unwrap().by_name, 4);
}

#[tokio::test]
async fn errors_that_stay_end_the_writer() {
    for (answer, kind) in [
        (Answer::invalid_argument("bad"), ErrorKind::InvalidInput),
        (Answer::unauthenticated("who"), ErrorKind::Denied),
        (Answer::permission_denied("no"), ErrorKind::Denied),
        (Answer::already_exists("other identity"), ErrorKind::Conflict),
        (Answer::aborted("newer epoch"), ErrorKind::Conflict),
    ] {
        let (fake, endpoint) = Fake::start(None).await;
        fake.state.lock().unwrap().refuse_open.push(answer);
        let error = builder(&endpoint).open().await.err().expect("the opening is refused");
        assert_eq!(error.kind(), kind);
    }
}

#[tokio::test]
async fn errors_that_pass_are_waited_out() {
    let (fake, endpoint) = Fake::start(None).await;
    fake.state.lock().unwrap().refuse_open = vec![
        Answer::unavailable("starting"),
        tagus_proto::exhausted("full", MS),
        Answer::failed_precondition("read-only"),
        Answer::internal("hiccup"),
    ];
    let writer = builder(&endpoint).open().await.unwrap();
    write(&writer, 0..10).await;
    assert_eq!(writer.close().await.unwrap().stored, 10);
    assert_eq!(fake.state.lock().unwrap().streams, 5);
}

#[tokio::test]
async fn a_newer_writer_ends_the_older_one() {
    let (_fake, endpoint) = Fake::start(None).await;
    let older = builder(&endpoint).open().await.unwrap();
    write(&older, 0..10).await;
    older.flush().await.unwrap();
    let newer = builder(&endpoint).open().await.unwrap();
    write(&older, 10..11).await;
    let error = older.flush().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.to_string().contains("newer epoch"), "{error}");
    let again = older.write("a", 1, 1, Status::GOOD).await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::Conflict);
    write(&newer, 20..30).await;
    assert_eq!(newer.close().await.unwrap().stored, 10);
}

#[tokio::test]
async fn a_server_that_nobody_runs_is_given_up() {
    let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = Endpoint::new(&format!("http://{}", unused.local_addr().unwrap())).unwrap();
    drop(unused);
    let writer = builder(&endpoint).give_up(50 * MS).start().unwrap();
    write(&writer, 0..10).await;
    let error = writer.close().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("no progress for 0.05 s"), "{error}");
    assert!(error.to_string().contains("refused"), "{error}");
}

#[tokio::test]
async fn a_server_that_never_acknowledges_is_given_up() {
    let (fake, endpoint) = Fake::start(None).await;
    fake.state.lock().unwrap().stalled = true;
    let writer = builder(&endpoint).give_up(50 * MS).open().await.unwrap();
    write(&writer, 0..10).await;
    let error = writer.flush().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn giving_up_says_what_the_server_said_last() {
    let (fake, endpoint) = Fake::start(None).await;
    let full = "adding a log file failed: no room; free some space";
    fake.state.lock().unwrap().refuse_open = vec![tagus_proto::exhausted(full, MS)];
    fake.state.lock().unwrap().stalled = true;
    let writer = builder(&endpoint).give_up(50 * MS).start().unwrap();
    write(&writer, 0..10).await;
    let error = writer.flush().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().ends_with(&format!("no progress for 0.05 s: {full}")), "{error}");
}

#[tokio::test]
async fn without_a_source_each_stream_counts_from_one() {
    let (fake, endpoint) = Fake::start(Some(4)).await;
    let writer = builder(&endpoint).source("").batch_rows(7).open().await.unwrap();
    write(&writer, 0..500).await;
    let counts = writer.close().await.unwrap();
    let batches = fake.source("").batches;
    let mut times: Vec<i64> = batches.iter().flatten().map(|(_, time, _, _)| *time).collect();
    assert!(times.len() >= 500 && counts.rows >= 500);
    times.sort_unstable();
    times.dedup();
    assert_eq!(times, (0..500).collect::<Vec<_>>());
}

#[tokio::test]
async fn numbers_out_of_bounds_are_refused_at_the_start() {
    let endpoint = Endpoint::new("http://127.0.0.1:1").unwrap();
    for wrong in [
        builder(&endpoint).source("s".repeat(256)),
        builder(&endpoint).source("a\nb"),
        builder(&endpoint).batch_rows(0),
        builder(&endpoint).batch_rows((1 << 20) + 1),
        builder(&endpoint).window(0),
        builder(&endpoint).queue_rows(0),
    ] {
        assert_eq!(wrong.start().err().map(|error| error.kind()), Some(ErrorKind::InvalidInput));
    }
}
