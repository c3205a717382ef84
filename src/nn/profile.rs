//! Where the time of an update goes: seconds by operation, forward and backward, while somebody wants to know.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Instant;

/// What one operation cost.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Cost {
    pub forward_secs: f64,
    pub backward_secs: f64,
    /// Forward calls.
    pub num_calls: u64,
}

thread_local! {
    /// `None` when nobody measures. An operation runs on the thread that asked for it, whatever threads help it.
    static COSTS: RefCell<Option<BTreeMap<&'static str, Cost>>> = const { RefCell::new(None) };
}

/// Measures the operations of this thread while `work` runs.
pub fn measured<R>(work: impl FnOnce() -> R) -> (R, BTreeMap<&'static str, Cost>) {
    COSTS.with_borrow_mut(|costs| *costs = Some(BTreeMap::new()));
    let result = work();
    (result, COSTS.with_borrow_mut(Option::take).unwrap_or_default())
}

/// Until it is dropped, time counts for an operation.
pub struct Span {
    name: &'static str,
    is_backward: bool,
    started: Option<Instant>,
}

fn span(name: &'static str, is_backward: bool) -> Span {
    let started = COSTS.with_borrow(|costs| costs.as_ref().map(|_| Instant::now()));
    Span { name, is_backward, started }
}

pub(super) fn forward(name: &'static str) -> Span {
    span(name, false)
}

pub(super) fn backward(name: &'static str) -> Span {
    span(name, true)
}

impl Drop for Span {
    fn drop(&mut self) {
        let Some(started) = self.started else { return };
        let secs = started.elapsed().as_secs_f64();
        COSTS.with_borrow_mut(|costs| {
            let Some(costs) = costs else { return };
            let cost = costs.entry(self.name).or_default();
            if self.is_backward {
                cost.backward_secs += secs;
            } else {
                cost.forward_secs += secs;
                cost.num_calls += 1;
            }
        });
    }
}
