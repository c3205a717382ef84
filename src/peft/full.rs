//! Full tuning: every weight of the model is a parameter.

use super::{Adapter, PeftError, Settings};
use crate::base::storage;
use crate::model::ModelError;
use crate::model::config::DecoderConfig;
use crate::model::decoder::Decoder;
use crate::model::error::During;
use crate::model::files::ModelFiles;
use crate::model::hooks::{Hooks, Part, Projection, Site};
use crate::nn::{FlatParams, Leaves, Node, Result};
use candle_core::Device;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

pub(super) const CONFIG_FILE: &str = "config.json";
const MAX_CONFIG_BYTES: u64 = 1 << 20;

/// A tensor of the model as the forward pass reads it, and the tensors of a checkpoint that it is made of, one above the
/// other.
struct Group {
    part: Part,
    /// Names as in Hugging Face's files, and numbers of rows.
    tensors: Vec<(String, usize)>,
}

/// All tensors, in the order of the flat buffer.
fn groups(config: &DecoderConfig) -> Vec<Group> {
    let (d, e) = (config.width, config.head_width);
    let one = |part, name: String, rows| Group { part, tensors: vec![(name, rows)] };
    let mut all = vec![one(Part::Embedding, "model.embed_tokens.weight".into(), config.vocabulary)];
    for layer in 0..config.num_layers {
        let norm = |part, name: &str, rows| one(part, format!("model.layers.{layer}.{name}.weight"), rows);
        all.push(norm(Part::InputNorm(layer), "input_layernorm", d));
        all.push(norm(Part::PostAttentionNorm(layer), "post_attention_layernorm", d));
        if config.has_qk_norm {
            all.push(norm(Part::QueryNorm(layer), "self_attn.q_norm", e));
            all.push(norm(Part::KeyNorm(layer), "self_attn.k_norm", e));
        }
        for projection in Projection::ALL {
            let tensors = |kind: &str| {
                let name = |linear| format!("{}.{kind}", Site { layer, linear });
                projection.linears().iter().map(|l| (name(*l), config.linear_shape(*l).0)).collect()
            };
            all.push(Group { part: Part::Weight(layer, projection), tensors: tensors("weight") });
            if config.has_bias(projection.linears()[0]) {
                all.push(Group { part: Part::Bias(layer, projection), tensors: tensors("bias") });
            }
        }
    }
    all.push(one(Part::FinalNorm, "model.norm.weight".into(), d));
    if !config.has_tied_embeddings {
        all.push(one(Part::Head, "lm_head.weight".into(), config.vocabulary));
    }
    all
}

/// The parameters of `decoder`, in f32, under their names in Hugging Face's files.
pub fn init(decoder: &Decoder) -> std::result::Result<FlatParams, ModelError> {
    let mut named = Vec::new();
    for group in groups(decoder.config()) {
        let whole = decoder.tensor(group.part)?;
        let mut first = 0;
        for (name, rows) in group.tensors {
            named.push((name, whole.narrow(0, first, rows).during("split the weights")?));
            first += rows;
        }
    }
    FlatParams::new(named, decoder.device()).during("copy the weights")
}

/// Reads the parameters of a model folder that has the shapes of `config`.
pub fn load(
    folder: &Path,
    config: &DecoderConfig,
    device: &Device,
) -> std::result::Result<Adapter, PeftError> {
    let files = ModelFiles::open(&folder.to_string_lossy(), folder)?;
    let needed = config.tensors();
    if let Some((name, _)) = files.config.tensors().into_iter().find(|tensor| !needed.contains(tensor)) {
        let path = folder.to_path_buf();
        return Err(PeftError::Tensor {
            path,
            tensor: name,
            why: "the base model has no such tensor".into(),
        });
    }
    let mut named = Vec::new();
    for (name, _) in groups(config).into_iter().flat_map(|group| group.tensors) {
        let tensor = files.weights.read(&name, device)?;
        named.push((name, tensor));
    }
    let params = FlatParams::new(named, device).during("copy the weights")?;
    let base_model = base_model(folder).unwrap_or_default();
    Ok(Adapter { settings: Settings::Full, params, base_model, config: config.clone() })
}

/// The model that a tuned one says that it was made from.
pub fn base_model(folder: &Path) -> Option<String> {
    let text = storage::read_text_bounded(&folder.join(CONFIG_FILE), MAX_CONFIG_BYTES).ok()?;
    let config: Value = serde_json::from_str(&text).ok()?;
    config["_name_or_path"].as_str().filter(|name| !name.is_empty()).map(String::from)
}

/// The parameters in the places of the model's own tensors.
pub struct FullHooks {
    nodes: BTreeMap<Part, Node>,
    has_tied_embeddings: bool,
}

impl FullHooks {
    pub fn new(config: &DecoderConfig, leaves: Leaves) -> Result<Self> {
        let mut nodes = BTreeMap::new();
        let mut next = 0;
        for group in groups(config) {
            let parts = next..next + group.tensors.len();
            next = parts.end;
            let node = match group.part {
                Part::Weight(..) => leaves.stacked(parts)?,
                Part::Bias(..) => leaves.joined(parts)?,
                _ => leaves.get(parts.start)?,
            };
            nodes.insert(group.part, node);
        }
        Ok(Self { nodes, has_tied_embeddings: config.has_tied_embeddings })
    }
}

impl Hooks for FullHooks {
    fn replaced(&self, part: Part) -> Option<&Node> {
        match part {
            Part::Head if self.has_tied_embeddings => self.nodes.get(&Part::Embedding),
            part => self.nodes.get(&part),
        }
    }
}
