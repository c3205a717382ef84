//! Queries and keys made ready for attention: each head normalised where the family asks for it, then rotated by position
//! (Su et al. 2021, arXiv:2104.09864, half-split form).

use crate::nn::kernels::cpu::{self, Numbers, tensor};
use crate::nn::kernels::{HeadLayout, portable};
use crate::nn::{Node, Result, Tape, profile};
use candle_core::{Device, Tensor};

/// Cosines and sines of every position up to the context length: [context, r / 2] each.
#[derive(Debug, Clone)]
pub struct RopeTable {
    cos: Tensor,
    sin: Tensor,
}

/// The rows of a [`RopeTable`] at the positions of one batch: [n, r / 2] each.
#[derive(Debug, Clone)]
pub struct RopeRows {
    cos: Tensor,
    sin: Tensor,
}

impl RopeTable {
    /// From the inverse frequencies, one for each pair of a head's numbers that are turned: [r / 2].
    pub fn new(inverse_frequencies: &[f64], context_tokens: usize, device: &Device) -> Result<Self> {
        let half = inverse_frequencies.len();
        let angles = (0..context_tokens)
            .flat_map(|position| inverse_frequencies.iter().map(move |f| position as f64 * f));
        let (cos, sin): (Vec<f32>, Vec<f32>) = angles.map(|a| (a.cos() as f32, a.sin() as f32)).unzip();
        let shape = (context_tokens, half);
        Ok(Self { cos: Tensor::from_vec(cos, shape, device)?, sin: Tensor::from_vec(sin, shape, device)? })
    }

    /// The same, by which turned numbers are multiplied, too.
    pub fn scaled(self, factor: f64) -> Result<Self> {
        Ok(Self { cos: (self.cos * factor)?, sin: (self.sin * factor)? })
    }

    /// positions [n] u32 -> rows [n, r / 2].
    pub fn at(&self, positions: &Tensor) -> Result<RopeRows> {
        Ok(RopeRows { cos: self.cos.index_select(positions, 0)?, sin: self.sin.index_select(positions, 0)? })
    }
}

/// Norms of the heads of queries and keys (as in Qwen3): weights [e] each.
#[derive(Debug, Clone)]
pub struct HeadNorms {
    pub query: Node,
    pub key: Node,
    pub epsilon: f64,
}

/// q | k | v [n, (h + 2k) e] -> the same with q and k normalised and turned. The backward pass turns the other way.
pub fn rotate(
    tape: &Tape,
    qkv: &Node,
    layout: HeadLayout,
    rows: &RopeRows,
    norms: Option<&HeadNorms>,
) -> Result<Node> {
    let _span = profile::forward("rotate");
    let y = Turn { layout, rows, norms }.forward(qkv.value())?;
    // Turning back looks at the gradient only; norms look at what they normalised.
    let saved = norms.is_some().then(|| qkv.keep());
    let mut inputs = vec![qkv];
    inputs.extend(norms.into_iter().flat_map(|norms| [&norms.query, &norms.key]));
    let needs = qkv.needs_gradient();
    let (rows, norms) = (rows.clone(), norms.cloned());
    Ok(tape.record("rotate", &inputs, y, move |dy| {
        let qkv = saved.as_ref().map(|kept| kept.get()).transpose()?;
        let qkv = qkv.as_ref().unwrap_or(dy);
        let turn = Turn { layout, rows: &rows, norms: norms.as_ref() };
        let mut gradients = vec![needs.then(|| turn.backward(qkv, dy)).transpose()?];
        if norms.is_some() {
            gradients.extend(turn.of_weights(qkv, dy)?);
        }
        Ok(gradients)
    }))
}

struct Turn<'a> {
    layout: HeadLayout,
    rows: &'a RopeRows,
    norms: Option<&'a HeadNorms>,
}

impl Turn<'_> {
    fn forward(&self, qkv: &Tensor) -> Result<Tensor> {
        let on_cpu = self.on_cpu(&[qkv], |turn, x| turn.forward(x[0]));
        on_cpu.map_or_else(|| self.portable(qkv)?.forward(qkv), |y| tensor(y, qkv.shape()))
    }

    fn backward(&self, qkv: &Tensor, dy: &Tensor) -> Result<Tensor> {
        let on_cpu = self.on_cpu(&[qkv, dy], |turn, x| turn.backward(x[0], x[1]));
        on_cpu.map_or_else(|| self.portable(dy)?.backward(qkv, dy), |dx| tensor(dx, dy.shape()))
    }

    /// Gradients of the norms of query and key heads, [e] each, where they are trained.
    fn of_weights(&self, qkv: &Tensor, dy: &Tensor) -> Result<[Option<Tensor>; 2]> {
        let Some(norms) = self.norms.filter(|n| n.query.needs_gradient() || n.key.needs_gradient()) else {
            return Ok([None, None]);
        };
        let e = self.layout.head_width;
        let on_cpu = self.on_cpu(&[qkv, dy], |turn, x| turn.of_weights(x[0], x[1]));
        let [query, key] = match on_cpu {
            Some([query, key]) => [tensor(query, e)?, tensor(key, e)?],
            None => self.portable(dy)?.of_weights(qkv, dy)?,
        };
        let wanted = |node: &Node, gradient| node.needs_gradient().then_some(gradient);
        Ok([wanted(&norms.query, query), wanted(&norms.key, key)])
    }

    fn on_cpu<R>(&self, x: &[&Tensor], run: impl FnOnce(cpu::rotate::Turn, &[&[f32]]) -> R) -> Option<R> {
        let x: Vec<Numbers> = x.iter().map(|x| Numbers::of(x)).collect::<Option<_>>()?;
        let x: Vec<&[f32]> = x.iter().map(|x| &**x).collect();
        let (cos, sin) = (Numbers::of(&self.rows.cos)?, Numbers::of(&self.rows.sin)?);
        let norms = match self.norms {
            Some(n) => Some((Numbers::of(n.query.value())?, Numbers::of(n.key.value())?, n.epsilon as f32)),
            None => None,
        };
        let norms = norms.as_ref().map(|(query, key, epsilon)| (&**query, &**key, *epsilon));
        let num_pairs = self.rows.cos.dims().get(1).copied().unwrap_or(0);
        Some(run(cpu::rotate::Turn { layout: self.layout, cos: &cos, sin: &sin, num_pairs, norms }, &x))
    }

    fn portable(&self, like: &Tensor) -> Result<portable::rotate::Turn> {
        let dtype = portable::wide_dtype(like.dtype());
        let to = |x: &Tensor| x.to_dtype(dtype);
        let norms = match self.norms {
            Some(n) => Some((to(n.query.value())?, to(n.key.value())?, n.epsilon)),
            None => None,
        };
        Ok(portable::rotate::Turn {
            layout: self.layout,
            cos: to(&self.rows.cos)?,
            sin: to(&self.rows.sin)?,
            norms,
        })
    }
}
