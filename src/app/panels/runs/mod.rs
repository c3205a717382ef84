//! Runs: every run of the project as it is on disk.

mod compare;
mod state;
mod ui;

pub use state::{Action, State};
pub use ui::ui;
