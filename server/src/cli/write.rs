//! `tagus write`: one sample, or CSV lines from stdin.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use tagus_client::{Counts, Status, Writer};

use super::args::WriteArgs;
use super::connect::{self, PATIENCE};
use super::error::{Failure, Result, line};
use super::import::{Input, Report, send};
use super::output::print_line;

/// Runs the command.
pub async fn run(args: WriteArgs) -> Result<()> {
    match &args.value {
        None if args.tag == "-" && args.time.is_none() && args.status.is_none() => {
            // Where nobody listens, that is said first and at once.
            connect::open(&args.connect).await?;
            let report = Report::create(None)?;
            send(&args.connect, vec![Input::Stdin], args.time_unit, report, "correct them and write them again").await
        }
        None if args.tag == "-" => {
            let why = "with - each line has its own time and status";
            Err(Failure::usage("reading the arguments", why, "leave --time and --status away"))
        }
        None => {
            let why = "there is no value";
            Err(Failure::usage("reading the arguments", why, "write it after the tag, or use - for lines on stdin"))
        }
        Some(value) => one(&args, value).await,
    }
}

async fn one(args: &WriteArgs, value: &str) -> Result<()> {
    let time = args.time.map_or_else(now, Ok)?;
    connect::open(&args.connect).await?;
    let endpoint = connect::endpoint(&args.connect)?;
    let reason = Arc::new(Mutex::new(None));
    let told = reason.clone();
    let writer = Writer::builder(endpoint)
        .give_up(PATIENCE)
        .on_rejection(move |rejection| {
            told.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(rejection.reason);
        })
        .open()
        .await?;
    let status = Status(args.status.unwrap_or_default().0);
    writer.write(args.tag.as_str(), time, value, status).await?;
    let counts = writer.close().await?;
    print_line(&counts.to_string())?;
    let reason = reason.lock().unwrap_or_else(PoisonError::into_inner).take();
    verdict(&counts, reason)
}

fn verdict(counts: &Counts, reason: Option<String>) -> Result<()> {
    if counts.rejected == 0 {
        return Ok(());
    }
    let reason = reason.unwrap_or_else(|| "the server refused it".to_string());
    let advice = if reason.contains("; ") { "" } else { "; correct it and write it again" };
    Err(Failure::Failed(line(&format!("writing the sample failed: {reason}{advice}"))))
}

fn now() -> Result<i64> {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok();
    let nanos = since_1970.and_then(|duration| i64::try_from(duration.as_nanos()).ok());
    nanos.ok_or_else(|| Failure::new("reading the clock", "it is not within 1970 to 2262", "set it, or give --time"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rejected_sample_is_a_failure_with_its_reason() {
        let rejected = Counts { rows: 1, rejected: 1, ..Counts::default() };
        assert_eq!(
            verdict(&rejected, Some("2.5 is no integer".into())),
            Err(Failure::Failed(
                "writing the sample failed: 2.5 is no integer; correct it and write it again".to_string()
            ))
        );
        let stored = Counts { rows: 1, stored: 1, ..Counts::default() };
        assert_eq!(verdict(&stored, None), Ok(()));
    }
}
