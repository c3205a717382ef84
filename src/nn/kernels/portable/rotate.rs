//! Queries and keys made ready for attention: normalised a head at a time where the family asks for it, then rotated by
//! position (Su et al. 2021, arXiv:2104.09864, half-split form). Values pass unchanged.

use super::{rms_norm, wide};
use crate::nn::Result;
use crate::nn::kernels::HeadLayout;
use candle_core::Tensor;

/// What every row is turned by.
pub struct Turn {
    pub layout: HeadLayout,
    /// Cosines and sines of each row's position, [n, r / 2], wide: the first r numbers of a head are turned.
    pub cos: Tensor,
    pub sin: Tensor,
    /// Weights [e] of the norms of query and key heads, and their ε.
    pub norms: Option<(Tensor, Tensor, f64)>,
}

impl Turn {
    /// qkv [n, (h + 2k) e] -> the same, q and k normalised and turned.
    pub fn forward(&self, qkv: &Tensor) -> Result<Tensor> {
        self.by_heads(qkv, |heads, at| {
            let heads = match self.norm(at) {
                Some((weight, epsilon)) => rms_norm::forward(&heads, weight, epsilon)?,
                None => heads,
            };
            turned(&heads, &self.cos, &self.sin)
        })
    }

    /// Gradient of `forward`'s result -> gradient of its `qkv`.
    pub fn backward(&self, qkv: &Tensor, dy: &Tensor) -> Result<Tensor> {
        let back = self.sin.neg()?;
        self.by_heads(dy, |heads, at| {
            let heads = turned(&heads, &self.cos, &back)?;
            match self.norm(at) {
                Some((weight, epsilon)) => {
                    rms_norm::backward(&self.heads_at(qkv, at)?, weight, &heads, epsilon)
                }
                None => Ok(heads),
            }
        })
    }

    /// Gradients of the weights of the norms of query and key heads, [e] each; for a turn with norms.
    pub fn of_weights(&self, qkv: &Tensor, dy: &Tensor) -> Result<[Tensor; 2]> {
        let back = self.sin.neg()?;
        let epsilon = self.norm(0).map_or(0.0, |(_, epsilon)| epsilon);
        let of = |at: usize| {
            let heads = turned(&self.heads_at(dy, at)?, &self.cos, &back)?;
            rms_norm::of_weight(&self.heads_at(qkv, at)?, &heads, epsilon)
        };
        Ok([of(0)?, of(1)?])
    }

    /// Applies `to` to the query heads (0) and to the key heads (1) of each row, which it gets wide.
    fn by_heads(&self, rows: &Tensor, to: impl Fn(Tensor, usize) -> Result<Tensor>) -> Result<Tensor> {
        let n = rows.dim(0)?;
        let (q, k) = (self.layout.query_width(), self.layout.key_width());
        let turned = |at, width| {
            to(self.heads_at(rows, at)?, at)?.to_dtype(rows.dtype())?.reshape((n, width)) // [n, heads·e]
        };
        let (query, key) = (turned(0, q)?, turned(1, k)?);
        Tensor::cat(&[query, key, rows.narrow(1, q + k, k)?.contiguous()?], 1)
    }

    fn heads_at(&self, rows: &Tensor, at: usize) -> Result<Tensor> {
        let HeadLayout { num_heads, num_kv_heads, head_width: e } = self.layout;
        let (first, heads) = [(0, num_heads), (num_heads, num_kv_heads)][at];
        wide(&rows.narrow(1, first * e, heads * e)?)?.contiguous()?.reshape((rows.dim(0)?, heads, e)) // [n, heads, e]
    }

    fn norm(&self, at: usize) -> Option<(&Tensor, f64)> {
        self.norms.as_ref().map(|(query, key, epsilon)| (if at == 0 { query } else { key }, *epsilon))
    }
}

/// heads [n, h, e], cos and sin [n, r / 2] -> [n, h, e]; what is beyond the first r numbers of a head passes.
fn turned(heads: &Tensor, cos: &Tensor, sin: &Tensor) -> Result<Tensor> {
    let half = cos.dim(1)?;
    let (cos, sin) = (cos.unsqueeze(1)?, sin.unsqueeze(1)?); // [n, 1, e / 2]
    let (a, b) = (heads.narrow(2, 0, half)?, heads.narrow(2, half, half)?);
    let first = (a.broadcast_mul(&cos)? - b.broadcast_mul(&sin)?)?;
    let second = (b.broadcast_mul(&cos)? + a.broadcast_mul(&sin)?)?;
    match heads.dim(2)? - 2 * half {
        0 => Tensor::cat(&[first, second], 2),
        rest => Tensor::cat(&[first, second, heads.narrow(2, 2 * half, rest)?], 2),
    }
}
