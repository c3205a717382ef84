//! Softmax and cross entropy of rows of logits, in place; and how far they are from the softmax of others.

use super::attention::rows::{bend, bend_with_slopes, multiply};
use super::lanes::{exp_sum, exp_sums, max};
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
        .map(|(row, (target, weight))| {
            capped(row, cap, |row| row_loss(row, *target as usize, *weight, gradient))
        })
        .collect();
    losses.iter().sum()
}

/// Other logits for the same rows.
pub struct Others<'a> {
    /// [c, v]; they are spent.
    pub logits: &'a mut [f32],
    /// Factor of the divergence of each row, [c].
    pub weights: &'a [f32],
    pub cap: Option<f32>,
}

/// As [`in_place`]; gives Σ weight · KL(q || p) besides, q being the softmax of the other logits. To the gradient comes
/// weight (p - q), of the other weight.
pub fn in_place_near(
    logits: &mut [f32],
    others: &mut Others,
    targets: &[u32],
    weights: &[f32],
    cap: Option<f32>,
    gradient: bool,
) -> (f64, f64) {
    let v = (logits.len() / targets.len().max(1)).max(1);
    let Others { logits: others, weights: nearness, cap: their_cap } = others;
    let sums: Vec<(f64, f64)> = logits
        .par_chunks_exact_mut(v)
        .zip(others.par_chunks_exact_mut(v))
        .enumerate()
        .map(|(i, (row, other))| {
            if let Some(cap) = *their_cap {
                bend(other, cap);
            }
            let weights = [weights[i], nearness[i]];
            capped(row, cap, |row| row_losses(row, other, targets[i] as usize, weights, gradient))
        })
        .collect();
    sums.iter().fold((0.0, 0.0), |sum, row| (sum.0 + row.0, sum.1 + row.1))
}

/// Runs `of_row` on a row bent below a cap, and makes the gradient that it leaves one of the row as it was.
fn capped<R>(row: &mut [f32], cap: Option<f32>, of_row: impl FnOnce(&mut [f32]) -> R) -> R {
    let Some(cap) = cap else { return of_row(row) };
    let mut slopes = vec![0.0; row.len()];
    bend_with_slopes(row, &mut slopes, cap);
    let made = of_row(row);
    multiply(row, &slopes);
    made
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

vectorised! {
    /// KL(q || p) = Σ qᵢ dᵢ - log Σ e^bᵢ + log Σ e^zᵢ, where z and b are the logits of p and q less their largest, and d = b - z: so
    /// that it is 0 to the last bit where they are the same.
    fn row_losses<'a>(
        row: &'a mut [f32],
        other: &'a mut [f32],
        target: usize,
        weights: [f32; 2],
        gradient: bool,
    ) -> (f64, f64) {
        let (highest, their_highest) = (max(row), max(other));
        for (z, b) in row.iter_mut().zip(other.iter_mut()) {
            *z -= highest;
            *b = *b - their_highest - *z;
        }
        let of_target = row[target];
        let (their_total, dot) = exp_sums(other, row);
        let total = exp_sum(row, 0.0);
        let [weight, nearness] = weights;
        if gradient {
            let (share, their_share) = ((weight + nearness) / total, nearness / their_total);
            for (p, q) in row.iter_mut().zip(other.iter()) {
                *p = *p * share - *q * their_share;
            }
            row[target] -= weight;
        }
        let (total, their_total) = (f64::from(total), f64::from(their_total));
        let loss = total.ln() - f64::from(of_target);
        let divergence = f64::from(dot) / their_total - their_total.ln() + total.ln();
        (f64::from(weight) * loss, f64::from(nearness) * divergence)
    }
}
