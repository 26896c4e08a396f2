//! SQL and current values.

use std::sync::Arc;

use arrow::datatypes::{DataType, TimeUnit};
use futures::StreamExt;
use tagus_proto::v1;
use tagus_proto::v1::current_value::Value;
use tagus_proto::v1::query_client::QueryClient;
use tagus_proto::v1::tags_client::TagsClient;
use tonic::Code;

use crate::support::{START, Server, series, texts, until};

#[tokio::test]
async fn results_come_in_plain_types() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let mut stream = server.open("gateway", 1).await;
    stream.write(1, vec![series("t", 0, &[0.5; 100_000])]).await;
    let batches = server.sql("SELECT * FROM samples").await.unwrap();
    assert_eq!(batches.iter().map(|batch| batch.num_rows()).sum::<usize>(), 100_000);
    assert!(batches.iter().all(|batch| batch.get_array_memory_size() < 4 << 20));
    let schema = batches[0].schema();
    let types: Vec<&DataType> = schema.fields().iter().map(|field| field.data_type()).collect();
    let time = DataType::Timestamp(TimeUnit::Nanosecond, Some(Arc::from("UTC")));
    let text = DataType::Utf8;
    assert_eq!(types, [&text, &time, &DataType::Float64, &text, &text, &DataType::Int64]);
}

#[tokio::test]
async fn a_wrong_statement_is_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    for (sql, code) in [
        ("SELEC 1", Code::InvalidArgument),
        ("SELECT * FROM sample", Code::NotFound),
        ("SELECT nonsense FROM samples", Code::NotFound),
        ("DROP TABLE samples", Code::InvalidArgument),
        ("", Code::InvalidArgument),
        ("SELECT 1/0", Code::InvalidArgument),
    ] {
        let status = server.sql(sql).await.unwrap_err();
        assert_eq!(status.code(), code, "{sql}: {}", status.message());
        assert!(!status.message().is_empty() && !status.message().contains('\n'), "{}", status.message());
    }
    let long = format!("SELECT '{}'", "x".repeat(2 << 20));
    let status = server.sql(&long).await.unwrap_err();
    assert!(status.message().contains("at most 1048576"), "{}", status.message());
}

#[tokio::test]
async fn a_query_ends_when_its_client_goes() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let mut stream = server.open("gateway", 1).await;
    stream.write(1, vec![series("t", 0, &[0.5; 20_000])]).await;
    let mut client = QueryClient::new(server.channel().await);
    let endless = "SELECT a.value FROM samples a CROSS JOIN samples b CROSS JOIN samples c";
    let mut answer = client.sql(v1::SqlRequest { sql: endless.into() }).await.unwrap().into_inner();
    for _ in 0..3 {
        answer.next().await.unwrap().unwrap();
    }
    let running = || async { crate::http::metric(&server.http, "tagus_queries_running").await };
    assert_eq!(running().await, 1.0);
    drop(answer);
    until("the query has ended", || async { running().await == 0.0 }).await;
    let cancelled = crate::http::metric(&server.http, "tagus_queries_total{result=\"cancelled\"}").await;
    assert_eq!(cancelled, 1.0);
}

#[tokio::test]
async fn current_values_are_told_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let mut tags = TagsClient::new(server.channel().await);
    let digital = v1::Tag {
        name: "Valve".into(),
        r#type: v1::TagType::Digital.into(),
        states: vec![v1::State { code: 3, name: "Open".into() }],
        ..v1::Tag::default()
    };
    let idle = v1::Tag { name: "Idle".into(), r#type: v1::TagType::Text.into(), ..v1::Tag::default() };
    tags.create(v1::CreateTagsRequest { tags: vec![digital, idle] }).await.unwrap();
    let mut stream = server.open("gateway", 1).await;
    let blocks = vec![series("Flow.PV", 0, &[1.0, 2.0]), texts(series("valve", 0, &[0.0]), &["Open"])];
    stream.write(1, blocks).await;

    let mut client = QueryClient::new(server.channel().await);
    let names = ["flow.pv", "VALVE", "idle"].map(str::to_owned).to_vec();
    let values = client.current(v1::CurrentRequest { names }).await.unwrap().into_inner().values;
    assert_eq!(values[0].name, "Flow.PV");
    assert_eq!((values[0].time, values[0].value), (Some(START + 1_000_000_000), Some(Value::Number(2.0))));
    assert_eq!((values[1].value, values[1].text.as_deref()), (Some(Value::Integer(3)), Some("Open")));
    assert_eq!((values[2].name.as_str(), values[2].time), ("Idle", None));

    let unknown = client.current(v1::CurrentRequest { names: vec!["Flow.SP".into()] }).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
    assert!(unknown.message().contains("Flow.PV"), "{}", unknown.message());
}

#[tokio::test]
async fn tags_are_listed_changed_and_told() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let mut client = TagsClient::new(server.channel().await);
    let float = |name: &str| v1::Tag { name: name.into(), r#type: v1::TagType::Float64.into(), ..v1::Tag::default() };
    let tags = vec![float("b.PV"), float("a.PV"), float("c.SP")];
    assert_eq!(client.create(v1::CreateTagsRequest { tags }).await.unwrap().into_inner().created, 3);
    let change =
        v1::UpdateTagRequest { name: "A.pv".into(), unit: Some("bar".into()), ..v1::UpdateTagRequest::default() };
    assert_eq!(client.update(change).await.unwrap().into_inner().unit, "bar");
    let listed = client.list(v1::ListTagsRequest { glob: "*.pv".into() }).await.unwrap().into_inner();
    let names: Vec<String> = listed.map(|tag| tag.unwrap().name).collect().await;
    assert_eq!(names, ["a.PV", "b.PV"]);
    let tag = client.get(v1::GetTagRequest { name: "a.pv".into() }).await.unwrap().into_inner();
    assert_eq!((tag.name.as_str(), tag.unit.as_str()), ("a.PV", "bar"));
    assert!(tag.created > START);
    let missing = client.get(v1::GetTagRequest { name: "a.PX".into() }).await.unwrap_err();
    assert_eq!(missing.code(), Code::NotFound);
    let wrong = client.create(v1::CreateTagsRequest { tags: vec![float("d"), float("D")] }).await.unwrap_err();
    assert_eq!(wrong.code(), Code::AlreadyExists);
    let none = client.get(v1::GetTagRequest { name: "d".into() }).await.unwrap_err();
    assert_eq!(none.code(), Code::NotFound);
}
