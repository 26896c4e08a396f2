//! Deletes through the real server, and retention by its configuration.

use tagus_proto::v1;
use tagus_proto::v1::admin_client::AdminClient;

use crate::support::{SECOND, START, Server, fails, series, succeeds, tagus, until};

fn request(tags: &str, from: i64, to: i64) -> v1::DeleteRequest {
    v1::DeleteRequest { tags: tags.into(), from, to }
}

#[tokio::test]
async fn what_is_deleted_is_gone_also_after_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let mut stream = server.open("gateway", 1).await;
    let blocks = vec![series("a.x", 0, &[1.0; 10]), series("a.y", 0, &[1.0; 10]), series("b", 0, &[1.0; 10])];
    stream.write(1, blocks).await;
    let mut admin = AdminClient::new(server.channel().await);
    admin.flush(v1::FlushRequest {}).await.unwrap();
    let (first, last) = (START, START + 9 * SECOND);
    // The end is not included.
    let deleted = admin.delete(request("A.*", first, last)).await.unwrap().into_inner();
    assert_eq!((deleted.tags, deleted.samples), (2, 18));
    assert_eq!(server.number("SELECT count(*) FROM samples").await, 12);
    server.kill();

    let server = Server::start(dir.path());
    assert_eq!(server.number("SELECT count(*) FROM samples WHERE tag LIKE 'a.%'").await, 2);
    assert_eq!(server.number("SELECT count(*) FROM current_values").await, 3);
    let mut admin = AdminClient::new(server.channel().await);
    let deleted = admin.delete(request("a.*", first, last + 1)).await.unwrap().into_inner();
    assert_eq!((deleted.tags, deleted.samples), (2, 2));
    assert_eq!(server.number("SELECT count(*) FROM current_values").await, 1);
    let segments = admin.compact(v1::CompactRequest {}).await.unwrap().into_inner().segments;
    assert_eq!(segments.iter().map(|segment| segment.rows).sum::<u64>(), 10);
    assert!(server.stop().await.success());
}

#[tokio::test]
async fn the_command_deletes_and_says_how_much() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let url = format!("http://{}", server.grpc);
    let mut stream = server.open("gateway", 1).await;
    stream.write(1, vec![series("a.x", 0, &[1.0; 10]), series("b", 0, &[1.0; 10])]).await;
    let delete =
        |tags: &str, from: &str, to: &str| tagus(&["delete", "--tags", tags, "--from", from, "--to", to], &url);
    assert_eq!(succeeds(&delete("A.*", "2000-01-01", "2200-01-01")), "samples=10 tags=1");
    assert_eq!(server.number("SELECT count(*) FROM samples").await, 10);
    assert_eq!(succeeds(&delete("a.*", "2000-01-01", "2200-01-01")), "samples=0 tags=1");
    fails(&delete("bb", "2000-01-01", "2200-01-01"), 1, "'b'");
    fails(&delete("b", "2200-01-01", "2000-01-01"), 2, "--from is not before --to");
    fails(&delete("b", "yesterday", "2200-01-01"), 2, "--from");
    assert_eq!(server.number("SELECT count(*) FROM samples").await, 10);
    assert!(server.stop().await.success());
}

#[tokio::test]
async fn deletes_that_cannot_be_are_refused_in_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let mut stream = server.open("gateway", 1).await;
    stream.write(1, vec![series("reactor.level", 0, &[1.0])]).await;
    let mut admin = AdminClient::new(server.channel().await);
    let cases = [
        (request("reactor.levle", 0, 1), tonic::Code::NotFound, "did you mean 'reactor.level'?"),
        (request("*", 5, 5), tonic::Code::InvalidArgument, "the range is empty"),
        (request(&"x".repeat(2000), 0, 1), tonic::Code::InvalidArgument, "at most 1024"),
    ];
    for (request, code, words) in cases {
        let status = admin.delete(request).await.unwrap_err();
        assert_eq!(status.code(), code, "{status:?}");
        assert!(status.message().contains(words) && !status.message().contains('\n'), "{status:?}");
    }
    let nothing = admin.delete(request("nobody.*", i64::MIN, i64::MAX)).await.unwrap().into_inner();
    assert_eq!((nothing.tags, nothing.samples), (0, 0));
    assert_eq!(server.number("SELECT count(*) FROM samples").await, 1);
}

#[tokio::test]
async fn retention_is_kept_to_from_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("tagus.toml");
    std::fs::write(&config, "[retention]\n'old.*' = '1d'\n").unwrap();
    let data = dir.path().join("data");
    let server = Server::start(&data);
    let mut stream = server.open("gateway", 1).await;
    stream.write(1, vec![series("old.a", 0, &[1.0; 10]), series("kept", 0, &[1.0; 10])]).await;
    stream.write(2, vec![series("kept", 48 * 3600, &[2.0])]).await;
    assert_eq!(server.number("SELECT count(*) FROM samples").await, 21);
    assert!(server.stop().await.success());

    let server = Server::start_with(&data, &["--config", config.to_str().unwrap()]);
    let count = || async { server.number("SELECT count(*) FROM samples").await == 11 };
    until("what is too old is gone", count).await;
    assert_eq!(server.number("SELECT count(*) FROM samples WHERE tag = 'old.a'").await, 0);
    assert!(server.stop().await.success());
}
