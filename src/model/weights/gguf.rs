//! A GGUF file under Hugging Face names, dequantised, in Hugging Face's order of rows.

use super::block::{Plain, read_plain, read_quantised, read_stored};
use super::gguf_header::{GgufHeader, GgufTensor, dtype_name};
use crate::model::ModelError;
use crate::model::config::{DecoderConfig, RopeScaling};
use candle_core::quantized::GgmlDType;
use std::collections::BTreeMap;
use std::path::Path;

/// The tensors of a GGUF file.
#[derive(Debug)]
pub struct Gguf {
    header: GgufHeader,
    /// Hugging Face name -> GGUF name.
    names: BTreeMap<String, String>,
    /// Heads whose rows llama.cpp stores in its own order: those of q and those of k.
    permuted_heads: Option<(usize, usize)>,
}

const TOP: [(&str, &str); 3] = [
    ("token_embd.weight", "model.embed_tokens.weight"),
    ("output_norm.weight", "model.norm.weight"),
    ("output.weight", "lm_head.weight"),
];

const LAYER: [(&str, &str); 11] = [
    ("attn_norm", "input_layernorm"),
    ("attn_q", "self_attn.q_proj"),
    ("attn_k", "self_attn.k_proj"),
    ("attn_v", "self_attn.v_proj"),
    ("attn_output", "self_attn.o_proj"),
    ("attn_q_norm", "self_attn.q_norm"),
    ("attn_k_norm", "self_attn.k_norm"),
    ("ffn_norm", "post_attention_layernorm"),
    ("ffn_gate", "mlp.gate_proj"),
    ("ffn_up", "mlp.up_proj"),
    ("ffn_down", "mlp.down_proj"),
];

/// `blk.3.attn_q.weight` -> `model.layers.3.self_attn.q_proj.weight`.
fn hub_name(name: &str) -> Option<String> {
    if let Some((_, hub)) = TOP.iter().find(|(gguf, _)| *gguf == name) {
        return Some((*hub).to_string());
    }
    let (layer, rest) = name.strip_prefix("blk.")?.split_once('.')?;
    let layer: usize = layer.parse().ok()?;
    let (part, kind) = rest.split_once('.')?;
    let (_, hub) = LAYER.iter().find(|(gguf, _)| *gguf == part)?;
    matches!(kind, "weight" | "bias").then(|| format!("model.layers.{layer}.{hub}.{kind}"))
}

impl Gguf {
    /// Reads the header of a GGUF file.
    ///
    /// # Errors
    /// As [`GgufHeader::read`].
    pub fn open(path: &Path) -> Result<Self, ModelError> {
        let header = GgufHeader::read(path)?;
        let names =
            header.tensors().filter_map(|(name, _)| Some((hub_name(name)?, name.to_string()))).collect();
        // A number, or one a layer; the config refuses layers that differ.
        let heads = |key: &str| {
            let value = header.value(key)?;
            let number = value.integer().or_else(|| value.integers()?.first().copied())?;
            usize::try_from(number).ok()
        };
        // Only the `llama` architecture has them; Qwen's rows are stored as they are.
        let permuted_heads = (header.text("general.architecture") == Some("llama"))
            .then(|| heads("llama.attention.head_count"))
            .flatten()
            .map(|q| (q, heads("llama.attention.head_count_kv").unwrap_or(q)));
        Ok(Self { header, names, permuted_heads })
    }

    pub fn header(&self) -> &GgufHeader {
        &self.header
    }

    /// The numbers of the model, with Llama 3's rope scaling recognised by its factors.
    ///
    /// # Errors
    /// As [`DecoderConfig::from_gguf`].
    pub fn config(&self) -> Result<DecoderConfig, ModelError> {
        let mut config = DecoderConfig::from_gguf(&self.header)?;
        if let Some(tensor) = self.header.tensor("rope_freqs.weight") {
            if tensor.shape != [config.head_width / 2] {
                return Err(ModelError::Shape {
                    path: self.path().into(),
                    tensor: "rope_freqs.weight".into(),
                    expected: vec![config.head_width / 2],
                    got: tensor.shape.clone(),
                });
            }
            config.rope_scaling = self.llama3_scaling(&self.values(tensor)?, &config)?;
        }
        Ok(config)
    }

    /// llama.cpp keeps only the factor of each frequency. Every Llama 3 was made with low 1, high 4 and 8192 positions,
    /// so the numbers are taken as those if they give the same factors, and refused otherwise.
    fn llama3_scaling(&self, factors: &[f32], config: &DecoderConfig) -> Result<RopeScaling, ModelError> {
        let factor = f64::from(factors.iter().copied().fold(1.0, f32::max));
        if factor == 1.0 {
            return Ok(RopeScaling::None);
        }
        let scaling = RopeScaling::Llama3 {
            factor,
            low_freq_factor: 1.0,
            high_freq_factor: 4.0,
            original_context: 8_192,
        };
        let plain = DecoderConfig { rope_scaling: RopeScaling::None, ..config.clone() }.inverse_frequencies();
        let scaled = DecoderConfig { rope_scaling: scaling.clone(), ..config.clone() }.inverse_frequencies();
        let is_same = factors
            .iter()
            .zip(plain.iter().zip(scaled))
            .all(|(got, (plain, scaled))| (f64::from(*got) * scaled / plain - 1.0).abs() <= 1e-3);
        if is_same {
            return Ok(scaling);
        }
        let what = "a table of rope factors other than Llama 3's (tensor rope_freqs.weight)".into();
        Err(ModelError::Refused { path: self.path().into(), what })
    }

    pub(super) fn path(&self) -> &Path {
        &self.header.path
    }

    pub(super) fn num_bytes(&self) -> u64 {
        self.header.num_bytes
    }

    pub(super) fn names(&self) -> Vec<&str> {
        self.names.keys().map(String::as_str).collect()
    }

    fn tensor(&self, name: &str) -> Option<&GgufTensor> {
        self.header.tensor(self.names.get(name)?)
    }

    pub(super) fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.tensor(name).map(|tensor| tensor.shape.clone())
    }

    pub(super) fn ggml_dtype(&self, name: &str) -> Option<GgmlDType> {
        self.tensor(name).map(|tensor| tensor.dtype)
    }

    pub(super) fn dtype(&self, name: &str) -> Option<String> {
        self.tensor(name).map(|tensor| dtype_name(tensor.dtype))
    }

    pub(super) fn read(&self, name: &str) -> Result<Vec<f32>, ModelError> {
        let tensor = self.known(name)?;
        self.in_order(name, tensor, self.values(tensor)?)
    }

    /// A tensor's bytes as they are stored, and what they mean.
    pub(super) fn read_stored(&self, name: &str) -> Result<(Vec<u8>, GgmlDType), ModelError> {
        let tensor = self.known(name)?;
        let count = tensor.shape.iter().product();
        let bytes = read_stored(self.path(), tensor.offset, count, tensor.dtype)?;
        Ok((self.in_order(name, tensor, bytes)?, tensor.dtype))
    }

    fn known(&self, name: &str) -> Result<&GgufTensor, ModelError> {
        let missing = || ModelError::Missing { path: self.path().into(), what: format!("tensor {name}") };
        self.tensor(name).ok_or_else(missing)
    }

    /// Rows of q and k in Hugging Face's order; `values` are numbers or whole rows of bytes.
    fn in_order<T: Copy>(
        &self,
        name: &str,
        tensor: &GgufTensor,
        values: Vec<T>,
    ) -> Result<Vec<T>, ModelError> {
        let heads = match self.permuted_heads {
            Some((q, _)) if name.contains(".q_proj.") => q,
            Some((_, k)) if name.contains(".k_proj.") => k,
            _ => return Ok(values),
        };
        let rows = tensor.shape.first().copied().unwrap_or(0);
        if heads == 0 || !rows.is_multiple_of(2 * heads) {
            let why = format!("has {rows} rows, which {heads} heads cannot share evenly");
            return Err(ModelError::Tensor { path: self.path().into(), tensor: name.into(), why });
        }
        Ok(unpermuted(&values, rows, heads))
    }

    fn values(&self, tensor: &GgufTensor) -> Result<Vec<f32>, ModelError> {
        let count = tensor.shape.iter().product();
        match tensor.dtype {
            GgmlDType::F32 => read_plain(self.path(), tensor.offset, count, Plain::F32),
            GgmlDType::F16 => read_plain(self.path(), tensor.offset, count, Plain::F16),
            GgmlDType::BF16 => read_plain(self.path(), tensor.offset, count, Plain::Bf16),
            dtype => read_quantised(self.path(), tensor.offset, count, dtype),
        }
    }
}

/// Undoes llama.cpp's order of the rows of q and k. Its rope turns neighbours (2i, 2i+1) where Hugging Face's turns
/// (i, i + e/2), so within each head its row 2i + half is Hugging Face's row half * e/2 + i.
fn unpermuted<T: Copy>(values: &[T], rows: usize, heads: usize) -> Vec<T> {
    let width = values.len() / rows;
    let half = rows / heads / 2;
    let mut out = Vec::with_capacity(values.len());
    for head in 0..heads {
        for side in 0..2 {
            for i in 0..half {
                let row = head * 2 * half + 2 * i + side;
                out.extend_from_slice(&values[row * width..(row + 1) * width]);
            }
        }
    }
    out
}
