//! One update of gradient descent with momentum.

use crate::nn::Result;
use crate::nn::kernels::updates;
use candle_core::Tensor;

/// Values, velocity and gradient, [P] each -> the moved values and velocity.
pub fn step(
    values: &Tensor,
    velocity: &Tensor,
    gradient: &Tensor,
    update: updates::Sgd,
) -> Result<[Tensor; 2]> {
    let updates::Sgd { momentum, decay, rate, scale } = update;
    let gradient = ((gradient * scale)? + (values * decay)?)?;
    let velocity = ((velocity * momentum)? + gradient)?;
    let values = (values - (&velocity * rate)?)?;
    Ok([values, velocity])
}
