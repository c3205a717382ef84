//! Where the time of an update goes, in the words of a run's events.

use crate::nn::profile::Cost;
use crate::project::event::OperationCost;
use std::collections::BTreeMap;

/// Whether an update is measured. The second one, so that a short run has something to show (the first still warms up); then seldom
/// enough for the file of metrics to stay small.
pub fn is_due(update: u64) -> bool {
    update == 2 || update.is_multiple_of(if update < 1000 { 10 } else { 100 })
}

/// What was measured over `updates`, for each of them; the costliest first.
pub fn operations(costs: BTreeMap<&'static str, Cost>, updates: u64) -> Vec<OperationCost> {
    let per_update = 1.0 / updates as f64;
    let mut all: Vec<OperationCost> = costs
        .into_iter()
        .map(|(operation, cost)| OperationCost {
            operation: operation.into(),
            forward_secs: cost.forward_secs * per_update,
            backward_secs: cost.backward_secs * per_update,
            calls: cost.num_calls / updates,
        })
        .collect();
    all.sort_by(|a, b| b.secs().total_cmp(&a.secs()));
    all
}
