//! A model as a folder in Hugging Face's layout, written: what Tunesmith, transformers and others open.

use super::ModelError;
use super::config::Needed;
use super::error::During;
use super::load::LoadedModel;
use super::weights::save_safetensors;
use crate::base::storage;
use candle_core::Tensor;
use serde_json::{Value, json};
use std::path::Path;

/// The files of a folder that [`save`] wrote.
pub const FILES: [&str; 5] =
    ["config.json", "generation_config.json", "tokenizer_config.json", "tokenizer.json", "model.safetensors"];

/// Writes a model that is like `base` but for its weights, which are `named` as in Hugging Face's files, in the order of the
/// config's tensors, as the forward pass reads them. Call inside
/// `storage::create_dir_atomic`.
pub fn save(base: &LoadedModel, named: &[(String, Tensor)], folder: &Path) -> Result<(), ModelError> {
    let failed = |path: &Path, source| ModelError::Write { path: path.into(), source };
    let write = |name: &str, value: &Value| {
        let path = folder.join(name);
        let text = serde_json::to_vec_pretty(value).map_err(|e| failed(&path, e.into()))?;
        storage::write_atomic_bytes(&path, &text).map_err(|e| failed(&path, e))
    };
    let text = &base.text;
    let mut config = base.config().to_json();
    config["_name_or_path"] = json!(base.info.source);
    config["eos_token_id"] = json!(text.eos_ids);
    let [config_file, generation_file, settings_file, tokenizer_file, weights_file] = FILES;
    write(config_file, &config)?;
    write(generation_file, &json!({ "eos_token_id": text.eos_ids }))?;
    let mut settings = json!({
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": text.bos,
        "eos_token": text.eos,
        "chat_template": text.chat_template,
        "model_max_length": base.config().context_tokens,
    });
    if let Some(add_bos) = text.add_bos {
        settings["add_bos_token"] = json!(add_bos);
    }
    write(settings_file, &settings)?;
    let path = folder.join(tokenizer_file);
    let tokeniser = base.tokeniser.to_json().map_err(|e| failed(&path, std::io::Error::other(e)))?;
    storage::write_atomic_bytes(&path, tokeniser.as_bytes()).map_err(|e| failed(&path, e))?;
    let tensors = base.config().tensors();
    let as_stored = |((name, values), needed): (&(String, Tensor), &Needed)| {
        Ok((name.clone(), needed.form.to_file(values).during("bring a weight into order")?))
    };
    let stored = named.iter().zip(&tensors).map(as_stored).collect::<Result<Vec<_>, ModelError>>()?;
    save_safetensors(&stored, &folder.join(weights_file))
}
