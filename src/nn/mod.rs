//! The training engine: a small reverse-mode tape over coarse operations on candle tensors.
//!
//! Shape legend, used in every comment below this module: `n` packed tokens, `b` batch, `s` query length,
//! `t` key length, `d` width, `f` feed-forward width, `h` heads, `k` key-value heads, `g` = h / k, `e` head
//! width, `v` vocabulary, `r` rank, `i`/`o` inputs and outputs of a linear layer. All tensors are f32 unless
//! said otherwise.
//!
//! candle is the tensor, matrix-product and device layer here. Its own autograd keeps gradients of frozen
//! weights and loses others in silence (`candle_nn::ops`), so no tensor on this path is ever a `Var`; its
//! `backward` is the oracle in tests.

mod gradient;
pub mod kernels;
pub mod peak;
pub mod profile;
pub mod tape;
pub mod ops;
pub mod optim;
pub mod params;
mod weight;

pub use gradient::{FlatGradient, Slot};
pub use params::{Collected, FlatParams, Leaves, ParamName};
pub use tape::{Gradients, Kept, Node, Tape};
pub use weight::{Weight, WeightNode};

/// Errors of single operations are candle's; `model` and `train` say what was being done.
pub type Result<T> = candle_core::Result<T>;
