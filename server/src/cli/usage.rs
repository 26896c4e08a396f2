//! Reads the command line; what cannot be read is said in one line.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};

use super::error::line;
use super::{Cli, Failure};

/// The command line of this process, or the exit status with which to end: help and version were
/// printed, or an error was.
pub fn parse_or_exit() -> std::result::Result<Cli, ExitCode> {
    parse(std::env::args_os())
}

fn parse(arguments: impl IntoIterator<Item = OsString>) -> std::result::Result<Cli, ExitCode> {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    Cli::try_parse_from(&arguments).map_err(|error| match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            // A reader that has gone does not need the help.
            let _ = error.print();
            ExitCode::from(if error.use_stderr() { 2 } else { 0 })
        }
        _ => Failure::Usage(message(&error, &arguments)).report(),
    })
}

/// `reading the arguments failed: WHY; see ...` of clap's paragraphs: the first says what is
/// wrong, a tip may follow.
fn message(error: &clap::Error, arguments: &[OsString]) -> String {
    let text = error.to_string();
    let body = text.strip_prefix("error: ").unwrap_or(&text);
    let mut paragraphs = body.split("\n\n");
    let why = line(paragraphs.next().unwrap_or_default());
    let tip = paragraphs.find_map(|paragraph| paragraph.trim().strip_prefix("tip: "));
    let tip = tip.map(|tip| format!("{}; ", line(tip.lines().next().unwrap_or_default()))).unwrap_or_default();
    format!("reading the arguments failed: {why}; {tip}see `{} --help`", command_of(arguments))
}

/// The command that was meant, as far as it exists: `tagus tags set`.
fn command_of(arguments: &[OsString]) -> String {
    let root = Cli::command();
    let mut words = vec![root.get_name()];
    let mut command = &root;
    for argument in arguments.iter().skip(1) {
        match command.get_subcommands().find(|known| argument.as_os_str() == known.get_name()) {
            Some(known) => command = known,
            None => break,
        }
        words.push(command.get_name());
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(arguments: &[&str]) -> String {
        let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
        message(&Cli::try_parse_from(&arguments).unwrap_err(), &arguments)
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
                 the time is neither RFC 3339 nor YYYY-MM-DD HH:MM:SS; see `tagus write --help`",
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
