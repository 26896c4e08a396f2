//! `tagus delete`: samples that are to be there no more.

use tagus_proto::v1::DeleteRequest;

use super::args::DeleteArgs;
use super::connect::{self, work};
use super::error::{Failure, Result};
use super::output::print_line;

/// Runs the command.
pub async fn run(args: DeleteArgs) -> Result<()> {
    if args.from >= args.to {
        let why = "--from is not before --to";
        return Err(Failure::usage("reading the arguments", why, "exchange them or choose a later --to"));
    }
    let mut client = connect::open(&args.connect).await?.admin();
    let request = DeleteRequest { tags: args.tags, from: args.from, to: args.to };
    let deleted = work("deleting samples", client.delete(request)).await?.into_inner();
    print_line(&format!("samples={} tags={}", deleted.samples, deleted.tags))
}
