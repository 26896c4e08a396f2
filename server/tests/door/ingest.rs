//! Writers' streams.

use tagus_proto::v1;
use tagus_proto::v1::tags_client::TagsClient;
use tonic::Code;

use crate::support::{SECOND, START, Server, Stream, scan, series, texts};

#[tokio::test]
async fn what_is_acknowledged_is_seen_by_the_next_query() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let mut stream = server.open("gateway", 1).await;
    assert_eq!(stream.opened.last_sequence, 0);
    for sequence in 1..=20 {
        let time = START + sequence * SECOND;
        let ack = stream.write(sequence.cast_unsigned(), vec![scan(time, &["a.PV", "b.PV"], &[1.5, 2.5])]).await;
        assert_eq!(ack.counts.unwrap().stored, 2 * sequence.cast_unsigned());
        assert_eq!(server.number("SELECT count(*) FROM samples").await, 2 * sequence);
    }
    assert_eq!(stream.end().await, None);
}

#[tokio::test]
async fn handles_stand_for_names() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let mut stream = server.open("gateway", 1).await;
    let ack = stream.write(1, vec![scan(START, &["A.pv", "b"], &[1.0, 2.0])]).await;
    let names: Vec<&str> = ack.handles.iter().map(|handle| handle.name.as_str()).collect();
    assert_eq!(names, ["A.pv", "b"]);
    let handles = ack.handles.iter().map(|handle| handle.handle).collect();
    let mut block = scan(START + SECOND, &["a.PV"], &[3.0, 4.0, 5.0]);
    let Some(v1::block::Shape::Scan(shape)) = &mut block.shape else { unreachable!() };
    shape.handles = handles;
    let ack = stream.write(2, vec![block]).await;
    // The third sample is of the first tag at the same time: it replaces what came just before.
    let counts = ack.counts.unwrap();
    assert_eq!((counts.rows, counts.stored, counts.replaced), (5, 4, 1));
    assert_eq!(ack.handles[0].name, "a.PV");
    assert_eq!(server.number("SELECT count(*) FROM samples WHERE tag = 'A.pv'").await, 2);
}

#[tokio::test]
async fn refused_samples_are_named_and_the_others_stay() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let tag = v1::Tag { name: "count".into(), r#type: v1::TagType::Int64.into(), ..v1::Tag::default() };
    let mut tags = TagsClient::new(server.channel().await);
    tags.create(v1::CreateTagsRequest { tags: vec![tag.clone()] }).await.unwrap();
    let again = tags.create(v1::CreateTagsRequest { tags: vec![tag] }).await.unwrap_err();
    assert_eq!(again.code(), Code::AlreadyExists);

    let mut stream = server.open("gateway", 1).await;
    let values = ["1", "2.5", "7", "nan", "Scan Timeout", ""];
    let blocks = vec![series("other", 0, &[1.0]), texts(series("COUNT", 0, &[0.0; 6]), &values)];
    let ack = stream.write(1, blocks).await;
    assert_eq!(ack.rejections.len(), 1);
    let rejection = &ack.rejections[0];
    assert_eq!((rejection.sequence, rejection.index), (1, 2));
    assert!(rejection.reason.contains("2.5"), "{}", rejection.reason);
    let counts = ack.counts.unwrap();
    assert_eq!((counts.rows, counts.stored, counts.rejected, counts.coerced), (7, 6, 1, 3));
    assert_eq!(server.number("SELECT count(*) FROM samples WHERE tag = 'count' AND quality = 'bad'").await, 3);
}

#[tokio::test]
async fn many_rejections_come_in_several_acknowledgements() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let mut stream = server.open("gateway", 1).await;
    stream.write(1, vec![series("t", 0, &[1.0])]).await;
    let mut block = series("t", 10, &[1.0; 2500]);
    let Some(v1::block::Shape::Series(shape)) = &mut block.shape else { unreachable!() };
    shape.times.fill(i64::MAX);
    stream.send(2, vec![block]).await;
    let first = stream.ack().await.unwrap();
    assert_eq!((first.sequence, first.rejections.len()), (1, 1000));
    assert_eq!(first.counts.unwrap().rejected, 0);
    let rest = stream.acknowledged(2).await;
    assert_eq!(rest.rejections.len(), 1500);
    assert_eq!(rest.rejections.last().unwrap().index, 2499);
    assert_eq!(rest.counts.unwrap().rejected, 2500);
}

#[tokio::test]
async fn an_older_batch_is_acknowledged_again_and_a_gap_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let mut stream = server.open("gateway", 7).await;
    stream.write(1, vec![series("t", 0, &[1.0])]).await;
    stream.write(2, vec![series("t", 1, &[2.0])]).await;
    stream.send(1, vec![series("t", 5, &[9.0])]).await;
    let ack = stream.ack().await.unwrap();
    assert_eq!((ack.sequence, ack.counts.unwrap().rows), (2, 2));
    stream.send(4, vec![series("t", 6, &[9.0])]).await;
    let gap = stream.failure().await;
    assert_eq!(gap.code(), Code::FailedPrecondition);
    assert!(gap.message().contains("batch 4 came where 3 is next"), "{}", gap.message());

    let mut stream = server.open("gateway", 7).await;
    assert_eq!((stream.opened.last_sequence, stream.opened.counts.unwrap().stored), (2, 2));
    assert_eq!(stream.write(3, vec![series("t", 2, &[3.0])]).await.counts.unwrap().stored, 3);
    assert_eq!(server.number("SELECT count(*) FROM samples").await, 3);
}

#[tokio::test]
async fn a_new_epoch_starts_at_one() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let mut stream = server.open("gateway", 1).await;
    stream.write(1, vec![series("t", 0, &[1.0, 2.0])]).await;
    let mut stream = server.open("gateway", 2).await;
    assert_eq!((stream.opened.last_sequence, stream.opened.counts.unwrap().rows), (0, 0));
    let counts = stream.write(1, vec![series("t", 1, &[2.0, 3.0])]).await.counts.unwrap();
    assert_eq!((counts.stored, counts.duplicate), (1, 1));
}

#[tokio::test]
async fn a_newer_opening_ends_the_older_stream() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let mut older = server.open("gateway", 1).await;
    let mut other = server.open("another", 1).await;
    let mut newer = server.open("gateway", 1).await;
    // The older one is idle, and is told all the same.
    assert_eq!(older.failure().await.code(), Code::Aborted);
    newer.write(1, vec![series("t", 0, &[1.0])]).await;
    other.write(1, vec![series("t", 1, &[1.0])]).await;
    // Without a name nobody takes over from anybody.
    let (mut first, mut second) = (server.open("", 0).await, server.open("", 0).await);
    first.write(1, vec![series("t", 2, &[1.0])]).await;
    second.write(1, vec![series("t", 3, &[1.0])]).await;
    assert_eq!(first.end().await, None);
}

#[tokio::test]
async fn batches_in_flight_are_all_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let channel = server.channel().await;
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..4 {
        let channel = channel.clone();
        writers.spawn(async move {
            let mut stream = Stream::open(channel, &format!("gateway{writer}"), 1).await.unwrap();
            for sequence in 1..=200_i64 {
                let first = sequence * 100;
                stream.send(sequence.cast_unsigned(), vec![series(&format!("t{writer}"), first, &[0.5; 100])]).await;
            }
            assert_eq!(stream.acknowledged(200).await.counts.unwrap().stored, 20_000);
            assert_eq!(stream.end().await, None);
        });
    }
    writers.join_all().await;
    assert_eq!(server.number("SELECT count(*) FROM samples").await, 80_000);
}
