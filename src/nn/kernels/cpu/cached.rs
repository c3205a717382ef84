//! Attention of new queries to the keys and values in a cache, a block of queries and a head at a time. No gradient.

use super::attention::Distances;
use super::attention::rows::{add, bend, softmax};
use super::matmul::{Into, Matrix, MatrixMut, Workers, matmul};
use rayon::prelude::*;

/// Queries of one block.
const BLOCK: usize = 64;
/// Heads that are a task for one thread when there is one query: fewer are not worth handing over.
const HEADS: usize = 3;

/// The queries are the last `s` of `t` positions.
#[derive(Clone, Copy)]
pub struct Cached<'a> {
    /// [s, h, e]
    pub q: &'a [f32],
    /// [t, k, e]
    pub k: &'a [f32],
    /// [t, k, e]
    pub v: &'a [f32],
    pub num_heads: usize,
    pub num_kv_heads: usize,
    pub head_width: usize,
    pub scale: f32,
    pub window: Option<usize>,
    /// Scores are bent to cap · tanh(score / cap).
    pub cap: Option<f32>,
    /// Added to bent scores.
    pub bias: Option<&'a Distances>,
}

impl Cached<'_> {
    /// -> [s, h, e]
    pub fn attend(self) -> Vec<f32> {
        let (h, e) = (self.num_heads, self.head_width);
        let (s, t) = (self.q.len() / (h * e), self.k.len() / (self.num_kv_heads * e));
        let blocks = (0..s).step_by(BLOCK).flat_map(|first| (0..h).map(move |head| (first, head)));
        let blocks: Vec<_> = blocks.collect();
        let of_block = |&(first, head): &(usize, usize)| {
            let num = BLOCK.min(s - first);
            self.block(t - s + first, &self.q[(first * h + head) * e..], num, head)
        };
        let mixed: Vec<Vec<f32>> = blocks.par_iter().with_min_len(HEADS).map(of_block).collect();
        let mut out = vec![0.0; self.q.len()];
        for ((first, head), mixed) in blocks.into_iter().zip(mixed) {
            for (i, row) in mixed.chunks_exact(e).enumerate() {
                out[((first + i) * h + head) * e..][..e].copy_from_slice(row);
            }
        }
        out
    }

    /// `s` queries of one head, of which the first stands at `position`: -> [s, e].
    fn block(self, position: usize, q: &[f32], s: usize, head: usize) -> Vec<f32> {
        let (e, width) = (self.head_width, self.num_kv_heads * self.head_width);
        let seen_from = |position: usize| self.window.map_or(0, |w| (position + 1).saturating_sub(w));
        let (first, end) = (seen_from(position), position + s);
        let t = end - first;
        let shared = head / (self.num_heads / self.num_kv_heads);
        let of = |x| Matrix::strided(x, t, e, width);
        let at = first * width + shared * e;
        let mut scores = vec![0.0; s * t];
        let queries = Matrix::strided(q, s, e, self.num_heads * e);
        let into = MatrixMut::new(&mut scores, s, t);
        matmul(into, Into::Replace, self.scale, queries, of(&self.k[at..]).t(), Workers::One);
        for (i, row) in scores.chunks_exact_mut(t).enumerate() {
            let seen = seen_from(position + i) - first..position + i + 1 - first;
            if let Some(cap) = self.cap {
                bend(&mut row[seen.clone()], cap);
            }
            if let Some(bias) = self.bias {
                add(row, bias.row(head, position + i, first, t));
            }
            softmax(row, seen);
        }
        let mut out = vec![0.0; s * e];
        let scores = Matrix::new(&scores, s, t);
        matmul(MatrixMut::new(&mut out, s, e), Into::Replace, 1.0, scores, of(&self.v[at..]), Workers::One);
        out
    }
}
