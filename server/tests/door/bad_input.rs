//! Bytes that no client should send.

use std::pin::Pin;

use axum::body::Body;
use tagus_proto::v1;
use tonic::Code;
use tonic::codegen::Body as _;
use tonic::codegen::Service;
use tonic::codegen::http::{HeaderMap, Request};

use crate::support::{START, Server, Stream, scan, series};

/// Sends bytes as the body of a call and gives its status.
async fn call(server: &Server, path: &str, body: Vec<u8>) -> (Code, String) {
    let request = Request::post(format!("http://{}{path}", server.grpc))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(tonic::body::Body::new(Body::from(body)))
        .unwrap();
    let mut channel = server.channel().await;
    std::future::poll_fn(|context| channel.poll_ready(context)).await.unwrap();
    let answer = channel.call(request).await.unwrap();
    let mut status = status_of(answer.headers());
    let mut body = answer.into_body();
    while let Some(frame) = std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        if let Some(trailers) = frame.unwrap().trailers_ref() {
            status = status_of(trailers);
        }
    }
    status.expect("a call ends with a status")
}

fn status_of(headers: &HeaderMap) -> Option<(Code, String)> {
    let code = Code::from_bytes(headers.get("grpc-status")?.as_bytes());
    let message = headers.get("grpc-message").map_or("", |message| message.to_str().unwrap());
    Some((code, message.to_owned()))
}

/// A message with its prefix, of which the length may be a lie.
fn message(length: u32, bytes: &[u8]) -> Vec<u8> {
    let mut message = vec![0];
    message.extend(length.to_be_bytes());
    message.extend(bytes);
    message
}

const WRITE: &str = "/tagus.v1.Ingest/Write";

/// Everything still works.
async fn check_alive(server: &Server) {
    let mut stream = server.open("alive", rand_epoch()).await;
    stream.write(1, vec![series("alive", 0, &[1.0])]).await;
    assert_eq!(server.number("SELECT count(*) FROM samples WHERE tag = 'alive'").await, 1);
    let rss = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let rss = rss.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let kib: u64 = rss.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(kib < 512 << 10, "the server took {kib} KiB");
}

fn rand_epoch() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

#[tokio::test]
async fn a_message_of_a_gigabyte_is_refused_before_it_comes() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    for path in [
        WRITE,
        "/tagus.v1.Tags/Create",
        "/tagus.v1.Query/Sql",
        "/arrow.flight.protocol.FlightService/GetFlightInfo",
        "/arrow.flight.protocol.FlightService/DoPut",
    ] {
        for length in [1 << 30, u32::MAX] {
            let (code, text) = call(&server, path, message(length, &[0; 64])).await;
            assert!(
                matches!(code, Code::OutOfRange | Code::ResourceExhausted | Code::Unimplemented),
                "{path}: {code} {text}"
            );
        }
    }
    check_alive(&server).await;
}

/// The bytes of one field, of which the content is given.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![number << 3 | 2];
    let mut length = content.len();
    while length >= 0x80 {
        bytes.push(length.to_le_bytes()[0] | 0x80);
        length >>= 7;
    }
    bytes.push(length.to_le_bytes()[0]);
    bytes.extend(content);
    bytes
}

#[tokio::test]
async fn messages_that_swell_in_memory_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    // Empty entries: two bytes each on the wire.
    let blocks = field(2, &[0x12, 0].repeat(4 << 20).split_off(1 << 10));
    let tags = [0x0A, 0].repeat(30 << 20);
    let paths = [0x1A, 0].repeat(20 << 20);
    for (path, bytes) in [
        (WRITE, blocks),
        ("/tagus.v1.Tags/Create", tags.clone()),
        ("/tagus.v1.Query/Current", tags),
        ("/arrow.flight.protocol.FlightService/GetFlightInfo", paths),
    ] {
        let length = u32::try_from(bytes.len()).unwrap();
        let (code, text) = call(&server, path, message(length, &bytes)).await;
        assert_eq!(code, Code::OutOfRange, "{path}: {text}");
    }
    check_alive(&server).await;
}

#[tokio::test]
async fn bytes_that_are_no_message_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let mut seed = 0x9E37_79B9_7F4A_7C15_u64;
    for path in
        [WRITE, "/tagus.v1.Tags/Create", "/tagus.v1.Query/Current", "/arrow.flight.protocol.FlightService/DoGet"]
    {
        for round in 0..20 {
            let bytes: Vec<u8> = (0..40)
                .map(|_| {
                    seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    seed.to_be_bytes()[0]
                })
                .collect();
            let (code, text) = call(&server, path, message(40, &bytes)).await;
            // By chance the bytes may be fields that nobody knows, which a message may have.
            let fitting = [Code::Ok, Code::InvalidArgument, Code::Internal, Code::Unimplemented];
            assert!(fitting.contains(&code), "{path} round {round}: {code:?} {text}: {bytes:?}");
            assert!(!text.contains("report"), "{path} round {round}: {text}");
            assert!(!text.contains('\n'));
        }
        // A message that ends before it should, and nothing at all.
        let (code, _) = call(&server, path, message(1000, &[10, 200])).await;
        assert_ne!(code, Code::Ok);
        let (code, _) = call(&server, path, vec![0, 0]).await;
        assert_ne!(code, Code::Ok);
    }
    check_alive(&server).await;
}

#[tokio::test]
async fn unknown_services_and_methods_are_unimplemented() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    for path in ["/tagus.v1.Nothing/Here", "/tagus.v1.Ingest/Nothing", "/"] {
        assert_eq!(call(&server, path, message(0, &[])).await.0, Code::Unimplemented, "{path}");
    }
    check_alive(&server).await;
}

/// The error that a stream ends with after one request.
async fn after(server: &Server, request: v1::WriteRequest) -> tonic::Status {
    let mut stream = server.open("", 0).await;
    stream.send_request(request).await;
    stream.failure().await
}

fn batch(blocks: Vec<v1::Block>) -> v1::WriteRequest {
    v1::WriteRequest { request: Some(v1::write_request::Request::Batch(v1::Batch { sequence: 1, blocks })) }
}

#[tokio::test]
async fn batches_that_cannot_be_are_refused_whole() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let good = || series("t", 0, &[1.0, 2.0]);
    let refused = [
        batch(vec![good(), v1::Block { shape: None, ..good() }]),
        batch(vec![good(), v1::Block { values: None, ..good() }]),
        batch(vec![good(), v1::Block { statuses: vec![0; 3], ..good() }]),
        batch(vec![good(), scan(START, &["a", "b"], &[1.0])]),
        batch(vec![series("t", 0, &[0.0; 600_000]), series("u", 0, &[0.0; 448_577])]),
        v1::WriteRequest { request: None },
        v1::WriteRequest { request: Some(v1::write_request::Request::Open(v1::Open::default())) },
        v1::WriteRequest { request: Some(v1::write_request::Request::Batch(v1::Batch::default())) },
    ];
    for request in refused {
        let status = after(&server, request).await;
        assert!(matches!(status.code(), Code::InvalidArgument | Code::OutOfRange), "{status}");
        assert!(!status.message().contains('\n'), "{status}");
    }
    assert_eq!(server.number("SELECT count(*) FROM samples").await, 0);
    check_alive(&server).await;
}

#[tokio::test]
async fn names_that_cannot_be_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let long = "x".repeat(2000);
    let mut stream = server.open("", 0).await;
    let ack = stream.write(1, vec![scan(START, &["good", "", "a\nb", &long], &[1.0; 4])]).await;
    let indices: Vec<u32> = ack.rejections.iter().map(|rejection| rejection.index).collect();
    assert_eq!(indices, [1, 2, 3]);
    assert!(ack.rejections.iter().all(|r| !r.reason.contains('\n') && r.reason.len() < 400));
    for source in [long.as_str(), "a\u{7}b"] {
        let error = Stream::open(server.channel().await, source, 1).await.err().expect("it is refused");
        assert_eq!(error.code(), Code::InvalidArgument);
    }
    assert_eq!(server.number("SELECT count(*) FROM tags").await, 1);
}
