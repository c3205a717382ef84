//! Freezing: some of the model's own weights are trained, and the rest stays as it is, bit for bit. The way back through the model ends at
//! the lowest trained part.

use super::full::{FullHooks, copied};
use super::{Adapter, MicroStep, PeftError, Settings, Tuning, format, named_tensors};
use crate::base::{Control, storage};
use crate::model::config::{DecoderConfig, Group, Needed};
use crate::model::error::During;
use crate::model::flops::{Learning, Work};
use crate::model::folder::{self, Description};
use crate::model::hooks::{Hooks, Part, Projection};
use crate::model::load::LoadedModel;
use crate::model::weights::save_safetensors;
use crate::nn::{FlatParams, Leaves, Result};
use candle_core::Device;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Says what is in [`WEIGHTS_FILE`].
pub(super) const CONFIG_FILE: &str = "trained_weights.json";
/// The trained tensors under their names in Hugging Face's files, f32.
pub(super) const WEIGHTS_FILE: &str = "trained_weights.safetensors";
const MAX_CONFIG_BYTES: u64 = 1 << 20;

/// What of the model is trained.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Freeze {
    /// The topmost so many blocks.
    pub blocks: usize,
    /// These blocks instead, counted from 0 at the bottom; none leaves it at the topmost.
    pub chosen: Vec<usize>,
    /// What is trained of these blocks.
    pub train: Vec<Kind>,
    /// The table of token embeddings, too; with tied embeddings it is the vocabulary projection as well.
    pub embeddings: bool,
    /// The vocabulary projection, too; with tied embeddings it is the table of embeddings as well.
    pub head: bool,
    /// The norm after the last block, too.
    pub final_norm: bool,
}

impl Default for Freeze {
    fn default() -> Self {
        let train = Kind::ALL.to_vec();
        Self { blocks: 2, chosen: Vec::new(), train, embeddings: false, head: false, final_norm: true }
    }
}

/// A kind of tensor of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Weights of q, k, v and o.
    Attention,
    /// Weights of gate, up and down.
    FeedForward,
    /// Before attention and feed-forward, and of queries and keys.
    Norms,
    Biases,
}

impl Kind {
    pub const ALL: [Self; 4] = [Self::Attention, Self::FeedForward, Self::Norms, Self::Biases];

    /// The block and the kind of a part; `None` outside the blocks.
    fn of(part: Part) -> Option<(usize, Self)> {
        match part {
            Part::Weight(layer, Projection::GateUp | Projection::Down) => Some((layer, Self::FeedForward)),
            Part::Weight(layer, _) | Part::PositionBias(layer) => Some((layer, Self::Attention)),
            Part::Bias(layer, _) => Some((layer, Self::Biases)),
            Part::Norm(layer, _)
            | Part::NormBias(layer, _)
            | Part::QueryNorm(layer)
            | Part::KeyNorm(layer) => Some((layer, Self::Norms)),
            _ => None,
        }
    }

    /// Whether a model's blocks have any tensor of this kind.
    pub fn is_in(self, config: &DecoderConfig) -> bool {
        config.groups().iter().any(|group| Self::of(group.part).is_some_and(|(_, kind)| kind == self))
    }
}

impl Freeze {
    /// Whether a block has anything that is trained.
    fn has_block(&self, layer: usize, num_layers: usize) -> bool {
        match self.chosen.is_empty() {
            true => layer >= num_layers.saturating_sub(self.blocks),
            false => self.chosen.contains(&layer),
        }
    }

    /// Whether a part of the model is trained.
    pub fn trains(&self, part: Part, config: &DecoderConfig) -> bool {
        match part {
            Part::Embedding => self.embeddings || (config.has_tied_head() && self.head),
            Part::Head => self.head || (config.has_tied_head() && self.embeddings),
            Part::Positions | Part::Types | Part::EmbeddingNorm | Part::EmbeddingNormBias => self.embeddings,
            Part::Transform
            | Part::TransformBias
            | Part::TransformNorm
            | Part::TransformNormBias
            | Part::HeadBias => self.head,
            // What a task's answer is made with has to be learnt.
            Part::Pooler | Part::PoolerBias | Part::Score(..) => true,
            Part::FinalNorm | Part::FinalNormBias | Part::EncoderNorm => self.final_norm,
            part => Kind::of(part).is_some_and(|(layer, kind)| {
                self.train.contains(&kind) && self.has_block(layer, config.num_layers)
            }),
        }
    }
}

impl Tuning for Freeze {
    fn check(&self, config: &DecoderConfig) -> std::result::Result<(), PeftError> {
        let num_blocks = config.num_layers;
        let highest = self.chosen.iter().max().copied();
        if let Some(block) = highest.filter(|block| *block >= num_blocks) {
            return Err(PeftError::NoSuchBlock { block, num_blocks });
        }
        if self.own(config).is_empty() {
            return Err(PeftError::NothingToTrain);
        }
        Ok(())
    }

    fn parameters(&self, config: &DecoderConfig) -> Vec<Needed> {
        self.own(config).into_iter().flat_map(|group| group.tensors).collect()
    }

    fn own(&self, config: &DecoderConfig) -> Vec<Group> {
        config.groups().into_iter().filter(|group| self.trains(group.part, config)).collect()
    }

    fn init(&self, model: &LoadedModel, _seed: u64) -> std::result::Result<FlatParams, PeftError> {
        copied(&model.decoder, self.own(model.config()))
    }

    fn attach(
        &self,
        config: &DecoderConfig,
        leaves: Leaves,
        _step: Option<&MicroStep>,
    ) -> Result<Box<dyn Hooks>> {
        Ok(Box::new(FullHooks::new(config, self.own(config), leaves, 0)?))
    }

    /// The trained tensors alone, with a note of what they are.
    fn save(
        &self,
        adapter: &Adapter,
        _base: &Description,
        folder: &Path,
    ) -> std::result::Result<(), PeftError> {
        let saved = Saved { base_model: adapter.base_model.clone(), trained: self.clone() };
        let path = folder.join(CONFIG_FILE);
        let text = serde_json::to_vec_pretty(&saved)
            .map_err(|e| PeftError::Write { path: path.clone(), source: e.into() })?;
        storage::write_atomic_bytes(&path, &text).map_err(|source| PeftError::Write { path, source })?;
        let named = format::stored(adapter).during("read the trained weights")?;
        Ok(save_safetensors(&named, &folder.join(WEIGHTS_FILE))?)
    }

    /// A whole model.
    fn save_result(
        &self,
        adapter: &Adapter,
        base: &LoadedModel,
        folder: &Path,
    ) -> std::result::Result<(), PeftError> {
        // A run that was stopped saves what it has.
        Ok(folder::save_changed(base, adapter.hooks()?.as_ref(), folder, &Control::new())?)
    }

    /// As full tuning.
    fn kept(&self, _config: &DecoderConfig) -> u64 {
        0
    }

    /// A whole model.
    fn num_saved(&self, config: &DecoderConfig) -> u64 {
        config.num_params()
    }

    fn flops(&self, config: &DecoderConfig, work: Work) -> f64 {
        config.training_flops(work, &|part| match self.trains(part, config) {
            true => Learning::Itself,
            false => Learning::No,
        })
    }

    fn lowest_block(&self, config: &DecoderConfig) -> usize {
        if self.trains(Part::Embedding, config) {
            return 0;
        }
        let blocks = self.own(config).into_iter().filter_map(|group| Kind::of(group.part));
        blocks.map(|(layer, _)| layer).min().unwrap_or(config.num_layers)
    }
}

/// The contents of [`CONFIG_FILE`].
#[derive(Serialize, Deserialize)]
struct Saved {
    base_model: String,
    trained: Freeze,
}

fn read(folder: &Path) -> std::result::Result<Saved, PeftError> {
    let path = folder.join(CONFIG_FILE);
    let unreadable = |why: String| PeftError::Unreadable { path: path.clone(), why };
    let text = storage::read_text_bounded(&path, MAX_CONFIG_BYTES).map_err(|e| unreadable(e.to_string()))?;
    serde_json::from_str(&text).map_err(|e| unreadable(format!("not a note of trained weights: {e}")))
}

/// The model that the trained weights are of.
pub(super) fn base_model(folder: &Path) -> Option<String> {
    read(folder).ok().map(|saved| saved.base_model).filter(|name| !name.is_empty())
}

/// Reads what [`Tuning::save`] wrote, for a model with this config.
///
/// # Errors
/// [`PeftError::Tensor`] for the first tensor that is missing, foreign, or of another shape.
pub(super) fn load(
    folder: &Path,
    config: &DecoderConfig,
    device: &Device,
) -> std::result::Result<Adapter, PeftError> {
    let saved = read(folder)?;
    saved.trained.check(config)?;
    let path = folder.join(WEIGHTS_FILE);
    let needed = saved.trained.parameters(config);
    let named = named_tensors::in_order(format::load_tensors(&path)?, needed, &path)?;
    let params = FlatParams::new(named, device).during("copy the weights")?;
    let settings = Settings::Freeze(saved.trained);
    Ok(Adapter { settings, params, base_model: saved.base_model, config: config.clone() })
}
