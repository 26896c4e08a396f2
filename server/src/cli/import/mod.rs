//! `tagus import`: files of samples become samples.

mod chunk;
mod columns;
mod csv;
mod firsts;
mod name;
mod parquet;
mod pipeline;
mod progress;
mod refusal;
mod report;
mod source;
pub mod tags;
pub mod time;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

pub use pipeline::{Input, send};
pub use report::Report;

use super::args::ImportArgs;
use super::connect;
use super::error::{Failure, Result};
use super::tags::declare;
use firsts::Firsts;
use progress::Progress;

/// Runs the command.
pub async fn run(args: ImportArgs) -> Result<()> {
    for path in &args.files {
        check(path, &args)?;
    }
    if let Some(rejects) = &args.rejects
        && args.files.iter().chain(&args.tags).any(|file| is_same(file, rejects))
    {
        let why = "--rejects names a file that is to be read";
        return Err(Failure::usage("reading the arguments", why, "give the rejected rows a file of their own"));
    }
    let declared = args.tags.as_deref().map(tags::read).transpose()?;
    let report = Report::create(args.rejects.as_deref())?;
    let connection = connect::open(&args.connect).await?;
    let firsts = verify(&args)?;
    if let Some(declared) = declared {
        declare(&connection, declared).await?;
    }
    firsts.introduce(&args.connect).await?;
    let again = match args.rejects {
        Some(_) => "import the files again to get the others",
        None => "give --rejects FILE to keep them",
    };
    let inputs = args.files.into_iter().map(Input::File).collect();
    send(&args.connect, inputs, args.time_unit, report, again).await
}

/// Opens a file and reads its header, so that nothing is sent where one of several is wrong.
/// What can be read only once, such as a pipe, is left for later.
fn check(path: &Path, args: &ImportArgs) -> Result<()> {
    if can_be_read_again(path) {
        source::open(path, args.time_unit, &Arc::new(AtomicU64::new(0)))?;
    }
    Ok(())
}

/// Reads all files to their ends: a truncated or malformed one must change nothing.
fn verify(args: &ImportArgs) -> Result<Firsts> {
    let mut firsts = Firsts::default();
    let progress = Progress::new(&args.files, "checking");
    for path in args.files.iter().filter(|path| can_be_read_again(path)) {
        source::open(path, args.time_unit, &progress.done)?.verify(&mut firsts)?;
    }
    progress.finish();
    Ok(firsts)
}

fn is_same(one: &Path, other: &Path) -> bool {
    one.canonicalize().is_ok_and(|one| other.canonicalize().is_ok_and(|other| one == other))
}

fn can_be_read_again(path: &Path) -> bool {
    path.metadata().map_or(true, |metadata| metadata.is_file() || metadata.is_dir())
}
