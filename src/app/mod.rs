//! The window. Panels read borrowed state and push `UiAction`s; `AppState::act` and `AppState::apply` are pure
//! and tested without a window; `effects` carries out what reaches the world.

pub mod theme;
pub mod bidi;
pub mod action;
pub mod jobs;
pub mod notices;
pub mod shared;
pub mod widgets;
pub mod panels;
pub mod state;
pub mod keep;
pub mod frame;
pub mod effects;
pub mod live;
pub mod glue;

pub use action::{Effect, Place, UiAction};
pub use glue::App;
pub use shared::Shared;
pub use state::AppState;

use crate::base::Failure;

/// Opens the window and returns when it is closed.
///
/// # Errors
/// When there is no display or no way to draw on it; the hint names the way without a window.
pub fn run() -> Result<(), Failure> {
    glue::run()
}
