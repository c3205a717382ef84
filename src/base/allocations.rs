//! How much memory was asked for: a copy too many costs bandwidth and the height of memory, and nothing else shows it.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::ops::Sub;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Blocks from this size on are large.
const LARGE_BYTES: usize = 1 << 19;

static NUM: AtomicU64 = AtomicU64::new(0);
static BYTES: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static LARGE: Cell<usize> = const { Cell::new(0) };
    static LIVE: Cell<Live> = const { Cell::new(Live { bytes: 0, highest: 0 }) };
}

/// An allocator that counts what another one is asked for. Make it the global one for [`so_far`] to say anything.
pub struct Counted<A>(pub A);

/// Bytes that a thread asked for and did not give back, which are below zero for what it gives back for others; and
/// their height.
#[derive(Clone, Copy)]
struct Live {
    bytes: i64,
    highest: i64,
}

/// Blocks that were asked for, and their bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Allocations {
    pub num: u64,
    pub bytes: u64,
}

impl Sub for Allocations {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self { num: self.num - before.num, bytes: self.bytes - before.bytes }
    }
}

/// Of all threads since the start.
pub fn so_far() -> Allocations {
    Allocations { num: NUM.load(Relaxed), bytes: BYTES.load(Relaxed) }
}

/// Bytes of blocks of at least half a megabyte that this thread has asked for since it started.
pub fn large_bytes_of_this_thread() -> usize {
    LARGE.with(Cell::get)
}

/// What `run` gives, and the most bytes that it had at once above what this thread had before. Only what this thread
/// itself asks for and gives back counts.
pub fn height_of<R>(run: impl FnOnce() -> R) -> (u64, R) {
    let before = LIVE.get().bytes;
    LIVE.set(Live { bytes: before, highest: before });
    let result = run();
    (u64::try_from(LIVE.get().highest - before).unwrap_or(0), result)
}

fn count_live(asked_for: usize, given_back: usize) {
    // A thread that ends may ask for memory after its counter is gone.
    let counted = LIVE.try_with(|live| {
        let Live { bytes, highest } = live.get();
        let bytes = bytes + asked_for as i64 - given_back as i64;
        live.set(Live { bytes, highest: highest.max(bytes) });
    });
    counted.ok();
}

fn count(size: usize) {
    NUM.fetch_add(1, Relaxed);
    BYTES.fetch_add(size as u64, Relaxed);
    if size >= LARGE_BYTES {
        LARGE.try_with(|bytes| bytes.set(bytes.get() + size)).ok();
    }
}

// SAFETY: all work is the inner allocator's.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Counted<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        count_live(layout.size(), 0);
        unsafe { self.0.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        count_live(layout.size(), 0);
        unsafe { self.0.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size);
        count_live(size, layout.size());
        unsafe { self.0.realloc(block, layout, size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count_live(0, layout.size());
        unsafe { self.0.dealloc(block, layout) }
    }
}
