//! What leaves the project.

mod adapter;
mod card;
mod error;

pub use adapter::adapter;
pub use error::ExportError;
