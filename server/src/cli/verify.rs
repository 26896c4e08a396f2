//! `tagus verify`: checks every byte of an archive that no server has open.

use std::path::Path;
use std::process::ExitCode;

use tagus_engine::env::Env;
use tagus_engine::{Unchecked, VerifyReport};

use super::args::VerifyArgs;
use super::error::{Failure, Result};
use super::output::{bytes_bar, print_line};

/// Runs the command.
pub fn run(args: &VerifyArgs) -> ExitCode {
    match check(&args.data) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn check(data: &Path) -> Result<()> {
    let bar = bytes_bar();
    let report = tagus_engine::verify(&Env::os(), data, &mut |done, all| {
        bar.set_length(all);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    let report = report.map_err(|error| Failure::Failed(error.to_string()))?;
    for damage in &report.damages {
        print_line(&damage.finding())?;
    }
    for Unchecked { path, why } in &report.unchecked {
        print_line(&format!("not checked: {}: {why}", path.display()))?;
    }
    print_line(&summary(&report))?;
    match report.damages.len() {
        0 => Ok(()),
        damages => Err(Failure::new(
            format_args!("verifying {}", data.display()),
            format_args!("{damages} damages were found"),
            "put segments back from a backup, or restore the archive with `tagus restore`",
        )),
    }
}

fn summary(report: &VerifyReport) -> String {
    let VerifyReport { damages, unchecked, segments, segment_bytes, rows, manifest_files } = report;
    let (damages, unchecked) = (damages.len(), unchecked.len());
    format!(
        "segments={segments} rows={rows} bytes={segment_bytes} manifest_files={manifest_files} unchecked={unchecked} damages={damages}"
    )
}
