//! How long work says how far it is.

use serde::{Deserialize, Serialize};

/// What is being counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    Bytes,
    Rows,
    Tensors,
    Examples,
    Tokens,
}

/// Receives how far a job is. `total` is `None` while it is unknown.
pub trait Progress {
    /// `phase` is a short sentence in words: "Downloading the model".
    fn report(&mut self, phase: &str, done: u64, total: Option<u64>, unit: Unit);
}

/// Progress that nobody looks at.
pub struct Silent;

impl Progress for Silent {
    fn report(&mut self, _phase: &str, _done: u64, _total: Option<u64>, _unit: Unit) {}
}
