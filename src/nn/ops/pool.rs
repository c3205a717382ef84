//! One row for each text: the mean of some of its rows.

use crate::nn::kernels::portable::wide;
use crate::nn::{Node, Result, Tape, profile};
use candle_core::Tensor;
use std::ops::Range;

/// x [n, d] and ranges of its rows, ascending, apart and not empty -> their means, [ranges, d].
pub fn mean_rows(tape: &Tape, x: &Node, ranges: Vec<Range<usize>>) -> Result<Node> {
    let _span = profile::forward("mean_rows");
    let (n, d) = x.value().dims2()?;
    let dtype = x.value().dtype();
    let mean = |range: &Range<usize>| match range.len() {
        1 => x.value().narrow(0, range.start, 1),
        len => wide(&x.value().narrow(0, range.start, len)?)?.mean_keepdim(0)?.to_dtype(dtype), // [1, d]
    };
    let y = Tensor::cat(&ranges.iter().map(mean).collect::<Result<Vec<_>>>()?, 0)?;
    Ok(tape.record("mean_rows", &[x], y, move |dy| {
        let (mut pieces, mut end) = (Vec::with_capacity(2 * ranges.len() + 1), 0);
        let zeros = |num: usize| Tensor::zeros((num, d), dy.dtype(), dy.device());
        for (i, range) in ranges.iter().enumerate() {
            if range.start > end {
                pieces.push(zeros(range.start - end)?);
            }
            let share = (dy.narrow(0, i, 1)? / range.len() as f64)?; // [1, d]
            pieces.push(share.broadcast_as((range.len(), d))?.contiguous()?);
            end = range.end;
        }
        if n > end {
            pieces.push(zeros(n - end)?);
        }
        Ok(vec![Some(Tensor::cat(&pieces, 0)?)]) // [n, d]
    }))
}
