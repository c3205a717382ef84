//! IA3 (Liu et al. 2022, arXiv:2205.05638): a learned factor for each output of some linear layers, and for each input of
//! those inside the feed-forward block. Files are PEFT's.

use super::{Adapter, MicroStep, PeftError, Settings, Tuning, format, named_tensors, targets};
use crate::model::config::{DecoderConfig, Family, Form, Needed};
use crate::model::error::During;
use crate::model::families::Module;
use crate::model::flops::Work;
use crate::model::folder::Description;
use crate::model::hooks::{Hooks, Linear, Projection, Site};
use crate::model::load::LoadedModel;
use crate::nn::ops::ColumnScale;
use crate::nn::{FlatParams, Leaves, Result};
use candle_core::{DType, Device, Tensor};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;
use std::path::Path;

pub(super) const PEFT_TYPE: &str = "IA3";
/// Of a tensor's name.
pub(super) const ENDING: &str = ".ia3_l";

/// The layers of the paper, where a model has them.
const USUAL: [Linear; 6] = [Linear::K, Linear::V, Linear::CrossK, Linear::CrossV, Linear::Qkv, Linear::Down];

/// Whether a layer shares its input with no other.
fn has_own_input(linear: Linear) -> bool {
    matches!(linear, Linear::O | Linear::Down)
}

/// What no targets at all mean, as PEFT calls it: the targets, and those of them that are scaled by their inputs.
pub fn usual_names(family: Family) -> (Vec<&'static str>, Vec<&'static str>) {
    let usual = Ia3::usual(family);
    (targets::names(family, &usual.targets), targets::names(family, &usual.by_input))
}

/// Whether the layers of that name may be scaled by their inputs.
pub fn can_be_by_input(family: Family, name: &str) -> bool {
    let mut meant = family.table().all_modules().filter(|module| module.name() == name);
    meant.all(|module| has_own_input(module.linear))
}

/// Which layers get factors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ia3 {
    targets: Vec<Linear>,
    /// Those of the targets whose inputs are scaled rather than their outputs.
    by_input: Vec<Linear>,
}

impl Ia3 {
    fn usual(family: Family) -> Self {
        let own: Vec<Linear> = family.table().all_modules().map(|module| module.linear).collect();
        let targets: Vec<Linear> = USUAL.into_iter().filter(|linear| own.contains(linear)).collect();
        // As names give them: in order, and in a BERT with attention's output, which ends as the feed-forward's does. PEFT's usual ones
        // are so, too.
        let as_named = |linears: &[Linear]| targets::meant(family, &targets::names(family, linears));
        Self { targets: as_named(&targets), by_input: as_named(&[Linear::Down]) }
    }

    /// From names as PEFT writes them. No targets at all are the paper's: keys, values, and the feed-forward's last layer, by
    /// its input.
    ///
    /// # Errors
    /// For a name that no layer has, and for one by its input that is no target or shares its input with others.
    pub fn new(
        family: Family,
        targets: &[String],
        by_input: &[String],
    ) -> std::result::Result<Self, PeftError> {
        if targets.is_empty() {
            return Ok(Self::usual(family));
        }
        let targets = targets::named(family, targets)?;
        let mut found = Vec::new();
        for name in by_input {
            let meant = targets::named(family, std::slice::from_ref(name))?;
            if !meant.iter().all(|l| targets.contains(l) && has_own_input(*l)) {
                return Err(PeftError::NotByInput(name.clone()));
            }
            found.extend(meant);
        }
        found.sort();
        found.dedup();
        Ok(Self { targets, by_input: found })
    }

    /// The factors of each tuned layer, in order: the layer, its module and its projection, with the columns of the outputs or
    /// inputs that they are for.
    fn places(&self, config: &DecoderConfig) -> Vec<Place> {
        let mut places = Vec::new();
        for layer in 0..config.num_layers {
            for projection in Projection::ALL {
                let mut first = 0;
                for module in config.modules(layer, projection) {
                    let (outputs, inputs) = config.linear_shape(module.linear);
                    if self.targets.contains(&module.linear) {
                        let by_input = self.by_input.contains(&module.linear);
                        let columns = if by_input { 0..inputs } else { first..first + outputs };
                        places.push(Place { layer, module: *module, projection, by_input, columns });
                    }
                    first += outputs;
                }
            }
        }
        places
    }
}

/// Where some factors belong.
struct Place {
    layer: usize,
    module: Module,
    projection: Projection,
    by_input: bool,
    columns: Range<usize>,
}

impl Tuning for Ia3 {
    /// `base_model.model.model.layers.0.self_attn.k_proj.ia3_l`, [o, 1] or, by its input, [1, i].
    fn parameters(&self, config: &DecoderConfig) -> Vec<Needed> {
        let needed = |place: Place| {
            let (len, site) = (place.columns.len(), Site { layer: place.layer, linear: place.module.linear });
            Needed {
                name: format!("base_model.model.{}{ENDING}", config.site_name(site)),
                shape: if place.by_input { vec![1, len] } else { vec![len, 1] },
                form: if place.by_input { Form::default() } else { config.form(&place.module).of_rows() },
            }
        };
        self.places(config).into_iter().map(needed).collect()
    }

    fn init(&self, model: &LoadedModel, _seed: u64) -> std::result::Result<FlatParams, PeftError> {
        let ones = |n: Needed| Ok((n.name, Tensor::ones(n.shape, DType::F32, &Device::Cpu)?));
        let named: Result<Vec<_>> = self.parameters(model.config()).into_iter().map(ones).collect();
        let params = named.and_then(|named| FlatParams::new(named, model.decoder.device()));
        Ok(params.during("make the new parameters")?)
    }

    fn attach(
        &self,
        config: &DecoderConfig,
        leaves: Leaves,
        _step: Option<&MicroStep>,
    ) -> Result<Box<dyn Hooks>> {
        let mut hooks = Ia3Hooks::default();
        for (index, place) in self.places(config).into_iter().enumerate() {
            let Place { layer, projection, by_input, columns, .. } = place;
            let scales = if by_input { &mut hooks.inputs } else { &mut hooks.outputs };
            let scale =
                scales.entry((layer, projection)).or_insert_with(|| ColumnScale { parts: Vec::new() });
            scale.parts.push((leaves.joined(index..index + 1)?, columns));
        }
        Ok(Box::new(hooks))
    }

    fn save(
        &self,
        adapter: &Adapter,
        _base: &Description,
        folder: &Path,
    ) -> std::result::Result<(), PeftError> {
        let names = |linears: &[Linear]| {
            targets::names(adapter.config.family, linears).into_iter().map(String::from).collect()
        };
        let config = Config {
            peft_type: PEFT_TYPE.into(),
            task_type: format::task_type(&adapter.config).map(String::from),
            base_model_name_or_path: Some(adapter.base_model.clone()),
            target_modules: names(&self.targets),
            feedforward_modules: names(&self.by_input),
            fan_in_fan_out: false,
            inference_mode: true,
            init_ia3_weights: true,
        };
        format::write(folder, &config, adapter, format::WEIGHTS_FILE)
    }

    fn flops(&self, config: &DecoderConfig, work: Work) -> f64 {
        config.lora_flops(work, 0.0, &self.targets, &BTreeSet::new())
    }

    /// The outputs of a projection as they were before they were scaled.
    fn kept(&self, config: &DecoderConfig) -> u64 {
        let scaled = |linear: &Linear| self.targets.contains(linear) && !self.by_input.contains(linear);
        let kept = |projection: Projection| {
            let linears = || config.family.table().modules(projection).iter().map(|module| module.linear);
            let outputs: usize = linears().map(|linear| config.linear_shape(linear).0).sum();
            if linears().any(|linear| scaled(&linear)) { outputs as u64 } else { 0 }
        };
        Projection::ALL.into_iter().map(kept).sum()
    }
}

/// PEFT's IA3Config.
#[derive(Debug, Serialize, Deserialize)]
struct Config {
    peft_type: String,
    task_type: Option<String>,
    #[serde(default)]
    base_model_name_or_path: Option<String>,
    target_modules: Vec<String>,
    #[serde(default)]
    feedforward_modules: Vec<String>,
    #[serde(default)]
    fan_in_fan_out: bool,
    #[serde(default)]
    inference_mode: bool,
    #[serde(default)]
    init_ia3_weights: bool,
}

/// Loads what PEFT or [`Ia3::save`] wrote: its adapter_config.json, and the tensors beside it.
pub(super) fn load(
    folder: &Path,
    config_text: &Value,
    tensors: HashMap<String, Tensor>,
    config: &DecoderConfig,
    device: &Device,
) -> std::result::Result<Adapter, PeftError> {
    let path = folder.join(format::CONFIG_FILE);
    let parsed: Config = serde_json::from_value(config_text.clone())
        .map_err(|e| PeftError::Unreadable { path: path.clone(), why: format!("not an IA3 config: {e}") })?;
    let settings = Ia3::new(config.family, &parsed.target_modules, &parsed.feedforward_modules)?;
    let weights = folder.join(format::WEIGHTS_FILE);
    let named = named_tensors::in_order(tensors, settings.parameters(config), &weights)?;
    let params = FlatParams::new(named, device).during("copy the adapter")?;
    let base_model = parsed.base_model_name_or_path.unwrap_or_default();
    Ok(Adapter { settings: Settings::Ia3(settings), params, base_model, config: config.clone() })
}

#[derive(Default)]
struct Ia3Hooks {
    inputs: BTreeMap<(usize, Projection), ColumnScale>,
    outputs: BTreeMap<(usize, Projection), ColumnScale>,
}

impl Hooks for Ia3Hooks {
    fn input_scale(&self, layer: usize, projection: Projection) -> Option<&ColumnScale> {
        self.inputs.get(&(layer, projection))
    }

    fn output_scale(&self, layer: usize, projection: Projection) -> Option<&ColumnScale> {
        self.outputs.get(&(layer, projection))
    }
}
