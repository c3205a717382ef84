//! Causal attention over packed segments with grouped queries, a block of queries at a time.

use crate::nn::Result;
use crate::nn::kernels::heads::{HeadLayout, Seen, Span};
use candle_core::{D, Device, Tensor};

/// Queries of one block.
const BLOCK: usize = 256;

/// 0 where a query sees a key, -inf elsewhere: [s, t]. `None` when every query sees every key.
fn mask(
    first_query: usize,
    num_queries: usize,
    num_keys: usize,
    window: Option<usize>,
    device: &Device,
) -> Result<Option<Tensor>> {
    if num_queries == 1 && window.is_none_or(|w| num_keys <= w) {
        return Ok(None);
    }
    let mut mask = vec![0f32; num_queries * num_keys];
    for (i, row) in mask.chunks_exact_mut(num_keys).enumerate() {
        let query = first_query + i;
        for (key, cell) in row.iter_mut().enumerate() {
            if key > query || window.is_some_and(|w| query - key >= w) {
                *cell = f32::NEG_INFINITY;
            }
        }
    }
    Tensor::from_vec(mask, (num_queries, num_keys), device).map(Some)
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

/// Scores of one block, bent under the cap: q [k, g·s, e] and k [k, t, e] -> [k, g·s, t].
fn scores(q: &Tensor, k: &Tensor, scale: f64, cap: Option<f64>) -> Result<Tensor> {
    let scores = (q.matmul(&k.transpose(1, 2)?)? * scale)?;
    match cap {
        Some(cap) => (scores / cap)?.tanh()? * cap,
        None => Ok(scores),
    }
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

/// q, k and v of all rows, [n, heads, e] each.
struct Parts {
    q: Tensor,
    k: Tensor,
    v: Tensor,
}

fn parts(qkv: &Tensor, layout: HeadLayout) -> Result<Parts> {
    let (n, e) = (qkv.dim(0)?, layout.head_width);
    let (q, k) = (layout.query_width(), layout.key_width());
    let heads = |first, width| qkv.narrow(1, first, width)?.contiguous()?.reshape((n, width / e, e)); // [n, heads, e]
    Ok(Parts { q: heads(0, q)?, k: heads(q, k)?, v: heads(q + k, k)? })
}

/// One block's slices, heads first: q [k, g·s, e], k [k, t, e], v [k, t, e], mask [s, t].
struct Block {
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Option<Tensor>,
}

impl Parts {
    fn block(&self, span: Span, window: Option<usize>) -> Result<Block> {
        let (s, t) = (span.num_queries(), span.num_keys());
        Ok(Block {
            q: group_queries(&self.q.narrow(0, span.start, s)?, self.k.dim(1)?)?,
            k: heads_first(&self.k.narrow(0, span.first_key, t)?)?,
            v: heads_first(&self.v.narrow(0, span.first_key, t)?)?,
            mask: mask(span.start - span.first_key, s, t, window, self.q.device())?,
        })
    }
}

/// qkv [n, (h + 2k) e] -> [n, h·e].
pub fn forward(qkv: &Tensor, layout: HeadLayout, seen: &Seen) -> Result<Tensor> {
    let parts = parts(qkv, layout)?;
    let mut outputs = Vec::new();
    for span in seen.spans(BLOCK) {
        let block = parts.block(span, seen.window)?;
        let p = probabilities(&scores(&block.q, &block.k, seen.scale, seen.cap)?, block.mask.as_ref())?;
        outputs.push(ungroup_queries(&p.matmul(&block.v)?, span.num_queries())?);
    }
    Tensor::cat(&outputs, 0)?.reshape((qkv.dim(0)?, layout.query_width())) // [n, h·e]
}

/// With D = rowsum(dO ∘ O):  dV = Pᵀ dO;  dP = dO Vᵀ;  dS = P ∘ (dP - D);  dQ = s dS K;  dK = s dSᵀ Q. With a cap c and
/// bent scores C, dS = P ∘ (dP - D) ∘ (1 - (C / c)²).
///
/// out and d_out [n, h·e] -> d qkv [n, (h + 2k) e].
pub fn backward(
    qkv: &Tensor,
    out: &Tensor,
    d_out: &Tensor,
    layout: HeadLayout,
    seen: &Seen,
) -> Result<Tensor> {
    let parts = parts(qkv, layout)?;
    let n = qkv.dim(0)?;
    let as_heads = |x: &Tensor| x.reshape((n, layout.num_heads, layout.head_width)); // [n, h, e]
    let (out, d_out) = (as_heads(out)?, as_heads(d_out)?);
    let mut dq = Vec::new();
    let (dk, dv) = (parts.k.zeros_like()?, parts.v.zeros_like()?);
    for span in seen.spans(BLOCK) {
        let s = span.num_queries();
        let b = parts.block(span, seen.window)?;
        let num_kv = layout.num_kv_heads;
        let d_out = group_queries(&d_out.narrow(0, span.start, s)?, num_kv)?; // [k, g·s, e]
        let out = group_queries(&out.narrow(0, span.start, s)?, num_kv)?; // [k, g·s, e]
        let scores = scores(&b.q, &b.k, seen.scale, seen.cap)?; // [k, g·s, t]
        let p = probabilities(&scores, b.mask.as_ref())?; // [k, g·s, t]
        let dv_block = p.transpose(1, 2)?.matmul(&d_out)?; // [k, t, e]
        let dp = d_out.matmul(&b.v.transpose(1, 2)?)?; // [k, g·s, t]
        let dot = (&d_out * &out)?.sum_keepdim(D::Minus1)?; // [k, g·s, 1]
        let ds = (p * dp.broadcast_sub(&dot)?)?; // [k, g·s, t]
        let ds = match seen.cap {
            Some(cap) => (ds * (1.0 - (scores / cap)?.sqr()?)?)?,
            None => ds,
        };
        dq.push(ungroup_queries(&(ds.matmul(&b.k)? * seen.scale)?, s)?);
        let dk_block = (ds.transpose(1, 2)?.matmul(&b.q)? * seen.scale)?; // [k, t, e]
        add_rows(&dk, &dk_block, span)?;
        add_rows(&dv, &dv_block, span)?;
    }
    let flat = |x: &Tensor, width| x.reshape((n, width)); // [n, heads·e]
    let dq = flat(&Tensor::cat(&dq, 0)?, layout.query_width())?;
    Tensor::cat(&[dq, flat(&dk, layout.key_width())?, flat(&dv, layout.key_width())?], 1)
}

/// Adds a block [k, t, e] to the span's key rows of [n, k, e], which the caller made and nothing else holds.
fn add_rows(to: &Tensor, block: &Tensor, span: Span) -> Result<()> {
    let rows = (to.narrow(0, span.first_key, span.num_keys())? + block.transpose(0, 1)?)?.contiguous()?; // [t, k, e]
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
) -> Result<Tensor> {
    let (s, t) = (q.dim(0)?, k.dim(0)?);
    let mask = mask(t - s, s, t, window, q.device())?;
    let q = group_queries(q, k.dim(1)?)?; // [k, g·s, e]
    let p = probabilities(&scores(&q, &heads_first(k)?, scale, cap)?, mask.as_ref())?; // [k, g·s, t]
    ungroup_queries(&p.matmul(&heads_first(v)?)?, s) // [s, h, e]
}
