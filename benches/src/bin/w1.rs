//! Writes the synthetic plant to a running server, in scan order and as fast as it is taken:
//! `w1 URL FOLDER [SCANS]`. Prints the accounting of what was acknowledged as durable, and the
//! wall time from the first sample to the last acknowledgement.

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use tagus_benches::plant::Plant;
use tagus_client::{Counts, Endpoint, Status, Writer};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments).await {
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

async fn run(arguments: &[String]) -> Result<String, Box<dyn Error>> {
    let [url, folder, rest @ ..] = arguments else {
        return Err("reading the arguments failed: two are needed; call it as w1 URL FOLDER [SCANS]".into());
    };
    let scans = rest.first().map_or(Ok(usize::MAX), |word| word.parse())?;
    let plant = Plant::read(Path::new(folder))?;
    let writer = Writer::builder(Endpoint::new(url)?).source("w1").open().await?;
    let began = Instant::now();
    let counts = write(writer, &plant, scans).await?;
    Ok(format!("{counts} wall_s={:.3}", began.elapsed().as_secs_f64()))
}

async fn write(writer: Writer, plant: &Plant, scans: usize) -> tagus_client::Result<Counts> {
    let keys = plant.names.iter().map(|name| writer.tag(name)).collect::<Result<Vec<_>, _>>()?;
    for sample in plant.in_scan_order().take(scans.saturating_mul(keys.len())) {
        writer.write(keys[sample.tag], sample.time_ns, sample.value, Status(sample.status)).await?;
    }
    writer.close().await
}
