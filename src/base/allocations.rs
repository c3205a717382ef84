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
}

/// An allocator that counts what another one is asked for. Make it the global one for [`so_far`] to say anything.
pub struct Counted<A>(pub A);

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

fn count(size: usize) {
    NUM.fetch_add(1, Relaxed);
    BYTES.fetch_add(size as u64, Relaxed);
    if size >= LARGE_BYTES {
        // A thread that ends may ask for memory after its counter is gone.
        LARGE.try_with(|bytes| bytes.set(bytes.get() + size)).ok();
    }
}

// SAFETY: all work is the inner allocator's.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Counted<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        unsafe { self.0.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        unsafe { self.0.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size);
        unsafe { self.0.realloc(block, layout, size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        unsafe { self.0.dealloc(block, layout) }
    }
}
