//! Attention inside packed segments, a block of queries and a head at a time (Dao et al. 2022, arXiv:2205.14135):
//! scores exist for one block only, and are made again on the way back from the saved log-sum-exp.

use super::lanes::{dot, exp, exp_sum, max, tanh};
use super::matmul::{Into, Matrix, MatrixMut, Workers, matmul};
use crate::nn::kernels::heads::{HeadLayout, Seen, Span};
use rayon::prelude::*;
use std::ops::Range;

/// Queries of one block.
const BLOCK: usize = 64;

/// Attention with its settings.
#[derive(Clone, Copy)]
pub struct Attention<'a> {
    pub layout: HeadLayout,
    pub seen: &'a Seen,
}

impl Attention<'_> {
    /// qkv [n, (h + 2k) e] -> (out [n, h e], log-sum-exp of the scores [n, h]).
    pub fn forward(self, qkv: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let (h, width) = (self.layout.num_heads, self.layout.query_width());
        let n = self.seen.segments.last().copied().unwrap_or(0);
        let (mut out, mut log_sums) = (vec![0.0; n * width], vec![0.0; n * h]);
        let (mut outs, mut sums) = (out.as_mut_slice(), log_sums.as_mut_slice());
        let mut tasks = Vec::new();
        for span in self.seen.spans(BLOCK) {
            let (out, rest) = outs.split_at_mut(span.num_queries() * width);
            let (sum, rest_sums) = sums.split_at_mut(span.num_queries() * h);
            (outs, sums) = (rest, rest_sums);
            tasks.push((span, out, sum));
        }
        tasks.into_par_iter().for_each(|(span, out, sums)| self.forward_span(qkv, span, out, sums));
        (out, log_sums)
    }

    fn queries<'q>(self, qkv: &'q [f32], span: Span, head: usize) -> Matrix<'q> {
        let (e, row) = (self.layout.head_width, self.layout.row_width());
        Matrix::strided(&qkv[span.start * row + head * e..], span.num_queries(), e, row)
    }

    fn keys<'q>(self, qkv: &'q [f32], span: Span, head: usize) -> Matrix<'q> {
        self.of_keys(qkv, span, self.layout.query_width(), head)
    }

    fn values<'q>(self, qkv: &'q [f32], span: Span, head: usize) -> Matrix<'q> {
        self.of_keys(qkv, span, self.layout.query_width() + self.layout.key_width(), head)
    }

    fn of_keys<'q>(self, qkv: &'q [f32], span: Span, offset: usize, head: usize) -> Matrix<'q> {
        let (e, row) = (self.layout.head_width, self.layout.row_width());
        let shared = head / (self.layout.num_heads / self.layout.num_kv_heads);
        Matrix::strided(&qkv[span.first_key * row + offset + shared * e..], span.num_keys(), e, row)
    }

    fn scale(self) -> f32 {
        self.seen.scale as f32
    }

    fn cap(self) -> Option<f32> {
        self.seen.cap.map(|cap| cap as f32)
    }

    /// scale · q kᵀ of one head: [s, t], unseen keys included.
    fn scores(self, out: &mut [f32], qkv: &[f32], span: Span, head: usize) {
        let out = MatrixMut::new(out, span.num_queries(), span.num_keys());
        let (q, k) = (self.queries(qkv, span, head), self.keys(qkv, span, head));
        matmul(out, Into::Replace, self.scale(), q, k.t(), Workers::One);
    }

    fn forward_span(self, qkv: &[f32], span: Span, out: &mut [f32], log_sums: &mut [f32]) {
        let (h, e, width) = (self.layout.num_heads, self.layout.head_width, self.layout.query_width());
        let (s, t) = (span.num_queries(), span.num_keys());
        let mut scores = vec![0.0; s * t];
        for head in 0..h {
            self.scores(&mut scores, qkv, span, head);
            for (i, row) in scores.chunks_exact_mut(t).enumerate() {
                let seen = self.seen.keys_of(span, i);
                if let Some(cap) = self.cap() {
                    bend(&mut row[seen.clone()], cap);
                }
                log_sums[i * h + head] = softmax(row, seen);
            }
            let p = Matrix::new(&scores, s, t);
            let out = MatrixMut::strided(&mut out[head * e..], s, e, width);
            matmul(out, Into::Replace, 1.0, p, self.values(qkv, span, head), Workers::One);
        }
    }

    /// With D = rowsum(dO ∘ O):  dV = Pᵀ dO;  dP = dO Vᵀ;  dS = P ∘ (dP - D);  dQ = s dS K;  dK = s dSᵀ Q. With a cap c and
    /// bent scores C, dS = P ∘ (dP - D) ∘ (1 - (C / c)²).
    ///
    /// qkv and the results of `forward`, d_out [n, h e] -> d qkv [n, (h + 2k) e].
    pub fn backward(self, qkv: &[f32], out: &[f32], log_sums: &[f32], d_out: &[f32]) -> Vec<f32> {
        let layout = self.layout;
        let segments: Vec<_> = self.seen.segments.windows(2).map(|s| (s[0], s[1])).collect();
        let jobs: Vec<_> =
            segments.iter().flat_map(|s| (0..layout.num_heads).map(move |h| (*s, h))).collect();
        let saved = Saved { qkv, out, log_sums, d_out };
        let heads: Vec<HeadGradients> =
            jobs.into_par_iter().map(|(segment, head)| self.backward_head(&saved, segment, head)).collect();
        let (row, e) = (layout.row_width(), layout.head_width);
        let mut d_qkv = vec![0.0; qkv.len()];
        let mut rest = d_qkv.as_mut_slice();
        let mut tasks = Vec::new();
        for (heads, (begin, end)) in heads.chunks(layout.num_heads).zip(segments) {
            let (rows, after) = rest.split_at_mut((end - begin) * row);
            rest = after;
            tasks.extend(
                rows.chunks_mut(BLOCK * row).enumerate().map(move |(i, rows)| (heads, i * BLOCK, rows)),
            );
        }
        tasks.into_par_iter().for_each(|(heads, first, rows)| {
            for (i, row) in rows.chunks_exact_mut(row).enumerate() {
                let at = (first + i) * e..(first + i + 1) * e;
                gather_row(row, heads, at, layout);
            }
        });
        d_qkv
    }

    fn backward_head(self, saved: &Saved, (begin, end): (usize, usize), head: usize) -> HeadGradients {
        let (h, e, width) = (self.layout.num_heads, self.layout.head_width, self.layout.query_width());
        let zeros = || vec![0.0; (end - begin) * e];
        let mut of_head = HeadGradients { q: zeros(), k: zeros(), v: zeros() };
        let longest =
            self.seen.spans_of(begin, end, BLOCK).map(|s| s.num_queries() * s.num_keys()).max().unwrap_or(0);
        let (mut p, mut ds) = (vec![0.0; longest], vec![0.0; longest]);
        let mut slopes = vec![0.0; if self.seen.cap.is_some() { end - begin } else { 0 }];
        for span in self.seen.spans_of(begin, end, BLOCK) {
            let (s, t) = (span.num_queries(), span.num_keys());
            let (p, ds) = (&mut p[..s * t], &mut ds[..s * t]);
            self.scores(p, saved.qkv, span, head);
            let at =
                |i: usize| (span.start + i) * width + head * e..(span.start + i) * width + (head + 1) * e;
            let d_out = Matrix::strided(&saved.d_out[at(0).start..], s, e, width);
            let dp = MatrixMut::new(ds, s, t);
            matmul(dp, Into::Replace, 1.0, d_out, self.values(saved.qkv, span, head).t(), Workers::One);
            for (i, (p, ds)) in p.chunks_exact_mut(t).zip(ds.chunks_exact_mut(t)).enumerate() {
                let log_sum = saved.log_sums[(span.start + i) * h + head];
                let (d_out, out) = (&saved.d_out[at(i)], &saved.out[at(i)]);
                let seen = self.seen.keys_of(span, i);
                match self.cap() {
                    None => softmax_backward(p, ds, seen, log_sum, d_out, out),
                    Some(cap) => {
                        // The slopes of the bend, which need the scores that the probabilities replace.
                        let slopes = &mut slopes[..seen.len()];
                        bend_with_slopes(&mut p[seen.clone()], slopes, cap);
                        softmax_backward(p, ds, seen.clone(), log_sum, d_out, out);
                        multiply(&mut ds[seen], slopes);
                    }
                }
            }
            let keys = (span.first_key - begin) * e..(span.end_key - begin) * e;
            let (p, ds) = (Matrix::new(p, s, t), Matrix::new(ds, s, t));
            let dv = MatrixMut::new(&mut of_head.v[keys.clone()], t, e);
            matmul(dv, Into::Add, 1.0, p.t(), d_out, Workers::One);
            let dk = MatrixMut::new(&mut of_head.k[keys], t, e);
            matmul(dk, Into::Add, self.scale(), ds.t(), self.queries(saved.qkv, span, head), Workers::One);
            let dq = &mut of_head.q[(span.start - begin) * e..(span.end - begin) * e];
            let dq = MatrixMut::new(dq, s, e);
            matmul(dq, Into::Replace, self.scale(), ds, self.keys(saved.qkv, span, head), Workers::One);
        }
        of_head
    }
}

vectorised! {
    /// Scores -> cap · tanh(score / cap).
    pub(super) fn bend<'a>(scores: &'a mut [f32], cap: f32) -> () {
        for score in scores {
            *score = cap * tanh(*score / cap);
        }
    }
}

vectorised! {
    /// As [`bend`], with 1 - tanh² into `slopes`.
    pub(super) fn bend_with_slopes<'a>(scores: &'a mut [f32], slopes: &'a mut [f32], cap: f32) -> () {
        for (score, slope) in scores.iter_mut().zip(slopes) {
            let t = tanh(*score / cap);
            (*score, *slope) = (cap * t, 1.0 - t * t);
        }
    }
}

vectorised! {
    pub(super) fn multiply<'a>(x: &'a mut [f32], factors: &'a [f32]) -> () {
        for (x, factor) in x.iter_mut().zip(factors) {
            *x *= factor;
        }
    }
}

vectorised! {
    /// One row of scores -> probabilities of the keys it sees, 0 elsewhere; returns the log-sum-exp.
    pub(super) fn softmax<'a>(row: &'a mut [f32], seen: Range<usize>) -> f32 {
        row[..seen.start].fill(0.0);
        row[seen.end..].fill(0.0);
        let row = &mut row[seen];
        let highest = max(row);
        let total = exp_sum(row, highest);
        let share = 1.0 / total;
        for p in row {
            *p *= share;
        }
        highest + total.ln()
    }
}

vectorised! {
    /// One row: scores in `p` -> P, dP in `ds` -> dS.
    fn softmax_backward<'a>(
        p: &'a mut [f32],
        ds: &'a mut [f32],
        seen: Range<usize>,
        log_sum: f32,
        d_out: &'a [f32],
        out: &'a [f32],
    ) -> () {
        for row in [&mut *p, &mut *ds] {
            row[..seen.start].fill(0.0);
            row[seen.end..].fill(0.0);
        }
        let d = dot(d_out, out);
        for (p, ds) in p[seen.clone()].iter_mut().zip(&mut ds[seen]) {
            *p = exp(*p - log_sum);
            *ds = *p * (*ds - d);
        }
    }
}

struct Saved<'a> {
    qkv: &'a [f32],
    out: &'a [f32],
    log_sums: &'a [f32],
    d_out: &'a [f32],
}

/// Of one head in one segment: [s, e] each.
struct HeadGradients {
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
}

/// Puts the gradients of one position together; query heads that share a key head add up.
fn gather_row(row: &mut [f32], heads: &[HeadGradients], at: Range<usize>, layout: HeadLayout) {
    let e = layout.head_width;
    let (q, kv) = row.split_at_mut(layout.query_width());
    let (k, v) = kv.split_at_mut(layout.key_width());
    for (row, head) in q.chunks_exact_mut(e).zip(heads) {
        row.copy_from_slice(&head.q[at.clone()]);
    }
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
