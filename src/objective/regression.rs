//! The number that belongs to a text.

use super::classification::softmax;
use super::{LossSum, Made, Objective};
use crate::data::{Batch, Goal};
use crate::model::ModelError;
use crate::model::error::During;
use crate::nn::ops::{Judgement, Reference, judged};

/// How far a predicted number is from the right one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Distance {
    /// The square of the difference.
    Square,
    /// Half the square up to a difference of 1, and what goes on straight from there (Huber 1964).
    Huber,
    /// Cross entropy over steps between the least and the greatest number: the two steps next to the right number share its weight. What is
    /// predicted is the mean of the steps.
    Steps { low: f64, high: f64 },
}

/// Steps of [`Distance::Steps`].
pub const NUM_STEPS: usize = 9;

/// Regression by one head of the model, of one number or, in steps, of several.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Regression {
    /// Which of the model's heads says it.
    pub head: usize,
    pub distance: Distance,
}

impl Objective for Regression {
    fn reads_prompt(&self) -> bool {
        true
    }

    fn weighs_tokens(&self) -> bool {
        false
    }

    fn weight(&self, batch: &Batch) -> f64 {
        batch.goals.len() as f64
    }

    fn loss(&self, made: Made, _reference: Option<&Reference>) -> Result<LossSum, ModelError> {
        let scores = made.scores(self.head)?;
        let goals: Vec<f32> = made.batch.goals.iter().map(number).collect();
        let judge = |numbers: &[f32], width| Ok(self.distance.judge(numbers, width, &goals));
        let (node, sum) = judged(made.tape, &scores, judge).during("regression loss")?;
        Ok(LossSum { node, sum, divergence: 0.0, weight: self.weight(made.batch) })
    }

    /// The predicted number.
    fn outputs(&self, made: Made) -> Result<Vec<Vec<f32>>, ModelError> {
        let rows: Vec<Vec<f32>> = made.scores(self.head)?.value().to_vec2().during("read the scores")?;
        Ok(rows.into_iter().map(|row| vec![self.distance.predicted(row)]).collect())
    }
}

fn number(goal: &Goal) -> f32 {
    if let Goal::Score(score) = goal { *score } else { 0.0 }
}

impl Distance {
    /// Σ loss over rows of `width` scores.
    fn judge(self, scores: &[f32], width: usize, goals: &[f32]) -> Judgement {
        let mut gradient = scores.to_vec();
        let mut sum = 0.0;
        for (row, goal) in gradient.chunks_exact_mut(width).zip(goals) {
            let off = row[0] - goal;
            match self {
                Self::Square => {
                    sum += f64::from(off * off);
                    row[0] = 2.0 * off;
                }
                Self::Huber if off.abs() <= 1.0 => {
                    sum += f64::from(off * off / 2.0);
                    row[0] = off;
                }
                Self::Huber => {
                    sum += f64::from(off.abs() - 0.5);
                    row[0] = off.signum();
                }
                Self::Steps { low, high } => {
                    let before = row.to_vec();
                    let log_sum = softmax(row);
                    for (step, share) in shares(*goal, low, high) {
                        sum += f64::from(share * (log_sum - before[step]));
                        row[step] -= share;
                    }
                }
            }
        }
        Judgement { sum, gradient }
    }

    fn predicted(self, mut row: Vec<f32>) -> f32 {
        let Self::Steps { low, high } = self else { return row[0] };
        softmax(&mut row);
        let at = |step: usize| (low + (high - low) * step as f64 / (NUM_STEPS - 1) as f64) as f32;
        row.iter().enumerate().map(|(step, share)| share * at(step)).sum()
    }
}

/// The steps beside a number, with the shares that make it their mean.
fn shares(number: f32, low: f64, high: f64) -> [(usize, f32); 2] {
    let width = (high - low).max(f64::MIN_POSITIVE);
    let place =
        ((f64::from(number) - low) / width * (NUM_STEPS - 1) as f64).clamp(0.0, (NUM_STEPS - 1) as f64);
    let below = (place.floor() as usize).min(NUM_STEPS - 2);
    let share = (place - below as f64) as f32;
    [(below, 1.0 - share), (below + 1, share)]
}

#[cfg(test)]
mod tests {
    use super::super::finite::holds;
    use super::*;

    #[test]
    fn gradients_match_finite_differences() {
        for distance in [Distance::Square, Distance::Huber] {
            holds(|x| distance.judge(x, 1, &[0.5, -2.0, 1.0]), &[0.1, 1.3, 1.8]);
        }
        let steps = Distance::Steps { low: -4.0, high: 4.0 };
        let x: Vec<f32> = (0..18).map(|i| (i * 7 % 5) as f32 * 0.4 - 0.7).collect();
        holds(|x| steps.judge(x, NUM_STEPS, &[0.3, 4.0]), &x);
    }

    #[test]
    fn a_number_is_the_mean_of_its_steps() {
        let at = |step: usize| -4.0 + step as f32;
        for number in [-4.0, -3.75, 0.0, 1.1, 4.0] {
            let mean: f32 = shares(number, -4.0, 4.0).iter().map(|(step, share)| share * at(*step)).sum();
            assert!((mean - number).abs() < 1e-5);
        }
        // One step alone is predicted as where it stands.
        let mut row = vec![-50.0; NUM_STEPS];
        row[6] = 50.0;
        assert!((Distance::Steps { low: -4.0, high: 4.0 }.predicted(row) - 2.0).abs() < 1e-5);
    }
}
