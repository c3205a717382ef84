//! What a model makes of whole texts: classes or scores, by heads of their own beside the vocabulary projection.

use super::json::Fields;
use super::tensors::{Group, Needed};
use super::{DecoderConfig, Form};
use crate::model::ModelError;
use crate::model::families::Table;
use crate::model::hooks::{HeadTensor, Part};
use crate::model::weights::Weights;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// More labels than any task has.
const MAX_LABELS: usize = 1 << 16;

/// Our own key of config.json, for heads that transformers has no place for.
const KEY: &str = "task_heads";

/// A head: what its numbers mean, and what it reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskHead {
    /// Empty for the only one.
    pub name: String,
    /// One a number that it makes; of a regression its name.
    pub labels: Vec<String>,
    pub problem: Problem,
    pub pooling: Pooling,
}

/// What the numbers are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Problem {
    /// Logits of which one is right.
    #[serde(rename = "single_label_classification")]
    SingleLabel,
    /// Logits of which any may be right.
    #[serde(rename = "multi_label_classification")]
    MultiLabel,
    /// Scores.
    #[serde(rename = "regression")]
    Regression,
}

/// What of a text's hidden states a head reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    First,
    /// All of them.
    Mean,
    Last,
}

impl Pooling {
    /// "its first token"
    pub fn describe(self) -> &'static str {
        match self {
            Self::First => "its first token",
            Self::Mean => "the mean of its tokens",
            Self::Last => "its last token",
        }
    }
}

/// Which of transformers' classes a model is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// Its body alone.
    Bare,
    PredictsTokens,
    /// With one head.
    Scores,
}

impl Class {
    /// By the name of the class; `None` where it is none of the family's.
    pub fn named(table: &Table, name: &str) -> Option<Self> {
        if name == table.architecture {
            return Some(Self::PredictsTokens);
        }
        match name.strip_prefix(table.stem())? {
            "Model" => Some(Self::Bare),
            "ForPreTraining" if !table.is_causal => Some(Self::PredictsTokens),
            "ForSequenceClassification" => Some(Self::Scores),
            _ => None,
        }
    }
}

impl TaskHead {
    /// The one that transformers' config describes.
    fn of_transformers(fields: &Fields, table: &Table) -> Result<Self, ModelError> {
        let labels = labels(fields)?;
        let problem = match fields.get("problem_type") {
            Some(named) => serde_json::from_value(named.clone())
                .map_err(|_| fields.refused(format!("the problem_type {named}")))?,
            None if labels.len() == 1 => Problem::Regression,
            None => Problem::SingleLabel,
        };
        let pooling = match fields.get("classifier_pooling").and_then(Value::as_str) {
            Some("mean") if table.scores.poolings.contains(&Pooling::Mean) => Pooling::Mean,
            _ => table.scores.poolings[0],
        };
        Ok(Self { name: String::new(), labels, problem, pooling })
    }
}

/// `id2label`, in the order of its numbers.
fn labels(fields: &Fields) -> Result<Vec<String>, ModelError> {
    let key = "id2label";
    let Some(listed) = fields.get(key).and_then(Value::as_object) else {
        let num = fields.size_or("num_labels", 2)?;
        if !(1..=MAX_LABELS).contains(&num) {
            return Err(fields.wrong("num_labels", &format!("must be between 1 and {MAX_LABELS}")));
        }
        return Ok((0..num).map(|label| format!("LABEL_{label}")).collect());
    };
    let label = |number: usize| listed.get(&number.to_string()).and_then(Value::as_str).map(String::from);
    let labels: Option<Vec<String>> = (0..listed.len()).map(label).collect();
    match labels.filter(|labels| (1..=MAX_LABELS).contains(&labels.len())) {
        Some(labels) => Ok(labels),
        None => Err(fields.wrong(key, "must name the labels from \"0\" on")),
    }
}

impl DecoderConfig {
    /// The head that transformers' class of the family has a place for.
    pub fn native_head(&self) -> Option<&TaskHead> {
        let poolings = self.family.table().scores.poolings;
        match &self.heads[..] {
            [only] if !self.predicts_tokens && only.name.is_empty() => {
                Some(only).filter(|head| poolings.contains(&head.pooling))
            }
            _ => None,
        }
    }

    pub(super) fn class(&self) -> Class {
        match self.native_head() {
            _ if self.predicts_tokens => Class::PredictsTokens,
            Some(_) => Class::Scores,
            None => Class::Bare,
        }
    }

    /// Whether transformers' class of it has a body and nothing else.
    pub fn is_bare(&self) -> bool {
        self.class() == Class::Bare
    }

    /// `architectures` of config.json.
    pub fn architecture(&self) -> String {
        let table = self.family.table();
        match self.class() {
            Class::Bare => format!("{}Model", table.stem()),
            Class::PredictsTokens => table.architecture.into(),
            Class::Scores => format!("{}ForSequenceClassification", table.stem()),
        }
    }

    /// What config.json says of heads.
    pub(super) fn read_heads(&mut self, fields: &Fields, class: Class) -> Result<(), ModelError> {
        self.predicts_tokens = class == Class::PredictsTokens;
        if let Some(listed) = fields.get(KEY) {
            self.heads = serde_json::from_value(listed.clone())
                .map_err(|error| fields.wrong(KEY, &format!("cannot be read: {error}")))?;
        } else if class == Class::Scores {
            self.heads = vec![TaskHead::of_transformers(fields, self.family.table())?];
        }
        match self.check_heads() {
            Ok(()) => Ok(()),
            Err(why) => Err(fields.wrong(KEY, &why)),
        }
    }

    /// Why heads cannot stand in one file.
    pub(in crate::model) fn check_heads(&self) -> Result<(), String> {
        for (index, head) in self.heads.iter().enumerate() {
            let name = &head.name;
            if !(1..=MAX_LABELS).contains(&head.labels.len()) {
                return Err(format!("must have between 1 and {MAX_LABELS} labels each"));
            }
            if name.contains('.') || self.heads[..index].iter().any(|other| other.name == *name) {
                return Err(format!("must have different names without a full stop, not \"{name}\""));
            }
        }
        Ok(())
    }

    pub(super) fn write_heads(&self, json: &mut Map<String, Value>) {
        if let Some(head) = self.native_head() {
            let numbered = || head.labels.iter().enumerate();
            let ids: Map<_, _> = numbered().map(|(id, label)| (id.to_string(), json!(label))).collect();
            let of_labels: Map<_, _> = numbered().map(|(id, label)| (label.clone(), json!(id))).collect();
            json.insert("id2label".into(), Value::Object(ids));
            json.insert("label2id".into(), Value::Object(of_labels));
            json.insert("problem_type".into(), json!(head.problem));
            if self.family.table().scores.poolings.len() > 1 {
                let pooling = if head.pooling == Pooling::Mean { "mean" } else { "cls" };
                json.insert("classifier_pooling".into(), json!(pooling));
            }
        } else if !self.heads.is_empty() {
            json.insert(KEY.into(), json!(self.heads));
        }
    }

    /// Names of the modules of the heads, as PEFT's `modules_to_save` wants them: what a method that freezes the rest has to train.
    pub fn head_modules(&self) -> Vec<String> {
        let mut modules: Vec<String> = Vec::new();
        for group in self.head_groups().into_iter().filter(|group| matches!(group.part, Part::Score(..))) {
            let mut words = group.tensors[0].name.split('.');
            let name = match self.native_head() {
                Some(_) => words.next().unwrap_or_default().to_string(),
                // Behind "heads".
                None => words.take(2).collect::<Vec<_>>().join("."),
            };
            if !modules.contains(&name) {
                modules.push(name);
            }
        }
        modules
    }

    /// What a method that freezes the rest has to train, or a model that was not made for it would never learn what it is asked: the heads of
    /// tasks and what they read through, or what an encoder predicts masked tokens by.
    pub fn new_modules(&self) -> Vec<String> {
        let table = self.family.table();
        let mut modules = self.head_modules();
        let pooler = table.scores.pooler.filter(|_| !self.heads.is_empty());
        let transform = table.names.transform.filter(|_| self.has_masked_head());
        let others = pooler.into_iter().chain(transform.into_iter().flat_map(|t| [t.dense, t.norm]));
        modules.extend(others.map(|name| self.name_of(name).to_string()));
        modules
    }

    /// What the model has no use for but new heads would have: the pooler of a BERT without any.
    pub(in crate::model) fn spare_groups(&self) -> Vec<Group> {
        if self.heads.is_empty() { self.pooler_groups() } else { Vec::new() }
    }

    /// What the heads of a BERT read its first token through.
    fn pooler_groups(&self) -> Vec<Group> {
        let Some(name) = self.family.table().scores.pooler else { return Vec::new() };
        let group = |part, kind: &str, shape| {
            let needed =
                Needed { name: format!("{}.{kind}", self.name_of(name)), shape, form: Form::default() };
            Group { part, tensors: vec![needed] }
        };
        let d = self.width;
        vec![group(Part::Pooler, "weight", vec![d, d]), group(Part::PoolerBias, "bias", vec![d])]
    }

    /// The same, but for what an encoder's files do not hold: many come without what predicts masked tokens, whatever their config says.
    pub(in crate::model) fn found_in(self, weights: &Weights) -> Self {
        let transform = self.family.table().names.transform.filter(|_| self.predicts_tokens);
        let is_there = |name: &str| weights.shape(&format!("{name}.weight")).is_some();
        if self.encoder.is_some() {
            let is_tied = self.has_tied_embeddings || !is_there(self.family.table().names.head);
            return Self { has_tied_embeddings: is_tied, ..self };
        }
        match transform {
            Some(transform) if !is_there(transform.dense) => Self { predicts_tokens: false, ..self },
            _ => self,
        }
    }

    /// The tensors of all heads.
    pub(super) fn head_groups(&self) -> Vec<Group> {
        let (d, scores) = (self.width, &self.family.table().scores);
        let mut all = if self.heads.is_empty() { Vec::new() } else { self.pooler_groups() };
        let mut push = |part, name: &str, kind: &str, shape: &[usize]| {
            let needed =
                Needed { name: format!("{name}.{kind}"), shape: shape.to_vec(), form: Form::default() };
            all.push(Group { part, tensors: vec![needed] });
        };
        for (index, head) in self.heads.iter().enumerate() {
            let (part, num) = (|tensor| Part::Score(index, tensor), head.labels.len());
            let name = |native: &str, own: &str| match self.native_head() {
                Some(_) => native.to_string(),
                None if head.name.is_empty() => format!("heads.{index}.{own}"),
                None => format!("heads.{}.{own}", head.name),
            };
            if let Some((native, _)) = scores.dense {
                let name = name(native, "dense");
                push(part(HeadTensor::Dense), &name, "weight", &[d, d]);
                if self.has_transform_bias {
                    push(part(HeadTensor::DenseBias), &name, "bias", &[d]);
                }
            }
            if let Some(native) = scores.norm {
                let name = name(native, "norm");
                push(part(HeadTensor::Norm), &name, "weight", &[d]);
                if self.has_norm_bias {
                    push(part(HeadTensor::NormBias), &name, "bias", &[d]);
                }
            }
            let name = name(scores.out, "out");
            push(part(HeadTensor::Out), &name, "weight", &[num, d]);
            if scores.has_bias {
                push(part(HeadTensor::OutBias), &name, "bias", &[num]);
            }
        }
        all
    }
}
