//! A model as a folder in Hugging Face's layout, written: what Tunesmith, transformers and others open.

use super::ModelError;
use super::config::{DecoderConfig, Needed};
use super::error::During;
use super::hooks::Hooks;
use super::identity::Identity;
use super::load::LoadedModel;
use super::text::TextSettings;
use super::weights::{save_in_turn, save_safetensors};
use crate::base::{Control, storage};
use crate::data::Tokeniser;
use candle_core::Tensor;
use serde_json::{Value, json};
use std::path::Path;

pub const WEIGHTS_FILE: &str = "model.safetensors";

/// The files of a folder that [`save`] wrote.
pub const FILES: [&str; 5] =
    ["config.json", "generation_config.json", "tokenizer_config.json", "tokenizer.json", WEIGHTS_FILE];

/// What a folder holds of a model besides its weights, which need not be in memory for it.
#[derive(Debug, Clone, Copy)]
pub struct Description<'a> {
    /// Catalogue name, folder or file.
    pub source: &'a str,
    pub config: &'a DecoderConfig,
    pub text: &'a TextSettings,
    pub tokeniser: &'a Tokeniser,
    pub identity: Option<&'a Identity>,
}

/// Writes a model that is like `base` but for its weights, which are `named` as in Hugging Face's files, in the order of the
/// config's tensors, as the forward pass reads them. Call inside
/// `storage::create_dir_atomic`.
pub fn save(base: &Description, named: &[(String, Tensor)], folder: &Path) -> Result<(), ModelError> {
    save_description(base, folder)?;
    let tensors = base.config.tensors();
    let as_stored = |((name, values), needed): (&(String, Tensor), &Needed)| {
        Ok((name.clone(), needed.form.to_file(values).during("bring a weight into order")?))
    };
    let stored = named.iter().zip(&tensors).map(as_stored).collect::<Result<Vec<_>, ModelError>>()?;
    save_safetensors(&stored, &folder.join(WEIGHTS_FILE))
}

/// Writes a model that is like `base` but for what `hooks` change of its weights, which all become f32: what they leave alone keeps
/// its value bit for bit, what nothing but a new head would read among it. One tensor is in memory at a time besides the model. Call inside `storage::create_dir_atomic`.
///
/// # Errors
/// [`ModelError::Stopped`] between two tensors, and a failed write.
pub fn save_changed(
    base: &LoadedModel,
    hooks: &dyn Hooks,
    folder: &Path,
    control: &Control,
) -> Result<(), ModelError> {
    save_description(&base.description(), folder)?;
    let (mut stored, mut places) = (Vec::new(), Vec::new());
    for group in base.config().groups().into_iter().chain(base.decoder.spare_groups()) {
        let mut first = 0;
        for needed in group.tensors {
            let rows = needed.shape[0];
            stored.push((needed.name.clone(), needed.stored_shape()));
            places.push((group.part, first, rows, needed.form));
            first += rows;
        }
    }
    save_in_turn(&stored, &folder.join(WEIGHTS_FILE), |index| {
        if control.is_stopped() {
            return Err(ModelError::Stopped);
        }
        let (part, first, rows, form) = places[index];
        let own = base.decoder.merged(part, hooks)?.narrow(0, first, rows);
        own.and_then(|own| form.to_file(&own)).during("bring a weight into order")
    })
}

/// Writes all files but the weights.
pub fn save_description(base: &Description, folder: &Path) -> Result<(), ModelError> {
    let failed = |path: &Path, source| ModelError::Write { path: path.into(), source };
    let write = |name: &str, value: &Value| {
        let path = folder.join(name);
        let text = serde_json::to_vec_pretty(value).map_err(|e| failed(&path, e.into()))?;
        storage::write_atomic_bytes(&path, &text).map_err(|e| failed(&path, e))
    };
    let text = base.text;
    let mut config = base.config.to_json();
    config["_name_or_path"] = json!(base.source);
    let mut generation = match base.config.is_causal() {
        true => json!({ "eos_token_id": text.eos_ids }),
        false => json!({}),
    };
    if let Some(encoder) = base.config.encoder {
        generation["decoder_start_token_id"] = json!(encoder.start);
        generation["pad_token_id"] = json!(encoder.pad);
    }
    if base.config.is_causal() {
        config["eos_token_id"] = json!(text.eos_ids);
    }
    let [config_file, generation_file, settings_file, tokenizer_file, _] = FILES;
    write(config_file, &config)?;
    write(generation_file, &generation)?;
    let mut settings = json!({
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": text.bos,
        "eos_token": text.eos,
        "chat_template": text.chat_template,
        "model_max_length": base.config.context_tokens,
    });
    for (key, token) in &text.specials {
        settings[key] = json!(token);
    }
    let has_no_types = !base.config.is_causal() || base.config.encoder.is_some();
    if has_no_types && base.config.num_types < 2 {
        settings["model_input_names"] = json!(["input_ids", "attention_mask"]);
    }
    if let Some(add_bos) = text.add_bos {
        settings["add_bos_token"] = json!(add_bos);
    }
    write(settings_file, &settings)?;
    let path = folder.join(tokenizer_file);
    let tokeniser = base.tokeniser.to_json().map_err(|e| failed(&path, std::io::Error::other(e)))?;
    storage::write_atomic_bytes(&path, tokeniser.as_bytes()).map_err(|e| failed(&path, e))
}
