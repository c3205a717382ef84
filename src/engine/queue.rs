//! Commands that wait for their lane.

use super::{Command, JobId};
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// More waiting jobs than this are refused: nobody means that.
const CAPACITY: usize = 256;

#[derive(Default)]
struct State {
    waiting: VecDeque<(JobId, Command)>,
    is_closed: bool,
}

#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// False when the queue is full or closed.
    pub fn push(&self, id: JobId, command: Command) -> bool {
        let mut state = self.lock();
        let has_room = !state.is_closed && state.waiting.len() < CAPACITY;
        if has_room {
            state.waiting.push_back((id, command));
            self.changed.notify_one();
        }
        has_room
    }

    /// Waits for the next command; `None` once the queue is closed.
    pub fn pop(&self) -> Option<(JobId, Command)> {
        let mut state = self.lock();
        loop {
            if state.is_closed {
                return None;
            }
            if let Some(next) = state.waiting.pop_front() {
                return Some(next);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Takes a waiting job out; false when it is not waiting (any more).
    pub fn remove(&self, id: JobId) -> bool {
        let mut state = self.lock();
        let before = state.waiting.len();
        state.waiting.retain(|(waiting, _)| *waiting != id);
        state.waiting.len() < before
    }

    /// Forgets what waits and lets the lane end.
    pub fn close(&self) {
        let mut state = self.lock();
        state.is_closed = true;
        state.waiting.clear();
        self.changed.notify_all();
    }
}
