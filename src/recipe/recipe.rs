//! The recipe: everything that decides what a run does. TOML on disk; unknown keys are errors.

use super::MemoryLimit;
pub use super::curriculum::{Curriculum, OrderBy, Pacing};
pub use super::forgetting::Forgetting;
pub use super::method::{Activation, Biases, Bottleneck, Freeze, Ia3, Lora, Method, Placement};
pub use super::objective::{
    Classification, Contrastive, Masked, Objective, PoolingChoice, Pretraining, Regression, ScoreLoss,
    Sentences, SpanCorruption,
};
pub use super::tasks::{BestBy, Mixing, TaskSection};
pub use super::virtual_tokens::{PTuning, Prefix, Prompt, PromptInit};
pub use crate::base::{DeviceChoice, Precision};
use crate::data::import::Format;
use crate::data::schema::Schema;
use crate::data::split::SplitOptions;
pub use crate::nn::optim::ScheduleShape;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// A whole recipe. Every section has sensible defaults, so that a file may name only what differs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Recipe {
    /// One sentence that says what the recipe is for.
    pub about: String,
    pub model: ModelSection,
    pub data: DataSection,
    pub method: Method,
    pub objective: Objective,
    pub forgetting: Forgetting,
    pub optimizer: Optimizer,
    pub schedule: Schedule,
    pub batch: BatchSection,
    pub length: Length,
    pub validation: Validation,
    pub early_stop: EarlyStop,
    pub checkpoint: CheckpointSection,
    pub run: RunSection,
    #[serde(skip_serializing_if = "Mixing::is_usual")]
    pub mixing: Mixing,
    #[serde(skip_serializing_if = "Curriculum::is_usual")]
    pub curriculum: Curriculum,
    /// Several tasks on one shared body, with data and objectives of their own; then those above are empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<TaskSection>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ModelSection {
    /// A catalogue name, a Hugging Face folder, or a .gguf file.
    pub source: String,
    /// How its frozen weights are kept: quantised ones need less memory and a little more time (QLoRA, Dettmers et al.
    /// 2023, arXiv:2305.14314).
    pub precision: Precision,
    /// Drops while it learns what its makers dropped: the shares of hidden states and of attention that its config names. Of encoders and
    /// T5; otherwise nothing of the model's own is dropped.
    pub dropout: bool,
}

impl Default for ModelSection {
    fn default() -> Self {
        Self { source: "smollm2-135m-instruct".into(), precision: Precision::F32, dropout: false }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DataSection {
    pub path: Option<PathBuf>,
    /// What kind of file it is; recognised from the file when absent, as are the three below.
    pub format: Option<Format>,
    /// Text encoding by its WHATWG label.
    pub encoding: Option<String>,
    /// What separates the cells of a CSV file.
    pub separator: Option<char>,
    /// Whether the first row of a CSV file or of a sheet holds names.
    pub has_header: Option<bool>,
    /// Roles of the columns; recognised from the file when absent.
    pub schema: Option<Schema>,
    /// What a row longer than `batch.max_tokens` becomes.
    pub overlong: Overlong,
    pub keep_duplicates: bool,
    pub split: SplitOptions,
    /// Render conversations with the model's chat template when it has one.
    pub chat: bool,
}

impl Default for DataSection {
    fn default() -> Self {
        Self {
            path: None,
            format: None,
            encoding: None,
            separator: None,
            has_header: None,
            schema: None,
            overlong: Overlong::Truncate,
            keep_duplicates: false,
            split: SplitOptions::default(),
            chat: true,
        }
    }
}

/// What happens to a row that is longer than the limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overlong {
    #[default]
    Truncate,
    Drop,
}

impl Recipe {
    /// How the frozen model is kept. When all weights are trained it serves comparison only, and lies as in its file: the same
    /// numbers in less memory.
    pub fn base_precision(&self) -> Precision {
        match (&self.method, self.model.precision) {
            (Method::Full {}, Precision::F32) => Precision::Stored,
            (_, precision) => precision,
        }
    }
}

/// How a gradient moves the parameters. Keys that the chosen kind does not read may stand there and count for nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Optimizer {
    pub kind: OptimizerKind,
    pub learning_rate: f64,
    /// Pull towards zero: apart from the gradient with AdamW and Lion, a part of it with SGD.
    pub weight_decay: f64,
    /// AdamW: how long the mean of the gradients remembers. Lion: how much of it an update follows.
    pub beta1: f64,
    /// AdamW: how long the mean of the squares remembers. Lion: how long the mean of the gradients does; 0.99 is its usual.
    pub beta2: f64,
    /// AdamW: keeps it from dividing by zero.
    pub epsilon: f64,
    /// SGD: share of the last move that goes on.
    pub momentum: f64,
    /// Largest norm of the whole gradient; `"none"` means no clipping.
    #[serde(with = "super::number_or_none")]
    pub clip_norm: Option<f64>,
    /// Moves each weight as soon as its gradient is known, so that the gradient is never in memory as a whole (Lv et al. 2023,
    /// arXiv:2306.09782): on the CPU, without clipping, with one micro-batch an update.
    pub in_backward: bool,
}

impl Default for Optimizer {
    fn default() -> Self {
        Self {
            kind: OptimizerKind::AdamW,
            learning_rate: 5e-4,
            weight_decay: 0.0,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            momentum: 0.9,
            clip_norm: Some(1.0),
            in_backward: false,
        }
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OptimizerKind {
    /// Loshchilov & Hutter 2019, arXiv:1711.05101.
    #[default]
    #[serde(rename = "adamw")]
    AdamW,
    /// AdamW with a byte for each of its two moments (Dettmers et al. 2022, arXiv:2110.02861).
    #[serde(rename = "adamw_8bit")]
    AdamW8Bit,
    /// Chen et al. 2023, arXiv:2302.06675.
    Lion,
    /// Gradient descent with momentum.
    Sgd,
}

impl OptimizerKind {
    /// Whether a key of the section counts for this kind; the keys that count for all are not asked about.
    pub fn reads(self, key: &str) -> bool {
        match key {
            "beta1" | "beta2" => self != Self::Sgd,
            "epsilon" => matches!(self, Self::AdamW | Self::AdamW8Bit),
            "momentum" => self == Self::Sgd,
            _ => true,
        }
    }

    /// The learning rate to begin with, as its papers and users have it for small additions to a model.
    pub fn usual_learning_rate(self) -> f64 {
        match self {
            Self::AdamW | Self::AdamW8Bit => 5e-4,
            Self::Lion => 1e-4,
            Self::Sgd => 0.05,
        }
    }

    pub fn usual_beta2(self) -> f64 {
        if self == Self::Lion { 0.99 } else { 0.999 }
    }
}

/// How the learning rate moves over the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Schedule {
    pub shape: ScheduleShape,
    /// Share of the updates in which the rate rises from zero, 0..1.
    pub warmup: f64,
}

impl Default for Schedule {
    fn default() -> Self {
        Self { shape: ScheduleShape::Cosine, warmup: 0.05 }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BatchSection {
    /// Longest example, in tokens.
    pub max_tokens: usize,
    /// Tokens of one micro-step: whole examples are packed up to this budget.
    pub micro_batch_tokens: usize,
    /// Micro-steps of one update.
    pub accumulation: usize,
    /// Several examples in one micro-step, each seeing only itself; otherwise one at a time. Nothing is padded either way.
    pub packing: bool,
}

impl BatchSection {
    /// Tokens that one update has room for; `None` without packing, where a micro-batch is one example, however long.
    pub fn tokens_of_an_update(&self) -> Option<usize> {
        self.packing
            .then(|| self.micro_batch_tokens.saturating_mul(self.accumulation))
            .filter(|room| *room > 0)
    }
}

impl Default for BatchSection {
    fn default() -> Self {
        Self { max_tokens: 512, micro_batch_tokens: 512, accumulation: 1, packing: true }
    }
}

/// How long the run is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Length {
    /// Passes over the training rows.
    pub epochs: f64,
    /// Number of updates; when given, `epochs` counts for nothing.
    pub updates: Option<u64>,
}

impl Default for Length {
    fn default() -> Self {
        Self { epochs: 3.0, updates: None }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Validation {
    /// Updates between validations; 0 means once an epoch.
    pub every_updates: u64,
    /// At most so many validation rows are measured, spread evenly.
    pub max_examples: usize,
    /// So many validation rows are answered at each validation, to look at.
    pub num_answers: usize,
}

impl Default for Validation {
    fn default() -> Self {
        Self { every_updates: 0, max_examples: 200, num_answers: 3 }
    }
}

/// Stops when the validation loss no longer falls.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EarlyStop {
    pub enabled: bool,
    /// So many validations in a row may bring no gain.
    pub patience: u32,
    /// A gain in loss smaller than this counts for nothing.
    pub min_gain: f64,
}

impl Default for EarlyStop {
    fn default() -> Self {
        Self { enabled: true, patience: 3, min_gain: 0.001 }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CheckpointSection {
    /// Updates between checkpoints; 0 means at each validation.
    pub every_updates: u64,
    /// The last so many are kept, and the best one besides.
    pub keep_last: usize,
}

impl Default for CheckpointSection {
    fn default() -> Self {
        Self { every_updates: 0, keep_last: 2 }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RunSection {
    pub seed: u64,
    pub device: DeviceChoice,
    pub checkpointing: Checkpointing,
    /// How much memory the run may take: a share of what is free at the start, or a size. A run that would take more deals its
    /// micro-batches in halves, and stops where that does not help: the system ends a process that takes all there is.
    pub memory_limit: MemoryLimit,
}

impl Default for RunSection {
    fn default() -> Self {
        Self {
            seed: 42,
            device: DeviceChoice::Auto,
            checkpointing: Checkpointing::Auto,
            memory_limit: MemoryLimit::Share(0.8),
        }
    }
}

/// Whether the blocks' inner values are kept for the way back or made again (Chen et al. 2016, arXiv:1604.06174): the same
/// numbers either way, with less memory and more time when they are made again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Checkpointing {
    /// As the memory that is free demands.
    #[default]
    Auto,
    None,
    All,
}
