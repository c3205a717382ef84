//! Model: choose or fetch the base model.

mod state;
mod trial;
mod ui;

pub use state::{Action, Fit, State, fit, needed_bytes, params};
pub use ui::ui;
