//! `tagus sql`: runs a statement on the server and streams its result.

use std::io::{IsTerminal, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use arrow::array::RecordBatch;
use arrow::buffer::Buffer;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow_ipc::reader::StreamDecoder;
use tagus_client::Connection;
use tagus_proto::v1::{SqlRequest, SqlResponse};
use tonic::Streaming;

use super::args::{Format, SqlArgs};
use super::connect::{self, work};
use super::error::{Failure, Result};
use super::format::{self, Sink};
use super::output::Output;
use super::quiet::quietly;
use crate::limits::SQL_BYTES_MAX;

const RUNNING: &str = "running the query";

/// Runs the command.
pub async fn run(args: SqlArgs) -> Result<()> {
    if args.format == Format::Parquet && args.output.is_none() {
        return Err(Failure::usage("writing Parquet", "stdout cannot take it", "give --output FILE"));
    }
    let sql = match (args.sql, args.file) {
        (Some(sql), _) => sql,
        (None, Some(path)) => read_file(&path)?,
        (None, None) => read_stdin()?,
    };
    check(&sql)?;
    let connection = connect::open(&args.connect).await?;
    let mut rows = Rows::query(&connection, sql).await?;
    let mut sink: Box<dyn Sink> = format::sink(args.format, rows.schema(), Output::open(args.output.as_deref())?)?;
    while let Some(batch) = rows.next().await? {
        sink.batch(&batch)?;
    }
    sink.finish()
}

fn check(sql: &str) -> Result<()> {
    if sql.trim().is_empty() {
        return Err(Failure::usage(
            "reading the statement",
            "it is empty",
            "write one, for example SELECT * FROM tags",
        ));
    }
    check_size(sql.len() as u64)
}

fn check_size(bytes: u64) -> Result<()> {
    if bytes <= SQL_BYTES_MAX as u64 {
        return Ok(());
    }
    let why = format!("it has {bytes} bytes, at most {SQL_BYTES_MAX} are allowed");
    Err(Failure::new("reading the statement", why, "shorten it, or put long lists in several statements"))
}

fn read_file(path: &Path) -> Result<String> {
    let file = std::fs::File::open(path).map_err(|e| Failure::file("opening", path, &e))?;
    check_size(file.metadata().map_or(0, |metadata| metadata.len()))?;
    let mut sql = String::new();
    file.take(SQL_BYTES_MAX as u64 + 1).read_to_string(&mut sql).map_err(|e| Failure::file("reading", path, &e))?;
    Ok(sql)
}

fn read_stdin() -> Result<String> {
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        let advice = "give it as an argument, with --file, or on stdin";
        return Err(Failure::usage("reading the statement", "there is none", advice));
    }
    let mut sql = String::new();
    let read = stdin.lock().take(SQL_BYTES_MAX as u64 + 1).read_to_string(&mut sql);
    read.map_err(|e| Failure::file("reading", Path::new("stdin"), &e))?;
    Ok(sql)
}

/// What stands before the length of every message of an Arrow IPC stream.
const CONTINUATION: [u8; 4] = [0xFF; 4];

/// The rows of a running query.
pub struct Rows {
    stream: Streaming<SqlResponse>,
    decoder: StreamDecoder,
    schema: SchemaRef,
}

impl Rows {
    /// Starts a query and waits for its schema.
    pub async fn query(connection: &Connection, sql: String) -> Result<Rows> {
        let mut client = connection.query();
        let mut stream = work(RUNNING, client.sql(SqlRequest { sql })).await?.into_inner();
        let mut decoder = started_decoder()?;
        loop {
            let Some(message) = work(RUNNING, stream.message()).await? else {
                return Err(unreadable("the server answered nothing"));
            };
            // The schema comes first and alone.
            if decode(&mut decoder, message)?.is_some() {
                return Err(unreadable("rows came before their schema"));
            }
            if let Some(schema) = decoder.schema() {
                return Ok(Rows { stream, decoder, schema });
            }
        }
    }

    /// The columns.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The next rows; `None` after the last.
    pub async fn next(&mut self) -> Result<Option<RecordBatch>> {
        while let Some(message) = work(RUNNING, self.stream.message()).await? {
            if let Some(batch) = decode(&mut self.decoder, message)? {
                return Ok(Some(batch));
            }
        }
        Ok(None)
    }
}

fn started_decoder() -> Result<StreamDecoder> {
    let mut decoder = StreamDecoder::new();
    decoder.decode(&mut Buffer::from(CONTINUATION)).map_err(unreadable)?;
    Ok(decoder)
}

/// Decodes one Arrow IPC message; `None` where it carries no rows: the schema, or nothing at all.
fn decode(decoder: &mut StreamDecoder, message: SqlResponse) -> Result<Option<RecordBatch>> {
    if message.header.is_empty() {
        return Ok(None);
    }
    let header_bytes = u32::try_from(message.header.len()).map_err(|_| unreadable("a header is too long"))?;
    // The decoder looks at a message without a body only when something follows, so each is fed
    // with the mark that begins the next; the first mark is fed at the start.
    let length = Buffer::from(header_bytes.to_le_bytes());
    let pieces = [length, Buffer::from(message.header), Buffer::from(message.body), Buffer::from(CONTINUATION)];
    // Some damaged messages are not refused by the decoder but make it panic.
    match quietly(|| catch_unwind(AssertUnwindSafe(|| feed(decoder, pieces)))) {
        Ok(batch) => batch.map_err(unreadable),
        Err(_) => Err(unreadable("a message is damaged")),
    }
}

fn feed(
    decoder: &mut StreamDecoder,
    pieces: impl IntoIterator<Item = Buffer>,
) -> std::result::Result<Option<RecordBatch>, ArrowError> {
    let mut batch = None;
    for mut piece in pieces {
        while !piece.is_empty() {
            if let Some(decoded) = decoder.decode(&mut piece)? {
                batch = Some(decoded);
            }
        }
    }
    Ok(batch)
}

fn unreadable(why: impl std::fmt::Display) -> Failure {
    Failure::new("reading the result", why, "use a server and a client of the same version")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Float64Array, StringArray};
    use arrow_ipc::writer::StreamWriter;

    use super::*;

    /// The messages of a result as the server sends them, cut from an IPC stream.
    fn messages(batches: &[RecordBatch]) -> Vec<SqlResponse> {
        let mut stream = Vec::new();
        let mut writer = StreamWriter::try_new(&mut stream, &batches[0].schema()).unwrap();
        for batch in batches {
            writer.write(batch).unwrap();
        }
        writer.finish().unwrap();
        drop(writer);
        let mut rest = &stream[..];
        let mut messages = Vec::new();
        loop {
            let header_bytes = u32::from_le_bytes(rest[4..8].try_into().unwrap()) as usize;
            if header_bytes == 0 {
                return messages;
            }
            let header = &rest[8..8 + header_bytes];
            let body_bytes = arrow_ipc::root_as_message(header).unwrap().bodyLength() as usize;
            let body = &rest[8 + header_bytes..8 + header_bytes + body_bytes];
            messages.push(SqlResponse { header: header.to_vec().into(), body: body.to_vec().into() });
            rest = &rest[8 + header_bytes + body_bytes..];
        }
    }

    fn batch() -> RecordBatch {
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("tag", Arc::new(StringArray::from(vec![Some("a"), None, Some("größer")]))),
            ("value", Arc::new(Float64Array::from(vec![Some(1.5), Some(-0.0), None]))),
        ];
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true))).unwrap()
    }

    #[test]
    fn messages_become_batches() {
        let expected = [batch(), batch().slice(1, 2), batch().slice(0, 0)];
        let mut decoder = started_decoder().unwrap();
        let mut messages = messages(&expected).into_iter();
        assert_eq!(decode(&mut decoder, messages.next().unwrap()).unwrap(), None);
        assert_eq!(decoder.schema(), Some(batch().schema()));
        assert_eq!(decode(&mut decoder, SqlResponse::default()).unwrap(), None);
        let decoded: Vec<RecordBatch> = messages.map(|m| decode(&mut decoder, m).unwrap().unwrap()).collect();
        assert_eq!(decoded, expected);
    }

    #[test]
    fn damaged_messages_are_an_error() {
        let messages = messages(&[batch()]);
        for cut in 0..messages[1].header.len() {
            let mut decoder = started_decoder().unwrap();
            decode(&mut decoder, messages[0].clone()).unwrap();
            let mut header = messages[1].header.to_vec();
            header[cut] ^= 0xFF;
            // It may decode to something else, but it must not panic; what is refused has three parts.
            if let Err(failure) = decode(&mut decoder, SqlResponse { header: header.into(), ..messages[1].clone() }) {
                assert!(matches!(failure, Failure::Failed(text) if text.starts_with("reading the result failed: ")));
            }
        }
    }

    #[test]
    fn statements_are_checked() {
        assert!(matches!(check(" \n"), Err(Failure::Usage(text)) if text.contains("it is empty")));
        let long = check(&"x".repeat(2 << 20));
        assert!(matches!(long, Err(Failure::Failed(text)) if text.contains("2097152 bytes, at most 1048576")));
        assert_eq!(check("SELECT 1"), Ok(()));
    }
}
