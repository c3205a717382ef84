//! Differentiable operations, one a file: forward, and a backward that saves only what it needs.
//!
//! The arithmetic is in [`super::kernels`]; an operation picks the CPU's kernel or the portable form by where its
//! tensors lie.

mod activation;
mod attention;
mod bottleneck;
mod column_scale;
mod decomposed;
mod dropout;
mod elementwise;
mod embedding;
mod gradient;
mod judged;
mod layer_norm;
mod linear;
mod linear_cross_entropy;
mod loss_chunk;
mod low_rank;
mod pieces;
mod pool;
mod prefix_attention;
mod rms_norm;
mod rotate;
mod virtual_rows;

pub use super::kernels::{Activation, Bias, Dropout, HeadLayout, Seen};
pub use activation::{activate, gated};
pub use attention::{Shares, attend_cached, attention, cross_attention};
pub use bottleneck::{Bottleneck, bottleneck};
pub use column_scale::{ColumnScale, scale_columns};
pub use decomposed::{Magnitudes, decomposed_linear};
pub use dropout::dropout;
pub use elementwise::{add, affine, cast, tanh};
pub use embedding::embedding;
pub use judged::{Judgement, judged};
pub use layer_norm::layer_norm;
pub use linear::{linear, product};
pub use linear_cross_entropy::{
    CrossEntropy, Head, Reference, linear_cross_entropy, linear_cross_entropy_near,
};
pub use low_rank::{LowRank, LowRankPart, low_rank_linear};
pub use pieces::interleaved;
pub use pool::mean_rows;
pub use prefix_attention::prefix_attention;
pub use rms_norm::{NormedColumns, rms_norm, rms_norm_columns};
pub use rotate::{HeadNorms, RopeRows, RopeTable, rotate};
pub use virtual_rows::{VirtualRows, with_virtual_rows, without_virtual_rows};
