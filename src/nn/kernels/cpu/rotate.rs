//! Queries and keys made ready for attention: each head normalised where the family asks for it, then rotated by
//! position (Su et al. 2021, arXiv:2104.09864, half-split form). Values pass unchanged.

use super::elementwise::add_column_sums;
use super::rms_norm::{add_weight_gradient_row, backward_row, rstd};
use super::rows_of_task;
use crate::nn::kernels::HeadLayout;
use rayon::prelude::*;

/// What every row is turned by.
#[derive(Clone, Copy)]
pub struct Turn<'a> {
    pub layout: HeadLayout,
    /// Cosines and sines of each row's position, [n, r / 2]: the first r numbers of a head are turned, the rest passes.
    pub cos: &'a [f32],
    pub sin: &'a [f32],
    /// r / 2
    pub num_pairs: usize,
    /// Weights [e] of the norms of query and key heads, and their ε.
    pub norms: Option<(&'a [f32], &'a [f32], f32)>,
}

/// Some rows of one pass over all.
struct Task<'a> {
    turn: Turn<'a>,
    /// Number of the first row.
    first: usize,
    out: &'a mut [f32],
    /// All rows of what is turned, and of `qkv`.
    x: &'a [f32],
    qkv: &'a [f32],
}

impl Turn<'_> {
    /// qkv [n, (h + 2k) e] -> the same, q and k normalised and turned.
    pub fn forward(self, qkv: &[f32]) -> Vec<f32> {
        self.tasks(qkv, qkv, forward_rows)
    }

    /// Gradient of `forward`'s result -> gradient of its `qkv`. Only norms look at `qkv`.
    pub fn backward(self, qkv: &[f32], dy: &[f32]) -> Vec<f32> {
        self.tasks(dy, qkv, backward_rows)
    }

    /// Gradients of the weights of the norms of query and key heads, [e] each; for a turn with norms.
    pub fn of_weights(self, qkv: &[f32], dy: &[f32]) -> [Vec<f32>; 2] {
        let (width, e) = (self.layout.row_width(), self.layout.head_width);
        let rows = rows_of_task(width);
        let sums: Vec<Vec<f32>> = (0..(dy.len() / width.max(1)).div_ceil(rows))
            .into_par_iter()
            .map(|task| {
                let mut sums = vec![0.0; 2 * e];
                let end = ((task + 1) * rows * width).min(dy.len());
                let of = task * rows * width..end;
                add_weight_gradients(self, task * rows, &mut sums, &qkv[of.clone()], &dy[of]);
                sums
            })
            .collect();
        let mut total = vec![0.0; 2 * e];
        sums.iter().for_each(|sum| add_column_sums(&mut total, sum));
        let key = total.split_off(e);
        [total, key]
    }

    fn tasks(self, x: &[f32], qkv: &[f32], run: impl Fn(Task) + Sync) -> Vec<f32> {
        let width = self.layout.row_width();
        let rows = rows_of_task(width);
        let mut out = vec![0.0; x.len()];
        out.par_chunks_mut(width * rows)
            .enumerate()
            .for_each(|(task, out)| run(Task { turn: self, first: task * rows, out, x, qkv }));
        out
    }

    /// The heads of a row that are turned.
    #[inline(always)]
    fn heads(self, row: &mut [f32]) -> std::slice::ChunksExactMut<'_, f32> {
        let end = self.layout.query_width() + self.layout.key_width();
        row[..end].chunks_exact_mut(self.layout.head_width)
    }

    #[inline(always)]
    fn heads_of(self, row: &[f32]) -> std::slice::ChunksExact<'_, f32> {
        let end = self.layout.query_width() + self.layout.key_width();
        row[..end].chunks_exact(self.layout.head_width)
    }
}

impl<'a> Turn<'a> {
    /// Row `i` of everything; its values are copied to `out`.
    #[inline(always)]
    fn row(self, i: usize, x: &'a [f32], qkv: &'a [f32], out: &mut [f32]) -> Row<'a> {
        let (width, half) = (self.layout.row_width(), self.num_pairs);
        let x = &x[i * width..(i + 1) * width];
        let num_turned = self.layout.query_width() + self.layout.key_width();
        out[num_turned..].copy_from_slice(&x[num_turned..]);
        let angles = i * half..(i + 1) * half;
        Row {
            x,
            qkv: &qkv[i * width..(i + 1) * width],
            cos: &self.cos[angles.clone()],
            sin: &self.sin[angles],
        }
    }

    #[inline(always)]
    fn norm_weight(&self, head: usize) -> Option<&'a [f32]> {
        let (query, key, _) = self.norms?;
        Some(if head < self.layout.num_heads { query } else { key })
    }
}

vectorised! {
    fn forward_rows<'a>(task: Task<'a>) -> () {
        let Task { turn, first, out, x, .. } = task;
        for (i, out) in out.chunks_exact_mut(turn.layout.row_width()).enumerate() {
            let Row { x, cos, sin, .. } = turn.row(first + i, x, x, out);
            for (head, (out, x)) in turn.heads(out).zip(turn.heads_of(x)).enumerate() {
                let scale = match turn.norms {
                    Some((.., epsilon)) => rstd(x, epsilon),
                    None => 1.0,
                };
                match turn.norm_weight(head) {
                    Some(weight) => {
                        for ((out, x), w) in out.iter_mut().zip(x).zip(weight) {
                            *out = x * scale * w;
                        }
                    }
                    None => out.copy_from_slice(x),
                }
                turn_head(out, cos, sin, 1.0);
            }
        }
    }
}

vectorised! {
    fn backward_rows<'a>(task: Task<'a>) -> () {
        let Task { turn, first, out, x: dy, qkv } = task;
        let e = turn.layout.head_width;
        let mut turned = vec![0.0; e];
        for (i, out) in out.chunks_exact_mut(turn.layout.row_width()).enumerate() {
            let Row { x: dy, qkv, cos, sin } = turn.row(first + i, dy, qkv, out);
            for (head, (out, dy)) in turn.heads(out).zip(turn.heads_of(dy)).enumerate() {
                let (Some(weight), Some((.., epsilon))) = (turn.norm_weight(head), turn.norms) else {
                    out.copy_from_slice(dy);
                    turn_head(out, cos, sin, -1.0);
                    continue;
                };
                turned.copy_from_slice(dy);
                turn_head(&mut turned, cos, sin, -1.0);
                backward_row(out, &qkv[head * e..(head + 1) * e], weight, &turned, epsilon);
            }
        }
    }
}

vectorised! {
    /// Some rows from `first` on: sums of query and key heads [2 e].
    fn add_weight_gradients<'a>(turn: Turn<'a>, first: usize, sums: &'a mut [f32], qkv: &'a [f32], dy: &'a [f32]) -> () {
        let (width, e, half) = (turn.layout.row_width(), turn.layout.head_width, turn.num_pairs);
        let Some((.., epsilon)) = turn.norms else { return };
        let mut turned = vec![0.0; e];
        for (i, (qkv, dy)) in qkv.chunks_exact(width).zip(dy.chunks_exact(width)).enumerate() {
            let angles = (first + i) * half..(first + i + 1) * half;
            for (head, (x, dy)) in turn.heads_of(qkv).zip(turn.heads_of(dy)).enumerate() {
                turned.copy_from_slice(dy);
                turn_head(&mut turned, &turn.cos[angles.clone()], &turn.sin[angles.clone()], -1.0);
                let at = if head < turn.layout.num_heads { 0 } else { e };
                add_weight_gradient_row(&mut sums[at..at + e], x, &turned, epsilon);
            }
        }
    }
}

/// What belongs to one row.
struct Row<'a> {
    x: &'a [f32],
    qkv: &'a [f32],
    cos: &'a [f32],
    sin: &'a [f32],
}

/// Turns one head in place; `way` is -1 to turn it back.
#[inline(always)]
fn turn_head(head: &mut [f32], cos: &[f32], sin: &[f32], way: f32) {
    let (first, rest) = head.split_at_mut(cos.len());
    let second = &mut rest[..cos.len()];
    for (((a, b), cos), sin) in first.iter_mut().zip(second).zip(cos).zip(sin) {
        let sin = way * sin;
        (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
    }
}
