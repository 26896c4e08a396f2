//! Gives free memory back to the system: the C library keeps what is freed, and a server in little
//! memory would be ended for it.

use std::time::Duration;

/// How often the resident memory is looked at.
const TICK: Duration = Duration::from_millis(200);
/// Growth of the resident memory after which free memory is given back, in bytes.
const STEP: u64 = 16 << 20;

/// Looks after the memory of this process until the runtime ends.
pub async fn give_back() {
    give_large_ones_their_own_pages();
    let mut tick = tokio::time::interval(TICK);
    let mut least = resident();
    loop {
        tick.tick().await;
        let now = resident();
        least = least.min(now);
        if now > least + STEP {
            // It walks what is free, which takes a while where that is much.
            let _ = tokio::task::spawn_blocking(trim).await;
            least = resident();
        }
    }
}

/// Resident memory that is no file's, in bytes; 0 where the system does not say.
fn resident() -> u64 {
    const PAGE_BYTES: u64 = 4096;
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: Vec<u64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    match pages[..] {
        [_, resident, shared, ..] => resident.saturating_sub(shared) * PAGE_BYTES,
        _ => 0,
    }
}

#[cfg(target_env = "gnu")]
#[expect(unsafe_code, reason = "the C library offers it to C only")]
fn trim() {
    // SAFETY: malloc_trim takes a number and no pointer, locks what it walks, and releases only pages
    // that no allocation lies in; it may be called at any time from any thread.
    unsafe { libc::malloc_trim(0) };
}

#[cfg(not(target_env = "gnu"))]
fn trim() {}

/// Has the system take back at once what is freed of large allocations: the slabs of memtables, frames.
#[cfg(target_env = "gnu")]
#[expect(unsafe_code, reason = "the C library offers it to C only")]
fn give_large_ones_their_own_pages() {
    const BYTES: i32 = 512 << 10;
    // SAFETY: mallopt takes two numbers and no pointer, and locks what it changes. Without it the
    // library raises the bound with each such piece that is freed, up to 32 MiB.
    unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, BYTES) };
}

#[cfg(not(target_env = "gnu"))]
fn give_large_ones_their_own_pages() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_freed_is_resident_no_more() {
        // Small pieces between others that stay, as memtables leave them.
        let pieces: Vec<Vec<u8>> = (0..400_000).map(|i| vec![1; if i % 64 == 0 { 40 } else { 600 }]).collect();
        let full = resident();
        let kept: Vec<Vec<u8>> = pieces.into_iter().filter(|piece| piece.len() == 40).collect();
        trim();
        assert!(kept.len() == 6250 && resident() + (100 << 20) < full, "{} of {full} bytes", resident());
    }
}
