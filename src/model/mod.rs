//! The models: what a checkpoint folder holds, the weights, and one forward pass for all families.

pub mod families;
pub mod config;
pub mod error;
pub mod files;
pub mod folder;
pub mod flops;
pub mod identity;
pub mod info;
mod virtual_tokens;
mod licence;
pub mod weights;
pub mod params;
pub mod sentence;
pub mod text;
pub mod hooks;
pub mod cache;
pub mod block;
pub mod decoder;
mod two_stacks;
pub mod heads;
pub mod device;
pub mod load;

pub use error::ModelError;
