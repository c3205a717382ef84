//! Loops over rows without any exchange between their numbers.

use super::lanes::dot;
use super::{TASK_NUMBERS, rows_of_task};
use rayon::prelude::*;

/// `a + b`, same length.
pub fn add(a: &[f32], b: &[f32]) -> Vec<f32> {
    let mut out = vec![0.0; a.len()];
    out.par_chunks_mut(TASK_NUMBERS)
        .zip(a.par_chunks(TASK_NUMBERS))
        .zip(b.par_chunks(TASK_NUMBERS))
        .for_each(|((out, a), b)| {
            add_task(out, a, b);
        });
    out
}

vectorised! {
    fn add_task<'a>(out: &'a mut [f32], a: &'a [f32], b: &'a [f32]) -> () {
        for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
            *out = a + b;
        }
    }
}

/// `a += b`, same length.
pub fn add_to(a: &mut [f32], b: &[f32]) {
    a.par_chunks_mut(TASK_NUMBERS).zip(b.par_chunks(TASK_NUMBERS)).for_each(|(a, b)| {
        add_to_task(a, b);
    });
}

vectorised! {
    fn add_to_task<'a>(a: &'a mut [f32], b: &'a [f32]) -> () {
        for (a, b) in a.iter_mut().zip(b) {
            *a += b;
        }
    }
}

/// `to += factor · (a - b)`, same length.
pub fn add_difference(to: &mut [f32], a: &[f32], b: &[f32], factor: f32) {
    let (a, b) = (a.par_chunks(TASK_NUMBERS), b.par_chunks(TASK_NUMBERS));
    to.par_chunks_mut(TASK_NUMBERS).zip(a).zip(b).for_each(|((to, a), b)| {
        add_difference_task(to, a, b, factor);
    });
}

vectorised! {
    fn add_difference_task<'a>(to: &'a mut [f32], a: &'a [f32], b: &'a [f32], factor: f32) -> () {
        for ((to, a), b) in to.iter_mut().zip(a).zip(b) {
            *to += factor * (a - b);
        }
    }
}

/// Sums of the columns of [n, o], added to what stands in `sums` [o].
pub fn add_column_sums(sums: &mut [f32], rows: &[f32]) {
    let width = sums.len().max(1);
    for row in rows.chunks_exact(width) {
        add_to_task(sums, row);
    }
}

/// Σ x², the same whatever the number of threads.
pub fn sum_of_squares(x: &[f32]) -> f64 {
    let sums: Vec<f32> = x.par_chunks(TASK_NUMBERS).map(squares_task).collect();
    sums.into_iter().map(f64::from).sum()
}

vectorised! {
    fn squares_task<'a>(x: &'a [f32]) -> f32 {
        dot(x, x)
    }
}

/// Adds row i of [n, d] to row `places[i]` of a table [v, d].
pub fn add_to_rows(table: &mut [f32], places: &[u32], rows: &[f32]) {
    let d = rows.len() / places.len().max(1);
    for (place, row) in places.iter().zip(rows.chunks_exact(d.max(1))) {
        add_to_task(&mut table[*place as usize * d..][..d], row);
    }
}

/// Each number times a factor that depends on its place.
pub fn scaled(x: &[f32], factor: impl Fn(usize) -> f32 + Sync) -> Vec<f32> {
    let mut out = vec![0.0; x.len()];
    out.par_chunks_mut(TASK_NUMBERS).zip(x.par_chunks(TASK_NUMBERS)).enumerate().for_each(
        |(task, (out, x))| {
            for (i, (out, x)) in out.iter_mut().zip(x).enumerate() {
                *out = x * factor(task * TASK_NUMBERS + i);
            }
        },
    );
    out
}

/// Adds bias [o] to each row of [n, o].
pub fn add_bias(rows: &mut [f32], bias: &[f32]) {
    let width = bias.len().max(1);
    rows.par_chunks_mut(width * rows_of_task(width)).for_each(|rows| {
        for row in rows.chunks_exact_mut(width) {
            for (x, b) in row.iter_mut().zip(bias) {
                *x += b;
            }
        }
    });
}
