//! The command line of `tagus`, and the commands that talk to a running server.

mod admin;
pub mod args;
mod backup;
mod connect;
mod delete;
mod error;
mod export;
mod format;
mod import;
mod output;
pub mod parse;
mod quiet;
mod reduction;
pub mod restore;
mod sql;
mod tags;
mod usage;
pub mod verify;
mod write;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use error::{Failure, Result};
pub use usage::parse_or_exit;

/// Tagus, a process historian: stores the samples of a plant and answers SQL about them.
#[derive(Parser, Debug)]
#[command(
    name = "tagus",
    bin_name = "tagus",
    version,
    max_term_width = 100,
    after_help = "Examples:
  tagus serve --data ./tagus-data
  tagus import history.csv.gz --tags tags.csv
  tagus sql \"SELECT * FROM current_values LIMIT 10\"

Exit status: 0 done, 1 failed, 2 wrong usage."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Every command of the binary.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Run the server
    Serve(args::ServeArgs),
    /// Run the server with a simulated plant that writes to it
    Demo(args::DemoArgs),
    /// Check every byte of an archive that no server has open
    Verify(args::VerifyArgs),
    /// Put a backup into an empty folder, from which a server can be run
    Restore(args::RestoreArgs),
    /// Commands that talk to a running server.
    #[command(flatten)]
    Client(ClientCommand),
}

/// The commands that talk to a running server.
#[derive(Subcommand, Debug)]
pub enum ClientCommand {
    /// Run SQL on the server
    Sql(args::SqlArgs),
    /// Write one sample, or CSV lines from stdin
    Write(args::WriteArgs),
    /// Import CSV, CSV.gz or Parquet files
    Import(args::ImportArgs),
    /// Export samples to a CSV or Parquet file
    Export(args::ExportArgs),
    /// Delete samples
    Delete(args::DeleteArgs),
    /// Try out reduction on stored samples
    Reduction(args::ReductionArgs),
    /// List, show, create and change tags
    Tags(args::TagsArgs),
    /// Write everything in memory to segments, and list these
    Flush(args::FlushArgs),
    /// Merge segments until every window of time has one run, and list them
    Compact(args::CompactArgs),
    /// Back up the archive while the server runs
    Backup(args::BackupArgs),
}

/// Runs a client command to its end; its errors are on stderr when this returns.
pub fn run(command: ClientCommand) -> ExitCode {
    // One thread beside this one takes care of the connection, while this one formats or reads.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let result = match runtime {
        Ok(runtime) => {
            let result = runtime.block_on(dispatch(command));
            // A thread that still reads a pipe or a terminal must not hold up the end.
            runtime.shutdown_background();
            result
        }
        Err(error) => Err(Failure::new("starting", error::io_words(&error), "check the limits of this user")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

async fn dispatch(command: ClientCommand) -> Result<()> {
    match command {
        ClientCommand::Sql(args) => sql::run(args).await,
        ClientCommand::Write(args) => write::run(args).await,
        ClientCommand::Import(args) => import::run(args).await,
        ClientCommand::Export(args) => export::run(args).await,
        ClientCommand::Delete(args) => delete::run(args).await,
        ClientCommand::Reduction(args) => reduction::run(args.command).await,
        ClientCommand::Tags(args) => tags::run(args.command).await,
        ClientCommand::Flush(args) => admin::flush(args).await,
        ClientCommand::Compact(args) => admin::compact(args).await,
        ClientCommand::Backup(args) => backup::run(args).await,
    }
}
