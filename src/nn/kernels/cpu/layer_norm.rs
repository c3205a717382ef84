//! Layer normalisation, a row at a time.

use super::elementwise::add_column_sums;
use super::lanes::{sum, sum_of};
use super::{by_rows, rows_of_task};
use rayon::prelude::*;

/// Mean and 1 / sqrt(variance + ε) of one row. The variance is of what is left of the mean, which loses no digits.
#[inline(always)]
fn moments(x: &[f32], epsilon: f32) -> (f32, f32) {
    let d = x.len() as f32;
    let mean = sum(x) / d;
    let variance = sum_of(x, x, |a, b| (a - mean) * (b - mean)) / d;
    (mean, 1.0 / (variance + epsilon).sqrt())
}

/// `(x - mean) · rstd · weight + bias`: x [n, d], weight and bias [d] -> [n, d].
pub fn forward(x: &[f32], weight: &[f32], bias: &[f32], epsilon: f32) -> Vec<f32> {
    let d = weight.len();
    let mut out = vec![0.0; x.len()];
    let task = d * rows_of_task(d);
    out.par_chunks_mut(task).zip(x.par_chunks(task)).for_each(|(out, x)| {
        forward_rows(out, x, weight, bias, epsilon);
    });
    out
}

vectorised! {
    fn forward_rows<'a>(out: &'a mut [f32], x: &'a [f32], weight: &'a [f32], bias: &'a [f32], epsilon: f32) -> () {
        let d = weight.len();
        for (out, x) in out.chunks_exact_mut(d).zip(x.chunks_exact(d)) {
            let (mean, rstd) = moments(x, epsilon);
            for ((out, x), (w, b)) in out.iter_mut().zip(x).zip(weight.iter().zip(bias)) {
                *out = (x - mean) * rstd * w + b;
            }
        }
    }
}

/// u = dy w;  y = (x - mean) rstd;  dx = rstd (u - mean(u) - y mean(u y)): x [n, d], weight [d], dy [n, d] -> dx [n, d].
pub fn backward(x: &[f32], weight: &[f32], dy: &[f32], epsilon: f32) -> Vec<f32> {
    by_rows(x, dy, weight.len(), |dx, x, dy| backward_rows(dx, x, weight, dy, epsilon))
}

vectorised! {
    fn backward_rows<'a>(dx: &'a mut [f32], x: &'a [f32], weight: &'a [f32], dy: &'a [f32], epsilon: f32) -> () {
        let d = weight.len();
        for ((dx, x), dy) in dx.chunks_exact_mut(d).zip(x.chunks_exact(d)).zip(dy.chunks_exact(d)) {
            let (mean, rstd) = moments(x, epsilon);
            for ((u, dy), w) in dx.iter_mut().zip(dy).zip(weight) {
                *u = dy * w;
            }
            let shift = sum(dx) / d as f32;
            let pull = rstd * rstd * sum_of(dx, x, |u, x| u * (x - mean)) / d as f32;
            for (u, x) in dx.iter_mut().zip(x) {
                *u = rstd * (*u - shift - (x - mean) * pull);
            }
        }
    }
}

/// Σ dy (x - mean) rstd and Σ dy over all rows: x, dy [n, d] -> [d] each. The same sums whatever the number of threads.
pub fn of_weights(x: &[f32], dy: &[f32], d: usize, epsilon: f32) -> [Vec<f32>; 2] {
    let task = d * rows_of_task(d);
    let sums: Vec<Vec<f32>> = x
        .par_chunks(task)
        .zip(dy.par_chunks(task))
        .map(|(x, dy)| {
            let mut sums = vec![0.0; 2 * d];
            add_gradients(&mut sums, x, dy, epsilon);
            sums
        })
        .collect();
    let mut total = vec![0.0; 2 * d];
    sums.iter().for_each(|sum| add_column_sums(&mut total, sum));
    let bias = total.split_off(d);
    [total, bias]
}

vectorised! {
    /// Of the weight and of the bias, end to end: [2 d].
    fn add_gradients<'a>(sums: &'a mut [f32], x: &'a [f32], dy: &'a [f32], epsilon: f32) -> () {
        let (weight, bias) = sums.split_at_mut(sums.len() / 2);
        let d = weight.len();
        for (x, dy) in x.chunks_exact(d).zip(dy.chunks_exact(d)) {
            let (mean, rstd) = moments(x, epsilon);
            for (((weight, bias), x), dy) in weight.iter_mut().zip(bias.iter_mut()).zip(x).zip(dy) {
                *weight += dy * (x - mean) * rstd;
                *bias += dy;
            }
        }
    }
}
