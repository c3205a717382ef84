//! AdamW, the learning-rate schedule, and clipping, each on the flat parameter buffer.

mod adamw;
mod clip;
mod schedule;

pub use adamw::{AdamW, AdamWSettings};
pub use clip::{clip_factor, norm};
pub use schedule::{Schedule, ScheduleShape};
