//! Rotary position embedding (Su et al. 2021, arXiv:2104.09864), half-split form.

use crate::nn::{Node, Result, Tape};
use candle_core::{Device, Tensor};

/// Cosines and sines of every position up to the context length: [context, e / 2] each.
#[derive(Debug, Clone)]
pub struct RopeTable {
    cos: Tensor,
    sin: Tensor,
}

/// The rows of a [`RopeTable`] at the positions of one batch: [n, e / 2] each.
#[derive(Debug, Clone)]
pub struct RopeRows {
    cos: Tensor,
    sin: Tensor,
}

impl RopeTable {
    /// From the inverse frequencies, one for each pair of a head's numbers: [e / 2].
    pub fn new(inverse_frequencies: &[f64], context_tokens: usize, device: &Device) -> Result<Self> {
        let half = inverse_frequencies.len();
        let angles = (0..context_tokens)
            .flat_map(|position| inverse_frequencies.iter().map(move |f| position as f64 * f));
        let (cos, sin): (Vec<f32>, Vec<f32>) = angles.map(|a| (a.cos() as f32, a.sin() as f32)).unzip();
        let shape = (context_tokens, half);
        Ok(Self { cos: Tensor::from_vec(cos, shape, device)?, sin: Tensor::from_vec(sin, shape, device)? })
    }

    /// positions [n] u32 -> rows [n, e / 2].
    pub fn at(&self, positions: &Tensor) -> Result<RopeRows> {
        Ok(RopeRows { cos: self.cos.index_select(positions, 0)?, sin: self.sin.index_select(positions, 0)? })
    }
}

fn rotate(x: &Tensor, cos: &Tensor, sin: &Tensor) -> Result<Tensor> {
    #[expect(clippy::disallowed_methods, reason = "the gradient is the closure in `rope`")]
    candle_nn::rotary_emb::rope_thd(&x.unsqueeze(0)?.contiguous()?, cos, sin)?.squeeze(0)
}

/// Rotates each head: x [n, h, e] -> [n, h, e]. The backward pass rotates the other way.
pub fn rope(tape: &Tape, x: &Node, rows: &RopeRows) -> Result<Node> {
    let y = rotate(x.value(), &rows.cos, &rows.sin)?;
    let rows = rows.clone();
    Ok(tape.record(&[x], y, move |dy| Ok(vec![Some(rotate(dy, &rows.cos, &rows.sin.neg()?)?)])))
}
