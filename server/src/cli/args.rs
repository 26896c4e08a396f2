//! The arguments of every command, once: flags, help and examples come from here.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand, ValueEnum};
use tagus_engine::reduction::{Deviation, Reduction};

use super::import::time::TimeUnit;
use super::parse;

/// Where the server is.
#[derive(Args, Clone, Debug)]
pub struct ConnectArgs {
    /// The server's gRPC address
    #[arg(
        long,
        env = "TAGUS_URL",
        value_name = "URL",
        default_value = "http://127.0.0.1:8815",
        hide_env_values = true
    )]
    pub url: String,
}

/// `tagus serve`
#[derive(Args, Clone, Debug)]
#[command(after_help = "Example:\n  tagus serve --data /var/lib/tagus")]
pub struct ServeArgs {
    /// The folder that holds the data; made if it is missing
    #[arg(long, value_name = "DIR", default_value = "./tagus-data")]
    pub data: PathBuf,
    /// A file with further settings
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where gRPC listens
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8815")]
    pub grpc_addr: String,
    /// Where HTTP listens: /healthz, /readyz, /metrics
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8816")]
    pub http_addr: String,
    /// Allow addresses beyond this machine without encryption or access control
    #[arg(long)]
    pub insecure: bool,
}

/// `tagus demo`
#[derive(Args, Clone, Debug)]
#[command(after_help = "Example:\n  tagus demo --tags 500 --for 10m")]
pub struct DemoArgs {
    /// The folder that holds the data; made if it is missing
    #[arg(long, value_name = "DIR", default_value = "./tagus-data")]
    pub data: PathBuf,
    /// Where gRPC and Flight SQL listen
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8815")]
    pub grpc_addr: String,
    /// Where HTTP listens
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8816")]
    pub http_addr: String,
    /// How many tags the simulated plant has
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub tags: u32,
    /// How long to run, as 90s, 10m or 2h; without it until stopped
    #[arg(long = "for", value_name = "DURATION", value_parser = parse::duration)]
    pub duration: Option<std::time::Duration>,
}

/// `tagus verify`
#[derive(Args, Clone, Debug)]
#[command(after_help = "Example:
  tagus verify --data /var/lib/tagus

Prints a line for each damage, with file and offset. Exit status: 0 no damage, 1 damaged.")]
pub struct VerifyArgs {
    /// The folder that holds the data
    #[arg(long, value_name = "DIR", default_value = "./tagus-data")]
    pub data: PathBuf,
}

/// How a result is printed.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// Aligned columns for people
    Table,
    /// Comma-separated values with a header line
    Csv,
    /// One JSON object a line
    Json,
    /// A Parquet file (needs --output)
    Parquet,
}

/// How a list of tags is printed.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum ListFormat {
    /// Aligned columns for people
    Table,
    /// Comma-separated values with a header line
    Csv,
    /// One JSON object a line
    Json,
}

/// `tagus sql`
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  tagus sql \"SELECT time, value FROM samples WHERE tag = 'FIC101.PV' ORDER BY time DESC LIMIT 10\"
  tagus sql --format csv -o hour.csv -f hour.sql
  echo 'SELECT count(*) FROM samples' | tagus sql")]
pub struct SqlArgs {
    /// The statement; without it and without --file it is read from stdin
    #[arg(value_name = "SQL", conflicts_with = "file")]
    pub sql: Option<String>,
    /// Read the statement from a file
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// How the result is printed
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
    /// Write the result to a file instead of stdout
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    #[command(flatten)]
    pub connect: ConnectArgs,
}

/// `tagus write`
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  tagus write site1.area2.FIC101.PV 42.5
  tagus write FIC101.PV -- -1.5
  tagus write FIC101.PV 42.5 --time 2026-01-01T12:00:00Z --status UncertainLastUsableValue
  printf 'FIC101.PV,2026-01-01T12:00:00Z,42.5\\n' | tagus write -

Lines on stdin are CSV: either with a header line as `tagus import` reads it, or without one:
then the columns are tag,timestamp,value and, where there is a fourth, status.")]
pub struct WriteArgs {
    /// The tag, or - for CSV lines from stdin
    #[arg(value_name = "TAG")]
    pub tag: String,
    /// The value; numbers may be negative
    #[arg(value_name = "VALUE", allow_negative_numbers = true)]
    pub value: Option<String>,
    /// The source's timestamp, RFC 3339 or YYYY-MM-DD HH:MM:SS in UTC; without it, now
    #[arg(long, value_name = "TIME", value_parser = parse::time)]
    pub time: Option<i64>,
    /// OPC UA status: a number, 0x..., a name such as BadSensorFailure, or good, uncertain, bad
    #[arg(long, value_name = "STATUS", value_parser = parse::status)]
    pub status: Option<tagus_engine::status::Status>,
    /// The unit of integer times on stdin
    #[arg(long, value_enum, value_name = "UNIT")]
    pub time_unit: Option<TimeUnit>,
    #[command(flatten)]
    pub connect: ConnectArgs,
}

/// `tagus import`
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  tagus import history.csv.gz --tags tags.csv
  tagus import *.parquet --rejects rejected.csv
  tagus import logger.csv --time-unit ms

CSV columns, by header, in any order: tag, timestamp (or time), value and, where there are any,
status (OPC UA) or quality (OPC Classic). Parquet files have the same columns, or those of the
table samples.")]
pub struct ImportArgs {
    /// CSV, CSV.gz or Parquet files
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// Declare the tags of this file first: tag,type,unit,description[,interpolation,low,high,states,future,reduction]
    #[arg(long, value_name = "FILE")]
    pub tags: Option<PathBuf>,
    /// Write rejected rows with their reasons to this file; without it they make the command fail
    #[arg(long, value_name = "FILE")]
    pub rejects: Option<PathBuf>,
    /// The unit of integer times
    #[arg(long, value_enum, value_name = "UNIT")]
    pub time_unit: Option<TimeUnit>,
    #[command(flatten)]
    pub connect: ConnectArgs,
}

/// `tagus export`
#[derive(Args, Debug)]
#[command(after_help = "Example:
  tagus export --tags 'site1.*' --from 2026-01-01 --to 2026-02-01T00:00:00Z -o january.parquet

Samples from --from on and before --to are written: to CSV as tag,timestamp,value,status, to
Parquet with the columns of the table samples. `tagus import` reads both back.")]
pub struct ExportArgs {
    /// Which tags: a name, or a pattern with * and ?
    #[arg(long, value_name = "GLOB")]
    pub tags: String,
    /// First time, RFC 3339, YYYY-MM-DD or YYYY-MM-DD HH:MM:SS in UTC
    #[arg(long, value_name = "TIME", value_parser = parse::time)]
    pub from: i64,
    /// End, not included
    #[arg(long, value_name = "TIME", value_parser = parse::time)]
    pub to: i64,
    /// The file; its ending decides: .csv or .parquet
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
    #[command(flatten)]
    pub connect: ConnectArgs,
}

/// `tagus delete`
#[derive(Args, Debug)]
#[command(
    after_help = "There is no way back but a backup.\n\nExample:\n  tagus delete --tags 'site1.test.*' --from 2026-01-01 --to 2026-02-01"
)]
pub struct DeleteArgs {
    /// Which tags: a name, or a pattern with * and ?
    #[arg(long, value_name = "GLOB")]
    pub tags: String,
    /// First time, RFC 3339, YYYY-MM-DD or YYYY-MM-DD HH:MM:SS in UTC
    #[arg(long, value_name = "TIME", value_parser = parse::time)]
    pub from: i64,
    /// End, not included
    #[arg(long, value_name = "TIME", value_parser = parse::time)]
    pub to: i64,
    #[command(flatten)]
    pub connect: ConnectArgs,
}

/// `tagus reduction`
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  tagus reduction preview --tags 'site1.*.PV' --from 2026-01-01 --to 2026-01-02 --comp-dev 0.5"
)]
pub struct ReductionArgs {
    /// What to do
    #[command(subcommand)]
    pub command: ReductionCommand,
}

/// What to do about reduction.
#[derive(Subcommand, Debug)]
pub enum ReductionCommand {
    /// Show what settings would keep of stored samples, how far off the rest would be, and the bytes
    Preview(ReductionPreviewArgs),
    /// Leave samples out of some tags from now on
    Set(ReductionSetArgs),
    /// Leave nothing out of some tags from now on
    Off(ReductionOffArgs),
}

/// `tagus reduction preview`
#[derive(Args, Debug)]
#[command(after_help = "Example:
  tagus reduction preview --tags 'site1.*.PV' --from 2026-01-01 --to 2026-01-02 --exc-dev 0.5% --comp-dev 1%

Deviations are in units of the tag, or in percent of its span (low to high). Nothing is changed.")]
pub struct ReductionPreviewArgs {
    /// Which tags: a name, or a pattern with * and ?
    #[arg(long, value_name = "GLOB")]
    pub tags: String,
    /// First time
    #[arg(long, value_name = "TIME", value_parser = parse::time)]
    pub from: i64,
    /// End, not included
    #[arg(long, value_name = "TIME", value_parser = parse::time)]
    pub to: i64,
    #[command(flatten)]
    pub filters: FilterArgs,
    #[command(flatten)]
    pub connect: ConnectArgs,
}

/// The parameters of both filters; each may be left out.
#[derive(Args, Clone, Copy, Debug)]
pub struct FilterArgs {
    /// Exception: a sample is passed on that differs by more than this from the last one
    #[arg(long, value_name = "DEVIATION", value_parser = parse::deviation)]
    pub exc_dev: Option<Deviation>,
    /// But not sooner than this after it
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = parse::duration)]
    pub exc_min: std::time::Duration,
    /// And in any case after this
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = parse::duration)]
    pub exc_max: std::time::Duration,
    /// Compression: how far a sample may lie off the line between those that are kept
    #[arg(long, value_name = "DEVIATION", value_parser = parse::deviation)]
    pub comp_dev: Option<Deviation>,
    /// No sample is kept sooner than this after another
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = parse::duration)]
    pub comp_min: std::time::Duration,
    /// No two samples that are kept are further apart
    #[arg(long, value_name = "DURATION", default_value = "8h", value_parser = parse::duration)]
    pub comp_max: std::time::Duration,
}

/// `tagus reduction set`
#[derive(Args, Debug)]
#[command(after_help = "Example:
  tagus reduction set --tags 'site1.*.PV' --exc-dev 0.5% --comp-dev 1%

From now on samples are left out that say nothing new: first those that differ little from the last
one (exception), then those near the line between those that are kept (compression). What is stored
stays. Averages, totals, minima and maxima of whole minutes count every sample all the same.")]
pub struct ReductionSetArgs {
    /// Which tags: a name, or a pattern with * and ?
    #[arg(long, value_name = "GLOB")]
    pub tags: String,
    #[command(flatten)]
    pub filters: FilterArgs,
    #[command(flatten)]
    pub connect: ConnectArgs,
}

/// `tagus reduction off`
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  tagus reduction off --tags 'site1.*.PV'")]
pub struct ReductionOffArgs {
    /// Which tags: a name, or a pattern with * and ?
    #[arg(long, value_name = "GLOB")]
    pub tags: String,
    #[command(flatten)]
    pub connect: ConnectArgs,
}

/// `tagus flush`
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  tagus flush")]
pub struct FlushArgs {
    #[command(flatten)]
    pub connect: ConnectArgs,
}

/// `tagus compact`
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  tagus compact")]
pub struct CompactArgs {
    #[command(flatten)]
    pub connect: ConnectArgs,
}

/// `tagus backup`
#[derive(Args, Debug)]
#[command(after_help = "Example:
  tagus backup --to /media/backup/tagus

The server writes the backup: the directory is on its machine. A missing or an empty directory gets
all of the archive; that of an earlier backup gets what is new, and loses what is no longer part of
it. Reading and writing go on meanwhile. `tagus verify --data DIR` checks a backup.")]
pub struct BackupArgs {
    /// The directory of the backup
    #[arg(long, value_name = "DIR")]
    pub to: PathBuf,
    #[command(flatten)]
    pub connect: ConnectArgs,
}

/// `tagus restore`
#[derive(Args, Clone, Debug)]
#[command(after_help = "Example:
  tagus restore --from /media/backup/tagus --data /var/lib/tagus

Needs no server. Every byte is checked while it is copied.")]
pub struct RestoreArgs {
    /// The directory of the backup
    #[arg(long, value_name = "DIR")]
    pub from: PathBuf,
    /// The folder that is to hold the data: a missing or an empty one
    #[arg(long, value_name = "DIR", default_value = "./tagus-data")]
    pub data: PathBuf,
}

/// `tagus tags`
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  tagus tags list 'site1.*'")]
pub struct TagsArgs {
    #[command(subcommand)]
    pub command: TagsCommand,
}

/// What to do with tags.
#[derive(Subcommand, Debug)]
pub enum TagsCommand {
    /// List tags
    List(TagsListArgs),
    /// Show one tag
    Show(TagsShowArgs),
    /// Create a tag
    Create(TagsCreateArgs),
    /// Change a tag's metadata
    Set(TagsSetArgs),
    /// Declare the tags of a CSV file
    Import(TagsImportArgs),
}

/// `tagus tags list`
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  tagus tags list\n  tagus tags list 'site1.*.PV' --format csv")]
pub struct TagsListArgs {
    /// Which tags: a pattern with * and ?, in any case; without it all
    #[arg(value_name = "GLOB")]
    pub glob: Option<String>,
    /// How they are printed
    #[arg(long, value_enum, default_value_t = ListFormat::Table)]
    pub format: ListFormat,
    #[command(flatten)]
    pub connect: ConnectArgs,
}

/// `tagus tags show`
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  tagus tags show FIC101.PV")]
pub struct TagsShowArgs {
    /// The tag, in any case
    #[arg(value_name = "NAME")]
    pub name: String,
    /// How it is printed
    #[arg(long, value_enum, default_value_t = ListFormat::Table)]
    pub format: ListFormat,
    #[command(flatten)]
    pub connect: ConnectArgs,
}

/// What can be declared of a tag beside name and type.
#[derive(Args, Clone, Debug, Default)]
pub struct Metadata {
    /// Engineering unit
    #[arg(long, value_name = "TEXT")]
    pub unit: Option<String>,
    /// What it measures
    #[arg(long, value_name = "TEXT")]
    pub description: Option<String>,
    /// linear or step
    #[arg(long, value_name = "WORD", value_parser = parse::interpolation)]
    pub interpolation: Option<tagus_engine::tag::Interpolation>,
    /// Low end of the span; `none` takes it away
    #[arg(long, value_name = "NUMBER", value_parser = parse::limit, allow_negative_numbers = true)]
    pub low: Option<f64>,
    /// High end of the span; `none` takes it away
    #[arg(long, value_name = "NUMBER", value_parser = parse::limit, allow_negative_numbers = true)]
    pub high: Option<f64>,
    /// Named states of a digital tag, as 0=Closed,1=Open
    #[arg(long, value_name = "STATES", value_parser = parse::states)]
    pub states: Option<parse::States>,
    /// Whether samples may lie in the future (forecasts, schedules)
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub future: Option<bool>,
    /// What is left out on ingest, as ExcDev=0.5,ExcMax=10m,CompDev=1%,CompMax=8h; `off` for nothing
    #[arg(long, value_name = "SETTINGS", value_parser = parse::reduction)]
    pub reduction: Option<Reduction>,
}

/// `tagus tags create`
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  tagus tags create FIC101.PV --type float64 --unit m3/h --low 0 --high 120
  tagus tags create XV7.STATE --type digital --states '0=Closed,1=Open'")]
pub struct TagsCreateArgs {
    /// The new tag's name
    #[arg(value_name = "NAME")]
    pub name: String,
    /// float64, float32, int64, bool, digital or text
    #[arg(long = "type", value_name = "TYPE", value_parser = parse::tag_type)]
    pub tag_type: tagus_engine::tag::TagType,
    #[command(flatten)]
    pub metadata: Metadata,
    #[command(flatten)]
    pub connect: ConnectArgs,
}

/// `tagus tags set`
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  tagus tags set FIC101.PV --description 'feed flow' --high none",
    group(ArgGroup::new("change")
        .args(["unit", "description", "interpolation", "low", "high", "states", "future", "reduction"])
        .required(true)
        .multiple(true))
)]
pub struct TagsSetArgs {
    /// The tag, in any case
    #[arg(value_name = "NAME")]
    pub name: String,
    #[command(flatten)]
    pub metadata: Metadata,
    #[command(flatten)]
    pub connect: ConnectArgs,
}

/// `tagus tags import`
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  tagus tags import tags.csv

Columns: tag,type,unit,description[,interpolation,low,high,states,future,reduction]. Tags that exist
with the same type get the metadata of the file; an empty cell leaves what is there. States are written as
0=Closed,1=Open; in a name a backslash stands before each of , ; = and \\.")]
pub struct TagsImportArgs {
    /// The CSV file
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    #[command(flatten)]
    pub connect: ConnectArgs,
}
