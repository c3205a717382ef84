//! Optimizers, the learning-rate schedule, and clipping, each on the flat parameter buffer.

mod adamw;
mod adamw_8bit;
mod clip;
mod lion;
mod moments;
mod optimizer;
mod parts;
mod schedule;
mod sgd;

pub use adamw::AdamWSettings;
pub use clip::{clip_factor, norm};
pub use lion::LionSettings;
pub use optimizer::{Optimizer, OptimizerSettings, State};
pub use parts::Parts;
pub use schedule::{Schedule, ScheduleShape};
pub use sgd::SgdSettings;
