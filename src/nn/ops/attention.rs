//! Attention over packed segments, causal or both ways, with grouped queries, an optional sliding window and an optional cap on the scores.
//!
//! The probabilities are made again in the backward pass, a block of queries at a time (Dao et al. 2022, arXiv:2205.14135),
//! so that no [n, n] tensor outlives its block.

use crate::nn::kernels::cpu::{self, Numbers, tensor};
use crate::nn::kernels::portable::attention::Bias;
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
            None => (portable::attention::forward(qkv, layout, &seen, None)?, None),
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
        portable::attention::backward(&self.qkv, &self.out, dy, self.layout, &self.seen, None)
            .map(|both| both.0)
    }
}

/// As [`attention`], with what is added to the scores by the distance from query to key: bias [2l - 1, h], where no segment has more than
/// `l` rows (Raffel et al. 2020, arXiv:1910.10683).
pub fn biased_attention(
    tape: &Tape,
    qkv: &Node,
    bias: &Node,
    layout: HeadLayout,
    seen: &Rc<Seen>,
) -> Result<Node> {
    let _span = profile::forward("attention");
    let out = portable::attention::forward(qkv.value(), layout, seen, Some(Bias(bias.value())))?;
    let (rows, added, made, seen) = (qkv.value().clone(), bias.value().clone(), out.clone(), seen.clone());
    let needs = (qkv.needs_gradient(), bias.needs_gradient());
    Ok(tape.record("attention", &[qkv, bias], out, move |dy| {
        let bias = Some(Bias(&added));
        let (of_rows, of_bias) = portable::attention::backward(&rows, &made, dy, layout, &seen, bias)?;
        Ok(vec![needs.0.then_some(of_rows), of_bias.filter(|_| needs.1)])
    }))
}

/// Attention of rows to others, all those of the same segment: q [n, h·e], k | v [m, 2k·e] -> [n, h·e].
pub fn cross_attention(
    tape: &Tape,
    q: &Node,
    kv: &Node,
    layout: HeadLayout,
    seen: &Rc<Seen>,
) -> Result<Node> {
    let _span = profile::forward("attention");
    let out = portable::attention::forward_across(q.value(), kv.value(), layout, seen)?;
    let (of_q, of_kv, made, seen) = (q.value().clone(), kv.value().clone(), out.clone(), seen.clone());
    let needs = [q.needs_gradient(), kv.needs_gradient()];
    Ok(tape.record("attention", &[q, kv], out, move |dy| {
        let both = portable::attention::backward_across([&of_q, &of_kv], &made, dy, layout, &seen)?;
        Ok(both.into_iter().zip(needs).map(|(gradient, needs)| needs.then_some(gradient)).collect())
    }))
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
    let on_cpu = if bias.is_some() { None } else { Numbers::of(q).zip(Numbers::of(k)).zip(Numbers::of(v)) };
    let Some(((of_q, of_k), of_v)) = on_cpu else {
        return portable::attention::attend_cached(q, k, v, scale, window, cap, bias);
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
