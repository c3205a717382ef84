//! Attention over packed segments, causal or both ways, with grouped queries, an optional sliding window and an optional cap on the scores.
//!
//! The probabilities are made again in the backward pass, a block of queries at a time (Dao et al. 2022, arXiv:2205.14135),
//! so that no [n, n] tensor outlives its block.

use crate::nn::kernels::cpu::{self, Numbers, tensor};
use crate::nn::kernels::{HeadLayout, Seen, portable};
use crate::nn::{Node, Result, Tape, profile};
use candle_core::Tensor;
use std::rc::Rc;

/// Attention inside each segment: q | k | v [n, (h + 2k) e] -> [n, h·e].
pub fn attention(tape: &Tape, qkv: &Node, layout: HeadLayout, seen: &Rc<Seen>) -> Result<Node> {
    let _span = profile::forward("attention");
    let saved = Saved::forward(qkv.value(), layout, seen.clone())?;
    let out = saved.out.clone();
    Ok(tape.record("attention", &[qkv], out, move |dy| Ok(vec![Some(saved.backward(dy)?)])))
}

struct Saved {
    qkv: Tensor,
    out: Tensor,
    /// Log-sum-exp of the scores, [n, h], where the CPU's kernel made it.
    log_sums: Option<Vec<f32>>,
    layout: HeadLayout,
    seen: Rc<Seen>,
}

impl Saved {
    fn forward(qkv: &Tensor, layout: HeadLayout, seen: Rc<Seen>) -> Result<Self> {
        let (out, log_sums) = match Numbers::of(qkv) {
            Some(numbers) => {
                let kernel = cpu::attention::Attention { layout, seen: &seen };
                let (out, log_sums) = kernel.forward(&numbers);
                (tensor(out, (qkv.dim(0)?, layout.query_width()))?, Some(log_sums))
            }
            None => (portable::attention::forward(qkv, layout, &seen)?, None),
        };
        Ok(Self { qkv: qkv.clone(), out, log_sums, layout, seen })
    }

    fn backward(&self, dy: &Tensor) -> Result<Tensor> {
        if let (Some(log_sums), Some(qkv), Some(out), Some(d_out)) =
            (&self.log_sums, Numbers::of(&self.qkv), Numbers::of(&self.out), Numbers::of(dy))
        {
            let kernel = cpu::attention::Attention { layout: self.layout, seen: &self.seen };
            return tensor(kernel.backward(&qkv, &out, log_sums, &d_out), self.qkv.shape());
        }
        portable::attention::backward(&self.qkv, &self.out, dy, self.layout, &self.seen)
    }
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
    let (Some(of_q), Some(of_k), Some(of_v)) = (Numbers::of(q), Numbers::of(k), Numbers::of(v)) else {
        return portable::attention::attend_cached(q, k, v, scale, window, cap);
    };
    let (_, num_heads, head_width) = q.dims3()?;
    let scale = scale as f32;
    let num_kv_heads = k.dim(1)?;
    let cached = cpu::cached::Cached {
        q: &of_q,
        k: &of_k,
        v: &of_v,
        num_heads,
        num_kv_heads,
        head_width,
        scale,
        window,
        cap: cap.map(|cap| cap as f32),
    };
    tensor(cached.attend(), q.shape())
}
