//! Writes the history of slow-changing tags to a running server, in scan order and as fast as it is
//! taken: `history --url URL --tags N --from UNIX_SECONDS --period-s S [--scans N | --for-s SECONDS]`.
//! Most samples repeat the value before, as those of set points, states and idle equipment do. Prints
//! the accounting of what was acknowledged as durable, and the wall time.

use std::error::Error;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use tagus_client::{Counts, Endpoint, Status, Writer};

struct Options {
    url: String,
    tags: u32,
    from_s: i64,
    period_s: i64,
    scans: i64,
    for_s: u64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run().await {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<String, Box<dyn Error>> {
    let options = options()?;
    let writer = Writer::builder(Endpoint::new(&options.url)?).source("history").open().await?;
    let began = Instant::now();
    let counts = write(writer, &options, began).await?;
    Ok(format!("{counts} wall_s={:.3}", began.elapsed().as_secs_f64()))
}

fn options() -> Result<Options, Box<dyn Error>> {
    let mut options =
        Options { url: String::new(), tags: 3000, from_s: 0, period_s: 60, scans: i64::MAX, for_s: u64::MAX };
    let mut words = std::env::args().skip(1);
    while let Some(name) = words.next() {
        let value =
            words.next().ok_or_else(|| format!("reading the arguments failed: {name} has no value; give one"))?;
        match name.as_str() {
            "--url" => options.url = value,
            "--tags" => options.tags = value.parse()?,
            "--from" => options.from_s = value.parse()?,
            "--period-s" => options.period_s = value.parse()?,
            "--scans" => options.scans = value.parse()?,
            "--for-s" => options.for_s = value.parse()?,
            _ => {
                return Err(
                    format!("reading the arguments failed: {name} is no option; see the top of the source").into()
                );
            }
        }
    }
    Ok(options)
}

async fn write(writer: Writer, options: &Options, began: Instant) -> Result<Counts, Box<dyn Error>> {
    let tags = 0..options.tags;
    let keys = tags.map(|tag| writer.tag(&format!("history.{tag:06}"))).collect::<Result<Vec<_>, _>>()?;
    let end = Duration::from_secs(options.for_s);
    for scan in 0..options.scans {
        if began.elapsed() >= end {
            break;
        }
        let second = options.from_s + scan * options.period_s;
        for (tag, key) in (0..).zip(&keys) {
            writer.write(*key, second * 1_000_000_000, value(tag, second / options.period_s), Status(0)).await?;
        }
    }
    Ok(writer.close().await?)
}

/// What a tag says at a step of time: a number of one decimal that holds for 16 to 80 steps.
fn value(tag: i64, step: i64) -> f64 {
    let held = 16 + tag % 64;
    let mixed = ((tag << 40) ^ ((step + tag * 7) / held)).cast_unsigned().wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 52) as f64 / 10.0
}
