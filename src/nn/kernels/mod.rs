//! What operations are made of: plain arithmetic that knows no tape.
//!
//! [`cpu`] has loops over slices of f32. [`portable`] does the same with plain tensor operations, on every device and in
//! every type; f64 takes that form on the CPU too, which is how tests reach it without a GPU.

pub mod cpu;
pub mod dynamic_code;
pub mod portable;
pub mod updates;

mod activation;
mod dropout;
mod heads;
mod packed;
mod weighing;

pub use activation::Activation;
pub use dropout::{Dropout, Factors};
pub use heads::{HeadLayout, Seen};
pub use packed::Packed;
pub use weighing::{Bias, Weighing};
