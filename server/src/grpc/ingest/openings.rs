//! Which stream holds a source: a newer opening ends the older stream, also while that one is idle.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

/// The open sources.
#[derive(Clone, Default)]
pub struct Openings(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// Numbers the openings, so that a late end of an older one leaves a newer one alone.
    next: u64,
    held: HashMap<String, Held>,
}

struct Held {
    number: u64,
    end: watch::Sender<bool>,
}

/// One stream's hold on a source; given up when dropped.
pub struct Opening {
    openings: Openings,
    source: String,
    number: u64,
    end: watch::Receiver<bool>,
}

impl Openings {
    /// Takes a source over. A source without a name is nobody's: it is never taken over.
    pub fn take(&self, source: &str) -> Opening {
        let (sender, end) = watch::channel(false);
        let mut state = self.0.lock();
        let number = state.next;
        state.next += 1;
        // Without a name the sender is dropped, which `Opening::superseded` takes as never.
        if !source.is_empty()
            && let Some(older) = state.held.insert(source.to_owned(), Held { number, end: sender })
        {
            older.end.send_replace(true);
        }
        Opening { openings: self.clone(), source: source.to_owned(), number, end }
    }
}

impl Opening {
    /// Returns once a newer stream has opened the source.
    pub async fn superseded(&self) {
        let mut end = self.end.clone();
        if end.wait_for(|ended| *ended).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        let held = &mut self.openings.0.lock().held;
        if held.get(&self.source).is_some_and(|holder| holder.number == self.number) {
            held.remove(&self.source);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_newer_opening_ends_the_older_one_only() {
        let openings = Openings::default();
        let first = openings.take("a");
        let other = openings.take("b");
        assert!(first.superseded().now_or_never().is_none());
        let second = openings.take("a");
        first.superseded().await;
        drop(first);
        let third = openings.take("a");
        second.superseded().await;
        assert!(third.superseded().now_or_never().is_none());
        assert!(other.superseded().now_or_never().is_none());
        drop((second, third, other));
        assert!(openings.0.lock().held.is_empty());
    }

    #[tokio::test]
    async fn nameless_writers_do_not_meet() {
        let openings = Openings::default();
        let (first, second) = (openings.take(""), openings.take(""));
        assert!(first.superseded().now_or_never().is_none());
        assert!(second.superseded().now_or_never().is_none());
    }
}
