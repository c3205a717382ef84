//! What leaves the project.

mod adapter;
mod card;
mod error;
mod merged;

pub use adapter::adapter;
pub use error::ExportError;
pub use merged::merged;
