//! Playground: one prompt, base and tuned side by side, with none, one or more examples before the question.

mod answer_job;
mod answers;
mod ask;
mod columns_ui;
mod made_for;
mod mix_ui;
mod prompt_ui;
mod reading;
mod results_ui;
mod saved;
mod saved_ui;
mod state;
mod test_rows;
mod ui;

pub use answers::Answers;
pub use ask::Draft;
pub use columns_ui::figures;
pub use reading::{Action as ReadingAction, Mode};
pub use saved::Action as SavedAction;
pub use state::{Action, ColumnState, State, request};
pub use ui::ui;
