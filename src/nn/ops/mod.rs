//! Differentiable operations, one a file: forward, and a backward that saves only what it needs.
//!
//! The forms here are portable: plain tensor operations that run on every device. Forward passes may use
//! candle's fused operations, which have no gradient of their own: inside an operation of ours that is safe.

mod attention;
mod dropout;
mod elementwise;
mod embedding;
mod heads;
mod linear;
mod linear_cross_entropy;
mod lora;
mod rms_norm;
mod rope;

pub use attention::{AttentionShape, attend_cached, attention};
pub use dropout::{Dropout, dropout};
pub use elementwise::{add, swiglu};
pub use embedding::embedding;
pub use heads::{merge_heads, split_heads};
pub use linear::linear;
pub use linear_cross_entropy::{CrossEntropy, linear_cross_entropy};
pub use lora::lora_delta;
pub use rms_norm::rms_norm;
pub use rope::{RopeRows, RopeTable, rope};
