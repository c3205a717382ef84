//! What a tuned model says of whole texts, kept beside its weights: without it nobody could read its numbers.

use super::recipe::{Classification, Objective, PoolingChoice, Regression};
use super::tasks::shared_config;
use crate::base::storage;
use crate::data::prepare::Dataset;
use crate::data::{Goal, Reading, Sample};
use crate::model::config::{DecoderConfig, Pooling, Problem};
use serde::{Deserialize, Serialize};
use std::path::Path;

const MAX_BYTES: u64 = 16 << 20;

/// An objective with what it took from the data.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// Empty where it is the only one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    pub objective: Objective,
    /// The classes, where there are any.
    pub labels: Vec<String>,
    /// The least and the greatest score of the training rows.
    pub range: [f64; 2],
    /// All that were learnt together, this one among them, where there are several: the model has a head for each.
    #[serde(skip)]
    pub together: Vec<Task>,
}

/// What stands in the file of a run of several.
#[derive(Serialize, Deserialize)]
struct Several {
    tasks: Vec<Task>,
}

impl Task {
    /// The file beside an adapter or a model.
    pub const FILE: &'static str = "task.json";

    pub fn of(objective: &Objective, dataset: &Dataset) -> Self {
        let task = Self::with_labels(objective, dataset.labels.names().to_vec());
        Self { range: range(dataset), ..task }
    }

    /// Of these classes, and of scores from 0 to 1.
    pub fn with_labels(objective: &Objective, labels: Vec<String>) -> Self {
        let (name, objective, range) = (String::new(), objective.clone(), [0.0, 1.0]);
        Self { name, objective, labels, range, together: Vec::new() }
    }

    /// Tasks that are learnt together.
    pub fn together(tasks: Vec<Self>) -> Vec<Self> {
        let with_all = |task: &Self| Self { together: tasks.clone(), ..task.clone() };
        if tasks.iter().all(|task| task.name.is_empty()) {
            tasks
        } else {
            tasks.iter().map(with_all).collect()
        }
    }

    /// Which of a model's heads says it: the one of its name, or the first.
    pub fn head(&self, config: &DecoderConfig) -> usize {
        config.heads.iter().position(|head| head.name == self.name).unwrap_or(0)
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
        let (name, labels, together) = (String::new(), head.labels.clone(), Vec::new());
        Some(Self { name, objective, labels, range: [0.0, 0.0], together })
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

    /// All that were learnt together, each knowing of the others; itself where it is the only one.
    pub fn each(&self) -> Vec<Self> {
        if self.together.is_empty() { vec![self.clone()] } else { Self::together(self.together.clone()) }
    }

    /// Whether it was learnt together with writing.
    pub fn is_beside_writing(&self) -> bool {
        self.together.iter().any(|task| task.objective.wants_causal() == Some(true))
    }

    /// Whether a text may have several classes.
    pub fn has_several(&self) -> bool {
        self.objective.has_several()
    }

    /// The config of a model that does this.
    pub fn config(&self, config: &DecoderConfig) -> DecoderConfig {
        let all = if self.together.is_empty() { std::slice::from_ref(self) } else { &self.together };
        shared_config(config, all.iter().map(|task| (task.name.as_str(), &task.objective, &task.labels[..])))
    }

    /// That of a folder, or the first of several that judges texts; `None` where it has none.
    ///
    /// # Errors
    /// Why the file cannot be used.
    pub fn load(folder: &Path) -> Result<Option<Self>, String> {
        let mut all = Self::load_all(folder)?;
        let first = all.iter().position(|task| !task.objective.is_of_tokens()).unwrap_or(0);
        Ok((!all.is_empty()).then(|| all.swap_remove(first)))
    }

    /// All of a folder; none where it has none.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn load_all(folder: &Path) -> Result<Vec<Self>, String> {
        let path = folder.join(Self::FILE);
        if !path.is_file() {
            return Ok(Vec::new());
        }
        let text = storage::read_text_bounded(&path, MAX_BYTES)
            .map_err(|e| format!("{} cannot be read: {e}", path.display()))?;
        let unusable = |e: serde_json::Error| format!("{} cannot be used: {e}", path.display());
        let value: serde_json::Value = serde_json::from_str(&text).map_err(unusable)?;
        // Which of the two it is shows before it is read, so that what is wrong is told of what it is.
        match value.get("tasks").is_some() {
            true => Ok(Self::together(serde_json::from_value::<Several>(value).map_err(unusable)?.tasks)),
            false => Ok(vec![serde_json::from_value(value).map_err(unusable)?]),
        }
    }

    /// Writes it into a folder, with all that were learnt together.
    pub fn save(&self, folder: &Path) -> std::io::Result<()> {
        let path = folder.join(Self::FILE);
        match self.together.clone() {
            tasks if tasks.is_empty() => {
                storage::write_atomic(&path, |out| Ok(serde_json::to_writer_pretty(out, self)?))
            }
            tasks => storage::write_atomic(&path, |out| {
                Ok(serde_json::to_writer_pretty(out, &Several { tasks: tasks.clone() })?)
            }),
        }
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
