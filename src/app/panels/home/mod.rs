//! Home: the path from a model to a tuned one, and the next sensible action.

mod example;
mod state;
mod ui;

pub use example::{Example, Step, StepState};
pub use state::{Action, Card, CardState, State};
pub use ui::ui;
