//! Writes the first inputs of each target: what Tagus itself writes. Those that fuzzing found lie
//! beside them and are not touched.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use prost::Message;
use tagus_engine::delete::{Cause, Delete, TagRanges};
use tagus_engine::env::Disk;
use tagus_engine::format::{BlockTags, Frame, FrameBlock, SampleFrame, SourceMark, encode_frame};
use tagus_engine::ingest::Counts;
use tagus_engine::manifest::{Edit, ListFile, Manifest, SourceState};
use tagus_engine::sample::{Cell, Row, Rows};
use tagus_engine::segment::{NewSegment, SegmentMeta, SegmentWriter};
use tagus_engine::status::Status;
use tagus_engine::tag::{Tag, TagId, TagSpec, TagType};
use tagus_engine::wal::{Log, LogOptions};
use tagus_fuzz::Head;
use tagus_proto::v1;
use tagus_sim::Sim;

/// 2026-01-01T00:00:00Z.
const T0: i64 = 1_767_225_600_000_000_000;
const SECOND: i64 = 1_000_000_000;
/// The archive and the log files of the targets.
const ARCHIVE: u64 = 7;
const LOG: LogOptions = LogOptions { file_bytes: 8 * 4096, bytes_max: 128 * 4096 };

fn put(target: &str, name: &str, bytes: &[u8]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpora").join(target);
    fs::create_dir_all(&folder).expect("a folder");
    fs::write(folder.join(name), bytes).expect("room");
}

fn kept(path: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata").join(path)).expect("a golden file")
}

#[test]
#[ignore = "writes to the repository"]
fn write_seeds() {
    frames();
    logs();
    manifests();
    segments();
    marks();
    batches();
    texts();
}

fn tags() -> Vec<Arc<Tag>> {
    let mut valve = TagSpec::new("plant.valve", TagType::Digital);
    valve.states = vec![(-1, "Fault".into()), (0, "Closed".into())];
    (valve.low, valve.future, valve.unit) = (Some(-1.5), true, "%".into());
    let specs = [valve, TagSpec::new("plant.pressure", TagType::Float64), TagSpec::new("note", TagType::Text)];
    (1..).zip(specs).map(|(id, spec)| Arc::new(Tag { id: TagId(id), created: T0, spec })).collect()
}

fn delete(sequence: u64) -> Delete {
    let tags = TagRanges::of(&[1, 2, 5].map(TagId));
    Delete { sequence, received: T0, cause: Cause::Request, tags, from: T0 - SECOND, to: T0 }
}

fn rows(n: i64, cell: impl Fn(i64) -> Cell) -> Rows {
    let mut rows = Rows::default();
    (0..n).for_each(|i| rows.push(T0 + i * SECOND, &cell(i)));
    rows
}

fn number(i: i64) -> Cell {
    Cell::good((i as f64 / 10.0).to_bits())
}

fn mixed(i: i64) -> Cell {
    let value = (i % 3 != 0).then(|| (i as f64).sqrt().to_bits());
    let text = (i % 3 == 0).then(|| Arc::from(if i % 2 == 0 { "I/O Timeout" } else { "Bad" }));
    Cell { value, text, status: Status(if i % 5 == 0 { 0x8000_0000 } else { 0 }) }
}

fn frames() {
    let source = Some(SourceMark { name: "gw1".into(), identity: "id".into(), epoch: 9, sequence: 300 });
    let block = |tags, rows| FrameBlock { tags, rows, coerced: vec![] };
    let one = block(BlockTags::One(TagId(2)), rows(5, number));
    let mut each = block(BlockTags::Each(vec![TagId(1), TagId(2), TagId(3)]), rows(3, mixed));
    each.rows.times = vec![T0; 3];
    each.coerced = vec![true, false, true];
    let samples = SampleFrame { source, received: T0, rejected: 2, blocks: vec![one, each] };
    put("wal_frame", "tags", &encode_frame(&Frame::Tags(tags())));
    put("wal_frame", "samples", &encode_frame(&Frame::Samples(samples)));
    put("wal_frame", "delete", &encode_frame(&Frame::Delete(delete(0))));
}

fn logs() {
    let sim = Sim::new(1);
    let dir = PathBuf::from("/wal");
    let (mut log, _) = Log::recover(&sim.env(), &dir, LOG, 0, &mut |_, _| Ok(())).expect("a new log");
    let joined = |sim: &Sim| {
        let files = sim.disk.files();
        let files = files.iter().filter(|path| path.starts_with(&dir));
        files.flat_map(|path| sim.disk.read(path).expect("a file")).collect::<Vec<u8>>()
    };
    log.append(&[b"one", b"two", &[7; 100]]).expect("room");
    log.append(&[&[3; 5000]]).expect("room");
    put("wal_file", "one-file", &joined(&sim)[..LOG.file_bytes as usize]);
    let mut last = joined(&sim)[..LOG.file_bytes as usize].to_vec();
    // Begins after the last sequence of all: the target mends the checksum.
    last[32..48].fill(0xff);
    put("wal_file", "no-sequence-left", &last);
    log.mark_idle().expect("room");
    for i in 0..6 {
        log.append(&[&[i; 6000]]).expect("room");
    }
    put("wal_file", "two-files", &joined(&sim)[..2 * LOG.file_bytes as usize]);
}

fn manifests() {
    let sim = Sim::new(1);
    let dir = Path::new("/manifest");
    let mut manifest = Manifest::open(&sim.env(), dir, ARCHIVE).expect("a new manifest");
    let segment = SegmentMeta {
        id: 1,
        name: "0001-0000000000000009-00000001.parquet".into(),
        bytes: 5000,
        tail_offset: 4000,
        tail_crc: 77,
        rows: 600,
        first_sequence: 1,
        last_sequence: 9,
        deleted_through: 5,
        first_tag: TagId(1),
        last_tag: TagId(3),
        tags: 3,
        first_time: T0,
        last_time: T0 + SECOND,
    };
    let counts = Counts { stored: 600, coerced: 2, ..Counts::default() };
    let source =
        SourceState { identity: "id".into(), epoch: 9, sequence: 300, counts, received: T0, ended: vec![7, 8] };
    let edits = [
        Edit { log_position: 0, tags: tags(), ..Edit::default() },
        Edit {
            log_position: 9,
            next_segment_id: 2,
            added: vec![segment],
            sources: vec![("gw1".into(), source)],
            newest: vec![(TagId(2), Row { time: T0, cell: mixed(3) })],
            tags_file: Some(ListFile { bytes: 3000, crc: 5 }),
            deletes: vec![Arc::new(delete(7))],
            ..Edit::default()
        },
        Edit {
            log_position: 12,
            next_segment_id: 2,
            forgotten: vec!["gw1".into()],
            purged: vec![(1, 7)],
            newest_gone: vec![TagId(2)],
            ..Edit::default()
        },
    ];
    let mut all = Vec::new();
    for (number, edit) in (0..).zip(edits) {
        manifest.append(number, edit).expect("an edit that can be");
        let path = dir.join(format!("{:020}.manifest", number + 1));
        let bytes = sim.disk.read(&path).expect("the file");
        all.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
        all.extend_from_slice(&bytes);
        put("manifest", &format!("edits-{}", number + 1), &all);
    }
    for (version, files) in [(1, 2), (2, 3), (3, 4)] {
        let mut archive = Vec::new();
        for number in 1..=files {
            let bytes = kept(&format!("format-{version}/manifest/{number:020}.manifest"));
            archive.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
            archive.extend_from_slice(&bytes);
        }
        put("manifest", &format!("version-{version}"), &archive);
    }
}

fn segments() {
    let plain = |n| vec![(TagId(1), TagType::Float64, rows(n, number))];
    put("segment", "one-tag", &segment(plain(3)));
    put("segment", "two-pages", &segment(plain(20_500)));
    let texts = rows(4, |i| Cell { value: None, text: Some(format!("text {i}").into()), status: Status::GOOD });
    let integers = rows(70, |i| Cell::good((i * i).cast_unsigned()));
    let all = [(TagType::Float64, rows(9, mixed)), (TagType::Int64, integers), (TagType::Text, texts)];
    let all = (1..).zip(all).map(|(id, (kind, rows))| (TagId(id), kind, rows)).collect();
    put("segment", "types", &segment(all));
    let mut nanos = rows(30, number);
    nanos.times.iter_mut().zip(0..).for_each(|(time, i)| *time += i * 17);
    put("segment", "nanos", &segment(vec![(TagId(9), TagType::Float32, nanos)]));
    let many = (1..900).map(|id| (TagId(id * 3), TagType::Bool, rows(1, |_| Cell::good(1)))).collect();
    let many = segment(many);
    put("segment", "many-tags", &many);
    indexes(&many);
}

/// Directories whose blocks are not what the index says.
fn indexes(many: &[u8]) {
    let field = |at: usize| u32::from_le_bytes(many[at..at + 4].try_into().expect("four bytes")) as usize;
    assert!(field(4) > 1, "several blocks");
    // One checksum of a block, then the places: tag, row, offset.
    let second = many.len() - field(0) + 4 + 20;
    for (name, at, step) in [("gap", 4, 1), ("overlap", 4, 255), ("other-tag", 0, 1)] {
        let mut bytes = many.to_vec();
        bytes[second + at] = bytes[second + at].wrapping_add(step);
        put("segment", &format!("index-{name}"), &bytes);
    }
}

fn segment(set: Vec<(TagId, TagType, Rows)>) -> Vec<u8> {
    let sim = Sim::new(1);
    let disk: Arc<dyn Disk> = Arc::new(sim.disk.clone());
    let plan = NewSegment {
        id: 1,
        name: "1.parquet".into(),
        first_sequence: 1,
        last_sequence: 1,
        deleted_through: 1,
        zstd_level: 1,
    };
    let mut writer = SegmentWriter::create(&disk, Path::new("/"), plan).expect("a new file");
    for (tag, kind, rows) in &set {
        writer.write(*tag, *kind, rows).expect("rows in order");
    }
    let meta = writer.finish().expect("room");
    let file = sim.disk.read(Path::new("/1.parquet")).expect("the file");
    let head = Head {
        tail_bytes: (meta.bytes - meta.tail_offset) as u32,
        blocks: blocks(&file),
        rows: meta.rows,
        tags: meta.tags,
        tag_range: (meta.first_tag.0, meta.last_tag.0),
        time_range: (meta.first_time, meta.last_time),
    };
    [head.encode(), file].concat()
}

/// The number of directory blocks as the footer has it.
fn blocks(file: &[u8]) -> u32 {
    let key = b"tagus.directory_blocks";
    let at = file.windows(key.len()).position(|part| part == key).expect("the key") + key.len();
    // The value follows as a field of one byte and a length.
    let digits = &file[at + 2..at + 2 + usize::from(file[at + 1])];
    std::str::from_utf8(digits).expect("digits").parse().expect("a number")
}

fn marks() {
    put("mark", "version-1", &kept("format-1/FORMAT"));
    put("mark", "version-2", &kept("format-2/FORMAT"));
    let body = "tagus archive\nversion 2\nid 0000000000000007\nepoch 3\nline 0000000000000009 from 0000000000000007 12\nbackup\n";
    let text = format!("{body}crc32c {:08x}\n", tagus_engine::format::crc32c(body.as_bytes()));
    put("mark", "backup", text.as_bytes());
}

fn batches() {
    use v1::block::{Shape, Values};
    let series = |name: &str, times: Vec<i64>| {
        Some(Shape::Series(v1::Series { tag: Some(v1::series::Tag::Name(name.into())), times }))
    };
    let times = vec![T0 - 3 * SECOND, T0 - SECOND, T0 - 2 * SECOND, T0 - SECOND];
    let scan = v1::Scan { time: T0, handles: vec![1, 900], names: vec!["plant.a".into(), "plant.b".into()] };
    let texts = ["Open", "Closed", "7", "I/O Timeout"].map(String::from).to_vec();
    let blocks = [
        (series("plant.a", times.clone()), Values::Doubles(v1::Doubles { values: vec![1.5, -0.0, f64::NAN, 7.25] })),
        (series("plant.c", times.clone()), Values::Integers(v1::Integers { values: vec![1, -5, i64::MAX, 0] })),
        (series("plant.d", times.clone()), Values::Booleans(v1::Booleans { values: vec![true, false, true, true] })),
        (series("plant.e", times), Values::Texts(v1::Texts { values: texts })),
        (Some(Shape::Scan(scan)), Values::NoValues(v1::NoValues {})),
    ];
    let request = |blocks| {
        let batch = v1::Batch { sequence: 1, blocks };
        v1::WriteRequest { request: Some(v1::write_request::Request::Batch(batch)) }.encode_to_vec()
    };
    let blocks: Vec<v1::Block> = blocks
        .into_iter()
        .map(|(shape, values)| v1::Block {
            shape,
            values: Some(values),
            statuses: vec![0, 0x8000_0000, 0, 0x4000_0000],
        })
        .collect();
    put("batch", "all", &request(blocks.clone()));
    for (i, block) in blocks.into_iter().enumerate() {
        put("batch", &format!("block-{i}"), &request(vec![block]));
    }
    put("batch", "nothing", &request(vec![]));
}

fn texts() {
    put(
        "csv",
        "plain",
        b"tag,timestamp,value,status\nplant.a,2026-01-01T00:00:00Z,1.5,0\nplant.b,2026-01-01 00:00:01,on,Bad\n",
    );
    put(
        "csv",
        "quotes",
        b"\xEF\xBB\xBFtag,time,value,quality\r\n\"a \"\"b\"\"\",1767268815000,\"x,\ny\",192\r\n\r\n,,\"\",\r",
    );
    let lines =
        ["0=Closed,1=Open", r"-3=a\,b,-2=a\;b; c\=d", "2016-12-31T23:59:60.5+01:30", "-1767268815", "0x80000000"];
    for (i, line) in lines.iter().chain(&["BadNoCommunication", "Uncertain", "192", "float64"]).enumerate() {
        put("text", &format!("line-{i}"), line.as_bytes());
    }
}
