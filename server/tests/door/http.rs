//! The HTTP door.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{Server, series};

/// The status line and the body of a GET.
pub async fn get(address: &str, path: &str) -> (String, String) {
    let mut connection = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: tagus\r\nConnection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.lines().next().unwrap().to_owned(), body.to_owned())
}

/// The value of a metric; 0 where it is not there yet.
pub async fn metric(address: &str, name: &str) -> f64 {
    let (_, body) = get(address, "/metrics").await;
    let value = body.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.map_or(0.0, |value| value.parse().unwrap())
}

#[tokio::test]
async fn health_and_metrics_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    assert_eq!(get(&server.http, "/healthz").await, ("HTTP/1.1 200 OK".into(), "ok\n".into()));
    assert_eq!(get(&server.http, "/readyz").await, ("HTTP/1.1 200 OK".into(), "ready\n".into()));
    assert!(get(&server.http, "/nothing").await.0.contains("404"));

    let mut stream = server.open("secret-source", 1).await;
    stream.write(1, vec![series("secret.tag", 0, &[1.0, 2.0, f64::NAN])]).await;
    stream.write(2, vec![series("secret.tag", 0, &[1.0])]).await;
    server.number("SELECT count(*) FROM samples").await;
    let value = async |name: &str| metric(&server.http, name).await;
    assert_eq!(value("tagus_ingest_samples_total{outcome=\"stored\"}").await, 3.0);
    assert_eq!(value("tagus_ingest_samples_total{outcome=\"duplicate\"}").await, 1.0);
    assert_eq!(value("tagus_ingest_samples_coerced_total").await, 1.0);
    assert_eq!(value("tagus_ingest_batches_total").await, 2.0);
    assert_eq!(value("tagus_ingest_ack_latency_seconds_count").await, 2.0);
    assert_eq!(value("tagus_ingest_streams").await, 1.0);
    assert_eq!(value("tagus_queries_total{result=\"done\"}").await, 1.0);
    assert_eq!(value("tagus_query_latency_seconds_count").await, 1.0);
    assert_eq!(value("tagus_memtable_rows").await, 3.0);
    assert_eq!(value("tagus_tags").await, 1.0);
    assert_eq!(value("tagus_latched").await, 0.0);
    let (_, body) = get(&server.http, "/metrics").await;
    assert!(!body.contains("secret"), "{body}");
    assert!(body.ends_with("# EOF\n"));
}
