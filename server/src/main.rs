//! `tagus`: a process historian in one binary.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    match cli::parse_or_exit() {
        Ok(cli) => match cli.command {
            cli::Command::Client(command) => cli::run(command),
        },
        Err(status) => status,
    }
}
