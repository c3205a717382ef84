//! Train: the recipe, Start, and the run as it goes.

mod form;
mod fields;
mod live;
mod live_ui;
mod preview_ui;
mod review;
mod state;
mod ui;

pub use live::{End, RunView, outcome_words};
pub use live_ui::{Controls, answer_diff, charts, facts};
pub use review::{Review, compose};
pub use state::{Action, State, Tab};
pub use ui::ui;
