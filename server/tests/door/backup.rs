//! Backups of the real server, and what is restored from them.

use std::path::Path;

use tagus_proto::v1;
use tagus_proto::v1::admin_client::AdminClient;

use crate::support::{Server, fails, series, succeeds, tagus};

/// The number behind `name=` in a line.
fn number(line: &str, name: &str) -> u64 {
    let found = line.split(' ').find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
    found.unwrap_or_else(|| panic!("{line} does not say {name}")).parse().unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[tokio::test]
async fn a_backup_is_made_verified_and_restored() {
    let dir = tempfile::tempdir().unwrap();
    let (data, backup, restored) = (dir.path().join("data"), dir.path().join("backup"), dir.path().join("restored"));
    let server = Server::start(&data);
    let url = format!("http://{}", server.grpc);
    let mut stream = server.open("gateway", 1).await;
    stream.write(1, vec![series("a", 0, &[1.0; 1000]), series("b", 0, &[1.0; 10])]).await;
    let first = succeeds(&tagus(&["backup", "--to", text(&backup)], &url));
    assert_eq!((number(&first, "rows"), number(&first, "copied_segments")), (1010, 1));
    stream.write(2, vec![series("a", 1000, &[2.0; 5])]).await;
    let second = succeeds(&tagus(&["backup", "--to", text(&backup)], &url));
    assert_eq!((number(&second, "rows"), number(&second, "segments")), (1015, 2));
    assert!(number(&second, "copied_bytes") < number(&first, "copied_bytes"), "{second}");
    stream.write(3, vec![series("a", 2000, &[3.0; 7])]).await;
    succeeds(&tagus(&["verify", "--data", text(&backup)], &url));
    let restore = ["restore", "--from", text(&backup), "--data", text(&restored)];
    assert_eq!(number(&succeeds(&tagus(&restore, &url)), "rows"), 1015);
    fails(&tagus(&restore, &url), 1, "is not empty");
    succeeds(&tagus(&["verify", "--data", text(&restored)], &url));

    let copy = Server::start(&restored);
    assert_eq!(copy.number("SELECT count(*) FROM samples").await, 1015);
    assert_eq!(copy.open("gateway", 1).await.opened.last_sequence, 2);
    assert_eq!(server.number("SELECT count(*) FROM samples").await, 1022);
    assert!(copy.stop().await.success());
    assert!(server.stop().await.success());
}

#[tokio::test]
async fn backups_that_cannot_be_are_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let (data, other) = (dir.path().join("data"), dir.path().join("other"));
    std::fs::create_dir(&other).unwrap();
    std::fs::write(other.join("letter.txt"), "dear").unwrap();
    let link = dir.path().join("link");
    std::os::unix::fs::symlink(&data, &link).unwrap();
    let server = Server::start(&data);
    let url = format!("http://{}", server.grpc);
    let to = |path: &Path| tagus(&["backup", "--to", text(path)], &url);
    fails(&to(&other), 1, "letter.txt");
    fails(&to(&data), 1, "the same directory");
    fails(&to(&link), 1, "the same directory");
    fails(&to(&link.join("new/backup")), 1, "lies in");
    fails(&to(&data.join("backup")), 1, "lies in");
    fails(&to(dir.path()), 1, "lies around");
    fails(&tagus(&["backup"], &url), 2, "--to");
    fails(&tagus(&["restore", "--from", text(&other), "--data", text(&dir.path().join("new"))], &url), 1, "no backup");
    assert!(!dir.path().join("new").exists() && !data.join("backup").exists());
    let mut admin = AdminClient::new(server.channel().await);
    let status = admin.backup(v1::BackupRequest { to: "here".into() }).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::InvalidArgument, "{status:?}");
    let status = admin.backup(v1::BackupRequest { to: "/x".repeat(4000) }).await.unwrap_err();
    assert!(status.message().contains("at most 4096"), "{status:?}");
    let to = dir.path().join("backup");
    let there = admin.backup(v1::BackupRequest { to: text(&to).into() }).await.unwrap().into_inner();
    assert_eq!((there.segments, there.rows), (0, 0));
    assert!(server.stop().await.success());
    let refused =
        tagus(&["serve", "--data", text(&to), "--grpc-addr", "127.0.0.1:0", "--http-addr", "127.0.0.1:0"], "");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("it is a backup"), "{refused:?}");
}
