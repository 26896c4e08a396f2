//! A bar on stderr, where that is a terminal.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use indicatif::{HumanCount, ProgressBar, ProgressStyle};

const REFRESH: Duration = Duration::from_millis(100);

/// Shows how much of some files is read, in bytes as they are stored.
pub struct Progress {
    /// Bytes read so far; whoever reads adds to it.
    pub done: Arc<AtomicU64>,
    bar: ProgressBar,
    /// Moves the bar on while its files are read.
    painter: Option<JoinHandle<()>>,
}

impl Progress {
    /// A bar for all of `files`; `what` is done with them.
    pub fn new<'a>(files: impl IntoIterator<Item = &'a PathBuf>, what: &'static str) -> Progress {
        let total = files.into_iter().map(|path| path.metadata().map_or(0, |metadata| metadata.len())).sum();
        let bar = if total > 0 { ProgressBar::new(total) } else { ProgressBar::hidden() };
        let template = "{prefix} {wide_bar} {bytes} of {total_bytes}  {msg}  left: {eta}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_prefix(what);
        let done = Arc::new(AtomicU64::new(0));
        let painter = (!bar.is_hidden()).then(|| paint(bar.clone(), done.clone())).flatten();
        Progress { done, bar, painter }
    }

    /// So many rows went on their way.
    pub fn rows(&self, rows: u64) {
        if !self.bar.is_hidden() {
            self.bar.set_message(format!("{} rows", HumanCount(rows)));
        }
    }

    /// Takes the bar away.
    pub fn finish(self) {}
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
        if let Some(painter) = self.painter.take() {
            painter.thread().unpark();
            // A bar that could not be painted is no reason to fail.
            let _ = painter.join();
        }
    }
}

/// Without the thread there is no bar, and nothing else is missing.
fn paint(bar: ProgressBar, done: Arc<AtomicU64>) -> Option<JoinHandle<()>> {
    let paint = move || {
        while !bar.is_finished() {
            bar.set_position(done.load(Ordering::Relaxed));
            std::thread::park_timeout(REFRESH);
        }
    };
    std::thread::Builder::new().name("progress".to_string()).spawn(paint).ok()
}
