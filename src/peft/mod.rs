//! Ways of tuning a model, as hooks on the decoder, and their files.

pub mod adapter;
pub mod error;
pub mod files;
pub mod format;
pub mod full;
mod layers;
pub mod lora;
pub mod tuning;

pub use adapter::{Adapter, MicroStep, Settings};
pub use error::PeftError;
pub use full::Full;
pub use lora::{LoraHooks, LoraSettings};
pub use tuning::Tuning;
