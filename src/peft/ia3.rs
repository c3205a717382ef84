//! IA3 (Liu et al. 2022, arXiv:2205.05638): a learned factor for each output of some linear layers, and for each input of
//! those inside the feed-forward block. Files are PEFT's.

use super::{Adapter, MicroStep, PeftError, Settings, Tuning, format, named_tensors};
use crate::model::config::{DecoderConfig, Needed};
use crate::model::decoder::Decoder;
use crate::model::flops::Work;
use crate::model::hooks::{Hooks, Linear, Projection, Site};
use crate::model::load::LoadedModel;
use crate::nn::ops::ColumnScale;
use crate::nn::{FlatParams, Leaves, Result};
use candle_core::{DType, Device, Tensor};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

pub(super) const PEFT_TYPE: &str = "IA3";

/// The layers whose inputs are scaled where PEFT calls them `feedforward_modules`: those that read theirs alone.
const FEED_FORWARD: [Linear; 2] = [Linear::O, Linear::Down];

/// Which layers get factors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ia3 {
    targets: Vec<Linear>,
    /// Those of the targets whose inputs are scaled rather than their outputs.
    by_input: Vec<Linear>,
}

impl Ia3 {
    /// From names as PEFT writes them.
    ///
    /// # Errors
    /// For a name that no layer has, none at all, and one by its input that shares its input with others.
    pub fn new(targets: &[String], by_input: &[String]) -> std::result::Result<Self, PeftError> {
        let named = |names: &[String]| {
            let find = |name: &String| {
                let linear = Linear::ALL.into_iter().find(|linear| linear.name() == name);
                linear.ok_or_else(|| PeftError::NoTarget(name.clone()))
            };
            let mut found: Vec<_> = names.iter().map(find).collect::<std::result::Result<_, _>>()?;
            found.sort();
            found.dedup();
            Ok::<_, PeftError>(found)
        };
        let (targets, by_input) = (named(targets)?, named(by_input)?);
        if targets.is_empty() {
            return Err(PeftError::NoTarget("(none)".into()));
        }
        let lost = by_input.iter().find(|l| !targets.contains(l) || !FEED_FORWARD.contains(l));
        match lost {
            Some(linear) => Err(PeftError::NotByInput(linear.name())),
            None => Ok(Self { targets, by_input }),
        }
    }

    fn sites(&self, num_layers: usize) -> impl Iterator<Item = Site> {
        (0..num_layers)
            .flat_map(|layer| self.targets.iter().map(move |linear| Site { layer, linear: *linear }))
    }

    /// The places of the factors of `linear` in the columns of its projection, or in its inputs.
    fn columns(&self, config: &DecoderConfig, linear: Linear) -> (Projection, std::ops::Range<usize>) {
        let of = |projection: &Projection| projection.linears().contains(&linear);
        let projection = Projection::ALL.into_iter().find(of).unwrap_or(Projection::O);
        if self.by_input.contains(&linear) {
            return (projection, 0..config.linear_shape(linear).1);
        }
        let before = projection.linears().iter().take_while(|other| **other != linear);
        let first = before.map(|other| config.linear_shape(*other).0).sum();
        (projection, first..first + config.linear_shape(linear).0)
    }
}

impl Tuning for Ia3 {
    /// `base_model.model.model.layers.0.self_attn.k_proj.ia3_l`, [o, 1] or, by its input, [1, i].
    fn parameters(&self, config: &DecoderConfig) -> Vec<Needed> {
        let named = |site: Site| {
            let (outputs, inputs) = config.linear_shape(site.linear);
            let shape = if self.by_input.contains(&site.linear) { vec![1, inputs] } else { vec![outputs, 1] };
            (format!("base_model.model.{site}.ia3_l"), shape)
        };
        self.sites(config.num_layers).map(named).collect()
    }

    fn init(&self, model: &Decoder, _seed: u64) -> std::result::Result<FlatParams, PeftError> {
        let ones = |(name, shape): Needed| Ok((name, Tensor::ones(shape, DType::F32, &Device::Cpu)?));
        let named: Result<Vec<_>> = self.parameters(model.config()).into_iter().map(ones).collect();
        named
            .and_then(|named| FlatParams::new(named, model.device()))
            .map_err(|source| PeftError::Compute { operation: "make the new parameters", source })
    }

    fn attach(
        &self,
        config: &DecoderConfig,
        leaves: Leaves,
        _step: Option<&MicroStep>,
    ) -> Result<Box<dyn Hooks>> {
        let mut hooks = Ia3Hooks::default();
        for (index, site) in self.sites(config.num_layers).enumerate() {
            let (projection, columns) = self.columns(config, site.linear);
            let by_input = self.by_input.contains(&site.linear);
            let scales = if by_input { &mut hooks.inputs } else { &mut hooks.outputs };
            let scale =
                scales.entry((site.layer, projection)).or_insert_with(|| ColumnScale { parts: Vec::new() });
            scale.parts.push((leaves.joined(index..index + 1)?, columns));
        }
        Ok(Box::new(hooks))
    }

    fn save(
        &self,
        adapter: &Adapter,
        _base: &LoadedModel,
        folder: &Path,
    ) -> std::result::Result<(), PeftError> {
        let names = |linears: &[Linear]| linears.iter().map(|l| l.name().to_string()).collect();
        let config = Config {
            peft_type: PEFT_TYPE.into(),
            task_type: Some("CAUSAL_LM".into()),
            base_model_name_or_path: Some(adapter.base_model.clone()),
            target_modules: names(&self.targets),
            feedforward_modules: names(&self.by_input),
            modules_to_save: None,
            fan_in_fan_out: false,
            inference_mode: true,
            init_ia3_weights: true,
        };
        format::write(folder, &config, &adapter.params)
    }

    fn flops(&self, config: &DecoderConfig, work: Work) -> f64 {
        config.lora_flops(work, 0, &[])
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
    modules_to_save: Option<Vec<String>>,
    #[serde(default)]
    fan_in_fan_out: bool,
    #[serde(default)]
    inference_mode: bool,
    #[serde(default)]
    init_ia3_weights: bool,
}

/// Loads what PEFT or [`Ia3::save`] wrote; `config_text` is its adapter_config.json.
pub fn load(
    folder: &Path,
    config_text: &Value,
    config: &DecoderConfig,
    device: &Device,
) -> std::result::Result<Adapter, PeftError> {
    let path = folder.join(format::CONFIG_FILE);
    let parsed: Config = serde_json::from_value(config_text.clone())
        .map_err(|e| PeftError::Unreadable { path: path.clone(), why: format!("not an IA3 config: {e}") })?;
    if let Some(modules) = parsed.modules_to_save.filter(|modules| !modules.is_empty()) {
        let value = format!("{modules:?}");
        return Err(PeftError::Unsupported { path, key: "modules_to_save".into(), value });
    }
    let settings = Ia3::new(&parsed.target_modules, &parsed.feedforward_modules)?;
    let weights = folder.join(format::WEIGHTS_FILE);
    let named =
        named_tensors::in_order(format::load_tensors(&weights)?, settings.parameters(config), &weights)?;
    let params = FlatParams::new(named, device)
        .map_err(|source| PeftError::Compute { operation: "copy the adapter", source })?;
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
