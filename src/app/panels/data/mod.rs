//! Data: open a file, say what its columns are for, see what the model will learn from.

mod edit;
mod rows;
mod sight;
mod state;
mod table_ui;
mod side_ui;
mod ui;

pub use edit::{Edit, role_name};
pub use rows::{Filter, Rows};
pub use sight::{Histogram, Preview};
pub use state::expand_home;
pub use state::{Action, State, Tab};
pub use ui::ui;
