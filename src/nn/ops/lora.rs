//! The low-rank update of a linear layer's output (Hu et al. 2021, arXiv:2106.09685).

use crate::nn::{Node, Result, Tape};

/// `y + scale · (x Aᵀ) Bᵀ`: x [n, i], y [n, o], a [r, i], b [o, r] -> [n, o].
pub fn lora_delta(tape: &Tape, x: &Node, y: &Node, a: &Node, b: &Node, scale: f64) -> Result<Node> {
    let down = x.value().matmul(&a.value().t()?)?; // [n, r]
    let out = (y.value() + (down.matmul(&b.value().t()?)? * scale)?)?; // [n, o]
    let (x_saved, a_saved, b_saved) = (x.value().clone(), a.value().clone(), b.value().clone());
    let x_needs = x.needs_gradient();
    Ok(tape.record(&[x, y, a, b], out, move |dy| {
        // dB = s dyᵀ (x Aᵀ);  dh = s dy B;  dA = dhᵀ x;  dx = dh A
        let db = (dy.t()?.matmul(&down)? * scale)?; // [o, r]
        let dh = (dy.matmul(&b_saved)? * scale)?; // [n, r]
        let da = dh.t()?.matmul(&x_saved)?; // [r, i]
        let dx = if x_needs { Some(dh.matmul(&a_saved)?) } else { None }; // [n, i]
        Ok(vec![dx, Some(dy.clone()), Some(da), Some(db)])
    }))
}
