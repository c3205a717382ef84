//! The class of a text, or several: cross entropy of what a head of the model says of each sample.

use super::{LossSum, Made, Objective};
use crate::data::{Batch, Goal};
use crate::model::ModelError;
use crate::model::error::During;
use crate::nn::ops::{Judgement, Reference, judged};

/// Cross entropy over the classes, or over each class by itself where a text may have several.
#[derive(Debug, Clone, PartialEq)]
pub struct Classification {
    /// Which of the model's heads says it.
    pub head: usize,
    /// How much the loss of a text of each class counts; none where all count as much.
    pub weights: Vec<f32>,
}

impl Classification {
    /// How much each text of a micro-batch counts.
    fn weights(&self, batch: &Batch) -> Vec<f32> {
        let weight = |goal: &Goal| match goal {
            Goal::Class(class) => self.weights.get(*class as usize).copied().unwrap_or(1.0),
            _ => 1.0,
        };
        batch.goals.iter().map(weight).collect()
    }
}

impl Objective for Classification {
    fn reads_prompt(&self) -> bool {
        true
    }

    fn weighs_tokens(&self) -> bool {
        false
    }

    fn weight(&self, batch: &Batch) -> f64 {
        self.weights(batch).iter().map(|weight| f64::from(*weight)).sum()
    }

    fn loss(&self, made: Made, _reference: Option<&Reference>) -> Result<LossSum, ModelError> {
        let scores = made.scores(self.head)?;
        let goals = &made.batch.goals;
        let weights = self.weights(made.batch);
        let judge = |numbers: &[f32], width| Ok(cross_entropy(numbers, width, goals, &weights));
        let (node, sum) = judged(made.tape, &scores, judge).during("classification loss")?;
        Ok(LossSum { node, sum, divergence: 0.0, weight: self.weight(made.batch) })
    }

    /// The probability of each class.
    fn outputs(&self, made: Made) -> Result<Vec<Vec<f32>>, ModelError> {
        let rows: Vec<Vec<f32>> = made.scores(self.head)?.value().to_vec2().during("read the scores")?;
        let probabilities = |(mut row, goal): (Vec<f32>, &Goal)| {
            match goal {
                Goal::Classes(_) => row.iter_mut().for_each(|x| *x = sigmoid(*x)),
                _ => {
                    softmax(&mut row);
                }
            }
            row
        };
        Ok(rows.into_iter().zip(&made.batch.goals).map(probabilities).collect())
    }
}

pub(super) fn softmax(row: &mut [f32]) -> f32 {
    let most = row.iter().copied().fold(f32::MIN, f32::max);
    row.iter_mut().for_each(|x| *x = (*x - most).exp());
    let sum: f32 = row.iter().sum();
    row.iter_mut().for_each(|x| *x /= sum);
    most + sum.ln()
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

/// Σ weight · loss over rows of `width` scores: `-log softmax(scores)[class]`, or the mean over the classes of
/// `-log sigmoid(±score)`, + where the text is of the class.
fn cross_entropy(scores: &[f32], width: usize, goals: &[Goal], weights: &[f32]) -> Judgement {
    let mut gradient = scores.to_vec();
    let mut sum = 0.0;
    for ((row, goal), weight) in gradient.chunks_exact_mut(width).zip(goals).zip(weights) {
        match goal {
            Goal::Class(class) => {
                let of_class = row[*class as usize];
                let log_sum = softmax(row);
                sum += f64::from(weight * (log_sum - of_class));
                row[*class as usize] -= 1.0;
                row.iter_mut().for_each(|x| *x *= weight);
            }
            Goal::Classes(classes) => {
                let share = weight / width as f32;
                for (class, x) in row.iter_mut().enumerate() {
                    let is_of = classes.binary_search(&(class as u32)).is_ok();
                    // log(1 + e^x) without an overflow.
                    let of_none = x.max(0.0) + (-x.abs()).exp().ln_1p();
                    sum += f64::from(share * if is_of { of_none - *x } else { of_none });
                    *x = share * (sigmoid(*x) - if is_of { 1.0 } else { 0.0 });
                }
            }
            Goal::None | Goal::Score(_) => row.fill(0.0),
        }
    }
    Judgement { sum, gradient }
}

#[cfg(test)]
mod tests {
    use super::super::finite::holds;
    use super::*;

    #[test]
    fn gradients_match_finite_differences() {
        let x = [0.3, -1.2, 2.0, 0.1, 0.7, -0.4];
        let goals = [Goal::Class(2), Goal::Class(0)];
        holds(|x| cross_entropy(x, 3, &goals, &[1.0, 2.5]), &x);
        let several = [Goal::Classes(vec![0, 2]), Goal::Classes(Vec::new())];
        holds(|x| cross_entropy(x, 3, &several, &[1.0, 1.0]), &x);
    }

    /// torch.nn.functional: cross_entropy with weight [1, 2, 0.5], sum; binary_cross_entropy_with_logits, mean over classes.
    #[test]
    fn losses_are_torchs() {
        let x = [1.0, 2.0, -1.0];
        let one = cross_entropy(&x, 3, &[Goal::Class(1)], &[2.0]);
        assert!((one.sum - 2.0 * 0.349_012_2).abs() < 1e-6, "{}", one.sum);
        let several = cross_entropy(&x, 3, &[Goal::Classes(vec![0])], &[1.0]);
        assert!(
            (several.sum - (0.313_261_7 + 2.126_928_0 + 0.313_261_7) / 3.0).abs() < 1e-6,
            "{}",
            several.sum
        );
        assert!(cross_entropy(&[1e4, -1e4], 2, &[Goal::Classes(vec![1])], &[1.0]).sum.is_finite());
    }
}
