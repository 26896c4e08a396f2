//! Writes a segment, front to back, with bounded memory.

use std::path::Path;
use std::sync::Arc;

use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;

use super::SegmentMeta;
use super::chunk::Packer;
use super::directory::{DirectoryWriter, Stored, TagRun, encode_places, is_summed};
use super::group::GroupWriter;
use super::output::Output;
use super::page::PageBuffer;
use super::schema;
use super::summary::Summing;
use crate::env::Disk;
use crate::format::{Encoder, crc32c};
use crate::limits::PAGE_ROWS;
use crate::sample::Rows;
use crate::status::{Quality, Status};
use crate::tag::{TagId, TagType};
use crate::{Error, ErrorKind, Result};

/// What is known of a segment before it is written.
#[derive(Clone, Debug, PartialEq)]
pub struct NewSegment {
    /// Its id; never reused.
    pub id: u64,
    /// Its file name; never reused.
    pub name: String,
    /// The first log sequence it may hold rows of.
    pub first_sequence: u64,
    /// The last log sequence it may hold rows of.
    pub last_sequence: u64,
    /// Deletes up to this log sequence are applied to its rows.
    pub deleted_through: u64,
    /// The zstd level of its pages, 1 to 22.
    pub zstd_level: i32,
}

/// Writes one segment. Dropped before [`SegmentWriter::finish`] succeeded it removes its file.
pub struct SegmentWriter {
    plan: NewSegment,
    output: Output,
    /// Gathers bytes in memory; they are moved to `output` after each row group.
    parquet: SerializedFileWriter<Vec<u8>>,
    packer: Packer,
    group: GroupWriter,
    page: PageBuffer,
    directory: DirectoryWriter,
    open: Option<OpenRun>,
    totals: Totals,
}

/// The run of the tag that rows come for.
struct OpenRun {
    run: TagRun,
    summing: Summing,
}

/// What the manifest will say of the file.
#[derive(Clone, Copy, Default)]
struct Totals {
    rows: u64,
    tags: u32,
    first_tag: Option<TagId>,
    first_time: Option<i64>,
    last_time: Option<i64>,
}

impl SegmentWriter {
    /// Creates the file `dir/plan.name`, which must not exist.
    ///
    /// Errors: `InvalidInput` for a zstd level that there is not, else those of the disk.
    pub fn create(disk: &Arc<dyn Disk>, dir: &Path, plan: NewSegment) -> Result<SegmentWriter> {
        let output = Output::create(disk, dir.join(&plan.name))?;
        let failed = |error| failure(output.path(), &error);
        let packer = Packer::new(plan.zstd_level).map_err(|error| failed(error.into()))?;
        let properties = WriterProperties::builder()
            .set_created_by(concat!("tagus version ", env!("CARGO_PKG_VERSION")).into())
            .set_sorting_columns(Some(schema::sorting()))
            .build();
        let schema = schema::schema().map_err(failed)?;
        let parquet = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties)).map_err(failed)?;
        let group = GroupWriter::new(parquet.schema_descr());
        Ok(SegmentWriter {
            plan,
            output,
            parquet,
            packer,
            group,
            page: PageBuffer::default(),
            directory: DirectoryWriter::new(),
            open: None,
            totals: Totals::default(),
        })
    }

    /// Appends rows of a tag. Tags come ascending; one tag may come in several pieces,
    /// ascending in time. No rows are no error.
    ///
    /// Errors: `InvalidInput` for rows out of order, else those of the disk. After an error the
    /// writer is of no more use.
    pub fn write(&mut self, tag: TagId, tag_type: TagType, rows: &Rows) -> Result<()> {
        let (Some(first), Some(last)) = (rows.times.first(), rows.times.last()) else {
            return Ok(());
        };
        self.check(tag, tag_type, rows)?;
        self.open_run(tag, tag_type, *first);
        let mut stored = Stored::NOTHING;
        let mut from = 0;
        while from < rows.len() {
            let room = self.page.room(rows, from);
            if room == 0 {
                self.close_page()?;
                continue;
            }
            stored = stored.and(self.page.add(tag, tag_type, rows, from..from + room));
            from += room;
            if self.page.rows == PAGE_ROWS {
                self.close_page()?;
            }
        }
        self.totals.rows += rows.len() as u64;
        self.totals.last_time = self.totals.last_time.max(Some(*last));
        if let Some(OpenRun { run, summing }) = &mut self.open {
            run.rows.end += rows.len() as u64;
            run.last_time = *last;
            run.worst = run.worst.max(worst(rows));
            run.has_text |= rows.texts.iter().any(Option::is_some);
            run.stored = run.stored.and(stored);
            summing.add(rows);
        }
        Ok(())
    }

    /// Bytes of the file so far, about: what is not encoded yet counts as it is in memory.
    pub fn bytes(&self) -> u64 {
        const ROW_BYTES: usize = 16;
        self.output.offset() + (self.group.bytes() + self.page.rows * ROW_BYTES) as u64
    }

    /// Rows in the wrong order would be lost to every look-up, so order is checked also here.
    fn check(&self, tag: TagId, tag_type: TagType, rows: &Rows) -> Result<()> {
        let refuse = |why: &str| {
            let what = format!("writing {} failed", self.output.path().display());
            Err(Error::invalid(what, format!("{why} of tag number {}", tag.0), "report this, nothing was lost"))
        };
        let n = rows.len();
        let lazy = |len: usize| len == 0 || len == n;
        if rows.values.len() != n || !lazy(rows.present.len()) || !lazy(rows.statuses.len()) || !lazy(rows.texts.len())
        {
            return refuse("columns of different length");
        }
        if !rows.times.windows(2).all(|pair| pair[0] < pair[1]) {
            return refuse("times that do not ascend");
        }
        let follows = match &self.open {
            Some(OpenRun { run, .. }) if run.tag == tag => {
                run.tag_type == tag_type && Some(&run.last_time) < rows.times.first()
            }
            Some(OpenRun { run, .. }) => run.tag < tag,
            None => tag.0 > 0 && i32::try_from(tag.0).is_ok(),
        };
        if follows && i32::try_from(tag.0).is_ok() { Ok(()) } else { refuse("rows out of order") }
    }

    fn open_run(&mut self, tag: TagId, tag_type: TagType, first_time: i64) {
        if self.open.as_ref().is_some_and(|open| open.run.tag == tag) {
            return;
        }
        self.close_run();
        self.totals.tags += 1;
        self.totals.first_tag.get_or_insert(tag);
        let earliest = self.totals.first_time.map_or(first_time, |time| time.min(first_time));
        self.totals.first_time = Some(earliest);
        let run = TagRun {
            tag,
            tag_type,
            rows: self.totals.rows..self.totals.rows,
            first_time,
            last_time: first_time,
            worst: Quality::Good,
            has_text: false,
            stored: Stored::NOTHING,
            summary: None,
        };
        self.open = Some(OpenRun { run, summing: Summing::new(tag_type) });
    }

    fn close_run(&mut self) {
        if let Some(OpenRun { mut run, summing }) = self.open.take() {
            if is_summed(run.rows.end - run.rows.start) {
                run.summary = summing.finish();
            }
            self.directory.add(run);
        }
    }

    fn close_page(&mut self) -> Result<()> {
        let failed = |error: std::io::Error| failure(self.output.path(), &error.into());
        self.group.add_page(&mut self.page, &mut self.packer).map_err(failed)?;
        if self.group.is_full() { self.close_group() } else { Ok(()) }
    }

    fn close_group(&mut self) -> Result<()> {
        let next = GroupWriter::new(self.parquet.schema_descr());
        let group = std::mem::replace(&mut self.group, next);
        let failed = |error| failure(self.output.path(), &error);
        group.finish(&mut self.parquet, &mut self.packer).map_err(failed)?;
        self.drain().map(drop)
    }

    /// Moves what Parquet has written from memory to the file; returns the last part.
    fn drain(&mut self) -> Result<Vec<u8>> {
        self.parquet.flush().map_err(|error| failure(self.output.path(), &error.into()))?;
        let bytes = std::mem::take(self.parquet.inner_mut());
        self.output.write(&bytes)?;
        Ok(bytes)
    }

    /// Writes checksums, directory and footer and syncs the file, not its directory.
    ///
    /// Errors: `InvalidInput` where there are no rows, else those of the disk.
    pub fn finish(mut self) -> Result<SegmentMeta> {
        let last_tag = self.open.as_ref().map(|open| open.run.tag);
        self.close_run();
        let Totals { rows, tags, first_tag: Some(first_tag), first_time: Some(first_time), last_time: Some(last_time) } =
            self.totals
        else {
            let what = format!("writing {} failed", self.output.path().display());
            return Err(Error::invalid(what, "it has no rows", "report this, nothing was lost"));
        };
        if self.page.rows > 0 {
            self.close_page()?;
        }
        if self.group.rows() > 0 {
            self.close_group()?;
        }
        let (tail_offset, tail_crc) = self.write_tail()?;
        self.output.finish()?;
        Ok(SegmentMeta {
            id: self.plan.id,
            bytes: self.output.offset(),
            tail_offset,
            tail_crc,
            rows,
            first_sequence: self.plan.first_sequence,
            last_sequence: self.plan.last_sequence,
            deleted_through: self.plan.deleted_through,
            first_tag,
            last_tag: last_tag.unwrap_or(first_tag),
            tags,
            first_time,
            last_time,
            name: self.plan.name,
        })
    }

    /// Writes everything that follows the row groups; where the tail starts, and its checksum.
    fn write_tail(&mut self) -> Result<(u64, u32)> {
        self.drain()?;
        let directory_offset = self.output.offset();
        let directory = std::mem::replace(&mut self.directory, DirectoryWriter::new());
        let (blocks, places) = directory.finish(directory_offset);
        self.append(&blocks)?;
        self.drain()?;

        let tail_offset = self.output.offset();
        let mut tail = Encoder::new();
        self.output.take_sums().encode(&mut tail);
        encode_places(&places, &mut tail);
        self.append(tail.as_slice())?;
        for (key, value) in self.keys(directory_offset, places.len() as u64, tail_offset) {
            self.parquet.append_key_value_metadata(KeyValue::new(key.into(), value.to_string()));
        }
        self.parquet.finish().map_err(|error| failure(self.output.path(), &error))?;
        let tail = self.drain()?;
        Ok((tail_offset, crc32c(&tail)))
    }

    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.parquet.write_all(bytes).map_err(|error| failure(self.output.path(), &error.into()))
    }

    /// What Parquet's key-value metadata says: all numbers, in decimal.
    fn keys(&self, directory: u64, blocks: u64, checksums: u64) -> [(&'static str, u64); 7] {
        [
            (schema::KEY_VERSION, schema::VERSION),
            (schema::KEY_ID, self.plan.id),
            (schema::KEY_FIRST_SEQUENCE, self.plan.first_sequence),
            (schema::KEY_LAST_SEQUENCE, self.plan.last_sequence),
            (schema::KEY_DIRECTORY, directory),
            (schema::KEY_DIRECTORY_BLOCKS, blocks),
            (schema::KEY_CHECKSUMS, checksums),
        ]
    }
}

/// The worst quality of rows.
fn worst(rows: &Rows) -> Quality {
    rows.statuses.iter().map(|status| Status(*status).quality()).max().unwrap_or(Quality::Good)
}

/// An error of the encoder; all its input is checked and it writes to memory, so that this can
/// only be a file beyond Parquet's own limits.
fn failure(path: &Path, error: &ParquetError) -> Error {
    let what = format!("writing {} failed", path.display());
    Error::new(ErrorKind::InvalidInput, what, error.to_string(), "report this, nothing was lost")
}
