//! Loops over rows without any exchange between their numbers.

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
