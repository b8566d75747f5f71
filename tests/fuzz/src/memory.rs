//! Counts what is allocated, so that an input that makes a decoder grow is found.
//!
//! libFuzzer's own `-malloc_limit_mb` needs a sanitizer's allocator, which stable Rust has not; this does not.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn grown(by: usize) {
    let live = LIVE.fetch_add(by, Relaxed) + by;
    PEAK.fetch_max(live, Relaxed);
}

// SAFETY: hands every call on to the system's allocator unchanged; counting touches atomics only.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grown(layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        grown(layout.size());
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }

    /// Counted as a move: for a moment both may be there.
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        grown(size);
        let moved = unsafe { System.realloc(pointer, layout, size) };
        LIVE.fetch_sub(layout.size(), Relaxed);
        moved
    }
}

/// Runs `decode`; more than `bytes_max` allocated at once, beyond what was before, is a finding.
pub fn bounded<T>(bytes_max: usize, decode: impl FnOnce() -> T) -> T {
    let before = LIVE.load(Relaxed);
    PEAK.store(before, Relaxed);
    let decoded = decode();
    let taken = PEAK.load(Relaxed).saturating_sub(before);
    assert!(taken <= bytes_max, "decoding took {taken} bytes of memory, at most {bytes_max} are allowed");
    decoded
}

/// What decoding `bytes` of columns may take: an empty text is one byte there and 24 in memory, a growing list is there
/// twice while it moves, and serde reserves up to 1 MiB before it has seen the elements, at two levels of lists.
pub fn columns_max(bytes: usize) -> usize {
    (4 << 20) + 64 * bytes
}
