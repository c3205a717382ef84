//! A loss of few numbers that a plain function works out on the host, with its gradient.

use crate::nn::{Node, Result, Tape, profile};
use candle_core::{DType, Device, Tensor};

/// What such a function finds: the sum of the losses, and its gradient [m, c], row by row.
#[derive(Debug, Clone, PartialEq)]
pub struct Judgement {
    pub sum: f64,
    pub gradient: Vec<f32>,
}

/// x [m, c], what `judge` makes of its rows as f32 -> the sum of the losses: a scalar on the tape, f32, and its value in f64.
pub fn judged(
    tape: &Tape,
    x: &Node,
    judge: impl FnOnce(&[f32], usize) -> Result<Judgement>,
) -> Result<(Node, f64)> {
    let _span = profile::forward("judged");
    let (shape, dtype, device) = (x.value().shape().clone(), x.value().dtype(), x.value().device().clone());
    let width = x.value().dim(1)?;
    let numbers: Vec<f32> = x.value().to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
    let Judgement { sum, gradient } = judge(&numbers, width)?;
    let value = Tensor::new(sum as f32, &device)?;
    let node = tape.record("judged", &[x], value, move |dy| {
        let gradient = Tensor::from_vec(gradient, shape, &Device::Cpu)?.to_device(dy.device())?;
        Ok(vec![Some(gradient.broadcast_mul(&dy.to_dtype(DType::F32)?)?.to_dtype(dtype)?)])
    });
    Ok((node, sum))
}
