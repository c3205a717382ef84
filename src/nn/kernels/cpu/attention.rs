//! Attention inside packed segments, a block of queries and a head at a time (Dao et al. 2022, arXiv:2205.14135):
//! scores exist for one block only, and are made again on the way back from the saved log-sum-exp.

mod backward;
pub mod rows;

pub use backward::Saved;

use super::Numbers;
use super::matmul::{Into, Matrix, MatrixMut, Workers, matmul};
use crate::nn::kernels::Dropout;
use crate::nn::kernels::heads::{HeadLayout, Seen, Span};
use crate::nn::kernels::weighing::{Bias, DroppedShares};
use rayon::prelude::*;

/// Queries of one block.
const BLOCK: usize = 64;

/// Attention with its settings.
#[derive(Clone, Copy)]
pub struct Attention<'a> {
    layout: HeadLayout,
    seen: &'a Seen,
    bias: Option<&'a Distances>,
    dropped: Option<DroppedShares>,
}

/// Numbers of heads in rows that begin `stride` apart.
#[derive(Clone, Copy)]
struct Heads<'a> {
    numbers: &'a [f32],
    stride: usize,
}

impl<'a> Heads<'a> {
    /// Those that stand in the rows' columns from `column` on.
    fn new(numbers: &'a [f32], stride: usize, column: usize) -> Self {
        Self { numbers: numbers.get(column..).unwrap_or_default(), stride }
    }

    /// Some rows of one head, [rows, e].
    fn of(self, head: usize, first: usize, rows: usize, e: usize) -> Matrix<'a> {
        Matrix::strided(&self.numbers[first * self.stride + head * e..], rows, e, self.stride)
    }
}

/// Where queries, keys and values lie.
#[derive(Clone, Copy)]
pub struct Inputs<'a> {
    q: Heads<'a>,
    k: Heads<'a>,
    v: Heads<'a>,
    layout: HeadLayout,
    is_joined: bool,
}

impl<'a> Inputs<'a> {
    /// Of rows q | k | v, [n, (h + 2k) e].
    pub fn joined(qkv: &'a [f32], layout: HeadLayout) -> Self {
        let (row, q, k) = (layout.row_width(), layout.query_width(), layout.key_width());
        let at = |column| Heads::new(qkv, row, column);
        Self { q: at(0), k: at(q), v: at(q + k), layout, is_joined: true }
    }

    /// Of queries [n, h·e] and k | v of other rows, [m, 2k·e].
    pub fn apart(q: &'a [f32], kv: &'a [f32], layout: HeadLayout) -> Self {
        let k = layout.key_width();
        let of_keys = |column| Heads::new(kv, 2 * k, column);
        let q = Heads::new(q, layout.query_width(), 0);
        Self { q, k: of_keys(0), v: of_keys(k), layout, is_joined: false }
    }

    fn queries(self, span: Span, head: usize) -> Matrix<'a> {
        self.q.of(head, span.start, span.num_queries(), self.layout.head_width)
    }

    fn keys(self, span: Span, head: usize) -> Matrix<'a> {
        self.of_keys(self.k, span, head)
    }

    fn values(self, span: Span, head: usize) -> Matrix<'a> {
        self.of_keys(self.v, span, head)
    }

    fn of_keys(self, rows: Heads<'a>, span: Span, head: usize) -> Matrix<'a> {
        let shared = head / (self.layout.num_heads / self.layout.num_kv_heads);
        rows.of(shared, span.first_key, span.num_keys(), self.layout.head_width)
    }
}

/// What is added to scores by distance, head by head: [h, 2l - 1].
pub struct Distances {
    numbers: Vec<f32>,
    len: usize,
}

impl Distances {
    /// `None` where the numbers do not lie on the CPU as f32.
    pub fn of(bias: Bias) -> Option<Self> {
        let (len, num_heads) = bias.0.dims2().ok()?;
        let rows = Numbers::of(bias.0)?;
        let numbers = (0..num_heads).flat_map(|head| rows[head..].iter().step_by(num_heads)).copied();
        Some(Self { numbers: numbers.collect(), len })
    }

    /// Of a head, from a query to `num` keys, of which the first has this row.
    pub fn row(&self, head: usize, query: usize, first_key: usize, num: usize) -> &[f32] {
        let first = self.first(query, first_key);
        &self.numbers[head * self.len..][first..first + num]
    }

    /// The place of a key among a query's distances.
    fn first(&self, query: usize, first_key: usize) -> usize {
        self.len / 2 + first_key - query
    }
}

impl<'a> Attention<'a> {
    pub fn new(
        layout: HeadLayout,
        seen: &'a Seen,
        bias: Option<&'a Distances>,
        dropout: Option<Dropout>,
    ) -> Self {
        let dropped = dropout.map(|of| DroppedShares::new(of, layout.num_heads, seen));
        Self { layout, seen, bias, dropped }
    }

    /// -> (out [n, h e], log-sum-exp of the scores [n, h]).
    pub fn forward(self, inputs: Inputs) -> (Vec<f32>, Vec<f32>) {
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
        tasks.into_par_iter().for_each(|(span, out, sums)| self.forward_span(inputs, span, out, sums));
        (out, log_sums)
    }

    fn scale(self) -> f32 {
        self.seen.scale as f32
    }

    fn cap(self) -> Option<f32> {
        self.seen.cap.map(|cap| cap as f32)
    }

    /// scale · q kᵀ of one head: [s, t], unseen keys included.
    fn products(self, out: &mut [f32], inputs: Inputs, span: Span, head: usize) {
        let out = MatrixMut::new(out, span.num_queries(), span.num_keys());
        let (q, k) = (inputs.queries(span, head), inputs.keys(span, head));
        matmul(out, Into::Replace, self.scale(), q, k.t(), Workers::One);
    }

    /// Adds the biases of query `i` of the span to its row of scores.
    fn add_bias(self, row: &mut [f32], span: Span, i: usize, head: usize) {
        if let Some(bias) = self.bias {
            rows::add(row, bias.row(head, span.start + i, span.first_key, span.num_keys()));
        }
    }

    fn forward_span(self, inputs: Inputs, span: Span, out: &mut [f32], log_sums: &mut [f32]) {
        let (h, e, width) = (self.layout.num_heads, self.layout.head_width, self.layout.query_width());
        let (s, t) = (span.num_queries(), span.num_keys());
        let mut scores = vec![0.0; s * t];
        for head in 0..h {
            self.products(&mut scores, inputs, span, head);
            for (i, row) in scores.chunks_exact_mut(t).enumerate() {
                let seen = self.seen.keys_of(span, i);
                if let Some(cap) = self.cap() {
                    rows::bend(&mut row[seen.clone()], cap);
                }
                self.add_bias(row, span, i, head);
                log_sums[i * h + head] = rows::softmax(row, seen.clone());
                if let Some(dropped) = self.dropped {
                    rows::drop_some(row, seen, dropped.row(span.start + i, head, span));
                }
            }
            let p = Matrix::new(&scores, s, t);
            let out = MatrixMut::strided(&mut out[head * e..], s, e, width);
            matmul(out, Into::Replace, 1.0, p, inputs.values(span, head), Workers::One);
        }
    }
}
