//! A GGUF file under Hugging Face names, dequantised, in Hugging Face's order of rows.

use super::block::{Plain, read_plain, read_quantised, read_stored};
use super::gguf_header::{GgufHeader, GgufTensor, dtype_name};
use crate::model::ModelError;
use crate::model::config::{DecoderConfig, Family, RopeScaling};
use crate::model::families::{NormKind, Table};
use crate::model::hooks::{Linear, NormAt};
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
    /// llama.cpp stores the weights of norms with the one that the model adds to them.
    adds_one: bool,
}

/// `blk.3.attn_q.weight` -> `model.layers.3.self_attn.q_proj.weight`.
fn hub_name(name: &str, table: &Table) -> Option<String> {
    let names = &table.names;
    let (part, kind) = name.rsplit_once('.').filter(|(_, kind)| ["weight", "bias"].contains(kind))?;
    let top = match part {
        "token_embd" => Some(names.embedding),
        "position_embd" => names.positions,
        "output_norm" => names.final_norm,
        "output" => Some(names.head),
        _ => None,
    };
    if let Some(top) = top {
        return Some(format!("{top}.{kind}"));
    }
    let (layer, part) = part.strip_prefix("blk.")?.split_once('.')?;
    let layer: usize = layer.parse().ok()?;
    let path = match part {
        "attn_norm" => norm(table, NormAt::BeforeAttention)?,
        "post_attention_norm" => norm(table, NormAt::AfterAttention)?,
        "ffn_norm" => norm(table, NormAt::BeforeFeedForward)?,
        "post_ffw_norm" => norm(table, NormAt::AfterFeedForward)?,
        "attn_q_norm" => "self_attn.q_norm",
        "attn_k_norm" => "self_attn.k_norm",
        "attn_q" => module(table, &[Linear::Q])?,
        "attn_k" => module(table, &[Linear::K])?,
        "attn_v" => module(table, &[Linear::V])?,
        "attn_qkv" => module(table, &[Linear::Qkv])?,
        "attn_output" => module(table, &[Linear::O])?,
        "ffn_gate" => module(table, &[Linear::Gate])?,
        "ffn_up" => module(table, &[Linear::Up, Linear::GateUp])?,
        "ffn_down" => module(table, &[Linear::Down])?,
        _ => return None,
    };
    Some(format!("{}{layer}.{path}.{kind}", names.layers))
}

fn norm(table: &Table, at: NormAt) -> Option<&'static str> {
    table.norms.iter().find(|(other, _)| *other == at).map(|(_, name)| *name)
}

fn module(table: &Table, linears: &[Linear]) -> Option<&'static str> {
    table.all_modules().find(|module| linears.contains(&module.linear)).map(|module| module.path)
}

impl Gguf {
    /// Reads the header of a GGUF file.
    ///
    /// # Errors
    /// As [`GgufHeader::read`].
    pub fn open(path: &Path) -> Result<Self, ModelError> {
        let header = GgufHeader::read(path)?;
        let architecture = header.text("general.architecture").unwrap_or_default();
        let family = Family::of_gguf(architecture);
        let named =
            |(name, _): (&str, &GgufTensor)| Some((hub_name(name, family?.table())?, name.to_string()));
        let names = header.tensors().filter_map(named).collect();
        // A number, or one a layer; the config refuses layers that differ.
        let heads = |key: &str| {
            let value = header.value(key)?;
            let number = value.integer().or_else(|| value.integers()?.first().copied())?;
            usize::try_from(number).ok()
        };
        let permuted_heads = family
            .filter(|family| family.table().gguf.is_some_and(|gguf| gguf.is_permuted))
            .and_then(|_| heads(&format!("{architecture}.attention.head_count")))
            .map(|q| (q, heads(&format!("{architecture}.attention.head_count_kv")).unwrap_or(q)));
        let adds_one = family.is_some_and(|family| family.table().norm == NormKind::RmsPlusOne);
        Ok(Self { header, names, permuted_heads, adds_one })
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
        let mut values = self.values(tensor)?;
        if self.adds_one && tensor.shape.len() == 1 {
            values.iter_mut().for_each(|value| *value -= 1.0);
        }
        self.in_order(name, tensor, values)
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
