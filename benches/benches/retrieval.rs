//! Samples a second through each aggregate, from memory and on one core.
//!
//! `cargo bench -p tagus-benches --bench retrieval`. A million samples at 1 Hz of which one in a
//! hundred is Bad and one in a hundred Uncertain, in minutes.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use tagus_engine::retrieval::{Aggregate, Answers, Grid, Machine, Plot, Processor, Rules, Samples, Simple};

const SECOND: i64 = 1_000_000_000;
const MINUTE: u64 = 60_000_000_000;
const COUNT: usize = 1_000_000;

struct History {
    times: Vec<i64>,
    values: Vec<f64>,
    statuses: Vec<u32>,
}

fn history() -> History {
    let status = |i: usize| match i * 7919 % 100 {
        0 => 0x8000_0000,
        1 => 0x4000_0000,
        _ => 0,
    };
    History {
        times: (0..COUNT as i64).map(|i| i * SECOND + i * 7919 % 20_000_000).collect(),
        values: (0..COUNT).map(|i| ((i as f64 / 500.0).sin() * 1000.0).round() / 10.0).collect(),
        statuses: (0..COUNT).map(status).collect(),
    }
}

fn retrieval(criterion: &mut Criterion) {
    let history = history();
    let samples = Samples { times: &history.times, values: &history.values, statuses: &history.statuses };
    let (first, last) = (history.times[0], history.times[COUNT - 1]);
    let (grid, span) = (Grid::new(first, last, MINUTE), Some((first, last)));
    let rules = Rules { treat_uncertain_as_bad: false, ..Rules::default() };
    let mut group = criterion.benchmark_group("retrieval");
    group.throughput(Throughput::Elements(COUNT as u64));
    for aggregate in Aggregate::all() {
        group.bench_function(aggregate.name(), |bench| {
            let new = || (Processor::new(aggregate, rules, grid, span), Answers::default());
            bench.iter_batched_ref(
                new,
                |(processor, out)| {
                    processor.feed(black_box(samples), 0, out, usize::MAX);
                    processor.finish(out, usize::MAX);
                },
                BatchSize::LargeInput,
            );
        });
    }
    group.bench_function("all that share a pass", |bench| {
        let simple: Vec<Aggregate> = Aggregate::all().filter(|a| a.machine() == Machine::Simple).collect();
        let out = vec![Answers::default(); simple.len()];
        let new = || (Simple::new(simple.clone(), rules, grid, span), out.clone());
        bench.iter_batched_ref(
            new,
            |(machine, out)| {
                machine.feed(black_box(samples), 0, out, usize::MAX);
                machine.finish(out, usize::MAX);
            },
            BatchSize::LargeInput,
        );
    });
    group.bench_function("plot of 1000 pixels", |bench| {
        bench.iter_batched_ref(
            || (Plot::new(first, last, 1000), Answers::default()),
            |(plot, out)| {
                plot.feed(black_box(samples), 0, out, usize::MAX);
                plot.finish(out);
            },
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

criterion_group!(benches, retrieval);
criterion_main!(benches);
