//! The files of the `adapters` library: `adapter_config.json` and `adapter.safetensors`, in and out.

use super::bottleneck::{Bottlenecks, Places};
use super::{Adapter, PeftError, Settings, Tuning, format, named_tensors, with_modules};
use crate::base::storage;
use crate::model::config::{DecoderConfig, Family};
use crate::model::error::During;
use crate::model::folder::Description;
use crate::model::hooks::SubLayer;
use crate::model::weights::save_safetensors;
use crate::nn::FlatParams;
use crate::nn::ops::Activation;
use candle_core::{Device, Tensor};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

pub(super) const WEIGHTS_FILE: &str = "adapter.safetensors";

/// What Tunesmith's own are called.
const OWN_NAME: &str = "tuned";

/// A head's, as the library writes one of transformers' own classes beside an adapter.
pub(super) const HEAD_FILE: &str = "model_head.safetensors";
pub(super) const HEAD_CONFIG_FILE: &str = "head_config.json";
/// Says where the library put bottlenecks in a model that it has no class of its own for; ours stand elsewhere.
const INTERFACE_FILE: &str = "adapter_interface.json";
const VERSION: &str = "adapters.1.3.0";

/// `model.layers.0.output_adapters.adapters.tuned.adapter_up.bias`
pub(super) fn tensor_name(config: &DecoderConfig, layer: usize, after: SubLayer, tensor: &str) -> String {
    // Where the library has models of its own, it makes layers' outputs the place.
    let is_in_outputs = matches!(config.family, Family::Bert | Family::Roberta | Family::XlmRoberta);
    let place = match (after, is_in_outputs) {
        (SubLayer::Attention, false) => "attention_adapters",
        (SubLayer::FeedForward, false) => "output_adapters",
        (SubLayer::Attention, true) => "attention.output",
        (SubLayer::FeedForward, true) => "output",
    };
    format!("{}.{place}.adapters.{OWN_NAME}.{tensor}", config.layer_name(layer))
}

/// What the library calls an activation.
const ACTIVATIONS: [(&str, Activation); 5] = [
    ("relu", Activation::Relu),
    ("swish", Activation::Silu),
    ("silu", Activation::Silu),
    ("gelu", Activation::Gelu),
    ("gelu_new", Activation::GeluTanh),
];

/// Keys that change the mathematics, with what they are where they don't.
fn neutral() -> Map<String, Value> {
    let value = json!({
        "original_ln_after": true, "residual_before_ln": true, "adapter_residual_before_ln": false,
        "ln_before": false, "ln_after": false, "is_parallel": false, "use_gating": false,
        "inv_adapter": null, "cross_adapter": false, "leave_out": [], "phm_layer": false,
        "stochastic_depth": 0.0,
    });
    value.as_object().cloned().unwrap_or_default()
}

/// Writes both files into `folder`, which must exist.
pub(super) fn save(
    adapter: &Adapter,
    settings: &Bottlenecks,
    base: &Description,
    folder: &Path,
) -> Result<(), PeftError> {
    let (d, b) = (base.config.width, settings.width);
    // The library makes the width of a factor: ⌊d / factor⌋.
    let factor = if d.is_multiple_of(b) { (d / b) as f64 } else { d as f64 / (b as f64 + 0.5) };
    let activation = ACTIVATIONS.iter().find(|(_, activation)| *activation == settings.activation);
    let mut config = neutral();
    config.extend([
        ("mh_adapter".to_string(), json!(settings.places == Places::Houlsby)),
        ("output_adapter".to_string(), json!(true)),
        ("original_ln_before".to_string(), json!(settings.places == Places::Pfeiffer)),
        ("reduction_factor".to_string(), json!(factor)),
        ("non_linearity".to_string(), json!(activation.map(|(name, _)| name))),
        ("scaling".to_string(), json!(settings.scale)),
        ("init_weights".to_string(), json!("mam_adapter")),
    ]);
    let family = base.config.family.name();
    let whole = json!({
        "config": config,
        "hidden_size": d,
        "model_name": adapter.base_model,
        "model_type": family,
        "name": OWN_NAME,
        "version": VERSION,
    });
    format::write(folder, &whole, adapter, WEIGHTS_FILE)
}

/// Writes what the library calls a head, in files of its own.
pub(super) fn save_head(
    modules: &[(String, Tensor)],
    config: &DecoderConfig,
    base_model: &str,
    folder: &Path,
) -> Result<(), PeftError> {
    let labels = config.native_head().map_or(&[][..], |head| &head.labels);
    let head = json!({
        "config": null,
        "hidden_size": config.width,
        "label2id": labels.iter().zip(0..).collect::<BTreeMap<_, usize>>(),
        "model_class": config.architecture(),
        "model_name": base_model,
        "model_type": config.family.name(),
        "name": null,
        "num_labels": labels.len(),
        "version": VERSION,
    });
    let path = folder.join(HEAD_CONFIG_FILE);
    let text = serde_json::to_vec_pretty(&head)
        .map_err(|e| PeftError::Write { path: path.clone(), source: e.into() })?;
    storage::write_atomic_bytes(&path, &text).map_err(|source| PeftError::Write { path, source })?;
    Ok(save_safetensors(modules, &folder.join(HEAD_FILE))?)
}

/// Loads what the library or [`save`] wrote; `whole` is its adapter_config.json.
pub(super) fn load(
    folder: &Path,
    whole: &Value,
    config: &DecoderConfig,
    device: &Device,
) -> Result<Adapter, PeftError> {
    let path = folder.join(format::CONFIG_FILE);
    if folder.join(INTERFACE_FILE).is_file() {
        let (key, value) = ("adapter_interface".into(), INTERFACE_FILE.into());
        return Err(PeftError::Unsupported { path, key, value });
    }
    let settings = settings(whole, config, &path)?;
    let name = whole["name"].as_str().unwrap_or(OWN_NAME);
    let weights = folder.join(WEIGHTS_FILE);
    let own = |(tensor, value): (String, _)| {
        (tensor.replace(&format!(".adapters.{name}."), &format!(".adapters.{OWN_NAME}.")), value)
    };
    let tensors: HashMap<_, _> = format::load_tensors(&weights)?.into_iter().map(own).collect();
    let named = named_tensors::in_order(tensors, settings.parameters(config), &weights)?;
    let params = FlatParams::new(named, device).during("copy the adapter")?;
    let base_model = whole["model_name"].as_str().unwrap_or_default().to_string();
    let settings = Settings::Bottleneck(settings);
    let adapter = Adapter { settings, params, base_model, config: config.clone() };
    let head = folder.join(HEAD_FILE);
    match head.is_file() {
        false => Ok(adapter),
        true => {
            let tensors = format::load_tensors(&head)?;
            let is_saved =
                |name: &String| tensors.keys().any(|tensor| tensor.starts_with(&format!("{name}.")));
            let modules = config.new_modules().into_iter().filter(is_saved).collect();
            with_modules::joined(adapter, modules, tensors, &head)
        }
    }
}

fn settings(whole: &Value, config: &DecoderConfig, path: &Path) -> Result<Bottlenecks, PeftError> {
    let unsupported = |key: &str, value: &Value| PeftError::Unsupported {
        path: path.to_path_buf(),
        key: key.into(),
        value: value.to_string(),
    };
    let own = &whole["config"];
    for (key, value) in neutral() {
        if !own[&key].is_null() && own[&key] != value {
            return Err(unsupported(&key, &own[&key]));
        }
    }
    if own["architecture"].is_string() {
        return Err(unsupported("architecture", &own["architecture"]));
    }
    let family = config.family.name();
    if let Some(other) = whole["model_type"].as_str().filter(|other| *other != family) {
        return Err(PeftError::Unreadable {
            path: path.to_path_buf(),
            why: format!("it is for a model of the family \"{other}\", and this one is of \"{family}\""),
        });
    }
    if let Some(d) = whole["hidden_size"].as_u64().filter(|d| *d != config.width as u64) {
        return Err(PeftError::Unreadable {
            path: path.to_path_buf(),
            why: format!("it is for a model of width {d}, and this one's is {}", config.width),
        });
    }
    let flag = |key: &str| own[key].as_bool().unwrap_or(false);
    let places = match (flag("mh_adapter"), flag("output_adapter"), flag("original_ln_before")) {
        (true, true, false) => Places::Houlsby,
        (false, true, true) => Places::Pfeiffer,
        _ => return Err(unsupported("mh_adapter", &own["mh_adapter"])),
    };
    let named = own["non_linearity"].as_str().unwrap_or("relu").to_lowercase();
    let activation = ACTIVATIONS.iter().find(|(name, _)| *name == named);
    let Some((_, activation)) = activation else {
        return Err(unsupported("non_linearity", &own["non_linearity"]));
    };
    let factor = own["reduction_factor"].as_f64().filter(|f| f.is_finite() && *f > 0.0);
    let Some(factor) = factor else { return Err(unsupported("reduction_factor", &own["reduction_factor"])) };
    let Some(scale) = own["scaling"].as_f64().filter(|scale| scale.is_finite()) else {
        return Err(unsupported("scaling", &own["scaling"]));
    };
    let width = ((config.width as f64 / factor).floor() as usize).max(1);
    Ok(Bottlenecks { places, width, activation: *activation, scale })
}
