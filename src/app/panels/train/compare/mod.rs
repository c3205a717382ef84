//! Several methods on the same data, one after the other: which, how long, and what came of it.

mod chart_ui;
mod form_ui;
mod result_ui;
mod state;
mod table_ui;
mod ui;

pub use state::{Action, State, View};
pub use ui::ui;
