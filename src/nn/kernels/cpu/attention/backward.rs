//! The way back of attention.

use super::rows::{add, bend_with_slopes, dropped_softmax_backward, multiply, softmax_backward};
use super::{Attention, BLOCK, Distances, Inputs, Into, Matrix, MatrixMut, Workers, matmul};
use crate::nn::kernels::heads::{HeadLayout, Span};
use rayon::prelude::*;
use std::ops::Range;

/// What the way there left, and where it led.
#[derive(Clone, Copy)]
pub struct Saved<'a> {
    pub inputs: Inputs<'a>,
    /// [n, h e]
    pub out: &'a [f32],
    /// [n, h]
    pub log_sums: &'a [f32],
    /// [n, h e]
    pub d_out: &'a [f32],
}

/// Of inputs and biases.
pub struct Gradients {
    /// Of q | k | v where they are joined, otherwise of q.
    pub rows: Vec<f32>,
    /// Of k | v where these are rows of their own.
    pub kv: Option<Vec<f32>>,
    /// Of what was added by distance, [2l - 1, h].
    pub bias: Option<Vec<f32>>,
}

/// Of one head in one segment of `s` queries and `t` keys: [s, e], [t, e] twice, and by distance, [2s - 1].
struct HeadGradients {
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    bias: Vec<f32>,
}

impl Attention<'_> {
    /// With D = rowsum(dO ∘ O):  dV = Pᵀ dO;  dP = dO Vᵀ;  dS = P ∘ (dP - D);  dQ = s dS K;  dK = s dSᵀ Q. With a cap c and
    /// bent scores C, dQ and dK are of dS ∘ (1 - (C / c)²), while biases, which are added to C, have dS. Where shares are dropped by factors M,
    /// dV is of M ∘ P and dS = P ∘ (M ∘ dP - D).
    pub fn backward(self, saved: Saved) -> Gradients {
        let (layout, h) = (self.layout, self.layout.num_heads);
        let segments: Vec<_> = self.seen.pairs().collect();
        let jobs: Vec<_> =
            segments.iter().flat_map(|of| (0..h).map(move |head| (of.clone(), head))).collect();
        let heads: Vec<HeadGradients> =
            jobs.into_par_iter().map(|(segment, head)| self.backward_head(saved, segment, head)).collect();
        let bias = self.bias.map(|bias| of_distances(bias, &heads, h));
        let [queries, keys] = [0, 1].map(|i| segments.iter().map(|of| of[i].clone()).collect::<Vec<_>>());
        let (q, kv) = (layout.query_width(), 2 * layout.key_width());
        if saved.inputs.is_joined {
            let rows = gathered(&heads, &queries, q + kv, layout, |row, heads, at| {
                let (queries, keys) = row.split_at_mut(q);
                put_queries(queries, heads, at.clone(), layout);
                put_keys(keys, heads, at, layout);
            });
            return Gradients { rows, kv: None, bias };
        }
        let rows =
            gathered(&heads, &queries, q, layout, |row, heads, at| put_queries(row, heads, at, layout));
        let kv = gathered(&heads, &keys, kv, layout, |row, heads, at| put_keys(row, heads, at, layout));
        Gradients { rows, kv: Some(kv), bias }
    }

    fn backward_head(self, saved: Saved, [queries, keys]: [Range<usize>; 2], head: usize) -> HeadGradients {
        let (e, inputs) = (self.layout.head_width, saved.inputs);
        let (s, t) = (queries.len(), keys.len());
        let distances = if self.bias.is_some() { (2 * s).saturating_sub(1) } else { 0 };
        let mut of_head = HeadGradients {
            q: vec![0.0; s * e],
            k: vec![0.0; t * e],
            v: vec![0.0; t * e],
            bias: vec![0.0; distances],
        };
        let spans = || self.seen.spans_of([queries.clone(), keys.clone()], BLOCK);
        let longest = spans().map(|s| s.num_queries() * s.num_keys()).max().unwrap_or(0);
        let (mut p, mut ds) = (vec![0.0; longest], vec![0.0; longest]);
        let mut slopes = vec![0.0; if self.seen.cap.is_some() { t } else { 0 }];
        for span in spans() {
            let (s, t) = (span.num_queries(), span.num_keys());
            let (p, ds) = (&mut p[..s * t], &mut ds[..s * t]);
            self.products(p, inputs, span, head);
            let width = self.layout.query_width();
            let d_out = Matrix::strided(&saved.d_out[span.start * width + head * e..], s, e, width);
            let dp = MatrixMut::new(ds, s, t);
            matmul(dp, Into::Replace, 1.0, d_out, inputs.values(span, head).t(), Workers::One);
            for (i, (p, ds)) in p.chunks_exact_mut(t).zip(ds.chunks_exact_mut(t)).enumerate() {
                // The slopes of the bend need the scores that the probabilities replace.
                let seen = self.seen.keys_of(span, i);
                let slopes = &mut slopes[..if self.seen.cap.is_some() { seen.len() } else { 0 }];
                if let Some(cap) = self.cap() {
                    bend_with_slopes(&mut p[seen.clone()], slopes, cap);
                }
                self.add_bias(p, span, i, head);
                self.row_backward(saved, [p, ds], span, i, head);
                if self.bias.is_some() {
                    let first = span.first_key + queries.len() - 1 - (span.start + i);
                    add(&mut of_head.bias[first..first + t], ds);
                }
                if self.seen.cap.is_some() {
                    multiply(&mut ds[seen], slopes);
                }
            }
            let rows = (span.first_key - keys.start) * e..(span.end_key - keys.start) * e;
            let (p, ds) = (Matrix::new(p, s, t), Matrix::new(ds, s, t));
            let dv = MatrixMut::new(&mut of_head.v[rows.clone()], t, e);
            matmul(dv, Into::Add, 1.0, p.t(), d_out, Workers::One);
            let dk = MatrixMut::new(&mut of_head.k[rows], t, e);
            matmul(dk, Into::Add, self.scale(), ds.t(), inputs.queries(span, head), Workers::One);
            let dq = &mut of_head.q[(span.start - queries.start) * e..(span.end - queries.start) * e];
            let dq = MatrixMut::new(dq, s, e);
            matmul(dq, Into::Replace, self.scale(), ds, inputs.keys(span, head), Workers::One);
        }
        of_head
    }

    /// Scores and dP of query `i` of the span -> P and dS.
    fn row_backward(self, saved: Saved, [p, ds]: [&mut [f32]; 2], span: Span, i: usize, head: usize) {
        let (query, seen) = (span.start + i, self.seen.keys_of(span, i));
        let (h, e) = (self.layout.num_heads, self.layout.head_width);
        let at = (query * h + head) * e..(query * h + head + 1) * e;
        let (d_out, out) = (&saved.d_out[at.clone()], &saved.out[at]);
        let log_sum = saved.log_sums[query * h + head];
        match self.dropped {
            None => softmax_backward(p, ds, seen, log_sum, d_out, out),
            Some(dropped) => {
                let dropped = dropped.row(query, head, span);
                dropped_softmax_backward(p, ds, seen, log_sum, d_out, out, dropped);
            }
        }
    }
}

/// What all segments add up to, [2l - 1, h]: each has distances about the same middle.
fn of_distances(bias: &Distances, heads: &[HeadGradients], num_heads: usize) -> Vec<f32> {
    let mut sum = vec![0.0; bias.len * num_heads];
    for (index, of_head) in heads.iter().enumerate() {
        let first = bias.len / 2 - of_head.bias.len() / 2;
        for (i, x) in of_head.bias.iter().enumerate() {
            sum[(first + i) * num_heads + index % num_heads] += x;
        }
    }
    sum
}

/// Rows of `width` numbers, those of each segment put together from the gradients of its heads: `put(row, heads, numbers of the row)`.
fn gathered(
    heads: &[HeadGradients],
    segments: &[Range<usize>],
    width: usize,
    layout: HeadLayout,
    put: impl Fn(&mut [f32], &[HeadGradients], Range<usize>) + Sync,
) -> Vec<f32> {
    let e = layout.head_width;
    let mut all = vec![0.0; segments.last().map_or(0, |last| last.end) * width];
    let mut rest = all.as_mut_slice();
    let mut tasks = Vec::new();
    for (heads, segment) in heads.chunks(layout.num_heads).zip(segments) {
        let (rows, after) = rest.split_at_mut(segment.len() * width);
        rest = after;
        tasks.extend(
            rows.chunks_mut(BLOCK * width).enumerate().map(move |(i, rows)| (heads, i * BLOCK, rows)),
        );
    }
    tasks.into_par_iter().for_each(|(heads, first, rows)| {
        for (i, row) in rows.chunks_exact_mut(width).enumerate() {
            put(row, heads, (first + i) * e..(first + i + 1) * e);
        }
    });
    all
}

fn put_queries(row: &mut [f32], heads: &[HeadGradients], at: Range<usize>, layout: HeadLayout) {
    for (row, head) in row.chunks_exact_mut(layout.head_width).zip(heads) {
        row.copy_from_slice(&head.q[at.clone()]);
    }
}

/// Query heads that share a key head add up.
fn put_keys(row: &mut [f32], heads: &[HeadGradients], at: Range<usize>, layout: HeadLayout) {
    let e = layout.head_width;
    let (k, v) = row.split_at_mut(layout.key_width());
    let shared = heads.chunks(layout.num_heads / layout.num_kv_heads);
    for ((k, v), heads) in k.chunks_exact_mut(e).zip(v.chunks_exact_mut(e)).zip(shared) {
        for head in heads {
            for (sum, x) in k.iter_mut().zip(&head.k[at.clone()]) {
                *sum += x;
            }
            for (sum, x) in v.iter_mut().zip(&head.v[at.clone()]) {
                *sum += x;
            }
        }
    }
}
