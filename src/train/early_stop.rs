//! When to stop because nothing gets better any more, and which update was the best.

use serde::{Deserialize, Serialize};

/// The best validation so far and how long nothing beat it. Part of every checkpoint.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    pub best: Option<Best>,
    /// Validations in a row without gain.
    pub without_gain: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Best {
    pub update: u64,
    pub loss: f64,
}

/// What a validation changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    pub is_best: bool,
    /// Patience is used up.
    pub is_over: bool,
}

/// Stop after `patience` validations in a row that gained less than `min_gain`; `None` never stops.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Policy {
    pub patience: Option<u32>,
    pub min_gain: f64,
}

impl Policy {
    /// Takes in the loss of one validation.
    pub fn judge(&self, progress: &mut Progress, update: u64, loss: f64) -> Verdict {
        let gain = progress.best.map_or(f64::INFINITY, |best| best.loss - loss);
        let is_best = gain > 0.0;
        if is_best {
            progress.best = Some(Best { update, loss });
        }
        if gain > self.min_gain {
            progress.without_gain = 0;
        } else {
            progress.without_gain += 1;
        }
        Verdict { is_best, is_over: self.patience.is_some_and(|p| progress.without_gain >= p) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
                if policy.judge(&mut progress, i as u64, *loss).is_over {
                    stopped = Some(i);
                    break;
                }
            }
            assert_eq!(stopped, stop, "{losses:?}");
            assert_eq!(progress.best.map(|b| b.update), Some(best), "{losses:?}");
        }
    }
}
