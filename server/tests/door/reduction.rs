//! `tagus reduction preview` on stored samples.

use std::path::Path;

use crate::support::{Server, fails, tagus};

#[tokio::test]
async fn a_preview_says_what_would_be_kept_and_changes_nothing() {
    let plant = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/plant");
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let url = format!("http://{}", server.grpc);
    let file = |name: &str| plant.join(name).display().to_string();
    let imported = tagus(&["import", &file("samples.csv"), "--tags", &file("tags.csv")], &url);
    assert!(imported.status.success(), "{imported:?}");
    let before = server.number("SELECT count(*) FROM samples").await;

    let preview = |tags: &str, options: &[&str]| {
        let range = ["reduction", "preview", "--tags", tags, "--from", "2026-01-01", "--to", "2026-01-02"];
        tagus(&[&range[..], options].concat(), &url)
    };
    let shown = preview("site1.*.PV", &["--comp-dev", "0.5%"]);
    assert!(shown.status.success(), "{shown:?}");
    let text = String::from_utf8(shown.stdout).unwrap();
    let number = |name: &str| -> u64 {
        let found = text.lines().last().unwrap().split(' ').find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
        found.unwrap_or_else(|| panic!("{text}")).parse().unwrap()
    };
    assert!(number("kept") < number("samples") / 3, "{text}");
    assert!(number("bytes_kept") < number("bytes"), "{text}");
    // Half a percent of 0 to 14 pH.
    let acidity = text.lines().find(|line| line.contains("AI103.PV")).unwrap();
    let error: f64 = acidity.split('┆').nth(3).unwrap().trim().parse().unwrap();
    assert!(error > 0.0 && error <= 0.07 + 1e-9, "{acidity}");
    let texts = preview("site1.*.BATCH", &["--comp-dev", "1"]);
    assert_eq!(
        String::from_utf8(texts.stdout).unwrap().lines().last().unwrap().split(" bytes").next().unwrap(),
        "samples=0 kept=0"
    );
    assert_eq!(server.number("SELECT count(*) FROM samples").await, before);

    let all = preview("site1.area1.FIC102.PV", &["--exc-dev", "0", "--comp-dev", "0"]);
    let text = String::from_utf8(all.stdout).unwrap();
    let error: f64 =
        text.lines().find(|line| line.contains("FIC102")).unwrap().split('┆').nth(3).unwrap().trim().parse().unwrap();
    assert!(error <= 1e-9, "{text}");
    fails(&preview("site1.area1.FIC102.PV", &[]), 2, "--comp-dev");
    fails(&preview("site1.area1.FIC102.PV", &["--comp-dev=-1"]), 2, "--comp-dev");
    fails(&preview("site1.area1.FQ102.TOTAL", &["--comp-dev", "1%"]), 1, "no span");
    fails(&preview("site1.area1.FIC102.PW", &["--comp-dev", "1"]), 1, "did you mean");
    assert!(server.stop().await.success());
}
