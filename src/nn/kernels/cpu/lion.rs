//! One Lion update in one pass over the numbers, in place.

use super::TASK_NUMBERS;
use crate::nn::kernels::updates;
use rayon::prelude::*;

/// Values, the mean of the gradients, and the gradient: [P] each.
pub fn step(values: &mut [f32], mean: &mut [f32], gradient: &[f32], update: updates::Lion) {
    let tasks = values.par_chunks_mut(TASK_NUMBERS).zip(mean.par_chunks_mut(TASK_NUMBERS));
    tasks.zip(gradient.par_chunks(TASK_NUMBERS)).for_each(|((values, mean), gradient)| {
        step_task(values, mean, gradient, update);
    });
}

vectorised! {
    fn step_task<'a>(values: &'a mut [f32], mean: &'a mut [f32], gradient: &'a [f32], update: updates::Lion) -> () {
        let [beta1, beta2] = [update.beta1 as f32, update.beta2 as f32];
        let [keep, rate, scale] = [update.keep as f32, update.rate as f32, update.scale as f32];
        for ((value, m), gradient) in values.iter_mut().zip(mean).zip(gradient) {
            let g = gradient * scale;
            let towards = beta1 * *m + (1.0 - beta1) * g;
            // signum gives 1 for 0, which shall stay where it is.
            let sign = if towards == 0.0 { 0.0 } else { towards.signum() };
            *value = *value * keep - rate * sign;
            *m = beta2 * *m + (1.0 - beta2) * g;
        }
    }
}
