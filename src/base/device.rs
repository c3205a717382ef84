//! Which device a person asked for. What it becomes is `model::device`'s business.

use super::human;
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

impl DeviceChoice {
    /// The one that computes, as far as it can be said without opening it.
    pub fn resolved(self, has_cuda: bool, has_metal: bool) -> Self {
        match self {
            Self::Auto if has_cuda => Self::Cuda,
            Self::Auto if has_metal => Self::Metal,
            Self::Auto => Self::Cpu,
            chosen => chosen,
        }
    }

    /// "CPU, 2 threads", "CUDA", "Metal".
    pub fn describe(self, num_threads: usize) -> String {
        match self {
            Self::Auto => "the best device".into(),
            Self::Cpu => format!("CPU, {}", human::plural(num_threads as u64, "thread")),
            Self::Cuda => "CUDA".into(),
            Self::Metal => "Metal".into(),
        }
    }
}
