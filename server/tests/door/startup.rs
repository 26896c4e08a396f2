//! How the server refuses to start.

use std::path::Path;
use std::process::Output;

use crate::support::{Server, serve_command};

/// Starts a server that has to end by itself, and gives its one line.
fn refused(data: &Path, more: &[&str]) -> String {
    let Output { status, stdout, stderr } = serve_command(data, more).output().unwrap();
    let line = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(1), "{line}");
    assert!(stdout.is_empty());
    assert!(line.starts_with("error: ") && line.ends_with('\n') && line.lines().count() == 1, "{line:?}");
    line
}

#[tokio::test]
async fn a_data_directory_serves_one_server() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let line = refused(dir.path(), &[]);
    assert!(line.contains("in use"), "{line}");
    assert!(server.stop().await.success());
    assert!(Server::start(dir.path()).stop().await.success());
}

#[test]
fn a_port_serves_one_server() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = Server::start(dir.path());
    for (option, address) in [("--grpc-addr", &server.grpc), ("--http-addr", &server.http)] {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_tagus"));
        let free = if option == "--grpc-addr" { "--http-addr" } else { "--grpc-addr" };
        command.args(["serve", option, address, free, "127.0.0.1:0", "--data"]).arg(other.path());
        let output = command.output().unwrap();
        let line = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(line.contains("in use") && line.contains(option), "{line}");
    }
}

#[test]
fn addresses_beyond_this_machine_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    for more in [["--grpc-addr", "0.0.0.0:0"], ["--http-addr", "[::]:0"]] {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_tagus"));
        let output = command.args(["serve", "--data"]).arg(dir.path()).args(more).output().unwrap();
        let line = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(line.contains("insecure") && line.lines().count() == 1, "{line}");
    }
    let config = dir.path().join("tagus.toml");
    let data = dir.path().join("data");
    std::fs::write(&config, "grpc_addr = '0.0.0.0:0'\ninsecure = true\n").unwrap();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_tagus"));
    command.args(["serve", "--http-addr", "127.0.0.1:0", "--config"]).arg(&config).arg("--data").arg(&data);
    let mut child = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.as_mut().unwrap()), &mut line).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(line.contains("http://0.0.0.0:"), "{line}");
}

#[test]
fn what_is_no_data_directory_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("letter.txt"), "dear").unwrap();
    let line = refused(dir.path(), &[]);
    assert!(line.contains("letter.txt"), "{line}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    let file = dir.path().join("letter.txt");
    refused(&file, &[]);
    refused(&file.join("below"), &[]);
}

#[test]
fn a_configuration_is_checked() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("tagus.toml");
    for (text, part) in [
        ("memory_budgt = '1GiB'", "did you mean 'memory_budget'?"),
        ("data = [", "line 1"),
        ("max_future = 'soon'", "duration"),
    ] {
        std::fs::write(&config, text).unwrap();
        let line = refused(&dir.path().join("data"), &["--config", config.to_str().unwrap()]);
        assert!(line.contains(part) && line.contains("tagus.toml"), "{line}");
    }
    assert!(!dir.path().join("data").exists());
}
