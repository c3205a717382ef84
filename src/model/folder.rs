//! A model as a folder in Hugging Face's layout, written: what Tunesmith, transformers and others open.

use super::ModelError;
use super::error::During;
use super::hooks::Hooks;
use super::load::LoadedModel;
use super::weights::save_safetensors_made;
use crate::base::storage;
use candle_core::Tensor;
use serde_json::{Value, json};
use std::path::Path;

/// The files of a folder that [`save`] wrote.
pub const FILES: [&str; 5] =
    ["config.json", "generation_config.json", "tokenizer_config.json", "tokenizer.json", "model.safetensors"];

/// Writes a model that is like `base` but for what `hooks` change of its weights, which all become f32: what they leave alone keeps
/// its value bit for bit. One tensor is in memory at a time besides the model. Call inside `storage::create_dir_atomic`.
pub fn save(base: &LoadedModel, hooks: &dyn Hooks, folder: &Path) -> Result<(), ModelError> {
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
    save_weights(base, hooks, &folder.join(weights_file))
}

fn save_weights(base: &LoadedModel, hooks: &dyn Hooks, path: &Path) -> Result<(), ModelError> {
    let (mut stored, mut places) = (Vec::new(), Vec::new());
    for group in base.config().groups() {
        let mut first = 0;
        for needed in group.tensors {
            let rows = needed.shape[0];
            stored.push((needed.name.clone(), needed.stored_shape()));
            places.push((group.part, first, rows, needed.form));
            first += rows;
        }
    }
    let make = |index: usize| -> Result<Tensor, ModelError> {
        let (part, first, rows, form) = places[index];
        let own = base.decoder.merged(part, hooks)?.narrow(0, first, rows);
        own.and_then(|own| form.to_file(&own)).during("bring a weight into order")
    };
    save_safetensors_made(&stored, &make, path)
}
