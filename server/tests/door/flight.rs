//! Flight SQL, through a client that is not ours.

use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Schema};
use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::sql::client::FlightSqlServiceClient;
use arrow_flight::sql::{
    Any, Command, CommandGetDbSchemas, CommandGetPrimaryKeys, CommandGetTables, CommandGetXdbcTypeInfo,
    CommandStatementQuery, ProstMessageExt, SqlInfo,
};
use arrow_flight::{FlightDescriptor, FlightInfo, IpcMessage};
use futures::TryStreamExt;
use prost::Message;
use tonic::Code;
use tonic::transport::Channel;

use crate::support::{Server, series};

async fn client(server: &Server) -> FlightSqlServiceClient<Channel> {
    FlightSqlServiceClient::new(server.channel().await)
}

async fn rows(client: &mut FlightSqlServiceClient<Channel>, info: FlightInfo) -> Vec<RecordBatch> {
    let announced = info.clone().try_decode_schema().unwrap();
    let ticket = info.endpoint[0].ticket.clone().unwrap();
    let stream = client.do_get(ticket).await.unwrap();
    let batches: Vec<RecordBatch> = stream.try_collect().await.unwrap();
    for batch in &batches {
        assert_eq!(*batch.schema(), announced, "the rows have the announced schema");
    }
    batches
}

fn strings(batches: &[RecordBatch], column: usize) -> Vec<String> {
    let cells = batches.iter().flat_map(|batch| batch.column(column).as_string::<i32>().iter().flatten());
    cells.map(str::to_owned).collect()
}

#[tokio::test]
async fn statements_answer_what_they_announce() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    server.open("gateway", 1).await.write(1, vec![series("t", 0, &[0.5; 50_000])]).await;
    let mut client = client(&server).await;
    let info = client.execute("SELECT * FROM samples ORDER BY time".into(), None).await.unwrap();
    let batches = rows(&mut client, info).await;
    assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 50_000);

    for sql in ["SELECT count(*) AS n, max(time) FROM samples", "SELECT 1 WHERE false", "SELECT * FROM tags"] {
        let info = client.execute(sql.into(), None).await.unwrap();
        rows(&mut client, info).await;
    }
    let wrong = client.execute("SELECT * FROM nothing".into(), None).await.unwrap_err();
    assert!(wrong.to_string().contains("nothing"), "{wrong}");
}

#[tokio::test]
async fn the_schema_of_a_statement_can_be_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let mut client = FlightServiceClient::new(server.channel().await);
    let command = CommandStatementQuery { query: "SELECT tag, time FROM samples".into(), transaction_id: None };
    let descriptor = FlightDescriptor::new_cmd(command.as_any().encode_to_vec());
    let answer = client.get_schema(descriptor.clone()).await.unwrap().into_inner();
    let schema = Schema::try_from(IpcMessage(answer.schema)).unwrap();
    assert_eq!(schema.field(0).data_type(), &DataType::Utf8);
    let polled = client.poll_flight_info(descriptor).await.unwrap().into_inner();
    assert!(polled.flight_descriptor.is_none(), "there is nothing left to poll for");
    assert_eq!(polled.info.unwrap().try_decode_schema().unwrap(), schema);
}

#[tokio::test]
async fn the_catalog_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let mut client = client(&server).await;
    let info = client.get_catalogs().await.unwrap();
    assert_eq!(strings(&rows(&mut client, info).await, 0), ["tagus"]);
    let schemas = CommandGetDbSchemas { catalog: Some("tagus".into()), db_schema_filter_pattern: Some("pub%".into()) };
    let info = client.get_db_schemas(schemas).await.unwrap();
    assert_eq!(strings(&rows(&mut client, info).await, 1), ["public"]);
    let info = client.get_table_types().await.unwrap();
    assert_eq!(strings(&rows(&mut client, info).await, 0), ["TABLE"]);

    let all = CommandGetTables { include_schema: true, ..CommandGetTables::default() };
    let info = client.get_tables(all).await.unwrap();
    let tables = rows(&mut client, info).await;
    assert_eq!(strings(&tables, 2), ["current_values", "samples", "tags"]);
    let schema = tables[0].column(4).as_binary::<i32>().value(1).to_vec();
    let schema = Schema::try_from(IpcMessage(schema.into())).unwrap();
    let info = client.execute("SELECT * FROM samples".into(), None).await.unwrap();
    assert_eq!(schema, info.try_decode_schema().unwrap());
    let some = CommandGetTables { table_name_filter_pattern: Some("t%".into()), ..CommandGetTables::default() };
    let info = client.get_tables(some).await.unwrap();
    assert_eq!(strings(&rows(&mut client, info).await, 2), ["tags"]);

    let keys = CommandGetPrimaryKeys { table: "samples".into(), ..CommandGetPrimaryKeys::default() };
    let info = client.get_primary_keys(keys).await.unwrap();
    assert_eq!(strings(&rows(&mut client, info).await, 3), ["tag", "time"]);
    let info = client.get_xdbc_type_info(CommandGetXdbcTypeInfo::default()).await.unwrap();
    assert_eq!(strings(&rows(&mut client, info).await, 0).len(), 5);
    let info = client.get_sql_info(vec![SqlInfo::FlightSqlServerName, SqlInfo::SqlKeywords]).await.unwrap();
    assert_eq!(rows(&mut client, info).await[0].num_rows(), 2);
}

#[tokio::test]
async fn a_prepared_statement_is_run() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let mut client = client(&server).await;
    let mut statement = client.prepare("SELECT 1 AS one".into(), None).await.unwrap();
    assert_eq!(statement.dataset_schema().unwrap().field(0).name(), "one");
    let info = statement.execute().await.unwrap();
    let batches = rows(&mut client, info).await;
    assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 1);
    statement.close().await.unwrap();
}

#[tokio::test]
async fn functions_that_are_told_of_are_there() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let mut client = client(&server).await;
    let kinds = [
        SqlInfo::SqlNumericFunctions,
        SqlInfo::SqlStringFunctions,
        SqlInfo::SqlSystemFunctions,
        SqlInfo::SqlDatetimeFunctions,
    ];
    let info = client.get_sql_info(kinds.to_vec()).await.unwrap();
    let batches = rows(&mut client, info).await;
    let union = batches[0].column(1).as_union();
    let mut functions = Vec::new();
    for row in 0..union.len() {
        let list = union.value(row);
        let list = list.as_list::<i32>().value(0);
        functions.extend(list.as_string::<i32>().iter().flatten().map(str::to_owned).collect::<Vec<_>>());
    }
    assert!(functions.len() > 50);
    // A call with too many arguments is refused for that, and not because nobody knows the name.
    let arguments = vec!["NULL"; 40].join(", ");
    for function in functions {
        let Err(status) = server.sql(&format!("SELECT {function}({arguments})")).await else { continue };
        assert_ne!(status.code(), Code::NotFound, "{function}: {}", status.message());
    }
}

#[tokio::test]
async fn commands_that_are_not_served_say_so() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let mut client = FlightServiceClient::new(server.channel().await);
    let mut refusal =
        async |cmd: Vec<u8>| client.get_flight_info(FlightDescriptor::new_cmd(cmd)).await.unwrap_err().code();
    assert_eq!(refusal(Vec::new()).await, Code::InvalidArgument);
    assert_eq!(refusal(b"nonsense".to_vec()).await, Code::InvalidArgument);
    let unknown = Command::Unknown(Any { type_url: "type.googleapis.com/x.Y".into(), value: Default::default() });
    assert_eq!(refusal(unknown.into_any().encode_to_vec()).await, Code::Unimplemented);
    let long = CommandStatementQuery { query: " ".repeat(2 << 20), transaction_id: None };
    assert_eq!(refusal(long.as_any().encode_to_vec()).await, Code::InvalidArgument);
    let within = CommandStatementQuery {
        query: "SELECT 1".into(),
        transaction_id: Some(Arc::<[u8]>::from(&b"t"[..]).to_vec().into()),
    };
    assert_eq!(refusal(within.as_any().encode_to_vec()).await, Code::InvalidArgument);
}
