//! The synthetic plant as its generator writes it, in memory and in scan order.

use std::error::Error;
use std::fs::File;
use std::path::Path;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, TimestampNanosecondType, UInt32Type};
use arrow_array::{RecordBatch, StructArray};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

/// Samples of a plant whose tags were all sampled equally often.
#[derive(Default)]
pub struct Plant {
    /// Names by tag number.
    pub names: Vec<String>,
    /// Samples of each tag.
    pub scans: usize,
    /// Nanoseconds since 1970 UTC; those of a tag lie together.
    times: Vec<i64>,
    values: Vec<f64>,
    statuses: Vec<u32>,
}

/// One value of a tag.
pub struct Sample {
    /// Which tag.
    pub tag: usize,
    /// Nanoseconds since 1970 UTC.
    pub time_ns: i64,
    /// The value.
    pub value: f64,
    /// The OPC UA status code.
    pub status: u32,
}

impl Plant {
    /// Reads `tags.csv` and `samples.parquet`, which is sorted by tag and time.
    ///
    /// # Errors
    /// A file that cannot be read, or tags that have different numbers of samples.
    pub fn read(folder: &Path) -> Result<Plant, Box<dyn Error>> {
        let list = std::fs::read_to_string(folder.join("tags.csv"))?;
        let names = list.lines().skip(1).filter_map(|line| line.split(',').nth(1)).map(str::to_owned).collect();
        let mut plant = Plant { names, ..Plant::default() };
        let file = File::open(folder.join("samples.parquet"))?;
        for batch in ParquetRecordBatchReaderBuilder::try_new(file)?.with_batch_size(1 << 16).build()? {
            plant.append(&StructArray::from(batch?).into())?;
        }
        let tags = plant.names.len();
        if tags == 0 || !plant.times.len().is_multiple_of(tags) {
            return Err(format!("{} samples do not share out among {tags} tags", plant.times.len()).into());
        }
        plant.scans = plant.times.len() / tags;
        Ok(plant)
    }

    fn append(&mut self, batch: &RecordBatch) -> Result<(), Box<dyn Error>> {
        let column = |name: &str| batch.column_by_name(name).ok_or_else(|| format!("there is no column {name}"));
        let times = column("time")?.as_primitive_opt::<TimestampNanosecondType>();
        let values = column("value")?.as_primitive_opt::<Float64Type>();
        let statuses = column("quality")?.as_primitive_opt::<UInt32Type>();
        let (Some(times), Some(values), Some(statuses)) = (times, values, statuses) else {
            return Err("a column has another type than the generator writes".into());
        };
        self.times.extend_from_slice(times.values());
        self.values.extend_from_slice(values.values());
        self.statuses.extend_from_slice(statuses.values());
        Ok(())
    }

    /// All samples as gateways write them: in each scan one value of every tag.
    pub fn in_scan_order(&self) -> impl Iterator<Item = Sample> {
        (0..self.scans).flat_map(move |scan| (0..self.names.len()).map(move |tag| self.sample(tag, scan)))
    }

    fn sample(&self, tag: usize, scan: usize) -> Sample {
        let at = tag * self.scans + scan;
        Sample { tag, time_ns: self.times[at], value: self.values[at], status: self.statuses[at] }
    }
}
