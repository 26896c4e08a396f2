//! `tagus backup`: lets the server copy the archive.

use std::path::Path;

use tagus_proto::v1::{BackupRequest, BackupResponse};

use super::args::BackupArgs;
use super::connect::{self, work};
use super::error::{Failure, Result, io_words};
use super::output::print_line;

/// Runs the command.
pub async fn run(args: BackupArgs) -> Result<()> {
    let to = absolute(&args.to)?;
    let mut client = connect::open(&args.connect).await?.admin();
    let answer = work("backing up", client.backup(BackupRequest { to })).await?.into_inner();
    print_line(&summary(&answer))
}

/// The directory from the root on: the server does not know where this command was called.
fn absolute(dir: &Path) -> Result<String> {
    let what = format_args!("backing up to {}", dir.display()).to_string();
    let refused = |why: &str| Failure::usage(&what, why, "name a directory of the server's machine");
    let path = std::path::absolute(dir).map_err(|error| refused(&io_words(&error)))?;
    path.into_os_string().into_string().map_err(|_| refused("the path is not UTF-8"))
}

fn summary(answer: &BackupResponse) -> String {
    let BackupResponse { manifest, segments, rows, bytes, copied_segments, copied_bytes } = answer;
    format!(
        "manifest={manifest} segments={segments} rows={rows} bytes={bytes} \
         copied_segments={copied_segments} copied_bytes={copied_bytes}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_are_named_from_the_root_on() {
        assert_eq!(absolute(Path::new("/a/b")).unwrap(), "/a/b");
        let relative = absolute(Path::new("b")).unwrap();
        assert!(relative.starts_with('/') && relative.ends_with("/b"), "{relative}");
        assert!(matches!(absolute(Path::new("")), Err(Failure::Usage(_))));
    }
}
