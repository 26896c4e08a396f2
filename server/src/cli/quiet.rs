//! Panics that are expected and caught must not be printed.

use std::cell::Cell;
use std::sync::Once;

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}
static HOOK: Once = Once::new();

/// Runs `step`, and prints no panic of it that happens on this thread.
pub fn quietly<T>(step: impl FnOnce() -> T) -> T {
    HOOK.call_once(|| {
        let loud = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !QUIET.get() {
                loud(panic);
            }
        }));
    });
    let before = QUIET.replace(true);
    let result = step();
    QUIET.set(before);
    result
}
