//! When to stop because nothing gets better any more, and which update was the best.

use crate::recipe::recipe::BestBy;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The best validation so far and how long nothing beat it. Part of every checkpoint.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    pub best: Option<Best>,
    /// Validations in a row without gain.
    pub without_gain: u32,
    /// The loss of each of several tasks when it was first validated.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub first: BTreeMap<String, f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Best {
    pub update: u64,
    #[serde(flatten)]
    pub found: Found,
}

/// What a validation found.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Found {
    pub loss: f64,
    /// What it is judged by, where that is not the loss.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beside_first: Option<f64>,
}

/// The validation loss of a task, and how much the task weighs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TaskLoss<'a> {
    pub task: &'a str,
    pub weight: f64,
    pub loss: f64,
}

/// A first loss that is smaller counts as this much, or what is learnt already would count for more than all else.
const LEAST_FIRST: f64 = 0.01;

impl Found {
    /// Of one task its loss, of several what `best_by` says. A loss that is not finite makes any mean so: a task that broke would else be
    /// hidden by the others. `first` is filled in by the first validation.
    pub fn of(losses: &[TaskLoss], best_by: &BestBy, first: &mut BTreeMap<String, f64>) -> Self {
        let weights: f64 = losses.iter().map(|of| of.weight).sum();
        let loss = losses.iter().map(|of| of.weight * of.loss).sum::<f64>() / weights;
        let mut found = Self { loss, beside_first: None };
        match best_by {
            _ if losses.len() < 2 || !loss.is_finite() => {}
            BestBy::Weighted => {}
            BestBy::Task(wanted) => {
                found.loss = losses.iter().find(|of| of.task == wanted).map_or(f64::NAN, |of| of.loss);
            }
            BestBy::Mean => {
                let mut beside = |of: &TaskLoss| {
                    of.loss / *first.entry(of.task.into()).or_insert(of.loss.max(LEAST_FIRST))
                };
                found.beside_first = Some(losses.iter().map(&mut beside).sum::<f64>() / losses.len() as f64);
            }
        }
        found
    }

    /// What is to become small.
    pub fn measure(self) -> f64 {
        self.beside_first.unwrap_or(self.loss)
    }
}

/// Stop after `patience` validations in a row that gained less than `min_gain`; `None` never stops.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Policy {
    pub patience: Option<u32>,
    pub min_gain: f64,
}

impl Policy {
    /// Takes in one validation; whether it is the best so far.
    pub fn judge(&self, progress: &mut Progress, update: u64, found: Found) -> bool {
        let gain = progress.best.map_or(f64::INFINITY, |best| best.found.measure() - found.measure());
        let is_best = gain > 0.0;
        if is_best {
            progress.best = Some(Best { update, found });
        }
        if gain > self.min_gain {
            progress.without_gain = 0;
        } else {
            progress.without_gain += 1;
        }
        is_best
    }

    /// Whether patience is used up.
    pub fn is_over(&self, progress: &Progress) -> bool {
        self.patience.is_some_and(|patience| progress.without_gain >= patience)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both(a: f64, b: f64) -> [TaskLoss<'static>; 2] {
        [TaskLoss { task: "a", weight: 1.0, loss: a }, TaskLoss { task: "b", weight: 3.0, loss: b }]
    }

    #[test]
    fn several_tasks_are_judged_as_chosen() {
        let mut first = BTreeMap::new();
        let by = |of: &BestBy| Found::of(&both(2.0, 4.0), of, &mut BTreeMap::new());
        assert_eq!(by(&BestBy::Weighted), Found { loss: 3.5, beside_first: None });
        assert_eq!(by(&BestBy::Task("b".into())).measure(), 4.0);
        assert!(by(&BestBy::Task("c".into())).measure().is_nan());
        // 400 to 300 of squares of points counts as much as 2 to 1.5 nats; what was learnt already does not outweigh all else.
        let mut of = |a, b| Found::of(&both(a, b), &BestBy::Mean, &mut first).measure();
        assert_eq!([of(2.0, 400.0), of(1.5, 400.0), of(2.0, 300.0)], [1.0, 0.875, 0.875]);
        assert!(of(f64::NAN, 1.0).is_nan());
        assert_eq!(first, BTreeMap::from([("a".into(), 2.0), ("b".into(), 400.0)]));
        let mut known = BTreeMap::new();
        Found::of(&both(0.0, 1.0), &BestBy::Mean, &mut known);
        assert_eq!(Found::of(&both(0.02, 1.0), &BestBy::Mean, &mut known).measure(), 1.5);
        // One task is judged by its loss, whatever is chosen.
        let one = Found::of(&both(2.0, 4.0)[..1], &BestBy::Mean, &mut known);
        assert_eq!(one, Found { loss: 2.0, beside_first: None });
    }

    #[test]
    fn stops_after_patience_and_keeps_the_best() {
        // losses, patience, min_gain, stops at validation, best update
        type Case = (&'static [f64], Option<u32>, f64, Option<usize>, u64);
        let cases: [Case; 5] = [
            (&[3.0, 2.0, 1.0], Some(2), 0.0, None, 2),
            (&[3.0, 3.1, 3.2], Some(2), 0.0, Some(2), 0),
            (&[3.0, 2.9999, 2.9998], Some(2), 0.01, Some(2), 2),
            (&[3.0, 3.5, 2.0, 2.5], Some(2), 0.0, None, 2),
            (&[1.0, 2.0, 3.0, 4.0], None, 0.0, None, 0),
        ];
        for (losses, patience, min_gain, stop, best) in cases {
            let policy = Policy { patience, min_gain };
            let mut progress = Progress::default();
            let mut stopped = None;
            for (i, loss) in losses.iter().enumerate() {
                policy.judge(&mut progress, i as u64, Found { loss: *loss, beside_first: None });
                if policy.is_over(&progress) {
                    stopped = Some(i);
                    break;
                }
            }
            assert_eq!(stopped, stop, "{losses:?}");
            assert_eq!(progress.best.map(|b| b.update), Some(best), "{losses:?}");
        }
    }
}
