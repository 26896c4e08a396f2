//! `tagus tags`: lists, shows, creates and changes tags.

mod declare;
mod print;

use tagus_client::Connection;
use tagus_proto::v1;

use super::args::{Format, ListFormat, Metadata, TagsCommand, TagsCreateArgs, TagsListArgs, TagsSetArgs, TagsShowArgs};
use super::connect::{self, answer};
use super::error::Result;
use super::format;
use super::import::tags::{Declared, read};
use super::output::{Output, print_line};

pub use declare::{declare, known, known_type};

/// Rows of a list that are printed together.
const LIST_ROWS: usize = 4096;

/// Runs the command.
pub async fn run(command: TagsCommand) -> Result<()> {
    match command {
        TagsCommand::List(args) => list(args).await,
        TagsCommand::Show(args) => show(args).await,
        TagsCommand::Create(args) => create(args).await,
        TagsCommand::Set(args) => set(args).await,
        TagsCommand::Import(args) => {
            let declared = read(&args.file)?;
            let connection = connect::open(&args.connect).await?;
            let done = declare(&connection, declared).await?;
            print_line(&done.to_string())
        }
    }
}

async fn list(args: TagsListArgs) -> Result<()> {
    let connection = connect::open(&args.connect).await?;
    let mut sink = format::sink(any_format(args.format), &print::schema(), Output::open(None)?)?;
    let mut tags = stream(&connection, args.glob.unwrap_or_default()).await?;
    let mut rows = Vec::new();
    while let Some(tag) = answer("listing tags", tags.message()).await? {
        rows.push(tag);
        if rows.len() == LIST_ROWS {
            sink.batch(&print::batch(&rows)?)?;
            rows.clear();
        }
    }
    sink.batch(&print::batch(&rows)?)?;
    sink.finish()
}

/// The tags that match a glob, in order of name.
pub async fn stream(connection: &Connection, glob: String) -> Result<tonic::Streaming<v1::Tag>> {
    let mut client = connection.tags();
    Ok(answer("listing tags", client.list(v1::ListTagsRequest { glob })).await?.into_inner())
}

/// One tag by its name; an unknown one is an error that names the nearest.
pub async fn get(connection: &Connection, name: &str) -> Result<v1::Tag> {
    let mut client = connection.tags();
    let request = v1::GetTagRequest { name: name.to_string() };
    Ok(answer("looking up the tag", client.get(request)).await?.into_inner())
}

async fn show(args: TagsShowArgs) -> Result<()> {
    let connection = connect::open(&args.connect).await?;
    let tag = get(&connection, &args.name).await?;
    let batch = print::batch(std::slice::from_ref(&tag))?;
    if args.format == ListFormat::Table {
        return print::properties(&batch, Output::open(None)?);
    }
    let mut sink = format::sink(any_format(args.format), &batch.schema(), Output::open(None)?)?;
    sink.batch(&batch)?;
    sink.finish()
}

async fn create(args: TagsCreateArgs) -> Result<()> {
    let declared = Declared { name: args.name, tag_type: args.tag_type, metadata: args.metadata };
    let connection = connect::open(&args.connect).await?;
    let mut client = connection.tags();
    let request = v1::CreateTagsRequest { tags: vec![declare::message(&declared)] };
    answer("creating the tag", client.create(request)).await?;
    print_line(&format!("created {}", declared.name))
}

async fn set(args: TagsSetArgs) -> Result<()> {
    let connection = connect::open(&args.connect).await?;
    let mut client = connection.tags();
    let tag = answer("changing the tag", client.update(update(args.name, args.metadata))).await?.into_inner();
    print_line(&format!("changed {}", tag.name))
}

fn update(name: String, metadata: Metadata) -> v1::UpdateTagRequest {
    let Metadata { unit, description, interpolation, low, high, states, future, reduction } = metadata;
    v1::UpdateTagRequest {
        name,
        unit,
        description,
        interpolation: interpolation.map(|word| declare::interpolation(word).into()),
        low,
        high,
        states: states.map(|states| v1::States { states: declare::states(&states.0) }),
        future,
        reduction: reduction.map(|reduction| reduction.to_string()),
    }
}

fn any_format(format: ListFormat) -> Format {
    match format {
        ListFormat::Table => Format::Table,
        ListFormat::Csv => Format::Csv,
        ListFormat::Json => Format::Json,
    }
}
