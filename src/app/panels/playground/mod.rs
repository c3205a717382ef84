//! Playground: one prompt, base and tuned side by side, with none, one or more examples before the question.

mod answers;
mod ask;
mod columns_ui;
mod prompt_ui;
mod results_ui;
mod state;
mod ui;

pub use state::{Action, State};
pub use ui::ui;
