//! Loops over rows without any exchange between their numbers.

use super::lanes::sigmoid;
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

/// Sums of the columns of [n, o], added to what stands in `sums` [o].
pub fn add_column_sums(sums: &mut [f32], rows: &[f32]) {
    let width = sums.len().max(1);
    for row in rows.chunks_exact(width) {
        add_to_task(sums, row);
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

/// `silu(gate) · up` with silu(x) = x σ(x): gate | up [n, 2f] -> [n, f].
pub fn swiglu(gate_up: &[f32], f: usize) -> Vec<f32> {
    let rows = rows_of_task(f);
    let mut out = vec![0.0; gate_up.len() / 2];
    out.par_chunks_mut(f * rows).zip(gate_up.par_chunks(2 * f * rows)).for_each(|(out, gate_up)| {
        swiglu_rows(out, gate_up, f);
    });
    out
}

vectorised! {
    fn swiglu_rows<'a>(out: &'a mut [f32], gate_up: &'a [f32], f: usize) -> () {
        for (out, gate_up) in out.chunks_exact_mut(f).zip(gate_up.chunks_exact(2 * f)) {
            let (gate, up) = gate_up.split_at(f);
            for ((out, g), u) in out.iter_mut().zip(gate).zip(up) {
                *out = g * sigmoid(*g) * u;
            }
        }
    }
}

/// silu'(x) = σ(x) (1 + x (1 - σ(x))): gate | up [n, 2f] and dy [n, f] -> d gate | d up [n, 2f].
pub fn swiglu_backward(gate_up: &[f32], dy: &[f32], f: usize) -> Vec<f32> {
    let rows = rows_of_task(f);
    let mut out = vec![0.0; gate_up.len()];
    let tasks =
        out.par_chunks_mut(2 * f * rows).zip(gate_up.par_chunks(2 * f * rows)).zip(dy.par_chunks(f * rows));
    tasks.for_each(|((out, gate_up), dy)| {
        swiglu_backward_rows(out, gate_up, dy, f);
    });
    out
}

vectorised! {
    fn swiglu_backward_rows<'a>(out: &'a mut [f32], gate_up: &'a [f32], dy: &'a [f32], f: usize) -> () {
        let rows = out.chunks_exact_mut(2 * f).zip(gate_up.chunks_exact(2 * f)).zip(dy.chunks_exact(f));
        for ((out, gate_up), dy) in rows {
            let (d_gate, d_up) = out.split_at_mut(f);
            let (gate, up) = gate_up.split_at(f);
            // By index: five iterators zipped are not seen to be of one length, and then stay one number at a time.
            let (d_up, up, dy) = (&mut d_up[..f], &up[..f], &dy[..f]);
            for i in 0..f {
                let sig = sigmoid(gate[i]);
                let silu = gate[i] * sig;
                d_up[i] = dy[i] * silu;
                d_gate[i] = dy[i] * up[i] * (sig + silu * (1.0 - sig));
            }
        }
    }
}
