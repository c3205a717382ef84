//! The floating-point operations of matrix products that training needs, whoever computes them.

use super::config::DecoderConfig;
use super::families::Module;
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
        let weights = |linear: Linear| {
            let (o, i) = self.linear_shape(linear);
            (o * i) as f64
        };
        let table = self.family.table();
        let layers = self.num_layers as f64;
        let frozen: f64 = table.all_modules().map(|module| weights(module.linear)).sum();
        // The first layer's q, k and v have nothing below them that learns.
        let first: f64 = self.modules(Projection::Qkv).iter().map(|module| weights(module.linear)).sum();
        let products = 2.0 * n * (2.0 * frozen * layers - first);
        // A: forward, dA, dx; B: forward, dB, dh.
        let low_rank: f64 = targets
            .iter()
            .map(|linear| {
                let (o, i) = self.linear_shape(*linear);
                6.0 * n * (rank * (o + i)) as f64
            })
            .sum();
        products + low_rank * layers + self.attention_and_head_flops(work, 2.0)
    }

    /// Forward and backward of full tuning, nothing computed twice.
    pub fn full_flops(&self, work: Work<'_>) -> f64 {
        let n = work.segments.iter().sum::<usize>() as f64;
        let weights = |module: Module| {
            let (o, i) = self.linear_shape(module.linear);
            (o * i) as f64
        };
        let all: f64 = self.family.table().all_modules().map(weights).sum();
        6.0 * n * all * self.num_layers as f64 + self.attention_and_head_flops(work, 3.0)
    }

    /// `head_products` of the size of the vocabulary projection; of attention two forward and five backward.
    fn attention_and_head_flops(&self, work: Work<'_>, head_products: f64) -> f64 {
        let heads = (self.num_heads * self.head_width) as f64;
        let pairs: f64 = work.segments.iter().map(|s| (s * (s + 1)) as f64 / 2.0).sum();
        let attention = 7.0 * 2.0 * pairs * heads * self.num_layers as f64;
        let head = 2.0 * head_products * (work.num_trained * self.vocabulary * self.width) as f64;
        attention + head
    }
}
