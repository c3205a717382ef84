//! GGUF metadata -> [`DecoderConfig`].

use super::{DecoderConfig, Family, Layers, RopeScaling};
use crate::base::human;
use crate::model::ModelError;
use crate::model::families::NormKind;
use crate::model::weights::GgufHeader;

impl DecoderConfig {
    /// Reads the numbers of a model from the header of a GGUF file.
    ///
    /// Llama 3's rope factors lie in a tensor there; see `weights::gguf` for how they are recognised.
    ///
    /// # Errors
    /// As [`DecoderConfig::from_json`].
    pub fn from_gguf(header: &GgufHeader) -> Result<Self, ModelError> {
        let fields = Fields::new(header)?;
        let family = fields.family()?;
        if fields.size("expert_count")?.is_some_and(|n| n > 0) {
            return Err(fields.refused("a mixture of experts".into()));
        }
        let width = fields.needed("embedding_length")?;
        let num_heads = fields.needed("attention.head_count")?;
        let head_width = fields.size("attention.key_length")?.unwrap_or_else(|| width / num_heads.max(1));
        let embedding = header.tensor("token_embd.weight").ok_or_else(|| ModelError::Missing {
            path: header.path.clone(),
            what: "tensor token_embd.weight".into(),
        })?;
        let sliding_window = fields.size("attention.sliding_window")?.filter(|n| *n > 0);
        let has_any = |names: &[&str]| names.iter().any(|name| fields.has_tensor(name));
        let epsilon = match family.table().norm {
            NormKind::Layer => "attention.layer_norm_epsilon",
            NormKind::Rms | NormKind::RmsPlusOne => "attention.layer_norm_rms_epsilon",
        };
        let mut config = DecoderConfig {
            vocabulary: embedding.shape.first().copied().unwrap_or(0),
            width,
            ffn_width: fields.needed("feed_forward_length")?,
            num_layers: fields.needed("block_count")?,
            num_kv_heads: fields.size("attention.head_count_kv")?.unwrap_or(num_heads),
            norm_epsilon: fields.number(epsilon)?.unwrap_or(1e-5),
            rope_theta: fields.number("rope.freq_base")?.unwrap_or(10_000.0),
            rope_scaling: fields.rope_scaling()?,
            has_qkv_bias: has_any(&["blk.0.attn_q.bias", "blk.0.attn_qkv.bias"]),
            has_o_bias: has_any(&["blk.0.attn_output.bias"]),
            has_mlp_bias: has_any(&["blk.0.ffn_gate.bias", "blk.0.ffn_up.bias"]),
            has_tied_embeddings: header.tensor("output.weight").is_none(),
            context_tokens: fields.size("context_length")?.unwrap_or(2_048),
            sliding_window,
            windowed: if sliding_window.is_some() { Layers::All } else { Layers::None },
            ..DecoderConfig::plain(family, num_heads, head_width)
        };
        if let Some(table) = family.table().gguf {
            (table.read)(&fields, &mut config)?;
        }
        for (key, known) in
            [("attention.value_length", head_width), ("rope.dimension_count", config.rotary_width)]
        {
            if let Some(other) = fields.size(key)?
                && other != known
            {
                return Err(fields.refused(format!("a {key} of {other} beside a head size of {head_width}")));
            }
        }
        config.bounded(&header.path)
    }
}

/// Metadata under the architecture's own prefix.
pub struct Fields<'a> {
    header: &'a GgufHeader,
    architecture: &'a str,
}

impl<'a> Fields<'a> {
    fn new(header: &'a GgufHeader) -> Result<Self, ModelError> {
        let architecture = header.text("general.architecture").ok_or_else(|| ModelError::Missing {
            path: header.path.clone(),
            what: "the setting general.architecture".into(),
        })?;
        Ok(Self { header, architecture })
    }

    fn family(&self) -> Result<Family, ModelError> {
        Family::of_gguf(self.architecture).ok_or_else(|| {
            let read = Family::ALL.into_iter().filter_map(|family| family.table().gguf);
            let read: Vec<_> = read.map(|gguf| gguf.architecture).collect();
            let name = human::elide(self.architecture, 80);
            self.refused(format!(
                "a GGUF file of the architecture \"{name}\", where {} can be read,",
                human::listed(&read)
            ))
        })
    }

    pub fn has_tensor(&self, name: &str) -> bool {
        self.header.tensor(name).is_some()
    }

    fn key(&self, key: &str) -> String {
        format!("{}.{key}", self.architecture)
    }

    fn wrong(&self, key: &str, why: &str) -> ModelError {
        ModelError::Setting { path: self.header.path.clone(), key: self.key(key), why: why.into() }
    }

    pub fn refused(&self, what: String) -> ModelError {
        ModelError::Refused { path: self.header.path.clone(), what }
    }

    /// A whole number, or an array that repeats one (a value a layer).
    pub fn size(&self, key: &str) -> Result<Option<usize>, ModelError> {
        let Some(value) = self.header.value(&self.key(key)) else { return Ok(None) };
        if let Some(layers) = value.integers() {
            return match layers {
                [first, rest @ ..] if rest.iter().all(|n| n == first) => {
                    usize::try_from(*first).map(Some).map_err(|_| self.wrong(key, "must not be negative"))
                }
                _ => Err(self.refused(format!("a {key} that differs from layer to layer"))),
            };
        }
        value
            .integer()
            .and_then(|n| usize::try_from(n).ok())
            .map(Some)
            .ok_or_else(|| self.wrong(key, "must be a whole number that is not negative"))
    }

    fn needed(&self, key: &str) -> Result<usize, ModelError> {
        self.size(key)?.ok_or_else(|| self.wrong(key, "is missing"))
    }

    pub fn flag(&self, key: &str, absent: bool) -> Result<bool, ModelError> {
        let Some(value) = self.header.value(&self.key(key)) else { return Ok(absent) };
        value.flag().ok_or_else(|| self.wrong(key, "must be true or false"))
    }

    pub fn number(&self, key: &str) -> Result<Option<f64>, ModelError> {
        let Some(value) = self.header.value(&self.key(key)) else { return Ok(None) };
        value.number().map(Some).ok_or_else(|| self.wrong(key, "must be a number"))
    }

    fn rope_scaling(&self) -> Result<RopeScaling, ModelError> {
        let factor = match self.number("rope.scaling.factor")? {
            Some(factor) => Some(factor),
            None => self.number("rope.scale_linear")?,
        };
        match (self.header.text(&self.key("rope.scaling.type")), factor) {
            (Some("none"), _) | (None, None) => Ok(RopeScaling::None),
            (Some("linear") | None, Some(factor)) if factor > 0.0 && factor != 1.0 => {
                Ok(RopeScaling::Linear { factor })
            }
            (Some("linear") | None, _) => Ok(RopeScaling::None),
            (Some(other), _) => Err(self.refused(format!("the rope scaling \"{other}\""))),
        }
    }
}
