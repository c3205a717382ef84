//! PEFT's files of prefix tuning, prompt tuning and P-tuning. They hold what an encoder made, `prompt_embeddings`; the encoder
//! itself lies beside them in a file of its own, so that training goes on exactly where it was.

use super::format::{self, CONFIG_FILE, WEIGHTS_FILE, load_tensors};
use super::p_tuning::PTuningSettings;
use super::prefix::PrefixSettings;
use super::prompt::{PromptInit, PromptSettings};
use super::{Adapter, PeftError, Settings, encoder, named_tensors};
use crate::model::config::DecoderConfig;
use crate::model::error::During;
use crate::model::weights::save_safetensors;
use crate::nn::FlatParams;
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
    #[serde(default)]
    modules_to_save: Value,
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

/// Loads an adapter made by PEFT or by Tunesmith. Without the encoder's file the virtual tokens themselves are what is there,
/// which answers the same.
///
/// # Errors
/// Names the first tensor that is missing, of another shape, or too many.
pub fn load(
    folder: &Path,
    adapter_config: &Value,
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
    if !matches!(&parsed.modules_to_save, Value::Null) {
        return unsupported("modules_to_save", parsed.modules_to_save.to_string());
    }
    let encoder = folder.join(ENCODER_FILE);
    let has_encoder = encoder.is_file();
    let settings = settings(&parsed, has_encoder);
    let weights = if has_encoder { encoder } else { folder.join(WEIGHTS_FILE) };
    let mut tensors = load_tensors(&weights)?;
    if let (Settings::Prefix(prefix), false) = (&settings, has_encoder) {
        split_layers(&mut tensors, prefix.num_tokens, config, &weights)?;
    }
    let named = named_tensors::in_order(tensors, settings.tuning().parameters(config), &weights)?;
    let params = FlatParams::new(named, device).during("copy the adapter")?;
    let base_model = parsed.base_model_name_or_path.unwrap_or_default();
    Ok(Adapter { settings, params, base_model, config: config.clone() })
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
