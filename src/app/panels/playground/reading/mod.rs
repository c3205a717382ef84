//! Playground for models that read: classes and scores, hidden words, and rows that are alike. What is asked follows from the model.

mod ask;
mod bars;
mod fill_ui;
mod judge_ui;
mod like_ui;
mod map_ui;
mod mode;
mod rows;
mod state;
mod ui;
mod walk;

pub use mode::Mode;
pub use state::{Action, State};
pub(super) use ui::{modes, ui};
