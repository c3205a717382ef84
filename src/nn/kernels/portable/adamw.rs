//! One AdamW update.

use crate::nn::Result;
use crate::nn::kernels::updates;
use candle_core::Tensor;

/// Values, first and second moments and gradient, [P] each -> the moved values and moments.
pub fn step(
    values: &Tensor,
    [m, v]: [&Tensor; 2],
    gradient: &Tensor,
    update: updates::AdamW,
) -> Result<[Tensor; 3]> {
    let updates::AdamW { beta1, beta2, epsilon, keep, rate, unbias, scale } = update;
    let gradient = (gradient * scale)?;
    // m = β₁ m + (1 - β₁) g;  v = β₂ v + (1 - β₂) g²
    let m = ((m * beta1)? + (&gradient * (1.0 - beta1))?)?;
    let v = ((v * beta2)? + (gradient.sqr()? * (1.0 - beta2))?)?;
    // θ = (1 - η λ) θ - η / (1 - β₁ᵗ) · m / (sqrt(v / (1 - β₂ᵗ)) + ε)
    let root = ((&v * unbias)?.sqrt()? + epsilon)?;
    let values = ((values * keep)? - ((&m / root)? * rate)?)?;
    Ok([values, m, v])
}
