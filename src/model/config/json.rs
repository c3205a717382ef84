//! Hugging Face's `config.json` -> [`DecoderConfig`], in the forms of transformers 4 and 5.

use super::heads::Class;
use super::{DecoderConfig, Family, Layers, OwnDropout, RopeScaling};
use crate::base::human;
use crate::model::ModelError;
use crate::nn::ops::Activation;
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
    let (family, class) = family(fields)?;
    refuse_what_is_not_there(fields)?;
    let table = family.table();
    let keys = &table.keys;
    let width = fields.size(keys.width)?;
    let num_heads = fields.size(keys.num_heads)?;
    let head_width = fields.size_or("head_dim", keys.head_width.unwrap_or(width / num_heads.max(1)))?;
    let ffn_width = match keys.ffn_width {
        (key, Some(times)) if fields.get(key).is_none() => width.saturating_mul(times),
        (key, _) => fields.size(key)?,
    };
    let mut config = DecoderConfig {
        vocabulary: fields.size("vocab_size")?,
        width,
        ffn_width,
        num_layers: fields.size(keys.num_layers)?,
        num_kv_heads: fields.size_or("num_key_value_heads", num_heads)?,
        norm_epsilon: fields.number(keys.epsilon.0)?.unwrap_or(keys.epsilon.1),
        rope_theta: rope_theta(fields, family)?,
        rope_scaling: rope_scaling(fields, family)?,
        has_tied_embeddings: fields.flag("tie_word_embeddings", keys.ties_embeddings)?,
        context_tokens: fields.size_or(keys.context.0, keys.context.1)?,
        activation: fields.activation(keys.activation)?,
        dropout: dropout(fields, keys.dropout)?,
        ..DecoderConfig::plain(family, num_heads, head_width)
    };
    if let RopeScaling::LongRope { original_context, .. } = config.rope_scaling {
        config.context_tokens = config.context_tokens.min(original_context);
    }
    (table.read)(fields, &mut config)?;
    config.read_heads(fields, class)?;
    // Families that turn a part of each head have read it by now.
    if let Some(part) = fields.rope_number("partial_rotary_factor")?
        && part != 1.0
        && config.rotary_width == config.head_width
    {
        return Err(fields.refused(format!("a partial rotary factor of {part}")));
    }
    config.bounded(fields.path)
}

/// Of a family whose config names it by these keys, with what holds where they are missing.
fn dropout(fields: &Fields, keys: Option<[(&str, f64); 2]>) -> Result<OwnDropout, ModelError> {
    let share = |(key, usual): (&str, f64)| match fields.number(key)?.unwrap_or(usual) {
        share if (0.0..1.0).contains(&share) => Ok(share),
        _ => Err(fields.wrong(key, "must be a share: at least 0 and below 1")),
    };
    let Some([hidden, attention]) = keys else { return Ok(OwnDropout::default()) };
    Ok(OwnDropout { hidden: share(hidden)?, attention: share(attention)? })
}

fn family(fields: &Fields) -> Result<(Family, Class), ModelError> {
    let listed = fields.get("architectures").and_then(|a| a.get(0)).and_then(Value::as_str);
    let Some(name) = listed.or_else(|| fields.get("model_type").and_then(Value::as_str)) else {
        return Err(fields.wrong("architectures", "is missing"));
    };
    let class = |family: &Family| match name == family.name() {
        true => Some(Class::PredictsTokens),
        false => Class::named(family.table(), name),
    };
    Family::ALL.into_iter().find_map(|family| Some((family, class(&family)?))).ok_or_else(|| {
        ModelError::Unsupported {
            path: fields.path.into(),
            architecture: human::elide(name, 80),
            familiar: FAMILIAR.into_iter().filter(|key| fields.get(key).is_some()).collect(),
        }
    })
}

/// Keys that say what a decoder is like, by which a new architecture may be judged.
const FAMILIAR: [&str; 12] = [
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "intermediate_size",
    "rms_norm_eps",
    "rope_theta",
    "rope_parameters",
    "sliding_window",
    "num_experts",
    "num_local_experts",
    "vision_config",
];

fn refuse_what_is_not_there(fields: &Fields) -> Result<(), ModelError> {
    if let Some(how) = fields.get("quantization_config") {
        let method = how.get("quant_method").and_then(Value::as_str).unwrap_or("unknown");
        return Err(fields.refused(format!("a model stored with the quantisation \"{method}\"")));
    }
    Ok(())
}

/// Rope settings: `rope_parameters` (transformers 5), else `rope_scaling`; of layers that see everything where a family has
/// others besides.
fn rope_settings<'a>(fields: &Fields<'a>, family: Family) -> Result<Option<Fields<'a>>, ModelError> {
    for key in ["rope_parameters", "rope_scaling"] {
        let Some(value) = fields.get(key) else { continue };
        let rope = fields.object(key, value)?;
        return match rope.get("full_attention") {
            Some(value) if family.table().has_local_rope => rope.object("full_attention", value).map(Some),
            _ => Ok(Some(rope)),
        };
    }
    Ok(None)
}

fn rope_theta(fields: &Fields, family: Family) -> Result<f64, ModelError> {
    if let Some(rope) = rope_settings(fields, family)?
        && let Some(theta) = rope.number("rope_theta")?
    {
        return Ok(theta);
    }
    let (key, usual) = family.table().keys.theta;
    Ok(fields.number(key)?.unwrap_or(usual))
}

fn rope_scaling(fields: &Fields, family: Family) -> Result<RopeScaling, ModelError> {
    let Some(rope) = rope_settings(fields, family)? else { return Ok(RopeScaling::None) };
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
        "longrope" | "su" if rope.get("short_factor").is_some() => long_rope(fields, &rope),
        other => Err(fields.refused(format!("the rope scaling \"{other}\""))),
    }
}

/// Phi-3's: `rope` are its settings, of which some may stand beside them in `fields`.
fn long_rope(fields: &Fields, rope: &Fields) -> Result<RopeScaling, ModelError> {
    let context = fields.size("max_position_embeddings")?;
    let original_context = match rope.get("original_max_position_embeddings") {
        Some(_) => rope.size("original_max_position_embeddings")?,
        None => fields.size("original_max_position_embeddings")?,
    };
    let stretch = rope.number("factor")?.unwrap_or(context as f64 / original_context.max(1) as f64);
    let factors = |key| {
        let listed = rope.get(key).and_then(Value::as_array);
        let numbers: Option<Vec<f64>> = listed.and_then(|all| all.iter().map(Value::as_f64).collect());
        numbers.ok_or_else(|| rope.wrong(key, "must be a list of numbers"))
    };
    Ok(RopeScaling::LongRope {
        short_factors: factors("short_factor")?,
        long_factors: factors("long_factor")?,
        stretch,
        attention_factor: rope.number("attention_factor")?,
        context,
        original_context,
    })
}

/// A JSON object whose values are asked for by name; null counts as absent.
pub struct Fields<'a> {
    pub path: &'a Path,
    pub map: &'a Map<String, Value>,
}

impl<'a> Fields<'a> {
    pub fn get(&self, key: &str) -> Option<&'a Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    pub fn wrong(&self, key: &str, why: &str) -> ModelError {
        ModelError::Setting { path: self.path.into(), key: key.into(), why: why.into() }
    }

    pub fn refused(&self, what: String) -> ModelError {
        ModelError::Refused { path: self.path.into(), what }
    }

    pub fn size(&self, key: &str) -> Result<usize, ModelError> {
        let value = self.get(key).ok_or_else(|| self.wrong(key, "is missing"))?;
        let whole = value.as_u64().or_else(|| {
            let x = value.as_f64()?;
            (x.fract() == 0.0 && (0.0..9e15).contains(&x)).then_some(x as u64)
        });
        whole
            .and_then(|n| usize::try_from(n).ok())
            .ok_or_else(|| self.wrong(key, "must be a whole number that is not negative"))
    }

    /// SiLU where it is not there.
    pub fn activation(&self, key: &str) -> Result<Activation, ModelError> {
        match self.get(key).map(|act| act.as_str().unwrap_or_default()) {
            Some("silu" | "swish") | None => Ok(Activation::Silu),
            Some("gelu") => Ok(Activation::Gelu),
            Some("gelu_pytorch_tanh" | "gelu_new" | "gelu_fast") => Ok(Activation::GeluTanh),
            Some("relu") => Ok(Activation::Relu),
            Some(other) => Err(self.refused(format!("the activation \"{}\"", human::elide(other, 40)))),
        }
    }

    pub fn size_or(&self, key: &str, default: usize) -> Result<usize, ModelError> {
        if self.get(key).is_some() { self.size(key) } else { Ok(default) }
    }

    pub fn number(&self, key: &str) -> Result<Option<f64>, ModelError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        value.as_f64().map(Some).ok_or_else(|| self.wrong(key, "must be a number"))
    }

    /// A number that stands among the rope settings, or beside them.
    pub fn rope_number(&self, key: &str) -> Result<Option<f64>, ModelError> {
        for settings in ["rope_parameters", "rope_scaling"] {
            let Some(value) = self.get(settings) else { continue };
            if let Some(number) = self.object(settings, value)?.number(key)? {
                return Ok(Some(number));
            }
        }
        self.number(key)
    }

    /// The theta of layers with a sliding window, where they have one of their own.
    pub fn local_theta(&self) -> Result<Option<f64>, ModelError> {
        if let Some(value) = self.get("rope_parameters").and_then(|rope| rope.get("sliding_attention"))
            && let Some(theta) = self.object("rope_parameters", value)?.number("rope_theta")?
        {
            return Ok(Some(theta));
        }
        self.number("rope_local_base_freq")
    }

    /// `layer_types`: the layers of one of two kinds; `None` where it is not there.
    pub fn layer_kinds(&self, kind: &str) -> Result<Option<Layers>, ModelError> {
        let Some(value) = self.get("layer_types") else { return Ok(None) };
        let kinds: Option<Vec<&str>> =
            value.as_array().and_then(|all| all.iter().map(Value::as_str).collect());
        let kinds = kinds.ok_or_else(|| self.wrong("layer_types", "must be a list of words"))?;
        if let Some(other) = kinds.iter().find(|kind| !["full_attention", "sliding_attention"].contains(kind))
        {
            return Err(self.refused(format!("a layer with \"{}\"", human::elide(other, 40))));
        }
        if kinds.len() != self.size("num_hidden_layers")? {
            return Err(self.wrong("layer_types", "must name as many layers as there are"));
        }
        Ok(Some(Layers::Listed(kinds.into_iter().map(|other| other == kind).collect())))
    }

    fn object(&self, key: &str, value: &'a Value) -> Result<Fields<'a>, ModelError> {
        let map = value.as_object().ok_or_else(|| self.wrong(key, "must be an object or null"))?;
        Ok(Fields { path: self.path, map })
    }

    pub fn flag(&self, key: &str, default: bool) -> Result<bool, ModelError> {
        let Some(value) = self.get(key) else { return Ok(default) };
        value.as_bool().ok_or_else(|| self.wrong(key, "must be true or false"))
    }
}
