//! What a damaged archive, and a disk that takes no more writes, do to a server: as little as can be.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tagus_proto::v1;
use tagus_proto::v1::admin_client::AdminClient;
use tonic::Code;

use crate::http::{get, metric};
use crate::support::{SECOND, START, Server, Stream, series, serve_command, until};

/// Samples of one tag in one segment: more than fit into several blocks of checksums.
const ROWS: usize = 40_000;

/// Numbers that no codec makes small.
fn noise(seed: u64) -> Vec<f64> {
    let mix = |n: u64| (n ^ (n >> 27)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 11;
    (0..ROWS as u64).map(|n| mix(mix(n + seed)) as f64 / 7.0).collect()
}

async fn flush(server: &Server) -> Vec<PathBuf> {
    let answer = AdminClient::new(server.channel().await).flush(v1::FlushRequest {}).await.unwrap();
    answer.into_inner().segments.into_iter().map(|segment| segment.path.into()).collect()
}

/// A segment of tags `a` and `b`.
async fn first_segment(server: &Server) -> PathBuf {
    let mut stream = server.open("gateway", 1).await;
    stream.write(1, vec![series("a", 0, &noise(1)), series("b", 0, &noise(2))]).await;
    flush(server).await.remove(0)
}

fn flip(path: &Path, offset: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[offset] ^= 4;
    std::fs::write(path, bytes).unwrap();
}

/// The only line that a command prints to stderr when it fails.
async fn fails(server: &Server, args: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tagus"));
    command.args(args).args(["--url", &format!("http://{}", server.grpc)]);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let Output { status, stderr, .. } = output;
    let line = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(1), "{line}");
    assert!(line.starts_with("error: ") && line.lines().count() == 1, "{line:?}");
    line
}

async fn assert_damaged(server: &Server, sql: &str, path: &Path) {
    let status = server.sql(sql).await.unwrap_err();
    assert_eq!(status.code(), Code::DataLoss, "{status}");
    let message = status.message();
    assert!(message.contains(&path.display().to_string()) && !message.contains('\n'), "{message}");
}

const COUNT_OF_A: &str = "SELECT count(value) FROM samples WHERE tag = 'a'";

#[tokio::test]
async fn damage_costs_what_is_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let first = first_segment(&server).await;
    let rows = ROWS.cast_signed();
    assert_eq!(metric(&server.http, "tagus_segments_damaged").await, 0.0);
    flip(&first, 70_000);

    assert_damaged(&server, COUNT_OF_A, &first).await;
    // Merges leave it alone from now on.
    let mut stream = server.open("gateway", 1).await;
    stream.write(2, vec![series("c", 100_000, &[1.0, 2.0, 3.0])]).await;
    assert_eq!(flush(&server).await.len(), 2);
    assert_damaged(&server, "SELECT * FROM samples ORDER BY time", &first).await;
    let line = fails(&server, &["sql", COUNT_OF_A]).await;
    assert!(line.contains(&first.display().to_string()) && line.contains("at byte 65536"), "{line}");
    let served =
        async |tag: &str| server.number(&format!("SELECT count(value) FROM samples WHERE tag = '{tag}'")).await;
    assert_eq!((served("b").await, served("c").await), (rows as i64, 3));
    assert_eq!(server.number("SELECT count(*) FROM samples").await, 2 * rows as i64 + 3);
    assert_eq!(server.number("SELECT count(value) FROM current_values").await, 3);
    let late = stream.write(3, vec![series("a", 0, &noise(1)[..10])]).await;
    assert_eq!(late.counts.unwrap().stored, 2 * rows as u64 + 3 + 10, "what cannot be looked up counts as stored");

    assert_eq!(metric(&server.http, "tagus_segments_damaged").await, 1.0);
    let name = first.file_name().unwrap().to_string_lossy().into_owned();
    let ready = format!("ready\ndamaged: segment {name} at byte 65536: a checksum does not match\n");
    assert_eq!(get(&server.http, "/readyz").await, ("HTTP/1.1 200 OK".into(), ready));
    let line = fails(&server, &["compact"]).await;
    assert!(line.contains(&first.display().to_string()), "{line}");

    // What a person does with a file of a backup.
    flip(&first, 70_000);
    assert_eq!(served("a").await, rows as i64);
    assert_eq!(metric(&server.http, "tagus_segments_damaged").await, 0.0);
    assert_eq!(get(&server.http, "/readyz").await.1, "ready\n");

    // A server starts without its files, and says at the first need of one that it is missing.
    assert!(server.stop().await.success());
    let folder = first.parent().unwrap();
    let files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.iter().for_each(|file| std::fs::remove_file(file).unwrap());
    let server = Server::start(dir.path());
    assert_damaged(&server, "SELECT * FROM samples WHERE tag = 'c'", folder).await;
    let mut stream = server.open("gateway", 1).await;
    stream.write(4, vec![series("d", 0, &[1.0])]).await;
    assert_eq!(server.number("SELECT count(value) FROM samples WHERE tag = 'd'").await, 1);
    assert_eq!(server.number("SELECT count(value) FROM current_values").await, 4);
    assert!(metric(&server.http, "tagus_segments_damaged").await >= 1.0);
    assert!(server.stop().await.success());
}

/// A server whose process may later be forbidden to write to files: it then gets the errors of a
/// disk that fails, and no signal.
fn start_mortal(data: &Path) -> Server {
    let serve = serve_command(data, &[]);
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]).arg(serve.get_program()).args(serve.get_args());
    command.env("RUST_LOG", "warn").stdout(Stdio::piped()).stderr(Stdio::null());
    Server::spawned(command)
}

#[tokio::test]
async fn a_disk_that_fails_ends_writing_and_not_reading() {
    let dir = tempfile::tempdir().unwrap();
    let server = start_mortal(dir.path());
    let mut stream = server.open("gateway", 1).await;
    stream.write(1, vec![series("t", 0, &[1.0, 2.0])]).await;
    flush(&server).await;
    stream.write(2, vec![series("t", 2, &[3.0])]).await;
    let limited = Command::new("prlimit").args(["--pid", &server.pid().to_string(), "--fsize=1"]).status().unwrap();
    assert!(limited.success());

    stream.send(3, vec![series("t", 3, &[4.0])]).await;
    let refused = stream.failure().await;
    assert_eq!(refused.code(), Code::Unavailable, "{refused}");
    assert!(refused.message().contains("restart the server"), "{refused}");
    let latched = async || metric(&server.http, "tagus_latched").await == 1.0;
    until("the latch is told", latched).await;
    let (status, body) = get(&server.http, "/readyz").await;
    assert!(status.contains("503") && body.starts_with("read-only: ") && body.lines().count() == 1, "{status} {body}");
    assert_eq!(get(&server.http, "/healthz").await.0, "HTTP/1.1 200 OK");
    for _ in 0..2 {
        assert_eq!(server.number("SELECT count(*) FROM samples").await, 3);
        assert_eq!(server.number("SELECT max(value) FROM samples WHERE tag = 't'").await, 3);
    }
    assert_eq!(server.number("SELECT value FROM current_values").await, 3);
    let refused = Stream::open(server.channel().await, "another", 1).await.err().unwrap();
    assert_eq!(refused.code(), Code::Unavailable, "{refused}");
    server.kill();

    let server = Server::start(dir.path());
    assert_eq!(server.number("SELECT count(*) FROM samples").await, 3);
    let mut stream = server.open("gateway", 1).await;
    assert_eq!(stream.opened.last_sequence, 2);
    stream.write(3, vec![series("t", 3, &[4.0])]).await;
    let time = START + 3 * SECOND;
    assert_eq!(server.number("SELECT max(arrow_cast(time, 'Int64')) FROM samples").await, time);
}
