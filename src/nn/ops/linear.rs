//! `y = x Wᵀ + bias`. A frozen weight gets no dW, and costs none.

use super::gradient::made_in_place;
use crate::nn::kernels::cpu::elementwise::add_column_sums;
use crate::nn::kernels::cpu::{self, Numbers, tensor};
use crate::nn::kernels::portable;
use crate::nn::{Node, Result, Tape, Weight, WeightNode, profile};
use candle_core::Tensor;

/// x [n, i], weight [o, i], bias [o] -> [n, o]. Weight and bias are cast to the type of x where they are used.
pub fn linear(tape: &Tape, x: &Node, weight: &WeightNode, bias: Option<&Node>) -> Result<Node> {
    let _span = profile::forward("linear");
    let y = product(x.value(), weight.weight(), bias.map(Node::value))?;
    let mut inputs = vec![x];
    inputs.extend(weight.leaf());
    inputs.extend(bias);
    let needs = x.needs_gradient();
    let kept = weight.leaf().map(|leaf| (x.keep(), leaf.clone()));
    let (weight, bias) = (weight.weight().clone(), bias.cloned());
    Ok(tape.record("linear", &inputs, y, move |dy| {
        // dx = dy W;  dW = dyᵀ x;  db = Σ dy
        let mut gradients = vec![needs.then(|| times(dy, &weight)).transpose()?];
        if let Some((x, leaf)) = kept {
            gradients.push(of_weight(dy, &x.get()?, &leaf)?);
        }
        if let Some(bias) = bias {
            gradients.push(of_bias(dy, &bias)?);
        }
        Ok(gradients)
    }))
}

/// `x Wᵀ + bias`: x [n, i], weight [o, i], bias [o] -> [n, o].
pub fn product(x: &Tensor, weight: &Weight, bias: Option<&Tensor>) -> Result<Tensor> {
    let (n, o) = (x.dim(0)?, weight.rows());
    let bias_numbers = bias.map(Numbers::of);
    if let (Some(x), Some(w)) = (Numbers::of(x), weight.on_cpu()) {
        match bias_numbers {
            None => return tensor(cpu::linear::forward(&x, &w, None, n)?, (n, o)),
            Some(Some(bias)) => return tensor(cpu::linear::forward(&x, &w, Some(&bias), n)?, (n, o)),
            Some(None) => {}
        }
    }
    let y = x.matmul(&weight.widened(x.dtype())?.t()?)?; // [n, o]
    match bias {
        Some(bias) => y.broadcast_add(&bias.to_dtype(y.dtype())?),
        None => Ok(y),
    }
}

/// `dy W`: dy [n, o], weight [o, i] -> [n, i].
pub(super) fn times(dy: &Tensor, weight: &Weight) -> Result<Tensor> {
    match (Numbers::of(dy), weight.on_cpu()) {
        (Some(numbers), Some(w)) => {
            let n = dy.dim(0)?;
            tensor(cpu::linear::backward(&numbers, &w, n)?, (n, weight.width()))
        }
        _ => dy.matmul(weight.widened(dy.dtype())?.as_ref()),
    }
}

/// `dyᵀ x` [o, i], the gradient of `leaf`: dy [n, o], x [n, i].
fn of_weight(dy: &Tensor, x: &Tensor, leaf: &Node) -> Result<Option<Tensor>> {
    match (Numbers::of(dy), Numbers::of(x)) {
        (Some(dy), Some(numbers)) => made_in_place(leaf, |out, is_first| {
            cpu::linear::of_weight(out, is_first, &dy, &numbers, x.dims()[0]);
        }),
        _ => Ok(Some(dy.t()?.matmul(x)?.to_dtype(leaf.value().dtype())?)),
    }
}

/// Sums of the columns of dy [n, o], the gradient of `leaf` [o]; none where it needs none.
pub(super) fn of_bias(dy: &Tensor, leaf: &Node) -> Result<Option<Tensor>> {
    if !leaf.needs_gradient() {
        return Ok(None);
    }
    match Numbers::of(dy) {
        Some(dy) => made_in_place(leaf, |out, is_first| {
            if is_first {
                out.fill(0.0);
            }
            add_column_sums(out, &dy);
        }),
        None => Ok(Some(portable::wide(dy)?.sum(0)?)),
    }
}
