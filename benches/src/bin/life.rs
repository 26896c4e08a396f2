//! A month of a plant's life on the engine, with late data: what flushes and merges write, how many
//! files there are, what late samples cost. `life [--tags N] [--days D] [--period-s S] [--late PERCENT]
//! [--memory-mib M] [--seed S] [--dir FOLDER] [--at-most A]`; a folder that is not named is temporary,
//! and a write amplification of more than A is an error.

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use tagus_benches::life::{LateRate, Life, Options};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let mut options = Options { tags: 3000, days: 30, period_s: 60, late: 5, memory_budget: 512 << 20, seed: 1 };
    let (mut dir, mut at_most): (Option<PathBuf>, f64) = (None, f64::INFINITY);
    let mut words = std::env::args().skip(1);
    while let Some(name) = words.next() {
        let value =
            words.next().ok_or_else(|| format!("reading the arguments failed: {name} has no value; give one"))?;
        match name.as_str() {
            "--tags" => options.tags = value.parse()?,
            "--days" => options.days = value.parse()?,
            "--period-s" => options.period_s = value.parse()?,
            "--late" => options.late = value.parse()?,
            "--memory-mib" => options.memory_budget = value.parse::<usize>()? << 20,
            "--seed" => options.seed = value.parse()?,
            "--at-most" => at_most = value.parse()?,
            "--dir" => dir = Some(value.into()),
            _ => {
                return Err(
                    format!("reading the arguments failed: {name} is no option; see the top of the source").into()
                );
            }
        }
    }
    let temporary = tempfile::tempdir()?;
    let dir = dir.unwrap_or_else(|| temporary.path().join("archive"));
    println!("{options:?}");
    let mut life = Life::new(options, &dir)?;
    let report = life.live()?;
    println!("{report}");
    for (what, sorted) in [("sorted", true), ("scattered", false)] {
        let LateRate { samples, cpu_s, wall_s } = life.write_late(1_000_000, sorted)?;
        let rate = |seconds: f64| samples as f64 / seconds.max(0.01);
        println!("late samples, {what}: {:.0} a second, {:.0} a CPU second", rate(wall_s), rate(cpu_s));
    }
    if report.amplification() > at_most {
        return Err(format!(
            "the write amplification is {:.2}, at most {at_most} is asked for",
            report.amplification()
        )
        .into());
    }
    Ok(())
}
