//! Softmax and cross entropy of rows of logits, in place.

use super::attention::{bend_with_slopes, multiply};
use super::lanes::{exp_sum, max};
use rayon::prelude::*;

/// logits [c, v], targets [c], weights [c] -> Σ weight · -log p(target), in f64.
///
/// Under a `cap`, logits are bent to cap · tanh(logit / cap) before. With `gradient`, the logits become their own gradient, weight (p - onehot); without it they are spent.
pub fn in_place(
    logits: &mut [f32],
    targets: &[u32],
    weights: &[f32],
    cap: Option<f32>,
    gradient: bool,
) -> f64 {
    let v = logits.len() / targets.len().max(1);
    let losses: Vec<f64> = logits
        .par_chunks_exact_mut(v.max(1))
        .zip(targets.par_iter().zip(weights))
        .map(|(row, (target, weight))| capped_row_loss(row, *target as usize, *weight, cap, gradient))
        .collect();
    losses.iter().sum()
}

fn capped_row_loss(row: &mut [f32], target: usize, weight: f32, cap: Option<f32>, gradient: bool) -> f64 {
    let Some(cap) = cap else { return row_loss(row, target, weight, gradient) };
    let mut slopes = vec![0.0; row.len()];
    bend_with_slopes(row, &mut slopes, cap);
    let loss = row_loss(row, target, weight, gradient);
    multiply(row, &slopes);
    loss
}

vectorised! {
    fn row_loss<'a>(row: &'a mut [f32], target: usize, weight: f32, gradient: bool) -> f64 {
        let highest = max(row);
        let of_target = row[target] - highest;
        let total = exp_sum(row, highest);
        if gradient {
            let share = weight / total;
            for p in row.iter_mut() {
                *p *= share;
            }
            row[target] -= weight;
        }
        f64::from(weight) * (f64::from(total).ln() - f64::from(of_target))
    }
}
