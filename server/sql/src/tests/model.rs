//! Filters of every kind against a list of all samples.

use tagus_engine::ingest::Values;
use tagus_engine::tag::{TagSpec, TagType};

use super::fixture::{Fixture, SECOND, Sample, T0};

/// A small generator, so that a failure is repeated by its seed.
pub(super) struct Rng(u64);

impl Rng {
    pub(super) fn new(seed: u64) -> Rng {
        Rng(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }

    pub(super) fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[usize::try_from(self.below(items.len() as u64)).unwrap()]
    }
}

const STATUSES: [u32; 6] = [0, 0, 0x4000_0000, 0x4095_0000, 0x8000_0000, 0x8089_0000];
pub(super) const TAGS: [&str; 7] = ["z.flow", "a.flow", "a.level", "Pump'1", "b.state", "b.note", "b.count"];
const ROWS: i64 = 400;
const BIG: i64 = 9_007_199_254_740_993;

/// What `value` and `text` show of a sample.
type Shown = (Option<f64>, Option<String>);

/// One tag of each kind, with samples a second apart, and what SQL shows of them.
pub(super) fn fill(fixture: &Fixture, rng: &mut Rng) -> Vec<Sample> {
    let mut all = Vec::new();
    for name in TAGS {
        let tag_type = match name {
            "b.state" => TagType::Digital,
            "b.note" => TagType::Text,
            "b.count" => TagType::Int64,
            _ => TagType::Float64,
        };
        let mut spec = TagSpec::new(name, tag_type);
        if tag_type == TagType::Digital {
            spec.states = TagSpec::parse_states("0=Closed,1=Open,7=Jammed").unwrap();
        }
        fixture.declare(spec);
        let times: Vec<i64> = (0..ROWS).map(|i| T0 + i * SECOND + i64::try_from(rng.below(1000)).unwrap()).collect();
        let statuses: Vec<u32> = times.iter().map(|_| *rng.pick(&STATUSES)).collect();
        let numbers: Vec<i64> = times.iter().map(|_| i64::try_from(rng.below(3)).unwrap()).collect();
        let (values, shown): (Values, Vec<Shown>) = match tag_type {
            TagType::Digital => (
                Values::Integers(numbers.clone()),
                numbers
                    .iter()
                    .map(|n| (Some(*n as f64), ["Closed", "Open"].get(*n as usize).map(|s| (*s).to_owned())))
                    .collect(),
            ),
            TagType::Text => {
                let texts: Vec<String> = numbers.iter().map(|n| format!("note {n}")).collect();
                (Values::Texts(texts.clone()), texts.into_iter().map(|t| (None, Some(t))).collect())
            }
            TagType::Int64 => {
                let large: Vec<i64> = numbers.iter().map(|n| if *n == 2 { -BIG } else { *n }).collect();
                let shown = large.iter().map(|v| (Some(*v as f64), (*v == -BIG).then(|| v.to_string())));
                (Values::Integers(large.clone()), shown.collect())
            }
            _ => {
                let doubles: Vec<f64> = numbers.iter().map(|n| *n as f64 / 8.0).collect();
                (Values::Doubles(doubles.clone()), doubles.into_iter().map(|v| (Some(v), None)).collect())
            }
        };
        // Half goes to a segment of its own, the rest stays in memory.
        let half = times.len() / 2;
        let (first, second) = split(values, half);
        fixture.write(name, &times[..half], first, &statuses[..half]);
        if name == "b.note" {
            fixture.engine.flush().unwrap();
        }
        fixture.write(name, &times[half..], second, &statuses[half..]);
        all.extend(times.iter().zip(&statuses).zip(shown).map(|((time, status), (value, text))| Sample {
            tag: name.to_owned(),
            time: *time,
            value,
            text,
            status: *status,
        }));
    }
    all
}

fn split(values: Values, at: usize) -> (Values, Values) {
    match values {
        Values::Doubles(mut v) => {
            let rest = v.split_off(at);
            (Values::Doubles(v), Values::Doubles(rest))
        }
        Values::Integers(mut v) => {
            let rest = v.split_off(at);
            (Values::Integers(v), Values::Integers(rest))
        }
        Values::Texts(mut v) => {
            let rest = v.split_off(at);
            (Values::Texts(v), Values::Texts(rest))
        }
        other => (other, Values::None),
    }
}

/// A condition in SQL and what it means: true, false or NULL.
struct Condition {
    sql: String,
    holds: Holds,
}

type Holds = Box<dyn Fn(&Sample) -> Option<bool>>;

fn condition(sql: impl Into<String>, holds: impl Fn(&Sample) -> bool + 'static) -> Condition {
    unsure(sql, move |s| Some(holds(s)))
}

fn unsure(sql: impl Into<String>, holds: impl Fn(&Sample) -> Option<bool> + 'static) -> Condition {
    Condition { sql: sql.into(), holds: Box::new(holds) }
}

pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A time near a sample, as ISO 8601.
fn a_time(rng: &mut Rng) -> (i64, String) {
    let millis = i64::try_from(rng.below((ROWS as u64 + 20) * 1000)).unwrap() - 10_000;
    let time = T0 + millis * 1_000_000;
    (time, iso(time))
}

fn iso(time: i64) -> String {
    use arrow::array::TimestampNanosecondArray;
    use arrow::util::display::{ArrayFormatter, FormatOptions};
    let array = TimestampNanosecondArray::from(vec![time]).with_timezone("UTC");
    ArrayFormatter::try_new(&array, &FormatOptions::default()).unwrap().value(0).to_string()
}

fn atom(rng: &mut Rng) -> Condition {
    let tag = (*rng.pick(&TAGS)).to_owned();
    let other = (*rng.pick(&TAGS)).to_owned();
    let (time, iso_time) = a_time(rng);
    let (end, iso_end) = a_time(rng);
    match rng.below(48) {
        0 => condition(format!("tag = {}", quoted(&tag)), move |s| s.tag == tag),
        1 => condition(format!("tag <> {}", quoted(&tag)), move |s| s.tag != tag),
        2 => condition(format!("tag IN ({}, {}, 'none')", quoted(&tag), quoted(&other)), move |s| {
            s.tag == tag || s.tag == other
        }),
        3 => condition("tag LIKE 'a.%'", |s| s.tag.starts_with("a.")),
        4 => condition("tag NOT LIKE '%flow'", |s| !s.tag.ends_with("flow")),
        5 => condition("tag ~ '^[ab]\\.[fs]'", |s| {
            (s.tag.starts_with("a.") || s.tag.starts_with("b.")) && ["f", "s"].contains(&&s.tag[2..3])
        }),
        6 => condition("upper(tag) = 'A.LEVEL'", |s| s.tag == "a.level"),
        7 => condition(format!("tag >= {}", quoted(&tag)), move |s| s.tag >= tag),
        8 => condition(format!("time >= '{iso_time}'"), move |s| s.time >= time),
        9 => condition(format!("time < '{iso_time}'"), move |s| s.time < time),
        10 => condition(format!("'{iso_time}' >= time"), move |s| s.time <= time),
        11 => condition(format!("time BETWEEN '{iso_time}' AND '{iso_end}'"), move |s| s.time >= time && s.time <= end),
        12 => condition(format!("time NOT BETWEEN '{iso_time}' AND '{iso_end}'"), move |s| {
            !(s.time >= time && s.time <= end)
        }),
        13 => {
            let seconds = time.div_euclid(SECOND);
            condition(format!("CAST(time AS TIMESTAMP(0)) > to_timestamp_seconds({seconds})"), move |s| {
                s.time.div_euclid(SECOND) > seconds
            })
        }
        14 => {
            let millis = time.div_euclid(1_000_000);
            condition(format!("time <= to_timestamp_millis({millis})"), move |s| s.time <= millis * 1_000_000)
        }
        15 => condition("quality = 'good'", |s| s.quality() == "good"),
        16 => condition("quality IN ('bad', 'uncertain')", |s| s.quality() != "good"),
        17 => condition("quality <> 'bad'", |s| s.quality() != "bad"),
        18 => condition("is_good(status)", |s| s.quality() == "good"),
        19 => condition("status >= 1073741824", |s| s.status >= 0x4000_0000),
        20 => {
            let minute = time - time.rem_euclid(60 * SECOND);
            let sql = format!("date_trunc('minute', time) = '{}'", iso(minute));
            condition(sql, move |s| s.time - s.time.rem_euclid(60 * SECOND) == minute)
        }
        21 => {
            let bin = time - (time - T0).rem_euclid(7 * SECOND);
            let sql = format!("date_bin(INTERVAL '7 seconds', time, TIMESTAMP '2026-01-01') >= '{}'", iso(bin));
            condition(sql, move |s| s.time - (s.time - T0).rem_euclid(7 * SECOND) >= bin)
        }
        22 => unsure("value > 0.5", |s| s.value.map(|v| v > 0.5)),
        23 => unsure("text = 'Open'", |s| s.text.as_deref().map(|text| text == "Open")),
        24..30 => an_atom_of_casts(rng, time),
        30..34 => an_atom_of_bins(time),
        kind => an_atom_of_words(rng, kind, tag, time, &iso_time, end, &iso_end),
    }
}

/// Casts of `time`, which keep the instant, drop digits, or give something that is no instant.
fn an_atom_of_casts(rng: &mut Rng, time: i64) -> Condition {
    let shown = iso(time);
    match rng.below(9) {
        // The number of nanoseconds, taken for one of milliseconds.
        0 => condition(
            format!("CAST(CAST(time AS BIGINT) AS TIMESTAMP(3)) > arrow_cast({time}, 'Timestamp(Millisecond, None)')"),
            move |s| s.time > time,
        ),
        1 => condition(format!("CAST(time AS BIGINT) <= {time}"), move |s| s.time <= time),
        2 => condition(format!("time AT TIME ZONE 'Europe/Berlin' >= TIMESTAMPTZ '{shown}'"), move |s| s.time >= time),
        3 => condition(format!("arrow_cast(time, 'Timestamp(ns, \"Europe/Berlin\")') < '{shown}'"), move |s| {
            s.time < time
        }),
        4 => {
            let second = time - time.rem_euclid(SECOND);
            condition(format!("CAST(CAST(time AS TIMESTAMP(0)) AS TIMESTAMP(9)) <= '{}'", iso(second)), move |s| {
                s.time - s.time.rem_euclid(SECOND) <= second
            })
        }
        5 => condition("CAST(CAST(time AS DATE) AS TIMESTAMP) = '2026-01-01'", |s| s.time >= T0),
        6 => condition("time::date > DATE '2025-12-31'", |_| true),
        7 => condition(format!("time::timestamp > '{}'", shown.trim_end_matches('Z')), move |s| s.time > time),
        _ => condition(
            format!("TRY_CAST(time AS TIMESTAMP(3)) >= to_timestamp_millis({})", time / 1_000_000),
            move |s| s.time / 1_000_000 >= time / 1_000_000,
        ),
    }
}

/// Bins of `time` taken for another zone's clock, which is an hour ahead in January.
fn an_atom_of_bins(time: i64) -> Condition {
    const HOUR: i64 = 3600 * SECOND;
    let bin = |time: i64| time - time.rem_euclid(60 * SECOND);
    let sql = format!(
        "date_bin(INTERVAL '1 minute', time::timestamp AT TIME ZONE 'Europe/Berlin') = arrow_cast({}, 'Timestamp(ns, \"Europe/Berlin\")')",
        bin(time) - HOUR
    );
    condition(sql, move |s| bin(s.time) == bin(time))
}

/// Words, statuses and their negations.
fn an_atom_of_words(
    rng: &mut Rng,
    kind: u64,
    tag: String,
    time: i64,
    iso_time: &str,
    end: i64,
    iso_end: &str,
) -> Condition {
    let known = STATUSES[usize::try_from(rng.below(STATUSES.len() as u64)).unwrap()];
    match kind {
        34 => condition(format!("tag NOT IN ({}, 'none')", quoted(&tag)), move |s| s.tag != tag),
        35 => unsure(format!("tag NOT IN ({}, NULL)", quoted(&tag)), move |s| (s.tag == tag).then_some(false)),
        36 => condition("tag LIKE 'a\\.%' ESCAPE '\\'", |s| s.tag.starts_with("a.")),
        37 => condition("tag ILIKE 'PUMP''_'", |s| s.tag == "Pump'1"),
        38 => unsure("quality NOT IN ('bad', NULL)", |s| (s.quality() == "bad").then_some(false)),
        39 => unsure(format!("time IN ('{iso_time}', NULL, '{iso_end}')"), move |s| {
            (s.time == time || s.time == end).then_some(true)
        }),
        40 => unsure("time > NULL", |_| None),
        41 => condition(format!("status IN (0, {known})"), move |s| s.status == 0 || s.status == known),
        42 => condition(format!("status <> {known}"), move |s| s.status != known),
        43 => condition(format!("{known} > status"), move |s| s.status < known),
        44 => condition(format!("status BETWEEN 1 AND {known}"), move |s| (1..=known).contains(&s.status)),
        45 => condition(
            format!("CASE WHEN quality = 'bad' THEN tag = {} ELSE time > '{iso_time}' END", quoted(&tag)),
            move |s| if s.quality() == "bad" { s.tag == tag } else { s.time > time },
        ),
        46 => condition("(quality IS DISTINCT FROM 'good')", |s| s.quality() != "good"),
        _ => condition("tag || quality LIKE '%flowgood'", |s| s.tag.ends_with("flow") && s.quality() == "good"),
    }
}

fn tree(rng: &mut Rng, depth: u32) -> Condition {
    if depth == 0 || rng.below(3) == 0 {
        return atom(rng);
    }
    let (a, b) = (tree(rng, depth - 1), tree(rng, depth - 1));
    match rng.below(5) {
        0 => unsure(format!("(NOT {})", a.sql), move |s| (a.holds)(s).map(|holds| !holds)),
        1 | 2 => unsure(format!("({} AND {})", a.sql, b.sql), move |s| match ((a.holds)(s), (b.holds)(s)) {
            (Some(false), _) | (_, Some(false)) => Some(false),
            (Some(true), Some(true)) => Some(true),
            _ => None,
        }),
        _ => unsure(format!("({} OR {})", a.sql, b.sql), move |s| match ((a.holds)(s), (b.holds)(s)) {
            (Some(true), _) | (_, Some(true)) => Some(true),
            (Some(false), Some(false)) => Some(false),
            _ => None,
        }),
    }
}

fn by_tag_and_time(a: &Sample, b: &Sample) -> std::cmp::Ordering {
    a.tag.cmp(&b.tag).then(a.time.cmp(&b.time))
}

#[tokio::test]
async fn filters_let_through_what_they_say() {
    let seed = 20_260_101;
    println!("seed {seed}");
    let mut rng = Rng::new(seed);
    let fixture = Fixture::new();
    let all = fill(&fixture, &mut rng);
    for round in 0..600 {
        let condition = tree(&mut rng, 3);
        let mut wanted: Vec<Sample> = all.iter().filter(|s| (condition.holds)(s) == Some(true)).cloned().collect();
        wanted.sort_by(by_tag_and_time);
        let sql = format!("SELECT * FROM samples WHERE {} ORDER BY tag, time", condition.sql);
        let found = fixture.samples(&sql).await;
        let plan = fixture.plan_text(&sql).await;
        let (at, rows) = (found.len(), (found.len(), wanted.len()));
        let at = found.iter().zip(&wanted).position(|(a, b)| a != b).unwrap_or(at);
        let (a, b) = (found.get(at), wanted.get(at));
        assert!(found == wanted, "round {round}: {sql}\n{rows:?} rows, at {at} {a:?} for {b:?}\n{plan}");
        let counted =
            fixture.table(&format!("SELECT count(*), min(time), max(time) FROM samples WHERE {}", condition.sql)).await;
        let first = wanted.iter().map(|s| s.time).min().map(iso).unwrap_or_default();
        let last = wanted.iter().map(|s| s.time).max().map(iso).unwrap_or_default();
        assert_eq!(
            counted,
            [format!("{} | {first} | {last}", wanted.len()).trim()],
            "round {round}: {}",
            condition.sql
        );
    }
}

#[tokio::test]
async fn the_newest_rows_come_first() {
    let seed = 7;
    println!("seed {seed}");
    let mut rng = Rng::new(seed);
    let fixture = Fixture::new();
    let all = fill(&fixture, &mut rng);
    for _ in 0..40 {
        let limit = usize::try_from(rng.below(30)).unwrap();
        let skip = usize::try_from(rng.below(3)).unwrap();
        let condition = tree(&mut rng, 1);
        let mut wanted: Vec<Sample> = all.iter().filter(|s| (condition.holds)(s) == Some(true)).cloned().collect();
        wanted.sort_by(|a, b| b.time.cmp(&a.time).then(a.tag.cmp(&b.tag)));
        let wanted: Vec<Sample> = wanted.into_iter().skip(skip).take(limit).collect();
        let sql = format!(
            "SELECT * FROM samples WHERE {} ORDER BY time DESC, tag LIMIT {limit} OFFSET {skip}",
            condition.sql
        );
        let found = fixture.samples(&sql).await;
        assert!(found == wanted, "{sql}\nfound {found:?}\nwanted {wanted:?}");
    }
}
