//! One row for each segment of tokens: its first, its last, or the mean of all.

use crate::nn::{Node, Result, Tape, profile};
use candle_core::Tensor;
use serde::{Deserialize, Serialize};

/// Which row stands for a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    First,
    Mean,
    Last,
}

/// x [n, d], `segments` [s + 1] offsets of segments that are not empty -> [s, d].
pub fn pool(tape: &Tape, x: &Node, segments: &[usize], pooling: Pooling) -> Result<Node> {
    let _span = profile::forward("pool");
    let pooled = |ends: &[usize]| -> Result<Tensor> {
        let rows = x.value().narrow(0, ends[0], ends[1] - ends[0])?; // [t, d]
        match pooling {
            Pooling::First => rows.narrow(0, 0, 1),
            Pooling::Last => rows.narrow(0, ends[1] - ends[0] - 1, 1),
            Pooling::Mean => rows.mean_keepdim(0),
        }
    };
    let y = Tensor::cat(&segments.windows(2).map(pooled).collect::<Result<Vec<_>>>()?, 0)?;
    let segments = segments.to_vec();
    Ok(tape.record("pool", &[x], y, move |dy| {
        let spread = |(i, ends): (usize, &[usize])| -> Result<Tensor> {
            let (row, len) = (dy.narrow(0, i, 1)?, ends[1] - ends[0]); // [1, d]
            match pooling {
                Pooling::First => row.pad_with_zeros(0, 0, len - 1),
                Pooling::Last => row.pad_with_zeros(0, len - 1, 0),
                Pooling::Mean => (row / len as f64)?.broadcast_as((len, dy.dim(1)?))?.contiguous(),
            }
        };
        let rows = segments.windows(2).enumerate().map(spread).collect::<Result<Vec<_>>>()?;
        Ok(vec![Some(Tensor::cat(&rows, 0)?)]) // [n, d]
    }))
}
