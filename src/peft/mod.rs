//! Ways of tuning a model without changing its weights, as hooks on the decoder, and PEFT's files.

pub mod adapter;
pub mod error;
pub mod format;
mod layers;
pub mod lora;

pub use adapter::Adapter;
pub use error::PeftError;
pub use lora::{LoraHooks, LoraSettings};
