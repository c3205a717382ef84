//! PEFT's files: `adapter_config.json` and `adapter_model.safetensors`, in and out.

use super::layers::Layers;
use super::{
    Adapter, Biases, LoraSettings, OwnWeights, Patterns, PeftError, Settings, own_weights, supported, targets,
};
use crate::base::storage;
use crate::model::config::{DecoderConfig, Family};
use crate::model::error::During;
use crate::model::families::Stored;
use crate::model::hooks::Linear;
use crate::model::weights::save_safetensors;
use crate::nn::FlatParams;
use candle_core::{DType, Device, Tensor};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

pub const CONFIG_FILE: &str = "adapter_config.json";
pub const WEIGHTS_FILE: &str = "adapter_model.safetensors";
/// What PEFT wrote in its place, and still writes where it is asked to.
const PICKLE_FILE: &str = "adapter_model.bin";

/// Largest adapter_config.json that is read.
pub(super) const MAX_CONFIG_BYTES: u64 = 1 << 20;
/// Largest adapter file that is read; a rank of 256 on a 70B model stays below.
const MAX_WEIGHTS_BYTES: u64 = 16 << 30;

/// The keys of PEFT's LoraConfig that matter here; [`supported`] looks at the rest.
#[derive(Debug, Serialize, Deserialize)]
struct Config {
    peft_type: String,
    task_type: Option<String>,
    #[serde(default)]
    base_model_name_or_path: Option<String>,
    r: usize,
    lora_alpha: f64,
    #[serde(default)]
    lora_dropout: f64,
    target_modules: Value,
    #[serde(default)]
    use_rslora: bool,
    #[serde(default)]
    use_dora: bool,
    #[serde(default)]
    bias: Biases,
    /// None, or a list of names.
    #[serde(default)]
    modules_to_save: Option<Vec<String>>,
    #[serde(default)]
    fan_in_fan_out: bool,
    #[serde(default)]
    inference_mode: bool,
    #[serde(default = "yes")]
    init_lora_weights: Value,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

fn yes() -> Value {
    Value::Bool(true)
}

/// What PEFT adds to `modules_to_save` of every classifier, whether its model has a module of the name or not.
const PEFTS_HEADS: [&str; 2] = ["classifier", "score"];

/// Writes both files into `folder`, which must exist. Call inside `storage::create_dir_atomic`.
pub fn save(adapter: &Adapter, settings: &LoraSettings, folder: &Path) -> Result<(), PeftError> {
    let family = adapter.config.family;
    let config = Config {
        peft_type: "LORA".into(),
        task_type: task_type(&adapter.config).map(String::from),
        base_model_name_or_path: Some(adapter.base_model.clone()),
        r: settings.rank,
        lora_alpha: settings.alpha,
        lora_dropout: settings.dropout,
        target_modules: targets::to_json(family, &settings.targets),
        use_rslora: settings.has_rank_stabilised_scale,
        use_dora: settings.has_magnitudes,
        bias: settings.own.biases,
        modules_to_save: Some(settings.own.modules.clone()).filter(|names| !names.is_empty()),
        fan_in_fan_out: is_fan_in_fan_out(family),
        inference_mode: true,
        init_lora_weights: yes(),
        rest: BTreeMap::from([
            (
                "rank_pattern".to_string(),
                settings.ranks.iter().map(|(name, rank)| (name, json!(rank))).collect(),
            ),
            ("alpha_pattern".to_string(), settings.alphas.iter().map(|(name, a)| (name, json!(a))).collect()),
        ]),
    };
    write_config(folder, &config)?;
    let mut named = stored(adapter).during("read the adapter")?;
    let own = settings.own.needed(&adapter.config, &settings.targets);
    if let Some(head) = own_weights::tied_head(&adapter.config, &own) {
        let name = own_weights::tied_name(&adapter.config);
        let embedding = named.iter().find(|(other, _)| *other == name).map(|(_, tensor)| tensor.clone());
        named.extend(embedding.map(|tensor| (head.name, tensor)));
    }
    Ok(save_safetensors(&named, &folder.join(WEIGHTS_FILE))?)
}

/// Writes a config and the tensors of an adapter, the latter in a file called `weights_file`.
pub fn write(
    folder: &Path,
    config: &impl Serialize,
    adapter: &Adapter,
    weights_file: &str,
) -> Result<(), PeftError> {
    write_config(folder, config)?;
    let named = stored(adapter).during("read the adapter")?;
    Ok(save_safetensors(&named, &folder.join(weights_file))?)
}

/// Writes the folder's adapter_config.json.
pub fn write_config(folder: &Path, config: &impl Serialize) -> Result<(), PeftError> {
    let path = folder.join(CONFIG_FILE);
    let text = serde_json::to_vec_pretty(config)
        .map_err(|e| PeftError::Write { path: path.clone(), source: e.into() })?;
    storage::write_atomic_bytes(&path, &text).map_err(|source| PeftError::Write { path, source })
}

/// PEFT's word for what the model makes.
pub(super) fn task_type(config: &DecoderConfig) -> Option<&'static str> {
    match (config.predicts_tokens, config.native_head()) {
        (true, _) if config.encoder.is_some() => Some("SEQ_2_SEQ_LM"),
        (true, _) if config.is_causal() => Some("CAUSAL_LM"),
        // It has none for masked tokens.
        (true, _) => None,
        (false, Some(_)) => Some("SEQ_CLS"),
        (false, None) => Some("FEATURE_EXTRACTION"),
    }
}

/// The parameters as files have them.
pub(super) fn stored(adapter: &Adapter) -> candle_core::Result<Vec<(String, Tensor)>> {
    let needed = adapter.settings.tuning().parameters(&adapter.config);
    let named = adapter.params.named()?.into_iter().zip(needed);
    named.map(|((name, values), needed)| Ok((name, needed.form.to_file(&values)?))).collect()
}

/// What PEFT says of models whose weights are stored as [in, out].
fn is_fan_in_fan_out(family: Family) -> bool {
    family.table().all_modules().any(|module| module.stored == Stored::Transposed)
}

/// Reads all tensors of a safetensors file as f32 on the CPU.
///
/// # Errors
/// [`PeftError::Unreadable`]; [`PeftError::NotFinite`] for one with values that are not finite.
pub fn load_tensors(path: &Path) -> Result<HashMap<String, Tensor>, PeftError> {
    let wrong = |tensor: String, e: candle_core::Error| PeftError::Tensor {
        path: path.to_path_buf(),
        tensor,
        why: e.to_string(),
    };
    let wide = |(name, t): (String, Tensor)| {
        let widened = t.to_dtype(DType::F32).and_then(|t| Ok((t.flatten_all()?.to_vec1::<f32>()?, t)));
        match widened {
            Ok((values, t)) if values.iter().all(|value| value.is_finite()) => Ok((name, t)),
            Ok(_) => Err(PeftError::NotFinite { path: path.to_path_buf(), tensor: name }),
            Err(e) => Err(wrong(name, e)),
        }
    };
    load_stored_tensors(path)?.into_iter().map(wide).collect()
}

/// Reads all tensors of a safetensors file, of whatever type, on the CPU.
pub fn load_stored_tensors(path: &Path) -> Result<HashMap<String, Tensor>, PeftError> {
    let unreadable = |why: String| PeftError::Unreadable { path: path.to_path_buf(), why };
    let pickle = path.with_file_name(PICKLE_FILE);
    if path.file_name() == Some(WEIGHTS_FILE.as_ref()) && !path.exists() && pickle.is_file() {
        return Err(PeftError::Pickle { path: pickle });
    }
    let len = std::fs::metadata(path).map_err(|e| unreadable(in_words(path, &e)))?.len();
    if len > MAX_WEIGHTS_BYTES {
        return Err(unreadable("the file is too large for an adapter".into()));
    }
    let bytes = std::fs::read(path).map_err(|e| unreadable(e.to_string()))?;
    let loaded = candle_core::safetensors::load_buffer(&bytes, &Device::Cpu);
    loaded.map_err(|e| unreadable(format!("not a whole safetensors file: {e}")))
}

/// What keeps the file at `path` of an adapter's folder from being read.
fn in_words(path: &Path, error: &std::io::Error) -> String {
    let folder = path.parent().unwrap_or(Path::new(""));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    match () {
        () if path.exists() => error.to_string(),
        () if folder.is_file() => "it is a file, and an adapter is a folder".into(),
        () if folder.is_dir() => format!("there is no {name} in the folder"),
        () => "there is no such folder".into(),
    }
}

/// The model that an adapter says that it was made for; `None` when it does not say, or cannot be read.
pub fn base_model(folder: &Path) -> Option<String> {
    let config = read_config(folder).ok()?;
    // The `adapters` library has another word for it.
    let name = ["base_model_name_or_path", "model_name"].iter().find_map(|key| config[key].as_str());
    name.filter(|name| !name.is_empty()).map(String::from)
}

/// The folder's adapter_config.json.
pub fn read_config(folder: &Path) -> Result<Value, PeftError> {
    let path = folder.join(CONFIG_FILE);
    let text = storage::read_text_bounded(&path, MAX_CONFIG_BYTES)
        .map_err(|e| PeftError::Unreadable { path: path.clone(), why: in_words(&path, &e) })?;
    serde_json::from_str(&text)
        .map_err(|e| PeftError::Unreadable { path, why: format!("not valid JSON: {e}") })
}

/// Loads an adapter made by PEFT or by Tunesmith, for a model with this config.
///
/// One that names its layers in full, or tunes some blocks only, is loaded as the one of all blocks that computes the same: see
/// [`Layers`].
pub fn load(folder: &Path, config: &DecoderConfig, device: &Device) -> Result<Adapter, PeftError> {
    let path = folder.join(CONFIG_FILE);
    let adapter_config = read_config(folder)?;
    supported::require(&adapter_config, &path)?;
    let parsed: Config = serde_json::from_value(adapter_config)
        .map_err(|e| PeftError::Unreadable { path: path.clone(), why: format!("not a LoRA config: {e}") })?;

    let weights = folder.join(WEIGHTS_FILE);
    let (ranks, alphas) =
        (patterns(&parsed, "rank_pattern", &path)?, patterns(&parsed, "alpha_pattern", &path)?);
    if ranks.iter().any(|(_, rank)| rank < 1.0) {
        return Err(PeftError::ZeroRank);
    }
    let usual = parsed.lora_alpha;
    if usual == 0.0 && !alphas.is_empty() {
        let value = "0 with an alpha_pattern".into();
        return Err(PeftError::Unsupported { path, key: "lora_alpha".into(), value });
    }
    if parsed.r == 0 {
        return Err(PeftError::ZeroRank);
    }
    let alpha = |site| alphas.of(&config.site_name(site)).unwrap_or(usual);
    let modules = in_model(parsed.modules_to_save.clone().unwrap_or_default(), config);
    let own = OwnWeights { biases: parsed.bias, modules };
    let finished = |targets: Vec<Linear>, rank: usize| LoraSettings {
        has_rank_stabilised_scale: parsed.use_rslora,
        has_magnitudes: parsed.use_dora,
        own: own.clone(),
        ..LoraSettings::of(rank, usual, parsed.lora_dropout, targets)
    };
    let (tensors, others): (HashMap<_, _>, HashMap<_, _>) =
        load_tensors(&weights)?.into_iter().partition(|(name, _)| name.contains(".lora_"));
    let (settings, layers) = match named_targets(&parsed) {
        Some(names) => {
            let rank_pattern =
                Patterns::new(ranks.iter().map(|(name, rank)| (name.to_string(), rank as usize)))?;
            let targets = targets::named(config.family, &names)?;
            let settings =
                LoraSettings { ranks: rank_pattern, alphas: alphas.clone(), ..finished(targets, parsed.r) };
            let rank = |site| Some(settings.rank_of(config, site));
            let layers = Layers::sort(tensors, &rank, parsed.use_dora, config, &weights)?;
            layers.require_exactly(&settings, config, &weights)?;
            (settings, layers)
        }
        None => {
            let rank = |_| ranks.is_empty().then_some(parsed.r);
            let layers = Layers::sort(tensors, &rank, parsed.use_dora, config, &weights)?;
            (finished(layers.targets(), layers.max_rank()), layers)
        }
    };
    if settings.targets.is_empty() {
        return Err(PeftError::NoTarget { name: "(none)".into(), family: config.family });
    }
    layers.require_magnitudes(&settings, config, &weights)?;
    own.check(config, &settings.targets)?;
    let mut named = layers.fitted(&settings, &alpha, config).during("copy the adapter")?;
    named.extend(own.in_order(others, config, &settings.targets, &weights)?);
    let params = FlatParams::new(named, device).during("copy the adapter")?;
    let base_model = parsed.base_model_name_or_path.unwrap_or_default();
    Ok(Adapter { settings: Settings::Lora(settings), params, base_model, config: config.clone() })
}

/// What another method's adapter_config.json says that is trained whole, as far as the model has it.
///
/// # Errors
/// [`PeftError::Unreadable`] for what is no list of names.
pub(super) fn modules_to_save(
    adapter_config: &Value,
    config: &DecoderConfig,
    folder: &Path,
) -> Result<Vec<String>, PeftError> {
    let listed: Option<Vec<String>> = serde_json::from_value(adapter_config["modules_to_save"].clone())
        .map_err(|e| PeftError::Unreadable {
            path: folder.join(CONFIG_FILE),
            why: format!("modules_to_save is no list of names: {e}"),
        })?;
    Ok(in_model(listed.unwrap_or_default(), config))
}

/// Each name once, without what PEFT names of its own accord and the model does not have.
fn in_model(names: Vec<String>, config: &DecoderConfig) -> Vec<String> {
    let is_asked = |name: &String| !PEFTS_HEADS.contains(&name.as_str());
    let mut all: Vec<String> = Vec::new();
    for name in names {
        if !all.contains(&name) && (is_asked(&name) || own_weights::names_module(config, &name)) {
            all.push(name);
        }
    }
    all
}

/// The patterns under a key, with their numbers.
fn patterns(config: &Config, key: &str, path: &Path) -> Result<Patterns<f64>, PeftError> {
    let mut named = Vec::new();
    for (pattern, value) in config.rest.get(key).and_then(Value::as_object).into_iter().flatten() {
        let Some(number) = value.as_f64() else {
            let value = format!("{{{pattern:?}: {value}}}");
            return Err(PeftError::Unsupported { path: path.to_path_buf(), key: key.into(), value });
        };
        named.push((pattern.clone(), number));
    }
    Patterns::new(named).map_err(|error| match error {
        PeftError::Pattern(value) => {
            PeftError::Unsupported { path: path.to_path_buf(), key: key.into(), value }
        }
        error => error,
    })
}

/// The targets of an adapter that tunes the same linear layers in every block, as Tunesmith's own do. `None` for
/// full names, a pattern, or some blocks only: the tensors say then what is tuned.
fn named_targets(config: &Config) -> Option<Vec<String>> {
    let is_set = |key: &str| config.rest.get(key).is_some_and(|value| !supported::says_nothing(value));
    if is_set("layers_to_transform") || is_set("exclude_modules") {
        return None;
    }
    let names: Vec<String> = serde_json::from_value(config.target_modules.clone()).ok()?;
    names.iter().all(|name| !name.contains('.')).then_some(names)
}
