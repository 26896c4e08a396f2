//! The examples of `docs/retrieval.md`, run as they stand there. `TAGUS_BLESS=1` writes the answers anew.

use std::path::Path;

use crate::support::{Server, tagus};

const PROMPT: &str = "$ tagus sql \"";

/// The SQL of an example, if a block is one.
fn sql(block: &str) -> Option<&str> {
    block.lines().next()?.strip_prefix(PROMPT)?.strip_suffix('"')
}

#[tokio::test]
async fn the_examples_of_the_page_print_what_it_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let url = format!("http://{}", server.grpc);
    let plant = |file: &str| root.join("testdata/plant").join(file).display().to_string();
    let imported = tagus(&["import", &plant("samples.csv"), "--tags", &plant("tags.csv")], &url);
    assert!(imported.status.success(), "{imported:?}");
    let flushed = tagus(&["flush"], &url);
    assert!(flushed.status.success(), "{flushed:?}");

    let path = root.join("docs/retrieval.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let mut written = String::new();
    let mut examples = 0;
    for (number, part) in page.split("```\n").enumerate() {
        if number > 0 {
            written += "```\n";
        }
        let Some(sql) = sql(part) else {
            written += part;
            continue;
        };
        let answer = tagus(&["sql", sql], &url);
        assert!(answer.status.success(), "{sql}: {answer:?}");
        written += &format!("{PROMPT}{sql}\"\n{}", String::from_utf8(answer.stdout).unwrap());
        examples += 1;
    }
    assert!(examples >= 10, "{examples} examples");
    if std::env::var_os("TAGUS_BLESS").is_some() {
        std::fs::write(&path, &written).unwrap();
    }
    for (said, found) in page.lines().zip(written.lines()) {
        assert_eq!(said, found, "the page says something else");
    }
    assert_eq!(page.len(), written.len());
    assert!(server.stop().await.success());
}
