//! Attention over packed segments, causal or both ways, with grouped queries, an optional sliding window, an optional cap on the scores, biases
//! by distance, and dropout of the shares.
//!
//! The probabilities are made again in the backward pass, a block of queries at a time (Dao et al. 2022, arXiv:2205.14135),
//! so that no [n, n] tensor outlives its block.

use crate::nn::kernels::cpu::attention::{Attention, Distances, Inputs, Saved};
use crate::nn::kernels::cpu::{self, Numbers, tensor};
use crate::nn::kernels::{Bias, Dropout, HeadLayout, Seen, Weighing, portable};
use crate::nn::{Node, Result, Tape, profile};
use candle_core::Tensor;
use std::rc::Rc;

/// What of a layer makes its shares others than queries and keys do; by default nothing.
#[derive(Clone, Copy, Default)]
pub struct Shares<'n> {
    /// Added to the scores by the distance from query to key, [2l - 1, h], where no segment has more than `l` rows (Raffel et al. 2020,
    /// arXiv:1910.10683).
    pub bias: Option<&'n Node>,
    /// Drops some of the shares that keys have; the others grow.
    pub dropout: Option<Dropout>,
}

/// Attention inside each segment: q | k | v [n, (h + 2k) e] -> [n, h·e].
pub fn attention(
    tape: &Tape,
    qkv: &Node,
    layout: HeadLayout,
    seen: &Rc<Seen>,
    shares: Shares,
) -> Result<Node> {
    let _span = profile::forward("attention");
    let bias = shares.bias.map(|bias| bias.value().clone());
    let made = Made::forward(vec![qkv.value().clone()], bias, shares.dropout, layout, seen.clone())?;
    let out = made.out.clone();
    let inputs: Vec<&Node> = [qkv].into_iter().chain(shares.bias).collect();
    let needs: Vec<bool> = inputs.iter().map(|input| input.needs_gradient()).collect();
    Ok(tape.record("attention", &inputs, out, move |dy| {
        let gradients = made.backward(dy)?;
        Ok(gradients.into_iter().zip(&needs).map(|(gradient, needs)| needs.then_some(gradient)).collect())
    }))
}

/// Attention of rows to others, all those of the same segment: q [n, h·e], k | v [m, 2k·e] -> [n, h·e].
pub fn cross_attention(
    tape: &Tape,
    q: &Node,
    kv: &Node,
    layout: HeadLayout,
    seen: &Rc<Seen>,
    dropout: Option<Dropout>,
) -> Result<Node> {
    let _span = profile::forward("attention");
    let inputs = vec![q.value().clone(), kv.value().clone()];
    let made = Made::forward(inputs, None, dropout, layout, seen.clone())?;
    let out = made.out.clone();
    let needs = [q.needs_gradient(), kv.needs_gradient()];
    Ok(tape.record("attention", &[q, kv], out, move |dy| {
        let gradients = made.backward(dy)?;
        Ok(gradients.into_iter().zip(needs).map(|(gradient, needs)| needs.then_some(gradient)).collect())
    }))
}

struct Made {
    /// q | k | v, or q and k | v.
    inputs: Vec<Tensor>,
    bias: Option<Tensor>,
    dropout: Option<Dropout>,
    out: Tensor,
    /// Log-sum-exp of the scores, [n, h], where the CPU's kernel made it.
    log_sums: Option<Vec<f32>>,
    layout: HeadLayout,
    seen: Rc<Seen>,
}

/// `inputs` as the CPU's kernel reads them; `None` where they lie elsewhere.
fn with_numbers<T>(
    inputs: &[Tensor],
    bias: Option<&Tensor>,
    layout: HeadLayout,
    run: impl FnOnce(Inputs, Option<&Distances>) -> T,
) -> Option<T> {
    let distances = match bias {
        Some(bias) => Some(Distances::of(Bias(bias))?),
        None => None,
    };
    match inputs {
        [qkv] => {
            let qkv = Numbers::of(qkv)?;
            Some(run(Inputs::joined(&qkv, layout), distances.as_ref()))
        }
        [q, kv] => {
            let (q, kv) = (Numbers::of(q)?, Numbers::of(kv)?);
            Some(run(Inputs::apart(&q, &kv, layout), distances.as_ref()))
        }
        _ => None,
    }
}

impl Made {
    fn forward(
        inputs: Vec<Tensor>,
        bias: Option<Tensor>,
        dropout: Option<Dropout>,
        layout: HeadLayout,
        seen: Rc<Seen>,
    ) -> Result<Self> {
        let weighing = Weighing { bias: bias.as_ref().map(Bias), dropout };
        if let Some(bias) = weighing.bias {
            bias.check(&seen)?;
        }
        let on_cpu = with_numbers(&inputs, bias.as_ref(), layout, |inputs, distances| {
            Attention::new(layout, &seen, distances, dropout).forward(inputs)
        });
        let (out, log_sums) = match (on_cpu, inputs.as_slice()) {
            (Some((out, log_sums)), _) => {
                let rows = log_sums.len() / layout.num_heads;
                (tensor(out, (rows, layout.query_width()))?, Some(log_sums))
            }
            (None, [q, kv]) => (portable::attention::forward_across([q, kv], layout, &seen, weighing)?, None),
            (None, all) => (portable::attention::forward(&all[0], layout, &seen, weighing)?, None),
        };
        Ok(Self { inputs, bias, dropout, out, log_sums, layout, seen })
    }

    /// Of the inputs, then of the biases.
    fn backward(&self, dy: &Tensor) -> Result<Vec<Tensor>> {
        if let (Some(log_sums), Some(out), Some(d_out)) =
            (&self.log_sums, Numbers::of(&self.out), Numbers::of(dy))
        {
            let made = with_numbers(&self.inputs, self.bias.as_ref(), self.layout, |inputs, distances| {
                let kernel = Attention::new(self.layout, &self.seen, distances, self.dropout);
                kernel.backward(Saved { inputs, out: &out, log_sums, d_out: &d_out })
            });
            if let Some(made) = made {
                let numbers = [Some(made.rows), made.kv, made.bias].into_iter().flatten();
                let like = self.inputs.iter().chain(&self.bias);
                return numbers.zip(like).map(|(numbers, like)| tensor(numbers, like.shape())).collect();
            }
        }
        let weighing = Weighing { bias: self.bias.as_ref().map(Bias), dropout: self.dropout };
        let ends = [&self.out, dy];
        match self.inputs.as_slice() {
            [q, kv] => {
                let both =
                    portable::attention::backward_across([q, kv], ends, self.layout, &self.seen, weighing)?;
                Ok(both.into())
            }
            all => {
                let (of_rows, of_bias) =
                    portable::attention::backward(&all[0], ends, self.layout, &self.seen, weighing)?;
                Ok([of_rows].into_iter().chain(of_bias).collect())
            }
        }
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
    bias: Option<Bias>,
) -> Result<Tensor> {
    if let Some(Bias(bias)) = bias
        && bias.dim(0)? + 1 < 2 * k.dim(0)?
    {
        candle_core::bail!("biases of {:?} for {} keys", bias.shape(), k.dim(0)?);
    }
    let distances = bias.and_then(Distances::of);
    let on_cpu = Numbers::of(q).zip(Numbers::of(k)).zip(Numbers::of(v));
    let Some(((of_q, of_k), of_v)) = on_cpu.filter(|_| distances.is_some() == bias.is_some()) else {
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
        bias: distances.as_ref(),
    };
    tensor(cached.attend(), q.shape())
}
