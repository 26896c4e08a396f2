//! The engine stays embeddable: what it rests on is listed here, by name.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// Crates the engine may name. What these bring along is theirs, but for the forbidden ones.
const ALLOWED: &[&str] = &[
    "arrow-array",
    "bytes",
    "crc-fast",
    "getrandom",
    "parking_lot",
    "parquet",
    "rustix",
    "serde",
    "strsim",
    "tracing",
    "zstd",
];

/// What must not come in by any way.
const FORBIDDEN: &[&str] = &["datafusion", "tonic", "tokio", "arrow-flight", "prost", "hyper"];

fn tree(depth: &str) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "-p", "tagus-engine", "-e", "normal", "--prefix", "none", "--depth", depth])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("names of crates");
    text.lines().filter_map(|line| line.split(' ').next()).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

#[test]
fn the_engine_names_only_what_is_allowed() {
    let mut direct = tree("1");
    assert!(direct.remove("tagus-engine"));
    let strangers: Vec<&String> = direct.iter().filter(|name| !ALLOWED.contains(&name.as_str())).collect();
    assert!(strangers.is_empty(), "not on the list: {strangers:?}");
}

#[test]
fn neither_planner_nor_runtime_comes_in() {
    let all = tree("99");
    assert!(all.contains("parquet"));
    let found: Vec<&String> = all.iter().filter(|name| FORBIDDEN.iter().any(|f| name.starts_with(f))).collect();
    assert!(found.is_empty(), "forbidden: {found:?}");
}

/// All source text below a folder.
#[expect(clippy::disallowed_methods, reason = "the folder of sources is no archive")]
fn source(folder: &Path) -> String {
    let mut text = String::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            text += &source(&path);
        } else {
            text += &std::fs::read_to_string(&path).expect("source text");
        }
    }
    text
}

#[test]
fn what_is_allowed_is_used() {
    let text = source(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    let idle: Vec<&&str> = ALLOWED.iter().filter(|name| !text.contains(&name.replace('-', "_"))).collect();
    assert!(idle.is_empty(), "on the list for nothing: {idle:?}");
}
