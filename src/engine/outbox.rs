//! The one way out: a bounded channel, and a nudge to whoever reads it.

use super::event::{Event, EventKind, Urgency};
use crate::project::RunEvent;
use crossbeam_channel::{SendTimeoutError, Sender, TrySendError};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Events that wait to be read before lanes have to wait.
pub(super) const CAPACITY: usize = 1024;

/// How often a lane that waits for room looks whether the engine closes.
const LOOK_AROUND: Duration = Duration::from_millis(20);

/// Called after each event, so that the reader wakes up as soon as the event asks for.
pub type Waker = Arc<dyn Fn(Urgency) + Send + Sync>;

pub(super) struct Outbox {
    sender: Sender<Event>,
    waker: Waker,
    closing: AtomicBool,
    /// Events of those who must not wait, for which there was no room; a lane sends them on.
    late: Mutex<Vec<Event>>,
}

impl Outbox {
    pub fn new(sender: Sender<Event>, waker: Waker) -> Self {
        Self { sender, waker, closing: AtomicBool::new(false), late: Mutex::default() }
    }

    /// From now on nobody waits for room.
    pub fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }

    pub fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }

    /// Sends from a lane: waits for room, unless the event is one of many like it.
    pub fn send(&self, event: Event) {
        // The reader was woken for the late ones before they came.
        let urgency = if self.send_late() { Urgency::Now } else { event.kind.urgency() };
        if may_be_lost(&event.kind) || self.is_closing() {
            let _lost_when_full = self.sender.try_send(event);
        } else {
            self.wait_and_send(event);
        }
        (self.waker)(urgency);
    }

    /// Sends from a thread that must not wait.
    pub fn send_without_waiting(&self, event: Event) {
        if let Err(TrySendError::Full(event)) = self.sender.try_send(event) {
            self.late.lock().unwrap_or_else(PoisonError::into_inner).push(event);
        }
        (self.waker)(Urgency::Now);
    }

    /// Whether there were any.
    fn send_late(&self) -> bool {
        let late = std::mem::take(&mut *self.late.lock().unwrap_or_else(PoisonError::into_inner));
        let is_any = !late.is_empty();
        for event in late {
            self.wait_and_send(event);
        }
        is_any
    }

    fn wait_and_send(&self, mut event: Event) {
        loop {
            match self.sender.send_timeout(event, LOOK_AROUND) {
                Ok(()) | Err(SendTimeoutError::Disconnected(_)) => return,
                Err(SendTimeoutError::Timeout(_)) if self.is_closing() => return,
                Err(SendTimeoutError::Timeout(back)) => event = back,
            }
            // The reader may have slept through the event that filled the channel.
            (self.waker)(Urgency::Now);
        }
    }
}

/// Metrics of single updates are on disk, and progress is soon followed by more.
fn may_be_lost(kind: &EventKind) -> bool {
    match kind {
        EventKind::Run { event, .. } => {
            matches!(event, RunEvent::Update { .. } | RunEvent::Profile { .. })
        }
        kind => matches!(kind, EventKind::Progress { .. }),
    }
}
