//! Hugging Face's `config.json` -> [`DecoderConfig`], in the forms of transformers 4 and 5.

use super::{DecoderConfig, Family, RopeScaling};
use crate::model::ModelError;
use serde_json::{Map, Value};
use std::path::Path;

impl DecoderConfig {
    /// Reads the text of a `config.json`; `path` is where it came from, for error messages.
    ///
    /// # Errors
    /// [`ModelError::Unsupported`] for other architectures, [`ModelError::Refused`] for features that are not
    /// there (naming them), [`ModelError::Setting`] for values that make no sense.
    pub fn from_json(path: &Path, text: &str) -> Result<Self, ModelError> {
        let json: Value = serde_json::from_str(text)
            .map_err(|e| ModelError::Corrupt { path: path.into(), why: format!("not valid JSON: {e}") })?;
        let Value::Object(map) = json else {
            let why = "not a JSON object".into();
            return Err(ModelError::Corrupt { path: path.into(), why });
        };
        read(&Fields { path, map: &map })
    }
}

fn read(fields: &Fields) -> Result<DecoderConfig, ModelError> {
    let family = family(fields)?;
    refuse_what_is_not_there(fields)?;
    let is_qwen = matches!(family, Family::Qwen2 | Family::Qwen3);
    let width = fields.size("hidden_size")?;
    let num_heads = fields.size("num_attention_heads")?;
    let num_layers = fields.size("num_hidden_layers")?;
    let default_kv = match family {
        Family::Llama => num_heads,
        Family::Mistral => 8,
        Family::Qwen2 | Family::Qwen3 => 32,
    };
    let default_head = if family == Family::Qwen3 { 128 } else { width / num_heads.max(1) };
    let has_bias = fields.flag("attention_bias", false)?;
    let (sliding_window, first_windowed_layer) = window(fields, family, num_layers)?;
    DecoderConfig {
        family,
        vocabulary: fields.size("vocab_size")?,
        width,
        ffn_width: fields.size("intermediate_size")?,
        num_layers,
        num_heads,
        num_kv_heads: fields.size_or("num_key_value_heads", default_kv)?,
        head_width: fields.size_or("head_dim", default_head)?,
        norm_epsilon: fields.number("rms_norm_eps")?.unwrap_or(1e-6),
        rope_theta: rope_theta(fields)?,
        rope_scaling: rope_scaling(fields)?,
        has_qkv_bias: family == Family::Qwen2 || (family != Family::Mistral && has_bias),
        has_o_bias: matches!(family, Family::Llama | Family::Qwen3) && has_bias,
        has_mlp_bias: family == Family::Llama && fields.flag("mlp_bias", false)?,
        has_qk_norm: family == Family::Qwen3,
        has_tied_embeddings: fields.flag("tie_word_embeddings", false)?,
        context_tokens: fields.size_or("max_position_embeddings", if is_qwen { 32_768 } else { 2_048 })?,
        sliding_window,
        first_windowed_layer,
    }
    .bounded(fields.path)
}

fn family(fields: &Fields) -> Result<Family, ModelError> {
    let listed = fields.get("architectures").and_then(|a| a.get(0)).and_then(Value::as_str);
    let name = listed.or_else(|| fields.get("model_type").and_then(Value::as_str));
    match name {
        Some("LlamaForCausalLM" | "llama") => Ok(Family::Llama),
        Some("MistralForCausalLM" | "mistral") => Ok(Family::Mistral),
        Some("Qwen2ForCausalLM" | "qwen2") => Ok(Family::Qwen2),
        Some("Qwen3ForCausalLM" | "qwen3") => Ok(Family::Qwen3),
        Some(other) => Err(ModelError::Unsupported {
            path: fields.path.into(),
            architecture: crate::base::human::elide(other, 80),
        }),
        None => Err(fields.wrong("architectures", "is missing")),
    }
}

fn refuse_what_is_not_there(fields: &Fields) -> Result<(), ModelError> {
    if let Some(act) = fields.get("hidden_act").and_then(Value::as_str)
        && !matches!(act, "silu" | "swish")
    {
        return Err(fields.refused(format!("the activation \"{act}\"")));
    }
    if let Some(how) = fields.get("quantization_config") {
        let method = how.get("quant_method").and_then(Value::as_str).unwrap_or("unknown");
        return Err(fields.refused(format!("a model stored with the quantisation \"{method}\"")));
    }
    if let Some(part) = fields.number("partial_rotary_factor")?
        && part != 1.0
    {
        return Err(fields.refused(format!("a partial rotary factor of {part}")));
    }
    Ok(())
}

/// Rope settings: `rope_parameters` (transformers 5), else `rope_scaling`.
fn rope_settings<'a>(fields: &Fields<'a>) -> Result<Option<Fields<'a>>, ModelError> {
    for key in ["rope_parameters", "rope_scaling"] {
        match fields.get(key) {
            None => {}
            Some(Value::Object(map)) => return Ok(Some(Fields { path: fields.path, map })),
            Some(_) => return Err(fields.wrong(key, "must be an object or null")),
        }
    }
    Ok(None)
}

fn rope_theta(fields: &Fields) -> Result<f64, ModelError> {
    if let Some(rope) = rope_settings(fields)?
        && let Some(theta) = rope.number("rope_theta")?
    {
        return Ok(theta);
    }
    Ok(fields.number("rope_theta")?.unwrap_or(10_000.0))
}

fn rope_scaling(fields: &Fields) -> Result<RopeScaling, ModelError> {
    let Some(rope) = rope_settings(fields)? else { return Ok(RopeScaling::None) };
    if rope.map.values().any(Value::is_object) {
        return Err(fields.refused("a different rope for each kind of layer".into()));
    }
    let kind =
        rope.get("rope_type").or_else(|| rope.get("type")).and_then(Value::as_str).unwrap_or("default");
    let factor = |key: &str| rope.number(key)?.ok_or_else(|| rope.wrong(key, "is missing"));
    match kind {
        "default" | "none" => Ok(RopeScaling::None),
        "linear" => Ok(RopeScaling::Linear { factor: factor("factor")? }),
        "llama3" => Ok(RopeScaling::Llama3 {
            factor: factor("factor")?,
            low_freq_factor: factor("low_freq_factor")?,
            high_freq_factor: factor("high_freq_factor")?,
            original_context: match rope.get("original_max_position_embeddings") {
                Some(_) => rope.size("original_max_position_embeddings")?,
                None => fields.size("max_position_embeddings")?,
            },
        }),
        other => Err(fields.refused(format!("the rope scaling \"{other}\""))),
    }
}

/// The sliding window, and the first layer that has it.
fn window(fields: &Fields, family: Family, num_layers: usize) -> Result<(Option<usize>, usize), ModelError> {
    let is_used = match family {
        Family::Llama => false,
        Family::Mistral => true,
        Family::Qwen2 | Family::Qwen3 => fields.flag("use_sliding_window", false)?,
    };
    // Where the key is absent altogether, transformers' own default holds; null means none.
    let width = match fields.map.get("sliding_window") {
        None => Some(4_096),
        Some(Value::Null) => None,
        Some(_) => Some(fields.size("sliding_window")?),
    };
    let Some(width) = width.filter(|_| is_used) else { return Ok((None, 0)) };
    if family == Family::Mistral {
        return Ok((Some(width), 0));
    }
    let Some(Value::Array(kinds)) = fields.get("layer_types") else {
        return Ok((Some(width), fields.size_or("max_window_layers", 28)?));
    };
    let is_full = |kind: &Value| kind.as_str() == Some("full_attention");
    let first = kinds.iter().take_while(|kind| is_full(kind)).count();
    if kinds.len() != num_layers || kinds[first..].iter().any(is_full) {
        return Err(fields.refused("this order of full and sliding layers".into()));
    }
    Ok((Some(width).filter(|_| first < num_layers), first))
}

/// A JSON object whose values are asked for by name; null counts as absent.
struct Fields<'a> {
    path: &'a Path,
    map: &'a Map<String, Value>,
}

impl<'a> Fields<'a> {
    fn get(&self, key: &str) -> Option<&'a Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    fn wrong(&self, key: &str, why: &str) -> ModelError {
        ModelError::Setting { path: self.path.into(), key: key.into(), why: why.into() }
    }

    fn refused(&self, what: String) -> ModelError {
        ModelError::Refused { path: self.path.into(), what }
    }

    fn size(&self, key: &str) -> Result<usize, ModelError> {
        let value = self.get(key).ok_or_else(|| self.wrong(key, "is missing"))?;
        let whole = value.as_u64().or_else(|| {
            let x = value.as_f64()?;
            (x.fract() == 0.0 && (0.0..9e15).contains(&x)).then_some(x as u64)
        });
        whole
            .and_then(|n| usize::try_from(n).ok())
            .ok_or_else(|| self.wrong(key, "must be a whole number that is not negative"))
    }

    fn size_or(&self, key: &str, default: usize) -> Result<usize, ModelError> {
        if self.get(key).is_some() { self.size(key) } else { Ok(default) }
    }

    fn number(&self, key: &str) -> Result<Option<f64>, ModelError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        value.as_f64().map(Some).ok_or_else(|| self.wrong(key, "must be a number"))
    }

    fn flag(&self, key: &str, default: bool) -> Result<bool, ModelError> {
        let Some(value) = self.get(key) else { return Ok(default) };
        value.as_bool().ok_or_else(|| self.wrong(key, "must be true or false"))
    }
}
