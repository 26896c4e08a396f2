//! `tagus reduction`: a preview on stored samples, and tags of which samples are left out.

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

#[tokio::test]
async fn what_is_left_out_is_counted_and_accounted_for() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let url = format!("http://{}", server.grpc);
    let run = |arguments: &[&str], url: &str| {
        let done = tagus(arguments, url);
        assert!(done.status.success(), "{done:?}");
        String::from_utf8(done.stdout).unwrap()
    };
    // Two hours of a sawtooth, a sample a second; one tag as it comes, and one reduced.
    let csv = dir.path().join("saw.csv");
    let lines = (0..7200).flat_map(|second: u32| {
        let time = format!("2026-01-01T{:02}:{:02}:{:02}Z", second / 3600, second / 60 % 60, second % 60);
        let value = f64::from(second % 700) / 10.0 + f64::from(second * 7 % 11) / 50.0;
        ["saw", "reduced.saw"].map(|tag| format!("{tag},{time},{value}\n"))
    });
    std::fs::write(&csv, "tag,timestamp,value\n".to_owned() + &lines.collect::<String>()).unwrap();
    run(&["tags", "create", "reduced.saw", "--type", "float64", "--low", "0", "--high", "100"], &url);
    run(&["tags", "create", "reduced.note", "--type", "text"], &url);
    let set = run(&["reduction", "set", "--tags", "reduced.*", "--exc-dev", "0.1%", "--comp-dev", "0.25%"], &url);
    assert_eq!(
        set.trim_end(),
        "changed=1 texts=1 reduction=ExcDev=0.1%,ExcMin=0s,ExcMax=600s,CompDev=0.25%,CompMin=0s,CompMax=28800s"
    );
    let settings = run(&["sql", "--format", "csv", "SELECT tag, reduction FROM tags ORDER BY tag"], &url);
    let expected = format!(
        "tag,reduction\nreduced.note,\nreduced.saw,\"{}\"\n",
        set.trim_end().split_once("reduction=").unwrap().1
    );
    assert_eq!(settings, expected);
    assert!(run(&["tags", "show", "reduced.saw"], &url).contains("CompDev=0.25%"));

    let imported = run(&["import", &csv.display().to_string()], &url);
    let count = |name: &str| -> i64 {
        let found = imported.split([' ', '\n']).find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
        found.unwrap_or_else(|| panic!("{imported}")).parse().unwrap()
    };
    assert_eq!((count("rows"), count("stored") + count("reduced")), (14400, 14400));
    assert!(count("reduced") > 6000, "{imported}");
    let kept = server.number("SELECT count(*) FROM samples WHERE tag = 'reduced.saw'").await;
    assert!(kept < 1200 && kept.abs_diff(count("stored") - 7200) <= 1, "{kept}, {imported}");
    let same = |aggregate: &str| {
        format!(
            "SELECT count(*) FROM processed('saw', '{aggregate}', '2026-01-01', '2026-01-01T02:00:00Z', '1 minute') a
             JOIN processed('reduced.saw', '{aggregate}', '2026-01-01', '2026-01-01T02:00:00Z', '1 minute') b USING (time)
             WHERE abs(a.value - b.value) <= 1e-9 * abs(a.value) AND a.quality = b.quality"
        )
    };
    let averages = "SELECT count(*) FROM (SELECT avg(value) a FROM samples GROUP BY tag) HAVING max(a) - min(a) > 0.01";
    assert_eq!(server.number(averages).await, 2, "SQL sees what is stored");
    for aggregate in ["Average", "Count", "TimeAverage", "Total2", "Minimum2", "Maximum", "Range", "VarianceSample"] {
        assert_eq!(server.number(&same(aggregate)).await, 120, "{aggregate}");
    }
    let current = "SELECT count(DISTINCT value) FROM current_values";
    assert_eq!(server.number(current).await, 1, "the newest sample is there, whether it stays or not");
    assert!(server.stop().await.success());

    let server = Server::start(dir.path());
    let url = format!("http://{}", server.grpc);
    assert_eq!(server.number(current).await, 1);
    assert_eq!(server.number("SELECT count(*) FROM samples WHERE tag = 'reduced.saw'").await, kept);
    assert_eq!(server.number(&same("Average")).await, 120);
    // A late sample: its minute, and what its lines lead to, is not exact any more, and says so.
    run(&["write", "reduced.saw", "99", "--time", "2026-01-01T00:30:10.5Z"], &url);
    let uncertain = "SELECT count(*) FROM processed('reduced.saw', 'Average', '2026-01-01', '2026-01-01T02:00:00Z', \
                     '1 minute') WHERE quality = 'uncertain'";
    assert!((1..=3).contains(&server.number(uncertain).await));
    run(&["reduction", "off", "--tags", "reduced.*"], &url);
    let off = run(&["sql", "--format", "csv", "SELECT reduction FROM tags WHERE tag = 'reduced.saw'"], &url);
    assert_eq!(off, "reduction\noff\n");
    let more = run(&["write", "reduced.saw", "1", "--time", "2026-01-01T02:00:01Z"], &url);
    assert!(more.contains("stored=1"), "{more}");
    fails(&tagus(&["reduction", "set", "--tags", "saw", "--comp-dev", "1%"], &url), 1, "no span");
    fails(
        &tagus(&["reduction", "set", "--tags", "reduced.note", "--comp-dev", "1"], &url),
        1,
        "texts have no deviation",
    );
    fails(
        &tagus(&["reduction", "set", "--tags", "saw", "--comp-dev", "1", "--comp-max", "2d"], &url),
        1,
        "at most 86400 s",
    );
    fails(&tagus(&["reduction", "set", "--tags", "saw"], &url), 2, "--comp-dev");
    assert!(server.stop().await.success());
}
