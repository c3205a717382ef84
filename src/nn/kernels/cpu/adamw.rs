//! One AdamW update in one pass over the numbers, in place.

use super::TASK_NUMBERS;
use crate::nn::kernels::updates;
use rayon::prelude::*;

/// [`updates::AdamW`] in f32, for one number after the other.
#[derive(Debug, Clone, Copy)]
pub(super) struct Factors {
    beta1: f32,
    beta2: f32,
    epsilon: f32,
    keep: f32,
    rate: f32,
    unbias: f32,
    scale: f32,
}

impl Factors {
    pub(super) fn new(of: updates::AdamW) -> Self {
        Self {
            beta1: of.beta1 as f32,
            beta2: of.beta2 as f32,
            epsilon: of.epsilon as f32,
            keep: of.keep as f32,
            rate: of.rate as f32,
            unbias: of.unbias as f32,
            scale: of.scale as f32,
        }
    }

    /// m = β₁ m + (1 - β₁) g;  v = β₂ v + (1 - β₂) g²;  θ = (1 - η λ) θ - η / (1 - β₁ᵗ) · m / (sqrt(v / (1 - β₂ᵗ)) + ε).
    #[inline(always)]
    pub(super) fn step(&self, value: &mut f32, m: &mut f32, v: &mut f32, gradient: f32) {
        let g = gradient * self.scale;
        *m = self.beta1 * *m + (1.0 - self.beta1) * g;
        *v = self.beta2 * *v + (1.0 - self.beta2) * g * g;
        *value = *value * self.keep - self.rate * *m / ((*v * self.unbias).sqrt() + self.epsilon);
    }
}

/// Values, first and second moments and gradient: [P] each.
pub fn step(
    values: &mut [f32],
    first: &mut [f32],
    second: &mut [f32],
    gradient: &[f32],
    update: updates::AdamW,
) {
    let factors = Factors::new(update);
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
        let numbers = values.iter_mut().zip(first).zip(second.iter_mut().zip(gradient));
        for ((value, m), (v, gradient)) in numbers {
            factors.step(value, m, v, *gradient);
        }
    }
}
