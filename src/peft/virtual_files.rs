//! PEFT's files of prefix tuning, prompt tuning and P-tuning. They hold what an encoder made, `prompt_embeddings`; the encoder
//! itself lies beside them in a file of its own, so that training goes on exactly where it was.

use super::format::{self, CONFIG_FILE, WEIGHTS_FILE, load_tensors};
use super::p_tuning::{self, PTuningSettings};
use super::prefix::PrefixSettings;
use super::prompt::{PromptInit, PromptSettings};
use super::{Adapter, PeftError, Settings, encoder, named_tensors};
use crate::model::config::DecoderConfig;
use crate::model::error::During;
use crate::model::weights::save_safetensors;
use crate::nn::{FlatParams, Tape};
use candle_core::{Device, Tensor};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::path::Path;

pub const PREFIX: &str = "PREFIX_TUNING";
pub const PROMPT: &str = "PROMPT_TUNING";
pub const P_TUNING: &str = "P_TUNING";

/// The only tensor of PEFT's file: [p, 2 l k·e] of a prefix, [p, d] of a prompt.
pub const EMBEDDINGS: &str = "prompt_embeddings";
/// An encoder's own parameters.
const ENCODER_FILE: &str = "prompt_encoder.safetensors";
/// Virtual tokens that differ by less are the same ones, made on another device.
const ROUNDING: f32 = 1e-4;

/// What the config says of one method.
pub(super) struct Described {
    pub peft_type: &'static str,
    pub num_virtual_tokens: usize,
    /// Whether the adapter's parameters are an encoder's rather than the virtual tokens themselves.
    pub has_encoder: bool,
    /// The method's own keys.
    pub more: Value,
}

/// The keys of PEFT's configs that matter here.
#[derive(Deserialize)]
struct Config {
    peft_type: String,
    #[serde(default)]
    base_model_name_or_path: Option<String>,
    num_virtual_tokens: usize,
    #[serde(default)]
    num_transformer_submodules: Option<usize>,
    #[serde(default)]
    encoder_hidden_size: Option<usize>,
    #[serde(default)]
    prompt_tuning_init: Option<String>,
    #[serde(default)]
    prompt_tuning_init_text: Option<String>,
}

/// Whether an adapter of PEFT's with this `peft_type` is read here.
pub fn is_one(peft_type: &str) -> bool {
    [PREFIX, PROMPT, P_TUNING].contains(&peft_type)
}

/// Writes PEFT's two files, and the encoder where there is one, into `folder`, which must exist.
pub(super) fn save(
    adapter: &Adapter,
    described: Described,
    embeddings: Tensor,
    folder: &Path,
) -> Result<(), PeftError> {
    let model = &adapter.config;
    let is_prefix = described.peft_type == PREFIX;
    let mut config = json!({
        "peft_type": described.peft_type,
        "task_type": format::task_type(model),
        "base_model_name_or_path": adapter.base_model,
        "inference_mode": true,
        "num_virtual_tokens": described.num_virtual_tokens,
        "num_transformer_submodules": 1,
        "num_layers": model.num_layers,
        "num_attention_heads": if is_prefix { model.num_kv_heads } else { model.num_heads },
        "token_dim": if is_prefix { encoder::layer_width(model) / 2 } else { model.width },
    });
    if let (Some(config), Value::Object(more)) = (config.as_object_mut(), described.more) {
        config.extend(more);
    }
    format::write_config(folder, &config)?;
    save_safetensors(&[(EMBEDDINGS.to_string(), embeddings)], &folder.join(WEIGHTS_FILE))?;
    if described.has_encoder {
        let named = adapter.params.named().during("read the encoder")?;
        save_safetensors(&named, &folder.join(ENCODER_FILE))?;
    }
    Ok(())
}

/// Loads an adapter made by PEFT or by Tunesmith: its adapter_config.json, and the tensors beside it. Without the encoder's file the virtual tokens themselves are what is there,
/// which answers the same; and an encoder that makes others than those is one that PEFT left behind when it saved anew.
///
/// # Errors
/// Names the first tensor of either file that is missing, of another shape, not finite, or too many.
pub(super) fn load(
    folder: &Path,
    adapter_config: &Value,
    tensors: HashMap<String, Tensor>,
    config: &DecoderConfig,
    device: &Device,
) -> Result<Adapter, PeftError> {
    let path = folder.join(CONFIG_FILE);
    let unreadable = |why: String| PeftError::Unreadable { path: path.clone(), why };
    let parsed: Config = serde_json::from_value(adapter_config.clone())
        .map_err(|e| unreadable(format!("not a config of virtual tokens: {e}")))?;
    let unsupported =
        |key: &str, value: String| Err(PeftError::Unsupported { path: path.clone(), key: key.into(), value });
    if parsed.num_virtual_tokens == 0 {
        return unsupported("num_virtual_tokens", "0".into());
    }
    if let Some(many) = parsed.num_transformer_submodules.filter(|num| *num != 1) {
        return unsupported("num_transformer_submodules", many.to_string());
    }
    let base_model = parsed.base_model_name_or_path.clone().unwrap_or_default();
    let adapter = |settings: Settings, mut tensors, path: &Path| {
        if let Settings::Prefix(PrefixSettings { num_tokens, projection_width: None }) = &settings {
            split_layers(&mut tensors, *num_tokens, config, path)?;
        }
        let named = named_tensors::in_order(tensors, settings.tuning().parameters(config), path)?;
        let params = FlatParams::new(named, device).during("copy the adapter")?;
        Ok::<_, PeftError>(Adapter {
            settings,
            params,
            base_model: base_model.clone(),
            config: config.clone(),
        })
    };
    let weights = folder.join(WEIGHTS_FILE);
    let made = adapter(settings(&parsed, false), tensors, &weights)?;
    let encoder = folder.join(ENCODER_FILE);
    if !has_encoder(folder) {
        return Ok(made);
    }
    let encoded = adapter(settings(&parsed, true), load_tensors(&encoder)?, &encoder)?;
    let makes = largest_difference(&without_encoder(&encoded)?, &made).during("make the virtual tokens")?;
    Ok(if makes <= ROUNDING { encoded } else { made })
}

/// Whether an encoder lies in the folder.
pub(super) fn has_encoder(folder: &Path) -> bool {
    folder.join(ENCODER_FILE).is_file()
}

/// Whether an encoder makes the virtual tokens of an adapter with these settings.
pub(super) fn are_encoded(settings: &Settings) -> bool {
    match settings.method() {
        Settings::PTuning(_) => true,
        Settings::Prefix(prefix) => prefix.projection_width.is_some(),
        _ => false,
    }
}

/// The same virtual tokens as parameters of their own, where an encoder makes them; others as they are.
pub(super) fn without_encoder(adapter: &Adapter) -> Result<Adapter, PeftError> {
    let (leaves, tape) = (|| adapter.params.frozen(), Tape::inference());
    let (settings, named) = match &adapter.settings {
        Settings::PTuning(own) => {
            let rows = p_tuning::encoded(leaves(), &tape).during("make the prompt")?;
            let settings = PromptSettings { num_tokens: own.num_tokens, init: PromptInit::Random };
            (Settings::Prompt(settings), vec![(EMBEDDINGS.to_string(), rows.value().clone())])
        }
        Settings::Prefix(own) if own.projection_width.is_some() => {
            let rows = own.prefixes(&adapter.config, leaves(), &tape).during("make the prefix")?;
            let named =
                (0..).zip(&rows).map(|(layer, rows)| (format!("prefix.{layer}"), rows.value().clone()));
            let settings = PrefixSettings { projection_width: None, ..*own };
            (Settings::Prefix(settings), named.collect())
        }
        _ => return Ok(adapter.clone()),
    };
    let params = FlatParams::new(named, adapter.device()).during("copy the virtual tokens")?;
    Ok(Adapter { settings, params, ..adapter.clone() })
}

/// Of two adapters' values, as a share of the largest one of `of`.
fn largest_difference(one: &Adapter, of: &Adapter) -> candle_core::Result<f32> {
    let largest = |values: &Tensor| values.abs()?.max_all()?.to_scalar::<f32>();
    let (one, of) = (one.params.values(), of.params.values());
    Ok(largest(&(one - of)?)? / largest(of)?.max(f32::MIN_POSITIVE))
}

fn settings(config: &Config, has_encoder: bool) -> Settings {
    let num_tokens = config.num_virtual_tokens;
    let width = config.encoder_hidden_size.filter(|_| has_encoder);
    match (config.peft_type.as_str(), width) {
        (PREFIX, projection_width) => Settings::Prefix(PrefixSettings { num_tokens, projection_width }),
        (P_TUNING, Some(encoder_width)) => Settings::PTuning(PTuningSettings { num_tokens, encoder_width }),
        _ => {
            let init = match (config.prompt_tuning_init.as_deref(), &config.prompt_tuning_init_text) {
                (Some("TEXT"), Some(text)) => PromptInit::Text(text.clone()),
                (Some("SAMPLE_VOCAB"), _) => PromptInit::Vocabulary,
                _ => PromptInit::Random,
            };
            Settings::Prompt(PromptSettings { num_tokens, init })
        }
    }
}

/// PEFT's one tensor of a prefix, [p, 2 l k·e], as one for each layer, [p, 2k·e].
fn split_layers(
    tensors: &mut HashMap<String, Tensor>,
    num_tokens: usize,
    config: &DecoderConfig,
    path: &Path,
) -> Result<(), PeftError> {
    let width = encoder::layer_width(config);
    let whole = encoder::needed(EMBEDDINGS.into(), vec![num_tokens, config.num_layers * width]);
    let whole = named_tensors::in_order(std::mem::take(tensors), vec![whole], path)?;
    let Some((_, whole)) = whole.first() else { return Ok(()) };
    for layer in 0..config.num_layers {
        let own = whole
            .narrow(1, layer * width, width)
            .and_then(|own| own.contiguous())
            .during("copy the adapter")?;
        tensors.insert(format!("prefix.{layer}"), own);
    }
    Ok(())
}
