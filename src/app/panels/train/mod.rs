//! Train: the recipe, Start, and the run as it goes.

pub mod compare;
mod form;
mod fields;
mod forgetting;
mod live;
mod live_ui;
mod look;
mod method;
mod objective;
mod run_ui;
mod preview_ui;
mod profile_ui;
mod review;
mod several;
mod state;
mod ui;

pub use live::{End, RunView, outcome_words};
pub use look::{Look, Tab};
pub use review::{Review, compose};
pub use run_ui::{chart_switches, run};
pub use state::{Action, State};
pub use ui::ui;
