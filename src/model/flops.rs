//! The floating-point operations of matrix products that training needs, whoever computes them.

use super::config::DecoderConfig;
use super::hooks::{Linear, Projection};

/// One micro-step: what its tokens are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Work<'a> {
    /// Lengths of the packed segments.
    pub segments: &'a [usize],
    /// Tokens with a loss.
    pub num_trained: usize,
}

impl DecoderConfig {
    /// Forward and backward of a low-rank adapter of rank `rank` on `targets`, nothing computed twice. A product of [n, i] and
    /// [i, o] counts 2 n i o; causal attention half of its square.
    pub fn lora_flops(&self, work: Work<'_>, rank: usize, targets: &[Linear]) -> f64 {
        let n = work.segments.iter().sum::<usize>() as f64;
        let weights = |linear: &Linear| {
            let (o, i) = self.linear_shape(*linear);
            (o * i) as f64
        };
        let layers = self.num_layers as f64;
        let frozen: f64 = Linear::ALL.iter().map(weights).sum();
        // The first layer's q, k and v have nothing below them that learns.
        let first: f64 = Projection::Qkv.linears().iter().map(weights).sum();
        let products = 2.0 * n * (2.0 * frozen * layers - first);
        // A: forward, dA, dx; B: forward, dB, dh.
        let low_rank: f64 = targets
            .iter()
            .map(|linear| {
                let (o, i) = self.linear_shape(*linear);
                6.0 * n * (rank * (o + i)) as f64
            })
            .sum();
        // Two products forward and five backward.
        let heads = (self.num_heads * self.head_width) as f64;
        let pairs: f64 = work.segments.iter().map(|s| (s * (s + 1)) as f64 / 2.0).sum();
        let attention = 7.0 * 2.0 * pairs * heads;
        let head = 2.0 * 2.0 * (work.num_trained * self.vocabulary * self.width) as f64;
        products + (low_rank + attention) * layers + head
    }
}
