//! What a tuned model says of whole texts, kept beside its weights: without it nobody could read its numbers.

use super::recipe::{Classification, Objective, PoolingChoice, Regression};
use crate::base::storage;
use crate::data::prepare::Dataset;
use crate::data::{Goal, Reading, Sample};
use crate::model::config::{DecoderConfig, Pooling, Problem};
use serde::{Deserialize, Serialize};
use std::path::Path;

const MAX_BYTES: u64 = 16 << 20;

/// An objective with what it took from the data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Task {
    pub objective: Objective,
    /// The classes, where there are any.
    pub labels: Vec<String>,
    /// The least and the greatest score of the training rows.
    pub range: [f64; 2],
}

impl Task {
    /// The file beside an adapter or a model.
    pub const FILE: &'static str = "task.json";

    pub fn of(objective: &Objective, dataset: &Dataset) -> Self {
        let labels = dataset.labels.names().to_vec();
        Self { objective: objective.clone(), labels, range: range(dataset) }
    }

    /// Of a model whose files have a head of transformers' own and say nothing of a task; `None` where they have none. The range of its
    /// scores is not known.
    pub fn of_head(config: &DecoderConfig) -> Option<Self> {
        let head = config.native_head()?;
        let pooling = match head.pooling {
            Pooling::First => PoolingChoice::First,
            Pooling::Mean => PoolingChoice::Mean,
            Pooling::Last => PoolingChoice::Last,
        };
        let objective = match head.problem {
            Problem::Regression => Objective::Regression(Regression { pooling, ..Regression::default() }),
            problem => Objective::Classification(Classification {
                several: problem == Problem::MultiLabel,
                pooling,
                ..Classification::default()
            }),
        };
        Some(Self { objective, labels: head.labels.clone(), range: [0.0, 0.0] })
    }

    /// How rows are read, with the classes that there are.
    pub fn reading(&self, seed: u64) -> Reading {
        match self.objective.reading(seed) {
            Reading::Labelled { has_several, .. } => {
                Reading::Labelled { has_several, labels: Some(self.labels.clone()) }
            }
            reading => reading,
        }
    }

    /// Whether a text may have several classes.
    pub fn has_several(&self) -> bool {
        self.objective.has_several()
    }

    /// The config of a model that does this.
    pub fn config(&self, config: &DecoderConfig) -> DecoderConfig {
        self.objective.config(config, &self.labels)
    }

    /// That of a folder; `None` where it has none.
    ///
    /// # Errors
    /// Why the file cannot be used.
    pub fn load(folder: &Path) -> Result<Option<Self>, String> {
        let path = folder.join(Self::FILE);
        if !path.is_file() {
            return Ok(None);
        }
        let text = storage::read_text_bounded(&path, MAX_BYTES)
            .map_err(|e| format!("{} cannot be read: {e}", path.display()))?;
        serde_json::from_str(&text).map(Some).map_err(|e| format!("{} cannot be used: {e}", path.display()))
    }

    /// Writes it into a folder.
    pub fn save(&self, folder: &Path) -> std::io::Result<()> {
        storage::write_atomic(&folder.join(Self::FILE), |out| Ok(serde_json::to_writer_pretty(out, self)?))
    }
}

/// The least and the greatest score of the training rows; 0 and 1 where they have none.
fn range(dataset: &Dataset) -> [f64; 2] {
    let train = dataset.split.train.iter().filter_map(|row| dataset.samples.get(*row));
    let score =
        |sample: &Sample| if let Goal::Score(score) = sample.goal { Some(f64::from(score)) } else { None };
    let widen = |[low, high]: [f64; 2], score: f64| [low.min(score), high.max(score)];
    let [low, high] = train.filter_map(score).fold([f64::MAX, f64::MIN], widen);
    if low <= high { [low, high] } else { [0.0, 1.0] }
}
