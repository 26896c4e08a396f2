//! `tagus restore`: puts a backup into an empty folder; needs no server.

use std::process::ExitCode;

use tagus_engine::RestoreReport;
use tagus_engine::env::Env;

use super::args::RestoreArgs;
use super::error::{Failure, Result};
use super::output::{bytes_bar, print_line};

/// Runs the command.
pub fn run(args: &RestoreArgs) -> ExitCode {
    match restore(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn restore(args: &RestoreArgs) -> Result<()> {
    if args.data.as_os_str().is_empty() {
        return Err(Failure::usage("restoring", "the name of the folder is empty", "name one with --data"));
    }
    let bar = bytes_bar();
    let report = tagus_engine::restore(&Env::os(), &args.from, &args.data, &mut |done, all| {
        bar.set_length(all);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    let report = report.map_err(|error| Failure::Failed(error.to_string()))?;
    print_line(&summary(&report))
}

fn summary(report: &RestoreReport) -> String {
    let RestoreReport { manifest, segments, rows, bytes } = report;
    format!("manifest={manifest} segments={segments} rows={rows} bytes={bytes}")
}
