//! The six places. Each has `State`, `Action`, `act`, `apply`, and `ui`, which reads and never changes.

pub mod home;
pub mod model;
pub mod data;
pub mod train;
pub mod runs;
pub mod playground;
