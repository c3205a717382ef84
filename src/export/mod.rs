//! What leaves the project.

mod adapter;
mod card;
mod error;
mod merged;
mod sentences;
mod split;

pub use adapter::{adapter, check_free, into_new_folder};
pub use card::composed;
pub use error::ExportError;
pub use merged::merged;
pub use split::split;
