//! What of a run is looked at, and how; the same for the run in progress and for one that is read from disk.

use super::results::ResultsLook;
use serde::{Deserialize, Serialize};

/// What stands at the right of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Tab {
    #[default]
    Charts,
    Results,
    Answers,
    Log,
    Profile,
    Numbers,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Look {
    #[serde(skip)]
    pub tab: Tab,
    /// Of the loss, 0..1.
    pub smoothing: f64,
    pub is_log: bool,
    /// Which sample answers are shown: those of an update, or the newest.
    #[serde(skip)]
    pub answers_at: Option<u64>,
    #[serde(skip)]
    pub results: ResultsLook,
}

impl Default for Look {
    fn default() -> Self {
        Self {
            tab: Tab::default(),
            smoothing: 0.9,
            is_log: false,
            answers_at: None,
            results: ResultsLook::default(),
        }
    }
}

impl Look {
    /// The same way of looking at another run.
    pub fn afresh(self) -> Self {
        Self { tab: Tab::default(), answers_at: None, results: ResultsLook::default(), ..self }
    }
}
