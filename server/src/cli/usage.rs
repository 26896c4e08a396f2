//! Reads the command line; what cannot be read is said in one line.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

use super::error::line;
use super::{Cli, Failure};

/// The command line of this process, or the exit status with which to end: help and version were
/// printed, or an error was.
pub fn parse_or_exit() -> std::result::Result<Cli, ExitCode> {
    parse(std::env::args_os())
}

fn parse(arguments: impl IntoIterator<Item = OsString>) -> std::result::Result<Cli, ExitCode> {
    Cli::try_parse_from(arguments).map_err(|error| match error.kind() {
        ErrorKind::DisplayHelp
        | ErrorKind::DisplayVersion
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            // A reader that has gone does not need the help.
            let _ = error.print();
            ExitCode::from(if error.use_stderr() { 2 } else { 0 })
        }
        _ => Failure::Usage(message(&error)).report(),
    })
}

/// `reading the arguments failed: WHY; see ...` of clap's paragraphs: the first says what is
/// wrong, a tip may follow, then the usage.
fn message(error: &clap::Error) -> String {
    let text = error.to_string();
    let body = text.strip_prefix("error: ").unwrap_or(&text);
    let mut paragraphs = body.split("\n\n");
    let why = line(paragraphs.next().unwrap_or_default());
    let mut help = "tagus --help".to_string();
    let mut tip = String::new();
    for paragraph in paragraphs {
        let paragraph = paragraph.trim();
        if let Some(text) = paragraph.strip_prefix("tip: ") {
            tip = format!("{}; ", line(text.lines().next().unwrap_or_default()));
        } else if let Some(usage) = paragraph.strip_prefix("Usage: ") {
            let words: Vec<&str> = usage.split(' ').take_while(|w| w.starts_with(|c: char| c.is_lowercase())).collect();
            help = format!("{} --help", words.join(" "));
        }
    }
    format!("reading the arguments failed: {why}; {tip}see `{help}`")
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn refused(arguments: &[&str]) -> String {
        message(&Cli::try_parse_from(arguments).unwrap_err())
    }

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn wrong_usage_is_one_line() {
        for (arguments, expected) in [
            (
                &["tagus", "sql", "--fromat", "csv"][..],
                "reading the arguments failed: unexpected argument '--fromat' found; \
                 a similar argument exists: '--format'; see `tagus sql --help`",
            ),
            (
                &["tagus", "export", "--tags", "*"],
                "reading the arguments failed: the following required arguments were not provided: \
                 --from <TIME> --to <TIME> --output <FILE>; see `tagus export --help`",
            ),
            (
                &["tagus", "write", "A", "1", "--time", "yesterday"],
                "reading the arguments failed: invalid value 'yesterday' for '--time <TIME>': \
                 the time is neither RFC 3339 nor YYYY-MM-DD HH:MM:SS; see `tagus --help`",
            ),
        ] {
            assert_eq!(refused(arguments), expected);
        }
    }

    #[test]
    fn every_command_shows_an_example() {
        fn check(command: &clap::Command) {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("Example"), "{}", command.get_name());
            command.get_subcommands().for_each(check);
        }
        check(&Cli::command());
    }

    #[test]
    fn negative_numbers_and_dashes_are_values() {
        for arguments in [
            &["tagus", "write", "A", "-1.5"][..],
            &["tagus", "write", "-"],
            &["tagus", "write", "A", "--", "-x"],
            &["tagus", "tags", "set", "A", "--low", "-1.5"],
            &["tagus", "tags", "set", "A", "--future", "true"],
            &["tagus", "tags", "create", "A", "--type", "enum", "--states", "0=Closed,1=Open", "--future"],
        ] {
            assert!(Cli::try_parse_from(arguments).is_ok(), "{arguments:?}");
        }
        assert!(refused(&["tagus", "tags", "set", "A"]).contains("required"));
    }
}
