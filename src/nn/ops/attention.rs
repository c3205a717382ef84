//! Causal attention over packed segments, with grouped queries and an optional sliding window.
//!
//! Only q, k, v and the output are saved; the probabilities are made again in the backward pass, a block of
//! queries at a time (Dao et al. 2022, arXiv:2205.14135), so that no [n, n] tensor outlives its block.

use crate::nn::{Node, Result, Tape};
use candle_core::{D, Device, Tensor};

/// Queries of one block.
const BLOCK: usize = 256;

/// What the operation has to know beside its tensors.
#[derive(Debug, Clone)]
pub struct AttentionShape {
    /// Offsets where segments begin, with `n` at the end.
    pub segments: Vec<usize>,
    /// Multiplies the scores, usually 1 / sqrt(e).
    pub scale: f64,
    /// Each position sees at most so many positions back, itself included.
    pub window: Option<usize>,
}

/// Queries [start, end) of one segment and the keys [first_key, end) that they can see.
#[derive(Debug, Clone, Copy)]
struct Span {
    start: usize,
    end: usize,
    first_key: usize,
}

impl AttentionShape {
    fn spans(&self) -> Vec<Span> {
        let mut spans = Vec::new();
        for segment in self.segments.windows(2) {
            for start in (segment[0]..segment[1]).step_by(BLOCK) {
                let end = (start + BLOCK).min(segment[1]);
                let reach = self.window.map_or(segment[0], |w| (start + 1).saturating_sub(w));
                spans.push(Span { start, end, first_key: reach.max(segment[0]) });
            }
        }
        spans
    }
}

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

/// Probabilities of one block: q [k, g·s, e] and k [k, t, e] -> [k, g·s, t].
fn probabilities(q: &Tensor, k: &Tensor, scale: f64, mask: Option<&Tensor>) -> Result<Tensor> {
    let scores = (q.matmul(&k.transpose(1, 2)?)? * scale)?; // [k, g·s, t]
    let scores = match mask {
        Some(mask) => {
            let (kv, gs, t) = scores.dims3()?;
            let s = mask.dim(0)?;
            let grouped = scores.reshape((kv, gs / s, s, t))?; // [k, g, s, t]
            grouped.broadcast_add(mask)?.reshape((kv, gs, t))? // [k, g·s, t]
        }
        None => scores,
    };
    #[expect(clippy::disallowed_methods, reason = "the gradient is the closure in `attention`")]
    candle_nn::ops::softmax_last_dim(&scores)
}

/// One block's slices, heads first: q [k, g·s, e], k [k, t, e], v [k, t, e], mask [s, t].
struct Block {
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Option<Tensor>,
}

fn block(q: &Tensor, k: &Tensor, v: &Tensor, span: Span, window: Option<usize>) -> Result<Block> {
    let (s, t) = (span.end - span.start, span.end - span.first_key);
    Ok(Block {
        q: group_queries(&q.narrow(0, span.start, s)?, k.dim(1)?)?,
        k: heads_first(&k.narrow(0, span.first_key, t)?)?,
        v: heads_first(&v.narrow(0, span.first_key, t)?)?,
        mask: mask(span.start - span.first_key, s, t, window, q.device())?,
    })
}

/// Attention inside each segment: q [n, h, e], k [n, k, e], v [n, k, e] -> [n, h, e].
pub fn attention(tape: &Tape, q: &Node, k: &Node, v: &Node, shape: &AttentionShape) -> Result<Node> {
    let mut outputs = Vec::new();
    for span in shape.spans() {
        let block = block(q.value(), k.value(), v.value(), span, shape.window)?;
        let p = probabilities(&block.q, &block.k, shape.scale, block.mask.as_ref())?;
        outputs.push(ungroup_queries(&p.matmul(&block.v)?, span.end - span.start)?);
    }
    let out = Tensor::cat(&outputs, 0)?; // [n, h, e]
    let saved = Saved {
        q: q.value().clone(),
        k: k.value().clone(),
        v: v.value().clone(),
        out: out.clone(),
        shape: shape.clone(),
    };
    Ok(tape.record(&[q, k, v], out, move |dy| saved.backward(dy)))
}

struct Saved {
    q: Tensor,
    k: Tensor,
    v: Tensor,
    out: Tensor,
    shape: AttentionShape,
}

impl Saved {
    /// With D = rowsum(dO ∘ O):  dV = Pᵀ dO;  dP = dO Vᵀ;  dS = P ∘ (dP - D);  dQ = s dS K;  dK = s dSᵀ Q.
    fn backward(&self, dy: &Tensor) -> Result<Vec<Option<Tensor>>> {
        let (spans, scale) = (self.shape.spans(), self.shape.scale);
        let mut dq = Vec::with_capacity(spans.len());
        let mut dk = self.k.zeros_like()?;
        let mut dv = self.v.zeros_like()?;
        for span in spans {
            let (s, t) = (span.end - span.start, span.end - span.first_key);
            let b = block(&self.q, &self.k, &self.v, span, self.shape.window)?;
            let num_kv = b.k.dim(0)?;
            let d_out = group_queries(&dy.narrow(0, span.start, s)?, num_kv)?; // [k, g·s, e]
            let out = group_queries(&self.out.narrow(0, span.start, s)?, num_kv)?; // [k, g·s, e]
            let p = probabilities(&b.q, &b.k, scale, b.mask.as_ref())?; // [k, g·s, t]
            let dv_block = p.transpose(1, 2)?.matmul(&d_out)?; // [k, t, e]
            let dp = d_out.matmul(&b.v.transpose(1, 2)?)?; // [k, g·s, t]
            let dot = (&d_out * &out)?.sum_keepdim(D::Minus1)?; // [k, g·s, 1]
            let ds = (p * dp.broadcast_sub(&dot)?)?; // [k, g·s, t]
            dq.push(ungroup_queries(&(ds.matmul(&b.k)? * scale)?, s)?);
            let dk_block = (ds.transpose(1, 2)?.matmul(&b.q)? * scale)?; // [k, t, e]
            dk = add_rows(&dk, &dk_block, span.first_key, t)?;
            dv = add_rows(&dv, &dv_block, span.first_key, t)?;
        }
        Ok(vec![Some(Tensor::cat(&dq, 0)?), Some(dk), Some(dv)])
    }
}

/// Adds a block [k, t, e] to rows [first, first + t) of [n, k, e], which this function owns alone.
fn add_rows(to: &Tensor, block: &Tensor, first: usize, t: usize) -> Result<Tensor> {
    let rows = (to.narrow(0, first, t)? + block.transpose(0, 1)?)?.contiguous()?; // [t, k, e]
    // Written in place: `to` was made by the caller and nothing else holds it.
    to.slice_set(&rows, 0, first)?;
    Ok(to.clone())
}

/// Attention of new queries to all keys so far: q [s, h, e], k [t, k, e], v [t, k, e] -> [s, h, e].
/// The queries are the last `s` of the `t` positions. No gradient: for generation.
pub fn attend_cached(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    scale: f64,
    window: Option<usize>,
) -> Result<Tensor> {
    let (s, t) = (q.dim(0)?, k.dim(0)?);
    let mask = mask(t - s, s, t, window, q.device())?;
    let q = group_queries(q, k.dim(1)?)?; // [k, g·s, e]
    let p = probabilities(&q, &heads_first(k)?, scale, mask.as_ref())?; // [k, g·s, t]
    ungroup_queries(&p.matmul(&heads_first(v)?)?, s) // [s, h, e]
}
