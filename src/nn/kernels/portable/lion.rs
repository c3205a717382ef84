//! One Lion update.

use crate::nn::Result;
use crate::nn::kernels::updates;
use candle_core::Tensor;

/// Values, the mean of the gradients, and the gradient, [P] each -> the moved values and mean.
pub fn step(values: &Tensor, mean: &Tensor, gradient: &Tensor, update: updates::Lion) -> Result<[Tensor; 2]> {
    let updates::Lion { beta1, beta2, keep, rate, scale } = update;
    let gradient = (gradient * scale)?;
    let towards = ((mean * beta1)? + (&gradient * (1.0 - beta1))?)?;
    // candle's sign of 0 is not the same on every device.
    let sign = (towards.gt(0.0)?.to_dtype(values.dtype())? - towards.lt(0.0)?.to_dtype(values.dtype())?)?;
    let values = ((values * keep)? - (sign * rate)?)?;
    let mean = ((mean * beta2)? + (gradient * (1.0 - beta2))?)?;
    Ok([values, mean])
}
