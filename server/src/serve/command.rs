//! The commands `serve` and `demo`.

use std::process::ExitCode;
use std::time::Duration;

use clap::CommandFactory;
use clap::parser::ValueSource;
use tagus_client::Endpoint;
use tagus_engine::{Error, Result};
use tracing_subscriber::EnvFilter;

use crate::cli::Cli;
use crate::cli::args::{DemoArgs, ServeArgs};
use crate::config::Config;
use crate::demo;
use crate::serve::Addresses;

/// The demo's plant is the same every time.
const DEMO_SEED: u64 = 1;
/// How much of its past is written first.
const DEMO_HISTORY: Duration = Duration::from_secs(3600);

/// `tagus serve`
pub fn serve(args: ServeArgs) -> ExitCode {
    start_log();
    let given = Given::of("serve");
    ended(settings(args, |option| given.has(option)).and_then(|config| {
        super::run(&config, |_| std::future::pending())
    }))
}

/// `tagus demo`
pub fn demo(args: DemoArgs) -> ExitCode {
    start_log();
    let config = Config { data: args.data.clone(), ..Config::default() };
    ended(super::run(&config, |addresses| simulate(addresses, args)))
}

/// Writes a simulated plant through the client, as a gateway would.
async fn simulate(addresses: Addresses, args: DemoArgs) {
    let url = addresses.url();
    let options = demo::Options { seed: DEMO_SEED, tags: args.tags as usize, history: DEMO_HISTORY };
    println!(
        "writing a simulated plant of {} tags, with its last hour; try\n\
         \n  tagus tags list 'site1.area1.*'\
         \n  tagus sql \"SELECT * FROM current_values WHERE tag LIKE 'site1.area1.%' LIMIT 20\"\
         \n  tagus sql \"SELECT tag, count(*), avg(value) FROM samples WHERE time >= now() - INTERVAL '10 minutes' GROUP BY tag\"\
         \n  curl http://{}/metrics\n",
        args.tags, addresses.http
    );
    let stop = async move {
        match args.duration {
            Some(duration) => tokio::time::sleep(duration).await,
            None => std::future::pending().await,
        }
    };
    let ended = match Endpoint::new(&url) {
        Ok(endpoint) => demo::run(endpoint, options, stop).await,
        Err(error) => Err(error),
    };
    if let Err(error) = ended {
        eprintln!("error: {error}");
    }
}

fn ended(result: Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What the server tells of itself goes to stderr; `RUST_LOG` says how much.
fn start_log() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,h2=warn,hyper=warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false).init();
}

/// Which options stand on the command line or in the environment: those beat the file.
struct Given(Option<clap::ArgMatches>);

impl Given {
    fn of(command: &str) -> Given {
        // The same arguments were read without an error before.
        let matches = Cli::command().try_get_matches().ok();
        Given(matches.and_then(|mut matches| matches.remove_subcommand()).filter(|(name, _)| name == command).map(|m| m.1))
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
