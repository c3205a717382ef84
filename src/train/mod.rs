//! One run from a checked plan to an adapter: a flat loop that reads top to bottom in `run`.

pub mod bench;
pub mod checkpoint;
pub mod curriculum;
pub mod early_stop;
pub mod error;
pub mod feed;
mod forgetting;
pub mod memory;
mod micro_step;
pub mod objective;
mod optimizer;
mod profile;
pub mod report;
pub mod run;
pub mod trainee;
pub mod trainer;
pub mod validate;

pub use error::{Failed, TrainError};
pub use run::{Outside, run};
