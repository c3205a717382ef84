//! The flags by which a person stops, pauses or saves a job. Polled at each micro-step or data block.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

/// How often one who waits looks at the flags.
const POLL: Duration = Duration::from_millis(50);

const STOP: u8 = 1;
const PAUSE: u8 = 2;
const SAVE_NOW: u8 = 4;
const DISCARD: u8 = 8;

/// Shared between the one who asks and the job. Cloning shares the flags.
#[derive(Debug, Clone, Default)]
pub struct Control(Arc<AtomicU8>);

impl Control {
    pub fn new() -> Self {
        Self::default()
    }

    fn set(&self, flag: u8) {
        self.0.fetch_or(flag, Ordering::Relaxed);
    }

    fn has(&self, flag: u8) -> bool {
        self.0.load(Ordering::Relaxed) & flag != 0
    }

    /// Ends the job as soon as it can; what it has is kept (a run saves a checkpoint).
    pub fn stop(&self) {
        self.set(STOP);
    }

    /// Ends the job and throws its work away.
    pub fn discard(&self) {
        self.set(STOP | DISCARD);
    }

    pub fn pause(&self) {
        self.set(PAUSE);
    }

    pub fn resume(&self) {
        self.0.fetch_and(!PAUSE, Ordering::Relaxed);
    }

    /// Returns when the job is not paused, or shall end.
    pub fn wait_while_paused(&self) {
        while self.is_paused() && !self.is_stopped() {
            std::thread::sleep(POLL);
        }
    }

    /// Asks a run for a checkpoint after the update in progress.
    pub fn save_now(&self) {
        self.set(SAVE_NOW);
    }

    pub fn is_stopped(&self) -> bool {
        self.has(STOP)
    }

    pub fn is_discarded(&self) -> bool {
        self.has(DISCARD)
    }

    pub fn is_paused(&self) -> bool {
        self.has(PAUSE)
    }

    /// Whether a checkpoint was asked for; asking is answered once.
    pub fn take_save_now(&self) -> bool {
        self.0.fetch_and(!SAVE_NOW, Ordering::Relaxed) & SAVE_NOW != 0
    }
}
