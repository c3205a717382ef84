//! Full tuning: every weight of the model is a parameter.

use super::{Adapter, MicroStep, PeftError, Settings, Tuning};
use crate::base::{Control, storage};
use crate::model::config::{DecoderConfig, Group, Needed};
use crate::model::decoder::Decoder;
use crate::model::error::During;
use crate::model::files::ModelFiles;
use crate::model::flops::Work;
use crate::model::folder::{self, Description};
use crate::model::hooks::{Hooks, Part};
use crate::model::load::LoadedModel;
use crate::nn::{Collected, FlatParams, Leaves, Node, Result};
use candle_core::{Device, Tensor};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

pub(super) const CONFIG_FILE: &str = "config.json";
const MAX_CONFIG_BYTES: u64 = 1 << 20;

/// Every weight of the model, in f32, under its name in Hugging Face's files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Full {}

impl Tuning for Full {
    fn parameters(&self, config: &DecoderConfig) -> Vec<Needed> {
        config.tensors()
    }

    fn own(&self, config: &DecoderConfig) -> Vec<Group> {
        config.groups()
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

    fn save(
        &self,
        adapter: &Adapter,
        base: &Description,
        folder: &Path,
    ) -> std::result::Result<(), PeftError> {
        let named = adapter.params.named().during("read the weights")?;
        Ok(folder::save(base, &named, folder)?)
    }

    fn save_result(
        &self,
        adapter: &Adapter,
        base: &LoadedModel,
        folder: &Path,
    ) -> std::result::Result<(), PeftError> {
        Ok(folder::save_changed(base, adapter.hooks()?.as_ref(), folder, &Control::new())?)
    }

    fn flops(&self, config: &DecoderConfig, work: Work) -> f64 {
        config.full_flops(work)
    }

    /// What a weight's gradient needs is kept or made again without it.
    fn kept(&self, _config: &DecoderConfig) -> u64 {
        0
    }
}

/// The model's own tensors of these groups as parameters.
pub(super) fn copied(decoder: &Decoder, groups: Vec<Group>) -> std::result::Result<FlatParams, PeftError> {
    let needed = groups.iter().flat_map(|group| &group.tensors);
    let num_values = needed.map(|needed| needed.shape.iter().product::<usize>()).sum();
    let mut collected = Collected::new(num_values, decoder.device());
    each_tensor(decoder, groups, &mut |name, tensor| {
        Ok(collected.push(name, &tensor).during("copy the weights")?)
    })?;
    Ok(collected.into_params().during("copy the weights")?)
}

/// Gives the model's own tensors of these groups, in f32, under their names in Hugging Face's files, one after the other.
pub(super) fn each_tensor(
    decoder: &Decoder,
    groups: Vec<Group>,
    take: &mut dyn FnMut(String, Tensor) -> std::result::Result<(), PeftError>,
) -> std::result::Result<(), PeftError> {
    for group in groups {
        let whole = decoder.tensor(group.part)?;
        let mut first = 0;
        for needed in group.tensors {
            let rows = needed.shape[0];
            take(needed.name, whole.narrow(0, first, rows).during("split the weights")?)?;
            first += rows;
        }
    }
    Ok(())
}

/// Reads the parameters of a model folder that has the shapes of `config`.
pub fn load(
    folder: &Path,
    config: &DecoderConfig,
    device: &Device,
) -> std::result::Result<Adapter, PeftError> {
    let files = open(folder, config)?;
    let mut collected = Collected::new(config.num_params() as usize, device);
    for needed in config.tensors() {
        let tensor = files.weights.values(&needed, device)?;
        collected.push(needed.name, &tensor).during("copy the weights")?;
    }
    let params = collected.into_params().during("copy the weights")?;
    let base_model = base_model(folder).unwrap_or_default();
    Ok(Adapter { settings: Settings::Full(Full {}), params, base_model, config: config.clone() })
}

/// Opens a model folder that has the shapes of `config`.
pub(super) fn open(folder: &Path, config: &DecoderConfig) -> std::result::Result<ModelFiles, PeftError> {
    let files = ModelFiles::open(&folder.to_string_lossy(), folder)?;
    let needed = config.tensors();
    if let Some(other) = files.config.tensors().into_iter().find(|tensor| !needed.contains(tensor)) {
        let namesake = needed.iter().find(|tensor| tensor.name == other.name);
        let why = match namesake {
            Some(own) => format!("its shape is {:?} where {:?} is needed", other.shape, own.shape),
            None => "the base model has no such tensor".into(),
        };
        return Err(PeftError::Tensor { path: folder.to_path_buf(), tensor: other.name, why });
    }
    Ok(files)
}

/// The model that a tuned one says that it was made from.
pub fn base_model(folder: &Path) -> Option<String> {
    let text = storage::read_text_bounded(&folder.join(CONFIG_FILE), MAX_CONFIG_BYTES).ok()?;
    let config: Value = serde_json::from_str(&text).ok()?;
    config["_name_or_path"].as_str().filter(|name| !name.is_empty()).map(String::from)
}

/// The parameters in the places of the model's own tensors.
pub struct FullHooks {
    nodes: BTreeMap<Part, Node>,
    has_tied_head: bool,
}

impl FullHooks {
    /// The parameters of these groups of the model's tensors, in their order, from the one at `next` on.
    pub fn new(config: &DecoderConfig, groups: Vec<Group>, leaves: Leaves, mut next: usize) -> Result<Self> {
        let mut nodes = BTreeMap::new();
        for group in groups {
            let parts = next..next + group.tensors.len();
            next = parts.end;
            let node = match group.part {
                Part::Weight(..) => leaves.stacked(parts)?,
                Part::Bias(..) => leaves.joined(parts)?,
                _ => leaves.get(parts.start)?,
            };
            nodes.insert(group.part, node);
        }
        Ok(Self { nodes, has_tied_head: config.has_tied_head() })
    }
}

impl Hooks for FullHooks {
    fn replaced(&self, part: Part) -> Option<&Node> {
        match part {
            Part::Head if self.has_tied_head => self.nodes.get(&Part::Embedding),
            part => self.nodes.get(&part),
        }
    }
}
