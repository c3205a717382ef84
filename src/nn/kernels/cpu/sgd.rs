//! One update of gradient descent with momentum in one pass over the numbers, in place.

use super::TASK_NUMBERS;
use crate::nn::kernels::updates;
use rayon::prelude::*;

/// Values, velocity and gradient: [P] each.
pub fn step(values: &mut [f32], velocity: &mut [f32], gradient: &[f32], update: updates::Sgd) {
    let tasks = values.par_chunks_mut(TASK_NUMBERS).zip(velocity.par_chunks_mut(TASK_NUMBERS));
    tasks.zip(gradient.par_chunks(TASK_NUMBERS)).for_each(|((values, velocity), gradient)| {
        step_task(values, velocity, gradient, update);
    });
}

vectorised! {
    fn step_task<'a>(values: &'a mut [f32], velocity: &'a mut [f32], gradient: &'a [f32], update: updates::Sgd) -> () {
        let [momentum, decay] = [update.momentum as f32, update.decay as f32];
        let [rate, scale] = [update.rate as f32, update.scale as f32];
        for ((value, b), gradient) in values.iter_mut().zip(velocity).zip(gradient) {
            *b = momentum * *b + (gradient * scale + decay * *value);
            *value -= rate * *b;
        }
    }
}
