//! Rows of two matrices put together as one.

use crate::nn::{Node, Result, Tape, profile};
use candle_core::Tensor;

/// Pieces of `a` and of `b` in turn, so many rows each as `pieces` says: a [m, w], b [n, w] -> [m + n, w].
pub fn interleaved(tape: &Tape, a: &Node, b: &Node, pieces: &[[usize; 2]]) -> Result<Node> {
    let _span = profile::forward("pieces");
    let (mut all, mut firsts) = (Vec::with_capacity(2 * pieces.len()), [0, 0]);
    for piece in pieces {
        for (x, (first, len)) in [a, b].into_iter().zip(firsts.iter_mut().zip(piece)) {
            all.push(x.value().narrow(0, *first, *len)?);
            *first += len;
        }
    }
    let needs = [a.needs_gradient(), b.needs_gradient()];
    let pieces = pieces.to_vec();
    Ok(tape.record("pieces", &[a, b], Tensor::cat(&all, 0)?, move |dy| {
        let (mut parts, mut first) = ([Vec::new(), Vec::new()], 0);
        for piece in pieces {
            for (part, len) in parts.iter_mut().zip(piece) {
                part.push(dy.narrow(0, first, len)?);
                first += len;
            }
        }
        let wanted = |(part, needs): (&Vec<Tensor>, bool)| needs.then(|| Tensor::cat(part, 0)).transpose();
        parts.iter().zip(needs).map(wanted).collect()
    }))
}
