//! A model on disk, opened: config, weights, special tokens and chat template. Reads headers only.

use super::ModelError;
use super::config::DecoderConfig;
use super::identity::Identity;
use super::info::ModelInfo;
use super::text::TextSettings;
use super::weights::{Gguf, GgufHeader, GgufValue, Weights};
use super::{licence, sentence};
use crate::base::storage::read_text_bounded;
use crate::data::template::Template;
use crate::data::tokenise::GgufVocab;
use crate::data::{DataError, Tokeniser};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// Settings are small; tokenizer_config.json lists every added token and can reach a megabyte.
const MAX_SETTINGS_BYTES: u64 = 32 << 20;

/// Everything of a model except its weights' values.
#[derive(Debug)]
pub struct ModelFiles {
    pub info: ModelInfo,
    pub config: DecoderConfig,
    pub weights: Weights,
    pub text: TextSettings,
    /// Read when first asked for.
    tokeniser: OnceLock<Arc<Tokeniser>>,
}

impl ModelFiles {
    /// Opens a folder in Hugging Face's layout, or a GGUF file (or a folder that holds just one), and checks that its
    /// weights fit its config. `source` is what the user called it.
    ///
    /// # Errors
    /// [`ModelError`], naming the file and the tensor, before anything is allocated by what the files claim.
    pub fn open(source: &str, path: &Path) -> Result<Self, ModelError> {
        let meta = std::fs::metadata(path).map_err(|e| ModelError::of_file(path, &e))?;
        if meta.is_dir() {
            return match only_gguf(path) {
                Some(file) => open_gguf(source, &file),
                None => open_folder(source, path),
            };
        }
        let mut magic = [0; 4];
        let num_read = File::open(path)
            .and_then(|mut file| file.read(&mut magic))
            .map_err(|e| ModelError::of_file(path, &e))?;
        if &magic[..num_read] == b"GGUF" || path.extension().is_some_and(|e| e.eq_ignore_ascii_case("gguf")) {
            return open_gguf(source, path);
        }
        let why = if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("safetensors")) {
            "this is a file of weights alone; choose the folder it lies in"
        } else {
            "this is neither a model folder nor a GGUF file"
        };
        Err(ModelError::Unreadable { path: path.into(), why: why.into() })
    }

    /// What the model is known by, read from its weights.
    ///
    /// # Errors
    /// As [`Identity::of`].
    pub fn identity(&self) -> Result<Identity, ModelError> {
        Identity::of(&self.weights, &self.config)
    }

    /// The tokenizer: tokenizer.json of a folder, or rebuilt from a GGUF file's metadata. Of two stacks, with the gaps that they fill.
    ///
    /// # Errors
    /// [`DataError`] when it is missing, damaged or of a kind that is not supported.
    pub fn tokeniser(&self) -> Result<Arc<Tokeniser>, DataError> {
        if let Some(tokeniser) = self.tokeniser.get() {
            return Ok(tokeniser.clone());
        }
        let tokeniser = match &self.weights {
            Weights::Safetensors(_) => Tokeniser::from_file(&self.info.path.join("tokenizer.json"))?,
            Weights::Gguf(file) => Tokeniser::from_gguf(vocabulary(file.header())?)?,
        };
        let tokeniser = if self.config.encoder.is_some() { tokeniser.writing_gaps() } else { tokeniser };
        Ok(self.tokeniser.get_or_init(|| Arc::new(tokeniser)).clone())
    }

    /// The chat template, or a plain one for a model that has none.
    ///
    /// # Errors
    /// [`DataError::Template`] when the model's template is not valid, and as [`Self::tokeniser`].
    pub fn template(&self) -> Result<Arc<Template>, DataError> {
        let text = &self.text;
        let (bos, eos) = (text.bos.as_deref().unwrap_or(""), text.eos.as_deref().unwrap_or(""));
        let tokeniser = self.tokeniser()?;
        let start = self.config.encoder.and_then(|encoder| tokeniser.token_text(encoder.start));
        let template = match (&text.chat_template, start) {
            (_, Some(start)) => Template::read_then_written(eos, &start),
            (Some(source), None) => Template::chat(source, bos, eos)?,
            (None, None) => Template::plain(bos, eos),
        };
        let has_bos = text.add_bos.unwrap_or_else(|| tokeniser.adds_bos());
        Ok(Arc::new(template.begins_plain_text(has_bos).guarding(tokeniser.specials())))
    }
}

/// What a GGUF file says about its tokenizer.
fn vocabulary(header: &GgufHeader) -> Result<GgufVocab, DataError> {
    let missing = |key: &str| DataError::Tokeniser { why: format!("the GGUF file has no {key}") };
    let texts = |key: &str| header.value(key).and_then(GgufValue::texts).map(<[String]>::to_vec);
    let flag = |key: &str| header.value(key).and_then(GgufValue::flag);
    let model = header.text("tokenizer.ggml.model").ok_or_else(|| missing("tokenizer.ggml.model"))?;
    let pre = header.text("tokenizer.ggml.pre").unwrap_or_default();
    let scores = match header.value("tokenizer.ggml.scores") {
        Some(GgufValue::Numbers(scores)) => scores.clone(),
        _ => Vec::new(),
    };
    let types = header.value("tokenizer.ggml.token_type").and_then(GgufValue::integers).unwrap_or_default();
    Ok(GgufVocab {
        model: model.into(),
        pre: pre.into(),
        tokens: texts("tokenizer.ggml.tokens").ok_or_else(|| missing("tokenizer.ggml.tokens"))?,
        merges: texts("tokenizer.ggml.merges").unwrap_or_default(),
        token_types: types.iter().map(|kind| i32::try_from(*kind).unwrap_or(1)).collect(),
        bos: token_id(header, "bos"),
        eos: token_id(header, "eos"),
        unknown: token_id(header, "unknown"),
        // llama.cpp's defaults, for files that don't say
        add_bos: flag("tokenizer.ggml.add_bos_token").unwrap_or(model == "llama" || pre == "llama-bpe"),
        scores,
        add_space_prefix: flag("tokenizer.ggml.add_space_prefix"),
    })
}

/// The one GGUF file of a folder without a config.json.
fn only_gguf(folder: &Path) -> Option<PathBuf> {
    if folder.join("config.json").exists() {
        return None;
    }
    let mut found = std::fs::read_dir(folder)
        .ok()?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|e| e.eq_ignore_ascii_case("gguf")));
    let first = found.next()?;
    found.next().is_none().then_some(first)
}

fn open_folder(source: &str, folder: &Path) -> Result<ModelFiles, ModelError> {
    let path = folder.join("config.json");
    if !path.try_exists().map_err(|e| ModelError::of_file(folder, &e))? {
        let what = if folder.join("adapter_config.json").exists() {
            "config.json (this folder holds an adapter; choose the model it was made for)"
        } else {
            "config.json"
        };
        return Err(ModelError::Missing { path: folder.into(), what: what.into() });
    }
    let text = read_text_bounded(&path, MAX_SETTINGS_BYTES).map_err(|e| ModelError::of_file(&path, &e))?;
    let config = DecoderConfig::from_json(&path, &text)?;
    let weights = Weights::open(folder)?;
    let config = config.found_in(&weights);
    weights.check(&config)?;
    let tokens = SpecialTokens::of_folder(folder, &text)?;
    let chat_template = chat_template(folder, &tokens.settings)?;
    let mut files = sizes(weights.files());
    for name in ["config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"] {
        if let Ok(meta) = std::fs::metadata(folder.join(name)) {
            files.push((name.into(), meta.len()));
        }
    }
    Ok(ModelFiles {
        info: ModelInfo {
            licence: licence::of_folder(folder),
            pooling: sentence::pooling_in(folder),
            ..info(source, folder, &config, &weights, chat_template.is_some(), files)
        },
        config,
        weights,
        text: TextSettings {
            chat_template,
            bos: tokens.bos,
            eos: tokens.eos,
            eos_ids: tokens.eos_ids,
            add_bos: tokens.settings["add_bos_token"].as_bool(),
            specials: tokens.specials,
        },
        tokeniser: OnceLock::new(),
    })
}

fn open_gguf(source: &str, path: &Path) -> Result<ModelFiles, ModelError> {
    let gguf = Gguf::open(path)?;
    let config = gguf.config()?;
    let header = gguf.header();
    let chat_template = header.text("tokenizer.chat_template").map(String::from);
    let licence = licence::of_gguf(header);
    let bos = token_text(header, token_id(header, "bos"));
    let eos = token_text(header, token_id(header, "eos"));
    let mut eos_ids: Vec<u32> =
        ["eos", "eot", "eom"].iter().filter_map(|kind| token_id(header, kind)).collect();
    in_order_once(&mut eos_ids);
    let weights = Weights::Gguf(gguf);
    weights.check(&config)?;
    let files = sizes(weights.files());
    Ok(ModelFiles {
        info: ModelInfo { licence, ..info(source, path, &config, &weights, chat_template.is_some(), files) },
        config,
        weights,
        text: TextSettings { chat_template, bos, eos, eos_ids, ..TextSettings::default() },
        tokeniser: OnceLock::new(),
    })
}

fn sizes(files: Vec<(PathBuf, u64)>) -> Vec<(String, u64)> {
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    files.into_iter().map(|(path, num_bytes)| (name(&path), num_bytes)).collect()
}

fn info(
    source: &str,
    path: &Path,
    config: &DecoderConfig,
    weights: &Weights,
    has_chat_template: bool,
    files: Vec<(String, u64)>,
) -> ModelInfo {
    let dtype = weights.main_dtype(config);
    ModelInfo { dtype, has_chat_template, files, ..ModelInfo::of(source, path, config) }
}

fn token_id(header: &GgufHeader, kind: &str) -> Option<u32> {
    let value = header.value(&format!("tokenizer.ggml.{kind}_token_id"))?;
    u32::try_from(value.integer()?).ok()
}

fn token_text(header: &GgufHeader, id: Option<u32>) -> Option<String> {
    header.value("tokenizer.ggml.tokens").and_then(GgufValue::texts)?.get(id? as usize).cloned()
}

/// What the JSON files of a folder say about the tokens that begin and end.
struct SpecialTokens {
    /// tokenizer_config.json, or null.
    settings: Value,
    bos: Option<String>,
    eos: Option<String>,
    eos_ids: Vec<u32>,
    specials: BTreeMap<String, String>,
}

/// Names of tokens that an encoder's texts are framed, filled up and masked with.
const SPECIALS: [&str; 5] = ["unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

impl SpecialTokens {
    fn of_folder(folder: &Path, config: &str) -> Result<Self, ModelError> {
        let settings = read_json(&folder.join("tokenizer_config.json"))?;
        let special = read_json(&folder.join("special_tokens_map.json"))?;
        let generation = read_json(&folder.join("generation_config.json"))?;
        let config: Value = serde_json::from_str(config).unwrap_or_default();
        let text = |key: &str| token(&settings[key]).or_else(|| token(&special[key]));
        let (bos, eos) = (text("bos_token"), text("eos_token"));
        let mut eos_ids = ids(&generation["eos_token_id"]);
        eos_ids.extend(ids(&config["eos_token_id"]));
        if let (Some(eos), Some(added)) = (&eos, settings["added_tokens_decoder"].as_object()) {
            let is_eos = |value: &Value| value["content"].as_str() == Some(eos);
            eos_ids
                .extend(added.iter().filter(|(_, v)| is_eos(v)).filter_map(|(id, _)| id.parse::<u32>().ok()));
        }
        in_order_once(&mut eos_ids);
        let specials = SPECIALS.iter().filter_map(|key| Some((key.to_string(), text(key)?))).collect();
        Ok(Self { settings, bos, eos, eos_ids, specials })
    }
}

fn in_order_once(ids: &mut Vec<u32>) {
    let mut seen = std::collections::BTreeSet::new();
    ids.retain(|id| seen.insert(*id));
}

/// A token is a string, or an object with its `content`.
fn token(value: &Value) -> Option<String> {
    value.as_str().or_else(|| value["content"].as_str()).map(String::from)
}

/// A number, or a list of them.
fn ids(value: &Value) -> Vec<u32> {
    let one = |v: &Value| v.as_u64().and_then(|n| u32::try_from(n).ok());
    match value {
        Value::Array(list) => list.iter().filter_map(one).collect(),
        other => one(other).into_iter().collect(),
    }
}

/// Null for a file that is not there.
fn read_json(path: &Path) -> Result<Value, ModelError> {
    let text = match read_text_bounded(path, MAX_SETTINGS_BYTES) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Value::Null),
        Err(e) => return Err(ModelError::of_file(path, &e)),
    };
    serde_json::from_str(&text)
        .map_err(|e| ModelError::Corrupt { path: path.into(), why: format!("not valid JSON: {e}") })
}

/// From chat_template.jinja (transformers 5), chat_template.json, or tokenizer_config.json.
fn chat_template(folder: &Path, settings: &Value) -> Result<Option<String>, ModelError> {
    let path = folder.join("chat_template.jinja");
    match read_text_bounded(&path, MAX_SETTINGS_BYTES) {
        Ok(text) => return Ok(Some(text)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
        Err(e) => return Err(ModelError::of_file(&path, &e)),
    }
    let apart = read_json(&folder.join("chat_template.json"))?;
    Ok(template(&apart["chat_template"]).or_else(|| template(&settings["chat_template"])))
}

/// A string, or a list of `{name, template}` of which the one called "default" counts.
fn template(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Array(list) => {
            let default = list.iter().find(|entry| entry["name"].as_str() == Some("default"));
            default.and_then(|entry| entry["template"].as_str()).map(String::from)
        }
        _ => None,
    }
}
