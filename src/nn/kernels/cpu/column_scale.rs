//! Each column of a matrix times a factor of its own.

use super::elementwise::add_column_sums;
use super::rows_of_task;
use rayon::prelude::*;
use std::ops::Range;

/// Rows of x [n, o] times factors [o].
pub fn forward(x: &[f32], factors: &[f32]) -> Vec<f32> {
    let o = factors.len().max(1);
    let mut out = vec![0.0; x.len()];
    let task = o * rows_of_task(o);
    out.par_chunks_mut(task).zip(x.par_chunks(task)).for_each(|(out, x)| forward_rows(out, x, factors));
    out
}

vectorised! {
    fn forward_rows<'a>(out: &'a mut [f32], x: &'a [f32], factors: &'a [f32]) -> () {
        let o = factors.len().max(1);
        for (out, x) in out.chunks_exact_mut(o).zip(x.chunks_exact(o)) {
            for ((out, x), factor) in out.iter_mut().zip(x).zip(factors) {
                *out = x * factor;
            }
        }
    }
}

/// Σ x dy over the rows, of some columns: x, dy [n, o] -> [columns]. The same sum whatever the number of threads.
pub fn of_factors(x: &[f32], dy: &[f32], o: usize, columns: Range<usize>) -> Vec<f32> {
    let task = o * rows_of_task(o);
    let sums: Vec<Vec<f32>> = x
        .par_chunks(task)
        .zip(dy.par_chunks(task))
        .map(|(x, dy)| {
            let mut sum = vec![0.0; columns.len()];
            add_products(&mut sum, x, dy, o, columns.clone());
            sum
        })
        .collect();
    let mut total = vec![0.0; columns.len()];
    sums.iter().for_each(|sum| add_column_sums(&mut total, sum));
    total
}

vectorised! {
    fn add_products<'a>(sum: &'a mut [f32], x: &'a [f32], dy: &'a [f32], o: usize, columns: Range<usize>) -> () {
        for (x, dy) in x.chunks_exact(o).zip(dy.chunks_exact(o)) {
            for ((sum, x), dy) in sum.iter_mut().zip(&x[columns.clone()]).zip(&dy[columns.clone()]) {
                *sum += x * dy;
            }
        }
    }
}
