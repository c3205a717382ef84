//! The model's own weights that LoRA trains besides, whole: PEFT's `bias` and `modules_to_save`.

use super::full::each_tensor;
use super::{PeftError, named_tensors};
use crate::model::config::{DecoderConfig, Group, Needed};
use crate::model::decoder::Decoder;
use crate::model::families::Module;
use crate::model::hooks::{HeadTensor, Linear, Part};
use candle_core::Tensor;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashMap};
use std::path::Path;

/// Stands before the names of the model's tensors in PEFT's files.
const PREFIX: &str = "base_model.model.";

/// PEFT names what is in memory, where transformers calls every decoder's head so, whatever its files call it.
const HEAD: &str = "lm_head";

fn head(config: &DecoderConfig) -> &'static str {
    if config.is_causal() { HEAD } else { config.family.table().names.head }
}

/// Parts of names under which PEFT saves a module's biases once more, where all biases are trained.
const REPEATED: [&str; 2] = [".original_module.", ".modules_to_save."];

/// Which biases are trained, in PEFT's words.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Biases {
    #[default]
    None,
    /// Those of the layers that LoRA tunes.
    LoraOnly,
    /// Those of norms as well.
    All,
}

/// What is trained of the model itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OwnWeights {
    pub biases: Biases,
    /// Modules that are trained whole: each name stands for all whose path ends so, as PEFT has it. Embeddings, the head and norms.
    pub modules: Vec<String>,
}

impl OwnWeights {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether LoRA on `targets` and these weights go together in such a model.
    ///
    /// # Errors
    /// [`PeftError::NoModule`], [`PeftError::OneOfTied`] and [`PeftError::SomeBiases`].
    pub fn check(&self, config: &DecoderConfig, targets: &[Linear]) -> Result<(), PeftError> {
        let paths: BTreeSet<String> = config.groups().iter().flat_map(|group| paths(group, config)).collect();
        let is_known = |name: &&String| paths.iter().any(|path| is_meant(path, name));
        if let Some(name) = self.modules.iter().find(|name| !is_known(name)) {
            return Err(PeftError::NoModule { name: name.clone(), known: module_names(config) });
        }
        if let Some((named, other)) = self.one_of_tied(config) {
            return Err(PeftError::OneOfTied { named, other });
        }
        let is_in_part = |group: &Group| match group.part {
            Part::Bias(layer, projection) if self.biases == Biases::LoraOnly => {
                let modules = config.modules(layer, projection).iter();
                let num = modules.clone().filter(|module| targets.contains(&module.linear)).count();
                num > 0 && num < modules.count()
            }
            _ => false,
        };
        match config.groups().into_iter().find(is_in_part) {
            Some(group) => Err(PeftError::SomeBiases(
                group.tensors.iter().map(|needed| module_path(&needed.name).to_string()).collect(),
            )),
            None => Ok(()),
        }
    }

    /// Where embeddings and head are one and only one of them is named, that one and the other.
    pub fn one_of_tied(&self, config: &DecoderConfig) -> Option<(&'static str, &'static str)> {
        let (embedding, head) = (config.name_of(config.family.table().names.embedding), head(config));
        let is_named = |path: &str| self.modules.iter().any(|name| is_meant(path, name));
        match (is_named(embedding), is_named(head)) {
            _ if !config.has_tied_head() => None,
            (true, false) => Some((embedding, head)),
            (false, true) => Some((head, embedding)),
            _ => None,
        }
    }

    /// What is trained, by what the forward pass reads as one.
    pub fn groups(&self, config: &DecoderConfig, targets: &[Linear]) -> Vec<Group> {
        let is_named =
            |group: &Group| paths(group, config).iter().any(|p| self.modules.iter().any(|n| is_meant(p, n)));
        let is_trained = |group: &Group| match group.part {
            Part::Bias(layer, projection) => match self.biases {
                Biases::None => false,
                Biases::LoraOnly => {
                    config.modules(layer, projection).iter().any(|m| targets.contains(&m.linear))
                }
                Biases::All => true,
            },
            part if is_bias(part) => self.biases == Biases::All || is_named(group),
            _ => is_named(group),
        };
        config.groups().into_iter().filter(is_trained).collect()
    }

    /// The parts of the model that are trained.
    pub fn parts(&self, config: &DecoderConfig, targets: &[Linear]) -> BTreeSet<Part> {
        let mut parts: BTreeSet<Part> =
            self.groups(config, targets).into_iter().map(|group| group.part).collect();
        if config.has_tied_head() && parts.contains(&Part::Embedding) {
            parts.insert(Part::Head);
        }
        parts
    }

    /// The trained tensors in PEFT's names, in the order of the flat buffer.
    pub fn needed(&self, config: &DecoderConfig, targets: &[Linear]) -> Vec<Needed> {
        let named = |group: Group| {
            let modules: &[Module] = match group.part {
                Part::Bias(layer, projection) => config.modules(layer, projection),
                _ => &[],
            };
            let is_head = group.part == Part::Head;
            let is_tuned: Vec<bool> = modules.iter().map(|m| targets.contains(&m.linear)).collect();
            group.tensors.into_iter().enumerate().map(move |(i, needed)| {
                // PEFT puts a layer that it tunes inside one of its own.
                let name = match is_tuned.get(i) {
                    Some(true) => format!("{}.base_layer.bias", module_path(&needed.name)),
                    _ if is_head => format!("{}.weight", head(config)),
                    _ => needed.name.clone(),
                };
                Needed { name: format!("{PREFIX}{name}"), ..needed }
            })
        };
        self.groups(config, targets).into_iter().flat_map(named).collect()
    }

    /// The model's values of them, in that order.
    pub fn values(&self, decoder: &Decoder, targets: &[Linear]) -> Result<Vec<(String, Tensor)>, PeftError> {
        let mut values = Vec::new();
        each_tensor(decoder, self.groups(decoder.config(), targets), &mut |_, value| {
            values.push(value);
            Ok(())
        })?;
        let needed = self.needed(decoder.config(), targets);
        Ok(needed.into_iter().zip(values).map(|(needed, value)| (needed.name, value)).collect())
    }

    /// A file's tensors but for LoRA's own, in that order.
    ///
    /// # Errors
    /// [`PeftError::Tensor`] for the first one that is missing, foreign or does not fit, and for a head that differs from the embeddings
    /// of a model which has one matrix for both.
    pub fn in_order(
        &self,
        mut tensors: HashMap<String, Tensor>,
        config: &DecoderConfig,
        targets: &[Linear],
        path: &Path,
    ) -> Result<Vec<(String, Tensor)>, PeftError> {
        let needed = self.needed(config, targets);
        if self.biases == Biases::All {
            tensors.retain(|name, _| !REPEATED.iter().any(|part| name.contains(part)));
        }
        if let Some(head) = tied_head(config, &needed)
            && let Some(tensor) = tensors.remove(&head.name)
            && !tensors.get(&tied_name(config)).is_some_and(|embedding| has_same_values(embedding, &tensor))
        {
            let why = "it is not the embeddings, which are the head of this model as well".into();
            return Err(PeftError::Tensor { path: path.to_path_buf(), tensor: head.name, why });
        }
        named_tensors::in_order(tensors, needed, path)
    }
}

/// The head where it is trained as the embeddings' other name: PEFT has two copies then, and files need both.
pub fn tied_head(config: &DecoderConfig, needed: &[Needed]) -> Option<Needed> {
    let embedding = needed.iter().find(|needed| needed.name == tied_name(config))?;
    let name = format!("{PREFIX}{}.weight", head(config));
    config.has_tied_head().then(|| Needed { name, ..embedding.clone() })
}

/// PEFT's name of the table of embeddings.
pub fn tied_name(config: &DecoderConfig) -> String {
    format!("{PREFIX}{}.weight", config.name_of(config.family.table().names.embedding))
}

/// Whether a name stands for any module that may be trained whole.
pub fn names_module(config: &DecoderConfig, name: &str) -> bool {
    config.groups().iter().flat_map(|group| paths(group, config)).any(|path| is_meant(&path, name))
}

/// What `modules_to_save` may name in such a model: for one module, the end of its path that no other has.
pub fn module_names(config: &DecoderConfig) -> Vec<String> {
    let paths: Vec<String> = config.groups().iter().flat_map(|group| paths(group, config)).collect();
    let mut names: Vec<String> = Vec::new();
    for path in &paths {
        let in_block = [config.layers_name(), config.layer_name(0).trim_end_matches('0')]
            .iter()
            .any(|name| path.starts_with(name));
        let last = path.rsplit('.').next().unwrap_or(path);
        let stands_for = paths.iter().filter(|other| is_meant(other, last)).count();
        let name = if in_block || stands_for == 1 { last } else { path };
        if !names.iter().any(|other| other == name) {
            names.push(name.into());
        }
    }
    names
}

/// Whether a part outside the blocks' layers is a bias.
fn is_bias(part: Part) -> bool {
    matches!(
        part,
        Part::NormBias(..)
            | Part::EmbeddingNormBias
            | Part::FinalNormBias
            | Part::TransformBias
            | Part::TransformNormBias
            | Part::HeadBias
            | Part::PoolerBias
            | Part::Score(_, HeadTensor::DenseBias | HeadTensor::NormBias | HeadTensor::OutBias)
    )
}

fn is_meant(path: &str, name: &str) -> bool {
    !name.is_empty() && path.ends_with(name)
}

/// The modules of a group that may be trained whole. LoRA's own layers are none.
fn paths(group: &Group, config: &DecoderConfig) -> Vec<String> {
    if matches!(group.part, Part::Weight(..) | Part::Bias(..)) {
        return Vec::new();
    }
    if group.part == Part::Head {
        return vec![head(config).into()];
    }
    let mut paths: Vec<String> =
        group.tensors.iter().map(|needed| module_path(&needed.name).to_string()).collect();
    match group.part {
        Part::Embedding if config.has_tied_head() => paths.push(head(config).into()),
        // They may be meant by the module that they lie in.
        Part::Pooler | Part::PoolerBias | Part::Score(..) => {
            let outer = paths[0].rsplit_once('.').map(|(outer, _)| outer.to_string());
            paths.extend(outer);
        }
        _ => {}
    }
    paths
}

fn module_path(tensor: &str) -> &str {
    tensor.rsplit_once('.').map_or(tensor, |(path, _)| path)
}

fn has_same_values(a: &Tensor, b: &Tensor) -> bool {
    let values = |t: &Tensor| t.flatten_all().and_then(|t| t.to_vec1::<f32>());
    matches!((values(a), values(b)), (Ok(a), Ok(b)) if a == b)
}
