//! One AdamW update in one pass over the numbers, in place.

use super::TASK_NUMBERS;
use rayon::prelude::*;

/// What is the same for all numbers of one update.
#[derive(Debug, Clone, Copy)]
pub struct Factors {
    pub beta1: f32,
    pub beta2: f32,
    pub epsilon: f32,
    /// 1 - η λ
    pub keep: f32,
    /// η / (1 - β₁ᵗ)
    pub rate: f32,
    /// 1 / (1 - β₂ᵗ)
    pub unbias: f32,
    /// Of the gradient, before anything else.
    pub scale: f32,
}

/// m = β₁ m + (1 - β₁) g;  v = β₂ v + (1 - β₂) g²;  θ = (1 - η λ) θ - η / (1 - β₁ᵗ) · m / (sqrt(v / (1 - β₂ᵗ)) + ε).
pub fn step(values: &mut [f32], first: &mut [f32], second: &mut [f32], gradient: &[f32], factors: Factors) {
    let tasks = values
        .par_chunks_mut(TASK_NUMBERS)
        .zip(first.par_chunks_mut(TASK_NUMBERS))
        .zip(second.par_chunks_mut(TASK_NUMBERS).zip(gradient.par_chunks(TASK_NUMBERS)));
    tasks.for_each(|((values, first), (second, gradient))| {
        step_task(values, first, second, gradient, factors);
    });
}

vectorised! {
    fn step_task<'a>(
        values: &'a mut [f32],
        first: &'a mut [f32],
        second: &'a mut [f32],
        gradient: &'a [f32],
        factors: Factors,
    ) -> () {
        let Factors { beta1, beta2, epsilon, keep, rate, unbias, scale } = factors;
        let numbers = values.iter_mut().zip(first).zip(second.iter_mut().zip(gradient));
        for ((value, m), (v, gradient)) in numbers {
            let g = gradient * scale;
            *m = beta1 * *m + (1.0 - beta1) * g;
            *v = beta2 * *v + (1.0 - beta2) * g * g;
            *value = *value * keep - rate * *m / ((*v * unbias).sqrt() + epsilon);
        }
    }
}
