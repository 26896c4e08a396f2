//! `tagus`: a process historian in one binary.

mod cli;
mod config;
mod demo;
mod flight;
mod grpc;
mod http;
mod limits;
mod metrics;
mod query;
mod serve;

use std::process::ExitCode;

/// Memtables of many tags are many small pieces that are given back at once; the system's allocator
/// keeps most of them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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
