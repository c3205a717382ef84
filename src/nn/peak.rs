//! What this machine's matrix products reach at best, to hold a training run against.

use super::{Result, Weight};
use candle_core::{DType, Device, Tensor};
use std::time::{Duration, Instant};

/// How long each shape is tried.
const TRIAL: Duration = Duration::from_millis(300);
/// How long it may take together: on a slow machine, the largest shapes are left out.
const MOST: Duration = Duration::from_secs(2);

/// Shapes [m, i] x [i, o] that suit a processor, among them those of small language models.
const SHAPES: [(usize, usize, usize); 4] =
    [(1024, 576, 3072), (1024, 1536, 1536), (1024, 2048, 2048), (2048, 2048, 4096)];

/// The most floating-point operations a second of a product in this type, of several shapes.
pub fn flops_per_second(device: &Device, dtype: DType) -> Result<f64> {
    let mut best = 0f64;
    let whole = Instant::now();
    for (m, i, o) in SHAPES {
        let flops = 2.0 * (m * i * o) as f64;
        // its first product may have to wake the device, and counts like two
        if best > 0.0 && whole.elapsed().as_secs_f64() + 2.0 * flops / best > MOST.as_secs_f64() {
            break;
        }
        let ones = |rows| Tensor::ones((rows, i), dtype, device);
        let (a, b) = (ones(m)?, Weight::from(ones(o)?));
        let started = Instant::now();
        let mut fastest = f64::INFINITY;
        while started.elapsed() < TRIAL || fastest.is_infinite() {
            let begun = Instant::now();
            let product = super::ops::product(&a, &b, None)?;
            device.synchronize()?;
            drop(product);
            fastest = fastest.min(begun.elapsed().as_secs_f64());
        }
        best = best.max(flops / fastest);
    }
    Ok(best)
}
