//! `tagus`: a process historian in one binary.

mod cli;
mod config;
mod demo;
mod flight;
mod grpc;
mod http;
mod limits;
mod memory;
mod metrics;
mod query;
mod serve;

use std::process::ExitCode;

fn main() -> ExitCode {
    match cli::parse_or_exit() {
        Ok(cli) => match cli.command {
            cli::Command::Serve(args) => serve::command::serve(args),
            cli::Command::Demo(args) => serve::command::demo(args),
            cli::Command::Verify(args) => cli::verify::run(&args),
            cli::Command::Restore(args) => cli::restore::run(&args),
            cli::Command::Client(command) => cli::run(command),
        },
        Err(status) => status,
    }
}
