//! Ways of tuning a model, as hooks on the decoder, and their files.

pub mod adapter;
pub mod blend;
pub mod bottleneck;
mod bottleneck_files;
pub mod compose;
mod encoder;
pub mod error;
pub mod files;
pub mod format;
pub mod freeze;
pub mod full;
pub mod ia3;
mod layers;
pub mod lora;
pub mod merge;
mod named_tensors;
pub mod p_tuning;
pub mod prefix;
pub mod prompt;
pub mod targets;
mod patterns;
pub mod task_vectors;
pub mod tuning;
pub mod virtual_files;

pub use adapter::{Adapter, MicroStep, Settings};
pub use compose::Composition;
pub use error::PeftError;
pub use freeze::Freeze;
pub use full::Full;
pub use lora::{LoraHooks, LoraSettings};
pub use p_tuning::PTuningSettings;
pub use patterns::Patterns;
pub use prefix::PrefixSettings;
pub use prompt::{PromptInit, PromptSettings};
pub use tuning::Tuning;
