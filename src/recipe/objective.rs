//! What is minimised, and what rows it takes.

use super::check::Findings;
use super::plan::{DataFacts, Facts};
use super::recipe::Recipe;
use crate::base::human;
use crate::data::mask::TrainOn;
use crate::data::sentences::Pairing;
use crate::data::{Reading, Schema};
use crate::model::config::{DecoderConfig, Pooling, Problem as HeadProblem, TaskHead};
use crate::objective::NUM_STEPS;
use serde::{Deserialize, Serialize};

/// More classes than this are most likely no classes.
const MAX_CLASSES: usize = 1000;

/// What is minimised.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Objective {
    /// Cross entropy of the next token of answers.
    Supervised {
        #[serde(default)]
        train_on: TrainOn,
    },
    /// The same of running text.
    Pretraining(Pretraining),
    /// Tokens that were hidden (Devlin et al. 2019, arXiv:1810.04805).
    Masked(Masked),
    /// Pieces that were taken out (Raffel et al. 2020, arXiv:1910.10683).
    SpanCorruption(SpanCorruption),
    /// Texts that belong together against those that don't.
    Contrastive(Contrastive),
    /// Whether two sentences follow one another.
    Sentences(Sentences),
    /// The class of a text.
    Classification(Classification),
    /// The number that belongs to a text.
    Regression(Regression),
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Pretraining {
    /// Tokens of the piece before that a piece of a long text shows again, without learning them twice.
    pub overlap: usize,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Masked {
    /// Share of the tokens that are to be guessed: of ten, eight are hidden, one is another token, one stays.
    pub share: f64,
    /// Words are hidden whole.
    pub whole_words: bool,
}

impl Default for Masked {
    fn default() -> Self {
        Self { share: 0.15, whole_words: false }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SpanCorruption {
    /// Share of the tokens that are taken out.
    pub share: f64,
    /// Tokens of a piece that is taken out, on the average.
    pub mean_length: f64,
}

impl Default for SpanCorruption {
    fn default() -> Self {
        Self { share: 0.15, mean_length: 3.0 }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Contrastive {
    /// What similarities are divided by: the smaller, the more the likest of the wrong ones count.
    pub temperature: f64,
    pub pooling: Pooling,
    /// Share of the model's inner numbers that are dropped, at random: what makes two readings of one text differ (Gao et al. 2021,
    /// arXiv:2104.08821).
    pub dropout: f64,
}

impl Default for Contrastive {
    fn default() -> Self {
        Self { temperature: 0.05, pooling: Pooling::Mean, dropout: 0.1 }
    }
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sentences {
    pub pairing: Pairing,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Classification {
    /// A text may have several classes, or none: a cell lists them.
    pub several: bool,
    /// Rare classes weigh as much as common ones.
    pub balanced: bool,
    /// What stands for the text; the model's own way where it is not said.
    pub pooling: PoolingChoice,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Regression {
    pub loss: ScoreLoss,
    pub pooling: PoolingChoice,
}

/// How far a predicted number is from the right one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScoreLoss {
    /// The square of the difference.
    #[default]
    Mse,
    /// The same near, and the difference itself from 1 on (Huber 1964).
    Huber,
    /// Cross entropy over nine steps from the least to the greatest, of which the two next to the right number share its weight.
    Soft,
}

/// What stands for a text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PoolingChoice {
    /// As the model's own head has it.
    #[default]
    Auto,
    First,
    Mean,
    Last,
}

impl PoolingChoice {
    pub fn or(self, usual: Pooling) -> Pooling {
        match self {
            Self::Auto => usual,
            Self::First => Pooling::First,
            Self::Mean => Pooling::Mean,
            Self::Last => Pooling::Last,
        }
    }
}

impl Default for Objective {
    fn default() -> Self {
        Self::Supervised { train_on: TrainOn::Answers }
    }
}

impl Objective {
    /// One of each kind, with its usual settings.
    pub fn all() -> [Self; 8] {
        [
            Self::default(),
            Self::Pretraining(Pretraining::default()),
            Self::Classification(Classification::default()),
            Self::Regression(Regression::default()),
            Self::Contrastive(Contrastive::default()),
            Self::Masked(Masked::default()),
            Self::Sentences(Sentences::default()),
            Self::SpanCorruption(SpanCorruption::default()),
        ]
    }

    /// As recipes call the kind.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Supervised { .. } => "supervised",
            Self::Pretraining(_) => "pretraining",
            Self::Masked(_) => "masked",
            Self::SpanCorruption(_) => "span_corruption",
            Self::Contrastive(_) => "contrastive",
            Self::Sentences(_) => "sentences",
            Self::Classification(_) => "classification",
            Self::Regression(_) => "regression",
        }
    }

    /// As people call the kind.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Supervised { .. } => "supervised tuning",
            Self::Pretraining(_) => "continued pretraining",
            Self::Masked(_) => "masked language modelling",
            Self::SpanCorruption(_) => "span corruption",
            Self::Contrastive(_) => "contrastive learning",
            Self::Sentences(_) => "context prediction",
            Self::Classification(_) => "classification",
            Self::Regression(_) => "regression",
        }
    }

    /// As people call it: "supervised tuning on answers".
    pub fn describe(&self) -> String {
        match self {
            Self::Supervised { train_on: TrainOn::Answers } => format!("{} on answers", self.name()),
            Self::Supervised { train_on: TrainOn::Everything } => format!("{} on everything", self.name()),
            _ => self.name().into(),
        }
    }

    /// How rows are read for it.
    pub fn reading(&self, seed: u64) -> Reading {
        match self {
            Self::Supervised { train_on } => Reading::Written { train_on: *train_on },
            Self::Pretraining(of) => Reading::Running { overlap: of.overlap, is_written: true },
            Self::Masked(_) | Self::SpanCorruption(_) => Reading::Running { overlap: 0, is_written: false },
            Self::Contrastive(_) => Reading::Paired,
            Self::Sentences(of) => Reading::Sentences { pairing: of.pairing, seed },
            Self::Classification(of) => Reading::Labelled { has_several: of.several, labels: None },
            Self::Regression(_) => Reading::Scored,
        }
    }

    /// A model's config as it is trained for this: with a head for its classes or numbers, without what predicts tokens where nothing is
    /// learnt of them.
    pub fn config(&self, config: &DecoderConfig, labels: &[String]) -> DecoderConfig {
        let usual = config.family.table().scores.poolings[0];
        let head = |labels: Vec<String>, problem, pooling: PoolingChoice| {
            vec![TaskHead { name: String::new(), labels, problem, pooling: pooling.or(usual) }]
        };
        let heads = match self {
            Self::Supervised { .. } | Self::Pretraining(_) | Self::SpanCorruption(_) => {
                return config.clone();
            }
            Self::Masked(_) => {
                return DecoderConfig { predicts_tokens: true, heads: Vec::new(), ..config.clone() };
            }
            Self::Contrastive(_) => Vec::new(),
            Self::Sentences(_) => head(labels.to_vec(), HeadProblem::SingleLabel, PoolingChoice::Auto),
            Self::Classification(of) => {
                let problem = if of.several { HeadProblem::MultiLabel } else { HeadProblem::SingleLabel };
                head(labels.to_vec(), problem, of.pooling)
            }
            Self::Regression(of) => match of.loss {
                ScoreLoss::Soft => head(
                    (0..NUM_STEPS).map(|i| format!("step {i}")).collect(),
                    HeadProblem::SingleLabel,
                    of.pooling,
                ),
                _ => head(vec!["score".into()], HeadProblem::Regression, of.pooling),
            },
        };
        let heads = if heads.iter().any(|head| head.labels.is_empty()) { Vec::new() } else { heads };
        DecoderConfig { predicts_tokens: false, heads, ..config.clone() }
    }

    /// The usual one that reads rows so.
    pub fn of_reading(reading: &Reading) -> Self {
        let is_like = |one: &Self| match (one.reading(0), reading) {
            (Reading::Running { is_written: one, .. }, Reading::Running { is_written, .. }) => {
                one == *is_written
            }
            (one, other) => std::mem::discriminant(&one) == std::mem::discriminant(other),
        };
        match reading.train_on() {
            Some(train_on) => Self::Supervised { train_on },
            None => Self::all().into_iter().find(is_like).unwrap_or_default(),
        }
    }

    /// Why rows of such columns are nothing for it; `None` where they are.
    pub fn refuses(&self, schema: &Schema) -> Option<String> {
        match self {
            Self::Supervised { .. } => None,
            other => other.reading(0).schema(schema).err(),
        }
    }

    /// Whether it needs a model that writes (true), one that reads both ways (false), or takes either.
    pub fn wants_causal(&self) -> Option<bool> {
        match self {
            Self::Supervised { .. } | Self::Pretraining(_) | Self::SpanCorruption(_) => Some(true),
            Self::Masked(_) => Some(false),
            _ => None,
        }
    }

    /// Why it is nothing for a model that reads with one stack and writes with another, or for any else; `None` where it is.
    pub fn refuses_stacks(&self, config: &DecoderConfig) -> Option<String> {
        match (self, config.encoder.is_some()) {
            (Self::Supervised { .. } | Self::SpanCorruption(_), true) => None,
            (_, true) => Some(format!(
                "{} reads with one stack and writes with another, and {} is not there for such models. Choose supervised tuning for prompts with answers, or span corruption for plain text",
                config.family.table().title,
                self.name(),
            )),
            (Self::SpanCorruption(_), false) => Some(
                "Span corruption is for models that read with one stack and write with another, such as T5. Choose continued pretraining, or masked language modelling for an encoder".into(),
            ),
            (_, false) => None,
        }
    }

    /// Whether the model gets a head of its own for it.
    pub fn has_head(&self) -> bool {
        matches!(self, Self::Classification(_) | Self::Regression(_) | Self::Sentences(_))
    }

    /// Whether a text may have several classes.
    pub fn has_several(&self) -> bool {
        matches!(self, Self::Classification(of) if of.several)
    }

    /// Whether what is learnt is what token stands somewhere.
    pub fn is_of_tokens(&self) -> bool {
        matches!(
            self,
            Self::Supervised { .. } | Self::Pretraining(_) | Self::Masked(_) | Self::SpanCorruption(_)
        )
    }
}

impl Recipe {
    /// A head of the model's own that is for other classes: it is left for a new one, or they are learnt on it.
    fn check_own_head(&self, facts: &Facts, found: &mut Findings) {
        let Some(model) = facts.model.as_ref().filter(|_| facts.data.is_some() && !self.has_tasks()) else {
            return;
        };
        let ([own], [new]) = (&model.own_heads[..], &model.config.heads[..]) else { return };
        if own.labels == new.labels && own.problem == new.problem {
            return;
        }
        let told = |head: &TaskHead| match head.problem {
            HeadProblem::Regression => "a number".to_string(),
            _ => format!(
                "{} ({})",
                if head.labels.len() == 1 {
                    "1 class".into()
                } else {
                    format!("{} classes", head.labels.len())
                },
                human::some_of(head.labels.iter().map(String::as_str), 8)
            ),
        };
        let then = match own.labels.len() == new.labels.len() {
            true => "the run begins with that head, one class in the place of another",
            false => "what that head learnt is left, and a new one begins",
        };
        let text = format!(
            "The head of {} is for {}, and the data has {}: {then}.",
            self.model.source,
            told(own),
            told(new)
        );
        found.warn("model.source", text, None);
    }

    pub(super) fn check_objective(&self, facts: &Facts, found: &mut Findings) {
        self.check_own_head(facts, found);
        match &self.objective {
            Objective::Masked(masked) if !(masked.share > 0.0 && masked.share < 1.0) => {
                let text = format!(
                    "{} is no share of tokens to guess: above 0 and below 1. Use 0.15.",
                    masked.share
                );
                found.error("objective.share", text, Some("0.15"));
            }
            Objective::SpanCorruption(of) => {
                found.within("objective.share", of.share, 0.01, 0.9, "0.15");
                found.within("objective.mean_length", of.mean_length, 1.0, 100.0, "3.0");
            }
            Objective::Contrastive(of) => {
                found.above_zero("objective.temperature", of.temperature, 10.0, "0.05");
                found.within("objective.dropout", of.dropout, 0.0, 0.9, "0.1");
                let own = facts.model.as_ref().and_then(|model| model.pooling);
                if let Some(own) = own.filter(|own| *own != of.pooling) {
                    let text = format!(
                        "{} was made to stand for a text by {}, and the recipe says {}: it has to learn that anew.",
                        self.model.source,
                        own.describe(),
                        of.pooling.describe()
                    );
                    found.warn("objective.pooling", text, serde_json::to_string(&own).ok().as_deref());
                }
            }
            Objective::Pretraining(of) if of.overlap * 2 > self.batch.max_tokens => {
                let text = format!(
                    "Pieces of {} tokens that show {} again hardly get on. Use {}.",
                    self.batch.max_tokens,
                    of.overlap,
                    self.batch.max_tokens / 4
                );
                found.error("objective.overlap", text, Some(&(self.batch.max_tokens / 4).to_string()));
            }
            _ => {}
        }
        let of_model = facts.model.as_ref().filter(|model| model.config.num_layers > 0);
        if let Some(why) = of_model.and_then(|model| self.objective.refuses_stacks(&model.config)) {
            let has_two = of_model.is_some_and(|model| model.config.encoder.is_some());
            let fix = if has_two { "\"supervised\"" } else { "\"pretraining\"" };
            return found.error("objective.kind", format!("{why}."), Some(fix));
        }
        if of_model.is_some_and(|model| model.config.encoder.is_some()) {
            self.check_two_stacks(found);
        }
        let causal = facts.model.as_ref().map(|model| model.config.is_causal());
        match (self.objective.wants_causal(), causal) {
            (Some(true), Some(false)) => {
                let text = format!(
                    "{} reads whole texts and cannot write, which {} is about. Choose another model, or masked language modelling.",
                    self.model.source,
                    self.objective.name()
                );
                found.error("objective.kind", text, Some("\"masked\""));
            }
            (Some(false), Some(true)) => {
                let text = format!(
                    "{} reads from left to right and cannot guess what stands in the middle. Choose an encoder such as BERT, or continued pretraining.",
                    self.model.source
                );
                found.error("objective.kind", text, Some("\"pretraining\""));
            }
            (Some(true), Some(true)) => {
                if let Some(Err(error)) = facts.model.as_ref().map(|model| model.config.check_writes()) {
                    let usual = format!("\"{}\"", Recipe::default().model.source);
                    let text = format!("{error}, which {} trains.", self.objective.name());
                    found.error("model.source", text, Some(&usual));
                }
            }
            _ => {}
        }
        if self.forgetting.kl_weight > 0.0 && self.forgetting.text.is_none() && !self.objective.is_of_tokens()
        {
            let text = format!(
                "Staying near the base model's words needs a general text with {}: its data has no words to predict.",
                self.objective.name()
            );
            found.error("forgetting.kl_weight", text, Some("0.0"));
        }
    }

    /// What is not there yet for a model that reads with one stack and writes with another.
    fn check_two_stacks(&self, found: &mut Findings) {
        if let Some(why) = self.method.unfit_for_two_stacks() {
            let text = format!(
                "{} is not there for a model that reads with one stack and writes with another, such as T5: {why}. Use LoRA, IA3, prompt tuning, P-tuning, freezing or full tuning.",
                self.method.name()
            );
            found.error("method.kind", text, Some("\"lora\""));
        }
        if self.forgetting.text.is_some() {
            let text = "General text is gone on with, and a model that reads with one stack and writes with another does not. Leave it out.";
            found.error("forgetting.text", text.to_string(), None);
        }
    }

    pub(super) fn check_classes(&self, data: &DataFacts, found: &mut Findings) {
        if !matches!(self.objective, Objective::Classification(_)) {
            return;
        }
        match data.labels.len() {
            0 => {}
            1 => {
                let text = format!(
                    "Every row is of the same class, {}: there is nothing to tell apart.",
                    human::elide(&data.labels[0], 40)
                );
                found.error("data.path", text, None);
            }
            num if num > MAX_CLASSES => {
                let text = format!(
                    "There are {} classes in {} training rows: the Label column is most likely a text or a number. Choose another column, or regression.",
                    human::count(num as u64),
                    human::count(data.num_train as u64)
                );
                found.error("data.schema", text, None);
            }
            _ => {}
        }
        if !data.labels_not_trained.is_empty() {
            let names = human::some_of(data.labels_not_trained.iter().map(String::as_str), 8);
            let text = format!(
                "No training row is of the class {names}: it cannot be learnt, and rows of it are all wrong."
            );
            found.warn("data.split", text, None);
        }
    }
}
