//! What everything else stands on: failures for people, numbers with units, randomness that can be
//! replayed, storage that never leaves half a file, and the flags that stop a job.

pub mod failure;
pub mod human;
pub mod ids;
pub mod rng;
pub mod storage;
pub mod allocations;
pub mod control;
pub mod places;
pub mod device;
pub mod precision;
pub mod progress;
pub mod hardware;

pub use control::Control;
pub use device::DeviceChoice;
pub use failure::{Explain, Failure};
pub use ids::{Tokens, Update};
pub use precision::Precision;
pub use progress::{Progress, Silent, Unit};
