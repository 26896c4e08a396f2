//! The engine's threads: one commits, one flushes, one merges. They only call steps.

#![expect(clippy::disallowed_methods, reason = "this module alone spawns threads")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::engine::Shared;

/// An idle log is marked after this time.
const IDLE: Duration = Duration::from_millis(100);
/// How often the planner is asked.
const JOB_TICK: Duration = Duration::from_millis(100);
/// How often the planner is asked for a merge.
const MERGE_TICK: Duration = Duration::from_secs(1);
/// How long merges rest after a failure: what they read may be damaged, or the disk full.
const MERGE_REST: Duration = Duration::from_secs(60);
/// How long jobs rest after a failure.
const JOB_REST: Duration = Duration::from_secs(2);

/// The running threads.
pub(crate) struct Runtime {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Runtime {
    pub fn start(shared: &Arc<Shared>) -> Runtime {
        let stop = Arc::new(AtomicBool::new(false));
        let mut threads = Vec::new();
        for (name, body) in [("commit", commit as fn(&Shared, &AtomicBool)), ("jobs", jobs), ("merge", merges)] {
            let (shared, stop) = (Arc::clone(shared), Arc::clone(&stop));
            let thread = thread::Builder::new().name(format!("tagus-{name}")).spawn(move || body(&shared, &stop));
            threads.push(thread.expect("a process that cannot start two threads cannot serve"));
        }
        Runtime { stop, threads }
    }

    pub fn stop(self, shared: &Shared) {
        self.stop.store(true, Relaxed);
        shared.queue.close();
        for thread in self.threads {
            thread.thread().unpark();
            if thread.join().is_err() {
                tracing::error!("an engine thread ended by a panic");
            }
        }
    }
}

fn commit(shared: &Shared, stop: &AtomicBool) {
    loop {
        if shared.commit_step() {
            continue;
        }
        if stop.load(Relaxed) {
            return;
        }
        if !shared.queue.wait(IDLE) {
            shared.mark_idle();
        }
    }
}

fn jobs(shared: &Shared, stop: &AtomicBool) {
    while !stop.load(Relaxed) {
        match shared.job_step() {
            Ok(true) => {}
            Ok(false) => thread::park_timeout(JOB_TICK),
            Err(_) => thread::park_timeout(JOB_REST),
        }
    }
}

fn merges(shared: &Shared, stop: &AtomicBool) {
    while !stop.load(Relaxed) {
        match shared.merge_step(false) {
            Ok(true) => {}
            Ok(false) => thread::park_timeout(MERGE_TICK),
            Err(error) => {
                tracing::warn!("{error}");
                thread::park_timeout(MERGE_REST);
            }
        }
    }
}
