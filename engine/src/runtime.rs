//! The engine's threads: one commits, one flushes, one merges. They only call steps. A step that
//! panics ends all writing, as a failed write does: what it has left behind is not known.

#![expect(clippy::disallowed_methods, reason = "this module alone spawns threads")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::engine::Shared;
use crate::error::{Error, ErrorKind};

/// An idle log is marked after this time.
const IDLE: Duration = Duration::from_millis(100);
/// How often the planner is asked.
const JOB_TICK: Duration = Duration::from_millis(100);
/// How often the planner is asked for a merge.
const MERGE_TICK: Duration = Duration::from_secs(1);
/// How long merges rest after a failure: the disk may be full.
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
            threads.push(thread.expect("a process that cannot start three threads cannot serve"));
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
        if guarded(shared, "commit", || shared.commit_step()) == Some(true) {
            continue;
        }
        if stop.load(Relaxed) {
            return;
        }
        if !shared.queue.wait(IDLE) {
            guarded(shared, "commit", || shared.mark_idle());
        }
    }
}

fn jobs(shared: &Shared, stop: &AtomicBool) {
    while !stop.load(Relaxed) {
        match guarded(shared, "jobs", || shared.job_step()) {
            Some(Ok(true)) => {}
            Some(Ok(false)) | None => thread::park_timeout(JOB_TICK),
            Some(Err(error)) => {
                tracing::warn!("a flush failed: {error}");
                thread::park_timeout(JOB_REST);
            }
        }
    }
}

fn merges(shared: &Shared, stop: &AtomicBool) {
    while !stop.load(Relaxed) {
        // What is past its retention is deleted by a frame, and taken off the disk as merges are.
        let step = || {
            if let Err(error) = shared.retire_step() {
                tracing::warn!("retention is put off: {error}");
            }
            shared.merge_step(None)
        };
        match guarded(shared, "merge", step) {
            Some(Ok(true)) => {}
            Some(Ok(false)) => thread::park_timeout(MERGE_TICK),
            Some(Err(error)) if error.kind() == ErrorKind::Damaged => {
                tracing::warn!("a merge is given up, others go on: {error}");
                thread::park_timeout(MERGE_TICK);
            }
            Some(Err(error)) => {
                tracing::warn!("{error}");
                thread::park_timeout(MERGE_REST);
            }
            None => return,
        }
    }
}

/// What a step answers; none where it has panicked, which latches the engine.
fn guarded<T>(shared: &Shared, thread: &str, step: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(step))
        .map_err(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let why = text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("it does not say why");
            let what = format!("a step of the {thread} thread failed");
            shared.latch(&Error::new(ErrorKind::Io, what, why, "report this defect"));
        })
        .ok()
}
