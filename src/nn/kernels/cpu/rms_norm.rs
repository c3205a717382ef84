//! Root-mean-square normalisation, a row at a time.

use super::elementwise::add_column_sums;
use super::lanes::{dot, sum_of};
use super::{by_rows, rows_of_task};
use rayon::prelude::*;

/// 1 / sqrt(mean(x²) + ε) of one row.
#[inline(always)]
pub(super) fn rstd(x: &[f32], epsilon: f32) -> f32 {
    1.0 / (dot(x, x) / x.len() as f32 + epsilon).sqrt()
}

/// `x · rstd · weight`: x [n, d], weight [d] -> [n, d].
pub fn forward(x: &[f32], weight: &[f32], epsilon: f32) -> Vec<f32> {
    let d = weight.len();
    let mut out = vec![0.0; x.len()];
    let task = d * rows_of_task(d);
    out.par_chunks_mut(task).zip(x.par_chunks(task)).for_each(|(out, x)| {
        forward_rows(out, x, weight, epsilon);
    });
    out
}

vectorised! {
    fn forward_rows<'a>(out: &'a mut [f32], x: &'a [f32], weight: &'a [f32], epsilon: f32) -> () {
        let d = weight.len();
        for (out, x) in out.chunks_exact_mut(d).zip(x.chunks_exact(d)) {
            let rstd = rstd(x, epsilon);
            for ((out, x), w) in out.iter_mut().zip(x).zip(weight) {
                *out = x * rstd * w;
            }
        }
    }
}

/// u = dy w;  dx = rstd (u - x rstd² mean(u x)), of one row.
#[inline(always)]
pub(super) fn backward_row(dx: &mut [f32], x: &[f32], weight: &[f32], dy: &[f32], epsilon: f32) {
    let d = x.len();
    let rstd = rstd(x, epsilon);
    for ((u, dy), w) in dx.iter_mut().zip(dy).zip(weight) {
        *u = dy * w;
    }
    let pull = rstd * rstd * sum_of(dx, x, |u, x| u * x) / d as f32;
    for (u, x) in dx.iter_mut().zip(x) {
        *u = rstd * (*u - x * pull);
    }
}

/// x [n, d], weight [d], dy [n, d] -> dx [n, d].
pub fn backward(x: &[f32], weight: &[f32], dy: &[f32], epsilon: f32) -> Vec<f32> {
    by_rows(x, dy, weight.len(), |dx, x, dy| backward_rows(dx, x, weight, dy, epsilon))
}

vectorised! {
    fn backward_rows<'a>(dx: &'a mut [f32], x: &'a [f32], weight: &'a [f32], dy: &'a [f32], epsilon: f32) -> () {
        let d = weight.len();
        for ((dx, x), dy) in dx.chunks_exact_mut(d).zip(x.chunks_exact(d)).zip(dy.chunks_exact(d)) {
            backward_row(dx, x, weight, dy, epsilon);
        }
    }
}

/// Σ dy x rstd over all rows: x, dy [n, d] -> [d]. The same sum whatever the number of threads.
pub fn of_weight(x: &[f32], dy: &[f32], d: usize, epsilon: f32) -> Vec<f32> {
    let task = d * rows_of_task(d);
    let sums: Vec<Vec<f32>> = x
        .par_chunks(task)
        .zip(dy.par_chunks(task))
        .map(|(x, dy)| {
            let mut sum = vec![0.0; d];
            add_weight_gradient(&mut sum, x, dy, epsilon);
            sum
        })
        .collect();
    let mut total = vec![0.0; d];
    sums.iter().for_each(|sum| add_column_sums(&mut total, sum));
    total
}

vectorised! {
    fn add_weight_gradient<'a>(sum: &'a mut [f32], x: &'a [f32], dy: &'a [f32], epsilon: f32) -> () {
        let d = sum.len();
        for (x, dy) in x.chunks_exact(d).zip(dy.chunks_exact(d)) {
            add_weight_gradient_row(sum, x, dy, epsilon);
        }
    }
}

/// dw += dy x rstd, of one row.
#[inline(always)]
pub(super) fn add_weight_gradient_row(sum: &mut [f32], x: &[f32], dy: &[f32], epsilon: f32) {
    let rstd = rstd(x, epsilon);
    for ((sum, x), dy) in sum.iter_mut().zip(x).zip(dy) {
        *sum += dy * x * rstd;
    }
}
