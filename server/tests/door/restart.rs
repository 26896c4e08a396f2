//! What outlives a process.

use tagus_proto::v1;
use tagus_proto::v1::admin_client::AdminClient;

use crate::support::{Server, series};

#[tokio::test]
async fn a_clean_stop_keeps_everything() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let mut stream = server.open("gateway", 5).await;
    stream.write(1, vec![series("t", 0, &[1.0, 2.0, 3.0])]).await;
    stream.write(2, vec![series("t", 2, &[3.5, 4.0])]).await;
    assert!(server.stop().await.success());

    let server = Server::start(dir.path());
    assert_eq!(server.number("SELECT count(*) FROM samples").await, 4);
    let mut stream = server.open("gateway", 5).await;
    let counts = stream.opened.counts.unwrap();
    assert_eq!((stream.opened.last_sequence, counts.stored, counts.replaced), (2, 4, 1));
    // A late sample is counted against what was flushed.
    let counts = stream.write(3, vec![series("t", 1, &[2.0, 9.0])]).await.counts.unwrap();
    assert_eq!((counts.stored, counts.replaced, counts.duplicate), (4, 2, 1));
    assert!(server.stop().await.success());
}

#[tokio::test]
async fn an_open_stream_is_told_of_the_stop() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let mut stream = server.open("gateway", 5).await;
    stream.write(1, vec![series("t", 0, &[1.0])]).await;
    let stopped = tokio::spawn(server.stop());
    assert_eq!(stream.failure().await.code(), tonic::Code::Unavailable);
    assert!(stopped.await.unwrap().success());
}

#[tokio::test]
async fn acknowledged_samples_survive_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let mut stored = 0;
    for round in 0..4 {
        let server = Server::start(dir.path());
        let mut stream = server.open("gateway", 1).await;
        let mut sequence = stream.opened.last_sequence;
        assert!(sequence >= stored, "{sequence} batches are durable, {stored} were acknowledged");
        for _ in 0..50 {
            sequence += 1;
            stream.send(sequence, vec![series("t", 10 * sequence.cast_signed(), &[0.25; 10])]).await;
        }
        // The last ones are in flight when the process dies.
        stored = stream.acknowledged(sequence - 20).await.sequence;
        if round == 2 {
            AdminClient::new(server.channel().await).flush(v1::FlushRequest {}).await.unwrap();
        }
        server.kill();
    }
    let server = Server::start(dir.path());
    let stream = server.open("gateway", 1).await;
    let durable = stream.opened.last_sequence;
    assert!(durable >= stored, "{durable} batches are durable, {stored} were acknowledged");
    let rows = server.number("SELECT count(*) FROM samples").await;
    assert_eq!(rows, 10 * durable.cast_signed());
    assert_eq!(stream.opened.counts.unwrap().stored, 10 * durable);
}

#[tokio::test]
async fn a_flush_tells_the_segments() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let mut stream = server.open("gateway", 1).await;
    stream.write(1, vec![series("t", 0, &[0.5; 1000])]).await;
    let mut admin = AdminClient::new(server.channel().await);
    let segments = admin.flush(v1::FlushRequest {}).await.unwrap().into_inner().segments;
    assert_eq!(segments.iter().map(|segment| segment.rows).sum::<u64>(), 1000);
    for segment in &segments {
        assert_eq!(std::fs::metadata(&segment.path).unwrap().len(), segment.bytes);
    }
    assert_eq!(server.number("SELECT count(*) FROM samples").await, 1000);
}
