//! The learning rate over a run: it rises in a line, then falls by a cosine, in a line, or not at all.

use crate::base::Update;
use serde::{Deserialize, Serialize};

/// As the recipe names it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScheduleShape {
    #[default]
    Cosine,
    Linear,
    Constant,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Schedule {
    pub shape: ScheduleShape,
    pub peak: f64,
    pub warmup_updates: u64,
    pub num_updates: u64,
}

impl Schedule {
    /// The rate of the update after `done` updates.
    pub fn at(&self, done: Update) -> f64 {
        let done = done.0;
        if done < self.warmup_updates {
            return self.peak * (done + 1) as f64 / self.warmup_updates as f64;
        }
        let rest = self.num_updates.saturating_sub(self.warmup_updates).max(1);
        let share = ((done - self.warmup_updates) as f64 / rest as f64).min(1.0);
        self.peak
            * match self.shape {
                ScheduleShape::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * share).cos()),
                ScheduleShape::Linear => 1.0 - share,
                ScheduleShape::Constant => 1.0,
            }
    }
}
