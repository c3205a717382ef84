//! Which device a person asked for. What it becomes is `model::device`'s business.

use serde::{Deserialize, Serialize};

/// Where the numbers are crunched.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceChoice {
    /// The best one that this build and machine have.
    #[default]
    Auto,
    Cpu,
    Cuda,
    Metal,
}
