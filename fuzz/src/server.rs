//! Modules of the server that read bytes from outside and need nothing else of it. The server is a
//! program and no library; they are compiled here once more.
#![allow(missing_docs, dead_code, unused_imports)]

#[path = "../../server/src/cli/import/columns.rs"]
pub mod columns;
#[path = "../../server/src/grpc/ingest/convert.rs"]
pub mod convert;
#[path = "../../server/src/cli/import/csv.rs"]
pub mod csv;
#[path = "../../server/src/cli/import/time.rs"]
pub mod time;
