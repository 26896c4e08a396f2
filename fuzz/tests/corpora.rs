//! The kept inputs of each target, and mutations of them, on any compiler.
//!
//! Mutations follow from a number: `TAGUS_FUZZ_SEED=N TAGUS_FUZZ_RUNS=N cargo test --release -p
//! tagus-fuzz` tries others, and more. An input that fails is kept in a file whose name is printed;
//! put it into `fuzz/corpora/TARGET` once what it found is mended.

mod support;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use support::mutate;
use tagus_fuzz::{TARGETS, Target};
use tagus_sim::SimRandom;

/// Longest input; cargo-fuzz is told the same.
const INPUT_BYTES_MAX: usize = 128 << 10;
/// Bytes of all kept inputs: they come with every clone of the repository.
const CORPORA_BYTES_MAX: usize = 1 << 20;

fn corpora() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpora")
}

/// The kept inputs of a target by name.
fn inputs(target: &Target) -> Vec<(String, Vec<u8>)> {
    let folder = corpora().join(target.name);
    let names = fs::read_dir(&folder).expect("a folder of inputs");
    let names = names.map(|entry| entry.expect("an entry").file_name().into_string().expect("a plain name"));
    let mut names: Vec<String> = names.collect();
    names.sort();
    names.into_iter().map(|name| (name.clone(), fs::read(folder.join(name)).expect("an input"))).collect()
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

fn try_all(name: &str) {
    let target = TARGETS.iter().find(|target| target.name == name).expect("a target");
    let inputs = inputs(target);
    assert!(!inputs.is_empty(), "{name} has no inputs");
    for (input, bytes) in &inputs {
        let tried = catch_unwind(AssertUnwindSafe(|| (target.run)(bytes)));
        assert!(tried.is_ok(), "input corpora/{name}/{input}");
    }
    let seed = number("TAGUS_FUZZ_SEED").unwrap_or(1);
    for run in 0..number("TAGUS_FUZZ_RUNS").unwrap_or(target.mutations.into()) {
        let random = SimRandom::new(seed << 32 | run);
        let bytes = mutate(&random, &inputs, INPUT_BYTES_MAX);
        if catch_unwind(AssertUnwindSafe(|| (target.run)(&bytes))).is_err() {
            let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{seed}-{run}"));
            fs::write(&kept, &bytes).expect("room for the input");
            panic!("{name}, seed {seed}, run {run}: the input is {}", kept.display());
        }
    }
}

macro_rules! targets {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            try_all(stringify!($name));
        })*

        /// A target without a test, or without a binary for cargo-fuzz, would be tried by nobody.
        #[test]
        fn every_target_is_tried() {
            let named: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
            assert_eq!(named, [$(stringify!($name)),*]);
            let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("libfuzzer/Cargo.toml");
            let manifest = fs::read_to_string(manifest).expect("the manifest");
            for name in named {
                assert!(manifest.contains(&format!("name = \"{name}\"")), "cargo-fuzz does not know {name}");
            }
        }
    };
}

targets! { batch csv manifest mark segment text wal_file wal_frame }

#[test]
fn kept_inputs_are_small() {
    let bytes: usize = TARGETS.iter().flat_map(inputs).map(|(_, bytes)| bytes.len()).sum();
    assert!(bytes <= CORPORA_BYTES_MAX, "{bytes} bytes; minimise them with cargo-fuzz cmin");
}
