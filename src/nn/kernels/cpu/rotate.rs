//! Queries and keys made ready for attention: each head normalised where the family asks for it, then rotated by
//! position (Su et al. 2021, arXiv:2104.09864, half-split form). Values pass unchanged.

use super::rms_norm::{backward_row, rstd};
use super::{rows_of_task, vectorised};
use crate::nn::kernels::HeadLayout;
use rayon::prelude::*;

/// What every row is turned by.
#[derive(Clone, Copy)]
pub struct Turn<'a> {
    pub layout: HeadLayout,
    /// Cosines and sines of each row's position, [n, e / 2].
    pub cos: &'a [f32],
    pub sin: &'a [f32],
    /// Weights [e] of the norms of query and key heads, and their ε.
    pub norms: Option<(&'a [f32], &'a [f32], f32)>,
}

impl Turn<'_> {
    /// qkv [n, (h + 2k) e] -> the same, q and k normalised and turned.
    pub fn forward(self, qkv: &[f32]) -> Vec<f32> {
        self.rows(qkv, qkv, |turn, out, x, _, cos, sin| {
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
        })
    }

    /// Gradient of `forward`'s result -> gradient of its `qkv`. Only norms look at `qkv`.
    pub fn backward(self, qkv: &[f32], dy: &[f32]) -> Vec<f32> {
        self.rows(dy, qkv, |turn, out, dy, x, cos, sin| {
            let mut turned = vec![0.0; turn.layout.head_width];
            for (head, (out, dy)) in turn.heads(out).zip(turn.heads_of(dy)).enumerate() {
                let (Some(weight), Some((.., epsilon))) = (turn.norm_weight(head), turn.norms) else {
                    out.copy_from_slice(dy);
                    turn_head(out, cos, sin, -1.0);
                    continue;
                };
                turned.copy_from_slice(dy);
                turn_head(&mut turned, cos, sin, -1.0);
                let e = turn.layout.head_width;
                backward_row(out, &x[head * e..(head + 1) * e], weight, &turned, epsilon);
            }
        })
    }

    /// The row loop: `body` gets a row of the output, of `x` and of `other`, and the row's cosines and sines. Values have
    /// been copied from `x` before.
    fn rows(
        self,
        x: &[f32],
        other: &[f32],
        body: impl Fn(Self, &mut [f32], &[f32], &[f32], &[f32], &[f32]) + Sync,
    ) -> Vec<f32> {
        let width = self.layout.row_width();
        let half = self.layout.head_width / 2;
        let num_turned = self.layout.query_width() + self.layout.key_width();
        let rows = rows_of_task(width);
        let mut out = vec![0.0; x.len()];
        out.par_chunks_mut(width * rows).enumerate().for_each(|(task, out)| {
            vectorised(|| {
                for (i, out) in out.chunks_exact_mut(width).enumerate() {
                    let row = task * rows + i;
                    let of_row =
                        |all: &'_ [f32], width: usize| row * width..((row + 1) * width).min(all.len());
                    let x = &x[of_row(x, width)];
                    out[num_turned..].copy_from_slice(&x[num_turned..]);
                    let (cos, sin) = (&self.cos[of_row(self.cos, half)], &self.sin[of_row(self.sin, half)]);
                    body(self, out, x, &other[of_row(other, width)], cos, sin);
                }
            });
        });
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
    #[inline(always)]
    fn norm_weight(&self, head: usize) -> Option<&'a [f32]> {
        let (query, key, _) = self.norms?;
        Some(if head < self.layout.num_heads { query } else { key })
    }
}

/// Turns one head in place; `way` is -1 to turn it back.
#[inline(always)]
fn turn_head(head: &mut [f32], cos: &[f32], sin: &[f32], way: f32) {
    let (first, second) = head.split_at_mut(cos.len());
    for (((a, b), cos), sin) in first.iter_mut().zip(second).zip(cos).zip(sin) {
        let sin = way * sin;
        (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
    }
}
