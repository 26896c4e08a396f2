//! The commands `serve` and `demo`.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::CommandFactory;
use clap::parser::ValueSource;
use tagus_client::Endpoint;
use tagus_engine::{Error, Result};
use tracing_subscriber::EnvFilter;

use super::{Addresses, Outcome};
use crate::cli::Cli;
use crate::cli::args::{DemoArgs, ServeArgs};
use crate::config::Config;
use crate::demo::{self, Plant};

/// The simulated plant is the same at each start.
const SEED: u64 = 1;
/// Most samples of the past that the simulated plant begins with.
const HISTORY_SAMPLES: u64 = 1_000_000;

/// `tagus serve`
pub fn serve(args: ServeArgs) -> ExitCode {
    start_log("info");
    let given = Given::of("serve");
    let settings = settings(args, |option| given.has(option)).map_err(Into::into);
    ended(settings.and_then(|config| {
        super::run(&config, |_, stop| async {
            stop.await;
            Ok(())
        })
    }))
}

/// `tagus demo`
pub fn demo(args: DemoArgs) -> ExitCode {
    // What the plant and the server do is told on stdout.
    start_log("warn");
    let (grpc_addr, http_addr) = (args.grpc_addr.clone(), args.http_addr.clone());
    let config = Config { data: args.data.clone(), grpc_addr, http_addr, ..Config::default() };
    ended(super::run(&config, |addresses, stop| simulate(addresses, args, stop)))
}

/// Runs the plant against the server for the time asked, or until `stop` is ready.
async fn simulate(addresses: Addresses, args: DemoArgs, stop: impl Future<Output = ()>) -> Outcome {
    let history = Duration::from_secs((HISTORY_SAMPLES / u64::from(args.tags)).min(3600));
    let options = demo::Options { seed: SEED, tags: usize::try_from(args.tags)?, history };
    let tags = Plant::new(options.seed, options.tags).tags();
    super::say(&invitation(&addresses, &tags.first().map(|tag| tag.name.clone()).unwrap_or_default()));
    let end = async {
        match args.duration {
            Some(duration) => tokio::select! {
                () = tokio::time::sleep(duration) => {}
                () = stop => {}
            },
            None => stop.await,
        }
    };
    let counts = demo::run(Endpoint::new(&addresses.url())?, options, end).await?;
    super::say(&format!("the plant wrote {counts}"));
    Ok(())
}

/// What to try while the plant runs.
fn invitation(addresses: &Addresses, tag: &str) -> String {
    let url = if addresses.grpc.port() == 8815 { String::new() } else { format!(" --url {}", addresses.url()) };
    [
        "A simulated plant writes to it now. Try in another terminal:".to_owned(),
        format!("  tagus tags list{url}"),
        format!("  tagus sql{url} \"SELECT * FROM current_values ORDER BY tag LIMIT 10\""),
        format!("  tagus sql{url} \"SELECT time, value FROM samples WHERE tag = '{tag}' ORDER BY time DESC LIMIT 10\""),
        format!(
            "  tagus sql{url} \"SELECT tag, count(*), avg(value) FROM samples GROUP BY tag ORDER BY tag LIMIT 10\""
        ),
        format!("  curl http://{}/metrics", addresses.http),
        "Stop with Ctrl-C.".to_owned(),
    ]
    .join("\n")
}

fn ended(result: Outcome) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // A closed stderr leaves nobody to tell; the exit status still says it.
            let _ = writeln!(std::io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What the server tells of itself goes to stderr; `RUST_LOG` says how much.
fn start_log(level: &str) {
    let filter = EnvFilter::try_from_default_env();
    let filter = filter.unwrap_or_else(|_| EnvFilter::new(format!("{level},h2=warn,hyper=warn")));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    // Colours are for people.
    log.with_ansi(std::io::stderr().is_terminal()).init();
}

/// Which options stand on the command line or in the environment: those beat the file.
struct Given(Option<clap::ArgMatches>);

impl Given {
    fn of(command: &str) -> Given {
        // The same arguments were read without an error before.
        let matches = Cli::command().try_get_matches().ok();
        Given(
            matches
                .and_then(|mut matches| matches.remove_subcommand())
                .filter(|(name, _)| name == command)
                .map(|m| m.1),
        )
    }

    fn has(&self, option: &str) -> bool {
        let source = self.0.as_ref().and_then(|matches| matches.value_source(option));
        matches!(source, Some(ValueSource::CommandLine | ValueSource::EnvVariable))
    }
}

/// The settings: defaults, then the file, then what was given.
fn settings(args: ServeArgs, given: impl Fn(&str) -> bool) -> Result<Config> {
    let mut config = match &args.config {
        Some(path) => Config::from_file(path)?,
        None => Config::default(),
    };
    if given("data") {
        config.data = args.data;
    }
    if given("grpc_addr") {
        config.grpc_addr = args.grpc_addr;
    }
    if given("http_addr") {
        config.http_addr = args.http_addr;
    }
    config.insecure |= args.insecure;
    if config.data.as_os_str().is_empty() {
        return Err(Error::invalid("opening the data directory failed", "its name is empty", "name one with --data"));
    }
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(config: Option<std::path::PathBuf>) -> ServeArgs {
        let address = || "127.0.0.1:1".to_owned();
        ServeArgs { data: "flag".into(), config, grpc_addr: address(), http_addr: address(), insecure: false }
    }

    #[test]
    fn what_is_given_beats_the_file_which_beats_the_defaults() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("tagus.toml");
        std::fs::write(&file, "data = 'file'\nhttp_addr = 'localhost:5'\ninsecure = true\n").unwrap();
        let config = settings(args(Some(file)), |option| option == "data").unwrap();
        assert_eq!(config.data, std::path::Path::new("flag"));
        assert_eq!((config.http_addr.as_str(), config.insecure), ("localhost:5", true));
        assert_eq!(config.grpc_addr, Config::default().grpc_addr);
        assert_eq!(settings(args(None), |_| false).unwrap(), Config::default());
    }

    #[test]
    fn a_file_that_is_not_there_is_one_line() {
        let error = settings(args(Some("/nonexistent/tagus.toml".into())), |_| false).unwrap_err().to_string();
        assert!(error.contains("/nonexistent/tagus.toml") && !error.contains('\n'), "{error}");
    }
}
