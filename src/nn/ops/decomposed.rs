//! A frozen linear layer with a low-rank change whose rows have trained lengths (DoRA, Liu et al. 2024, arXiv:2402.09353).

use super::dropout::dropout;
use super::elementwise::{add, subtract};
use super::linear::{linear, of_bias};
use super::low_rank::{LowRank, low_rank_linear};
use crate::nn::kernels::cpu::elementwise::add_bias;
use crate::nn::kernels::cpu::{Numbers, column_scale, tensor};
use crate::nn::kernels::portable::wide;
use crate::nn::{Node, Result, Tape, Weight, WeightNode, profile};
use candle_core::Tensor;
use std::ops::Range;

/// The trained lengths of a layer's rows.
#[derive(Clone, Copy)]
pub struct Magnitudes<'a> {
    /// [o] for each part of the low-rank change.
    pub nodes: &'a [Node],
    /// Sums of squares of the frozen weight's own rows, [o] of all.
    pub squares: &'a Tensor,
}

/// `y = x W'ᵀ + bias` with `W' = m · (W + s B A) / ||W + s B A||`, row by row; the length below counts as a constant on the way back,
/// as in PEFT. x [n, i], weight [o, i], bias [o] -> [n, o].
///
/// What dropout takes from the input goes through the frozen weight as it is, as in PEFT.
pub fn decomposed_linear(
    tape: &Tape,
    x: &Node,
    weight: &Weight,
    bias: Option<&Node>,
    low: &LowRank,
    magnitudes: Magnitudes,
) -> Result<Node> {
    let lengths = low.row_lengths(weight, magnitudes.squares)?;
    let columns = low.parts.iter().map(|part| part.columns.clone());
    let parts: Vec<_> = magnitudes.nodes.iter().zip(lengths).zip(columns).collect();
    let parts = parts.into_iter().map(|((node, length), columns)| Row { node, length, columns }).collect();
    let plain = LowRank { dropout: None, ..low.clone() };
    let Some(of) = low.dropout else {
        return brought_to_length(tape, &low_rank_linear(tape, x, weight, None, &plain)?, parts, bias);
    };
    let left = dropout(tape, x, of)?;
    let taken = subtract(tape, x, &left)?;
    let base = linear(tape, &taken, &WeightNode::from(weight.clone()), bias)?;
    let y = brought_to_length(tape, &low_rank_linear(tape, &left, weight, None, &plain)?, parts, None)?;
    add(tape, &base, &y)
}

/// One part's rows, which are columns of the output.
struct Row<'a> {
    node: &'a Node,
    /// [o]
    length: Tensor,
    columns: Range<usize>,
}

/// `z · m / length + bias`, column by column; columns of no part stay. z [n, o].
fn brought_to_length(tape: &Tape, z: &Node, parts: Vec<Row>, bias: Option<&Node>) -> Result<Node> {
    let _span = profile::forward("decomposed_linear");
    let factors = factors(z.value(), &parts)?; // [o]
    let y = scaled(z.value(), &factors, bias.map(Node::value))?;
    let mut inputs = vec![z];
    inputs.extend(parts.iter().map(|part| part.node));
    inputs.extend(bias);
    let bias = bias.cloned();
    let kept = z.keep();
    let ways: Vec<(Tensor, Range<usize>)> =
        parts.iter().map(|part| (part.length.clone(), part.columns.clone())).collect();
    Ok(tape.record("decomposed_linear", &inputs, y, move |dy| {
        // dz = dy · m / length;  dm = Σ dy z / length
        let products = column_products(dy, &kept.get()?)?; // [o]
        let mut gradients = vec![Some(scaled(dy, &factors, None)?)];
        for (length, columns) in &ways {
            gradients.push(Some((products.narrow(0, columns.start, columns.len())? / length)?));
        }
        if let Some(bias) = bias {
            gradients.push(of_bias(dy, &bias)?);
        }
        Ok(gradients)
    }))
}

/// What each column is multiplied by, [o].
fn factors(z: &Tensor, parts: &[Row]) -> Result<Tensor> {
    let dtype = parts.first().map_or(z.dtype(), |part| part.length.dtype());
    let ones = |num: usize| Tensor::ones(num, dtype, z.device());
    let (mut pieces, mut next) = (Vec::with_capacity(2 * parts.len() + 1), 0);
    for part in parts {
        pieces.push(ones(part.columns.start - next)?);
        pieces.push((part.node.value() / &part.length)?);
        next = part.columns.end;
    }
    pieces.push(ones(z.dim(1)? - next)?);
    pieces.retain(|piece| piece.elem_count() > 0);
    Tensor::cat(&pieces, 0)?.to_dtype(z.dtype())
}

/// Columns of [n, o] times factors [o], and bias [o] added.
fn scaled(x: &Tensor, factors: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let bias_numbers = bias.map(Numbers::of);
    if let (Some(numbers), Some(by)) = (Numbers::of(x), Numbers::of(factors))
        && !matches!(bias_numbers, Some(None))
    {
        let mut y = column_scale::forward(&numbers, &by);
        if let Some(bias) = bias_numbers.flatten() {
            add_bias(&mut y, &bias);
        }
        return tensor(y, x.shape());
    }
    let y = x.broadcast_mul(factors)?;
    match bias {
        Some(bias) => y.broadcast_add(bias),
        None => Ok(y),
    }
}

/// Sums over the rows of `a · b`, both [n, o] -> [o].
fn column_products(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    match (Numbers::of(a), Numbers::of(b)) {
        (Some(x), Some(y)) => {
            let o = a.dim(1)?;
            tensor(column_scale::of_factors(&x, &y, o, 0..o), o)
        }
        _ => (wide(a)? * wide(b)?)?.sum(0),
    }
}
