//! Attention over packed segments with grouped queries, a block of queries at a time.

use super::wide;
use crate::nn::Result;
use crate::nn::kernels::heads::{HeadLayout, Seen, Sights, Span};
use crate::nn::kernels::weighing::{Bias, DroppedShares, Weighing};
use candle_core::{D, Tensor};

/// Most queries of one block.
const BLOCK: usize = 256;
/// About the most scores of one block, over all heads: some tensors of this size exist at a time.
const BLOCK_SCORES: usize = 32 << 20;
/// What is taken off the score of a key for each position that it lies out of a query's sight: its share is 0.
const OUT_OF_SIGHT: f64 = 1e30;

/// Queries of one block where so many heads look at so many keys.
fn block_rows(num_heads: usize, num_keys: usize) -> usize {
    (BLOCK_SCORES / (num_heads * num_keys).max(1)).clamp(16, BLOCK)
}

/// What is added to the scores of a span of queries, [s, t], made on the device out of what each query sees.
fn mask(sights: &Sights, span: Span) -> Result<Tensor> {
    let (s, t) = (span.num_queries(), span.num_keys());
    let keys = sights.keys.narrow(1, span.first_key, t)?; // [1, t]
    let before = sights.first.narrow(0, span.start, s)?.broadcast_sub(&keys)?.relu()?; // [s, t]
    let after = keys.broadcast_sub(&sights.last.narrow(0, span.start, s)?)?.relu()?; // [s, t]
    (before + after)? * -OUT_OF_SIGHT
}

/// [s, h, e] -> [k, g·s, e]: the queries that share a key-value head, one after the other.
fn group_queries(x: &Tensor, num_kv: usize) -> Result<Tensor> {
    let (s, h, e) = x.dims3()?;
    let g = h / num_kv;
    x.reshape((s, num_kv, g, e))?.permute((1, 2, 0, 3))?.contiguous()?.reshape((num_kv, g * s, e)) // [k, g·s, e]
}

/// The inverse of [`group_queries`]: [k, g·s, e] -> [s, h, e].
fn ungroup_queries(x: &Tensor, s: usize) -> Result<Tensor> {
    let (k, gs, e) = x.dims3()?;
    let g = gs / s;
    x.reshape((k, g, s, e))?.permute((2, 0, 1, 3))?.contiguous()?.reshape((s, k * g, e)) // [s, h, e]
}

/// [t, k, e] -> [k, t, e].
fn heads_first(x: &Tensor) -> Result<Tensor> {
    x.transpose(0, 1)?.contiguous() // [k, t, e]
}

/// Scores of one block, bent under the cap: q [k, g·s, e] and k [k, t, e] -> [k, g·s, t], wide.
fn scores(q: &Tensor, k: &Tensor, scale: f64, cap: Option<f64>) -> Result<Tensor> {
    let scores = (wide(&q.matmul(&k.transpose(1, 2)?)?)? * scale)?;
    match cap {
        Some(cap) => (scores / cap)?.tanh()? * cap,
        None => Ok(scores),
    }
}

/// Bent scores of a span with what is added to them, [k, g·s, t].
fn added(bent: &Tensor, bias: Option<Bias>, span: Span) -> Result<Tensor> {
    bias.map_or(Ok(bent.clone()), |bias| bias.added(bent, span))
}

/// Probabilities of one block from its scores: [k, g·s, t] -> the same.
fn probabilities(scores: &Tensor, mask: Option<&Tensor>) -> Result<Tensor> {
    let scores = match mask {
        Some(mask) => {
            let (kv, gs, t) = scores.dims3()?;
            let s = mask.dim(0)?;
            let grouped = scores.reshape((kv, gs / s, s, t))?; // [k, g, s, t]
            grouped.broadcast_add(&mask.to_dtype(grouped.dtype())?)?.reshape((kv, gs, t))? // [k, g·s, t]
        }
        None => scores.clone(),
    };
    #[expect(clippy::disallowed_methods, reason = "the gradient is written out in `backward`")]
    candle_nn::ops::softmax_last_dim(&scores)
}

/// Queries of some rows, keys and values of all, [.., heads, e] each.
pub struct Parts {
    pub q: Tensor,
    pub k: Tensor,
    pub v: Tensor,
}

impl Bias<'_> {
    /// The rows of a span's pairs, [s·t], of queries that stand at `span.start` and on.
    fn rows(self, span: Span) -> Result<Tensor> {
        let num = self.0.dim(0)?;
        let (middle, highest) = ((num / 2) as i64, num as i64 - 1);
        let row = |query: usize, key: usize| (key as i64 - query as i64 + middle).clamp(0, highest) as u32;
        let rows = (span.start..span.end)
            .flat_map(|query| (span.first_key..span.end_key).map(move |key| row(query, key)));
        let rows: Vec<u32> = rows.collect();
        Tensor::from_vec(rows, span.num_queries() * span.num_keys(), self.0.device())
    }

    /// Adds it to the scores of a span, [k, g·s, t].
    fn added(self, scores: &Tensor, span: Span) -> Result<Tensor> {
        let (s, t, h) = (span.num_queries(), span.num_keys(), self.0.dim(1)?);
        let bias = self.0.index_select(&self.rows(span)?, 0)?.reshape((s, t, h))?; // [s, t, h]
        let bias = bias.permute((2, 0, 1))?.contiguous()?.reshape(scores.shape())?; // [k, g·s, t]
        scores + bias.to_dtype(scores.dtype())?
    }

    /// Adds the gradient of a span's scores, [k, g·s, t], to that of the bias, [2l - 1, h].
    fn add_gradient(self, to: &Tensor, ds: &Tensor, span: Span) -> Result<Tensor> {
        let (s, t, h) = (span.num_queries(), span.num_keys(), self.0.dim(1)?);
        let ds = ds.reshape((h, s, t))?.permute((1, 2, 0))?.contiguous()?.reshape((s * t, h))?; // [s·t, h]
        to.index_add(&self.rows(span)?, &ds.to_dtype(to.dtype())?, 0)
    }
}

/// Some columns of rows as heads, [n, heads, e].
fn heads(x: &Tensor, first: usize, width: usize, e: usize) -> Result<Tensor> {
    x.narrow(1, first, width)?.contiguous()?.reshape((x.dim(0)?, width / e, e)) // [n, heads, e]
}

fn parts(qkv: &Tensor, layout: HeadLayout) -> Result<Parts> {
    let (e, q, k) = (layout.head_width, layout.query_width(), layout.key_width());
    Ok(Parts { q: heads(qkv, 0, q, e)?, k: heads(qkv, q, k, e)?, v: heads(qkv, q + k, k, e)? })
}

/// Of queries [n, h·e] and k | v of other rows, [m, 2k·e].
fn parts_of_two(q: &Tensor, kv: &Tensor, layout: HeadLayout) -> Result<Parts> {
    let (e, k) = (layout.head_width, layout.key_width());
    Ok(Parts { q: heads(q, 0, layout.query_width(), e)?, k: heads(kv, 0, k, e)?, v: heads(kv, k, k, e)? })
}

/// One block's slices, heads first: q [k, g·s, e], k [k, t, e], v [k, t, e].
struct Block {
    q: Tensor,
    k: Tensor,
    v: Tensor,
}

impl DroppedShares {
    /// What the shares of a span are multiplied by, [k, g·s, t], made on the host.
    fn mask(self, like: &Tensor, span: Span) -> Result<Tensor> {
        let (s, t) = (span.num_queries(), span.num_keys());
        let num_rows = like.dim(0)? * like.dim(1)?;
        let row = |row: usize| {
            let dropped = self.row(span.start + row % s, row / s, span);
            (0..t).map(move |key| dropped.at(key))
        };
        let factors: Vec<f32> = (0..num_rows).flat_map(row).collect();
        Tensor::from_vec(factors, like.shape(), like.device())?.to_dtype(like.dtype())
    }
}

impl Parts {
    /// Queries and keys of a span, the first query of all being that of row `first_query`.
    fn block(&self, span: Span, first_query: usize) -> Result<Block> {
        let (s, t) = (span.num_queries(), span.num_keys());
        Ok(Block {
            q: group_queries(&self.q.narrow(0, span.start - first_query, s)?, self.k.dim(1)?)?,
            k: heads_first(&self.k.narrow(0, span.first_key, t)?)?,
            v: heads_first(&self.v.narrow(0, span.first_key, t)?)?,
        })
    }
}

/// qkv [n, (h + 2k) e] -> [n, h·e].
pub fn forward(qkv: &Tensor, layout: HeadLayout, seen: &Seen, weighing: Weighing) -> Result<Tensor> {
    parts(qkv, layout)?.forward(seen, weighing)
}

/// Of queries and rows of their own for keys and values: q [n, h·e], k | v [m, 2k·e] -> [n, h·e].
pub fn forward_across(
    [q, kv]: [&Tensor; 2],
    layout: HeadLayout,
    seen: &Seen,
    weighing: Weighing,
) -> Result<Tensor> {
    parts_of_two(q, kv, layout)?.forward(seen, weighing)
}

/// out and d_out [n, h·e] -> d qkv [n, (h + 2k) e], and d bias.
pub fn backward(
    qkv: &Tensor,
    [out, d_out]: [&Tensor; 2],
    layout: HeadLayout,
    seen: &Seen,
    weighing: Weighing,
) -> Result<(Tensor, Option<Tensor>)> {
    let Gradients { q, k, v, bias } = parts(qkv, layout)?.backward(out, d_out, seen, weighing)?;
    Ok((Tensor::cat(&[q, k, v], 1)?, bias))
}

/// out and d_out [n, h·e] -> d q [n, h·e] and d kv [m, 2k·e].
pub fn backward_across(
    [q, kv]: [&Tensor; 2],
    [out, d_out]: [&Tensor; 2],
    layout: HeadLayout,
    seen: &Seen,
    weighing: Weighing,
) -> Result<[Tensor; 2]> {
    let Gradients { q, k, v, .. } = parts_of_two(q, kv, layout)?.backward(out, d_out, seen, weighing)?;
    Ok([q, Tensor::cat(&[k, v], 1)?])
}

/// As rows: [n, h·e], [m, k·e], [m, k·e], and [2l - 1, h].
struct Gradients {
    q: Tensor,
    k: Tensor,
    v: Tensor,
    bias: Option<Tensor>,
}

impl Parts {
    /// -> [n, h·e].
    fn forward(&self, seen: &Seen, weighing: Weighing) -> Result<Tensor> {
        let (n, h, e) = self.q.dims3()?;
        let mut outputs = Vec::new();
        let sights = seen.sights(self.q.device())?;
        let dropped = weighing.dropout.map(|of| DroppedShares::new(of, h, seen));
        for span in seen.joined_spans(block_rows(h, self.k.dim(0)?)) {
            let block = self.block(span, 0)?;
            let bent = scores(&block.q, &block.k, seen.scale, seen.cap)?;
            let p = probabilities(&added(&bent, weighing.bias, span)?, Some(&mask(&sights, span)?))?;
            let p = dropped.map_or(Ok(p.clone()), |dropped| p * dropped.mask(&bent, span)?)?;
            outputs
                .push(ungroup_queries(&p.to_dtype(block.v.dtype())?.matmul(&block.v)?, span.num_queries())?);
        }
        Tensor::cat(&outputs, 0)?.reshape((n, h * e)) // [n, h·e]
    }

    /// As the CPU's kernel has it.
    fn backward(&self, out: &Tensor, d_out: &Tensor, seen: &Seen, weighing: Weighing) -> Result<Gradients> {
        let ((n, h, e), num_kv) = (self.q.dims3()?, self.k.dim(1)?);
        let as_heads = |x: &Tensor| x.reshape((n, h, e)); // [n, h, e]
        let (out, d_out) = (as_heads(out)?, as_heads(d_out)?);
        let bias = weighing.bias;
        let mut dq = Vec::new();
        // Several blocks add to the same rows: in f32.
        let (dk, dv) = (wide(&self.k)?.zeros_like()?, wide(&self.v)?.zeros_like()?);
        let mut d_bias = bias.map(|bias| wide(bias.0)?.zeros_like()).transpose()?;
        let sights = seen.sights(self.q.device())?;
        let dropped = weighing.dropout.map(|of| DroppedShares::new(of, h, seen));
        for span in seen.joined_spans(block_rows(h, self.k.dim(0)?)) {
            let s = span.num_queries();
            let b = self.block(span, 0)?;
            let d_out = group_queries(&d_out.narrow(0, span.start, s)?, num_kv)?; // [k, g·s, e]
            let out = group_queries(&out.narrow(0, span.start, s)?, num_kv)?; // [k, g·s, e]
            let bent = scores(&b.q, &b.k, seen.scale, seen.cap)?; // [k, g·s, t]
            let p = probabilities(&added(&bent, bias, span)?, Some(&mask(&sights, span)?))?; // [k, g·s, t]
            let dp = wide(&d_out.matmul(&b.v.transpose(1, 2)?)?)?; // [k, g·s, t]
            let (kept, dp) = match dropped {
                None => (p.clone(), dp),
                Some(dropped) => {
                    let factors = dropped.mask(&bent, span)?;
                    ((&p * &factors)?, (dp * factors)?)
                }
            };
            let dv_block = kept.to_dtype(d_out.dtype())?.transpose(1, 2)?.matmul(&d_out)?; // [k, t, e]
            let dot = (wide(&d_out)? * wide(&out)?)?.sum_keepdim(D::Minus1)?; // [k, g·s, 1]
            let ds = (p * dp.broadcast_sub(&dot)?)?; // [k, g·s, t]
            if let (Some(bias), Some(sum)) = (bias, &mut d_bias) {
                *sum = bias.add_gradient(sum, &ds, span)?;
            }
            let ds = match seen.cap {
                Some(cap) => (ds * (1.0 - (bent / cap)?.sqr()?)?)?,
                None => ds,
            };
            let ds = (ds * seen.scale)?.to_dtype(b.q.dtype())?;
            dq.push(ungroup_queries(&ds.matmul(&b.k)?, s)?);
            add_rows(&dk, &ds.transpose(1, 2)?.matmul(&b.q)?, span)?; // [k, t, e]
            add_rows(&dv, &dv_block, span)?;
        }
        let flat = |x: &Tensor| x.to_dtype(self.q.dtype())?.flatten_from(1); // [rows, heads·e]
        let bias = d_bias.zip(bias).map(|(sum, bias)| sum.to_dtype(bias.0.dtype())).transpose()?;
        Ok(Gradients { q: flat(&Tensor::cat(&dq, 0)?)?, k: flat(&dk)?, v: flat(&dv)?, bias })
    }
}

/// Adds a block [k, t, e] to the span's key rows of [n, k, e], wide, which the caller made and nothing else holds.
fn add_rows(to: &Tensor, block: &Tensor, span: Span) -> Result<()> {
    let block = wide(&block.transpose(0, 1)?)?;
    let rows = (to.narrow(0, span.first_key, span.num_keys())? + block)?.contiguous()?; // [t, k, e]
    to.slice_set(&rows, 0, span.first_key)
}

/// Attention of new queries to all keys so far: q [s, h, e], k [t, k, e], v [t, k, e] -> [s, h, e].
/// The queries are the last `s` of the `t` positions. No gradient: for generation.
pub fn attend_cached(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    scale: f64,
    window: Option<usize>,
    cap: Option<f64>,
    bias: Option<Bias>,
) -> Result<Tensor> {
    let (s, t, h) = (q.dim(0)?, k.dim(0)?, q.dim(1)?);
    let seen = Seen::new(vec![0, t], scale, window, cap);
    let parts = Parts { q: q.clone(), k: k.clone(), v: v.clone() };
    // One query sees all keys of its span: the loop that makes an answer needs no mask, and copies nothing from the host.
    let sights = if s > 1 { Some(seen.sights(q.device())?) } else { None };
    let mut outputs = Vec::new();
    for span in seen.spans_of([t - s..t, 0..t], block_rows(h, t)) {
        let block = parts.block(span, t - s)?;
        let mask = sights.as_ref().map(|sights| mask(sights, span)).transpose()?;
        let bent = scores(&block.q, &block.k, scale, cap)?;
        let p = probabilities(&added(&bent, bias, span)?, mask.as_ref())?; // [k, g·s, t]
        outputs.push(ungroup_queries(&p.to_dtype(v.dtype())?.matmul(&block.v)?, span.num_queries())?);
    }
    Tensor::cat(&outputs, 0) // [s, h, e]
}
