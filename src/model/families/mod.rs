//! The families of decoders and encoders. A family is a table of names and numbers and, where it differs from the others in what its
//! config.json says, how that is read and written. There is one block for all.

mod bert;
mod distilbert;
mod gemma;
mod gpt2;
mod granite;
mod llama;
mod modernbert;
mod neox;
mod olmo2;
mod phi3;
mod qwen;
mod roberta;
mod smollm3;
mod t5;

use super::ModelError;
use super::config::gguf::Fields as GgufFields;
use super::config::json::Fields;
use super::config::{DecoderConfig, Pooling};
use super::hooks::{Linear, NormAt, Projection};
use serde_json::{Map, Value};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    Llama,
    Mistral,
    Qwen2,
    Qwen3,
    SmolLm3,
    Granite,
    Phi3,
    Olmo2,
    Gemma,
    Gemma2,
    Gemma3,
    Gpt2,
    GptNeoX,
    Bert,
    DistilBert,
    Roberta,
    XlmRoberta,
    ModernBert,
    T5,
    T5Gated,
}

impl Family {
    pub const ALL: [Self; 20] = [
        Self::Llama,
        Self::Mistral,
        Self::Qwen2,
        Self::Qwen3,
        Self::SmolLm3,
        Self::Granite,
        Self::Phi3,
        Self::Olmo2,
        Self::Gemma,
        Self::Gemma2,
        Self::Gemma3,
        Self::Gpt2,
        Self::GptNeoX,
        Self::Bert,
        Self::DistilBert,
        Self::Roberta,
        Self::XlmRoberta,
        Self::ModernBert,
        Self::T5,
        Self::T5Gated,
    ];

    pub fn table(self) -> &'static Table {
        match self {
            Self::Llama => &llama::LLAMA,
            Self::Mistral => &llama::MISTRAL,
            Self::Qwen2 => &qwen::QWEN2,
            Self::Qwen3 => &qwen::QWEN3,
            Self::SmolLm3 => &smollm3::SMOLLM3,
            Self::Granite => &granite::GRANITE,
            Self::Phi3 => &phi3::PHI3,
            Self::Olmo2 => &olmo2::OLMO2,
            Self::Gemma => &gemma::GEMMA,
            Self::Gemma2 => &gemma::GEMMA2,
            Self::Gemma3 => &gemma::GEMMA3,
            Self::Gpt2 => &gpt2::GPT2,
            Self::GptNeoX => &neox::NEOX,
            Self::Bert => &bert::BERT,
            Self::DistilBert => &distilbert::DISTILBERT,
            Self::Roberta => &roberta::ROBERTA,
            Self::XlmRoberta => &roberta::XLM_ROBERTA,
            Self::ModernBert => &modernbert::MODERNBERT,
            Self::T5 => &t5::T5,
            Self::T5Gated => &t5::T5_GATED,
        }
    }

    /// By llama.cpp's name, of those whose GGUF files can be read.
    pub fn of_gguf(architecture: &str) -> Option<Self> {
        let is_called =
            |family: &Self| family.table().gguf.is_some_and(|gguf| gguf.architecture == architecture);
        Self::ALL.into_iter().find(is_called)
    }

    /// As config.json calls it in `model_type`: `llama`, `qwen2`…
    pub fn name(self) -> &'static str {
        self.table().model_type
    }

    /// "Llama, Mistral, Qwen2 and Qwen3"
    pub fn listed() -> String {
        let titles = Self::ALL.map(|family| family.table().title);
        crate::base::human::listed(&titles)
    }
}

/// PEFT's word for every linear layer of a model.
pub const ALL_LINEAR: &str = "all-linear";

/// What the forward pass and the files need to know of a family.
pub struct Table {
    /// What people call it.
    pub title: &'static str,
    /// `architectures` and `model_type` of config.json.
    pub architecture: &'static str,
    pub model_type: &'static str,
    /// Of GGUF files, where they can be read.
    pub gguf: Option<GgufTable>,
    pub keys: Keys,
    pub names: Names,
    /// In the order of [`Projection::ALL`], up to those of a second stack.
    pub modules: [&'static [Module]; 4],
    /// Where a model is two: one stack that reads and one that writes, which is what the rest of the table is about.
    pub encoder: Option<&'static EncoderTable>,
    pub norm: NormKind,
    /// The norms of a block, with their names in it.
    pub norms: &'static [(NormAt, &'static str)],
    /// Of queries and keys, before they are turned.
    pub qk_norm: Option<QkNorm>,
    /// The embedding's scale multiplies soft prompts, too: the model applies it to whatever rows it is given.
    pub scales_prompts: bool,
    /// Layers with a sliding window have a rope of their own.
    pub has_local_rope: bool,
    /// The first block has no norm before its attention.
    pub lacks_first_norm: bool,
    /// A token sees those before it and none after it. Otherwise it sees the whole text, as in an encoder.
    pub is_causal: bool,
    /// How transformers' names of the family's classes begin, where `architecture` doesn't say it.
    pub stem: Option<&'static str>,
    pub scores: Scores,
    /// Reads what of config.json the others don't have.
    pub read: fn(&Fields, &mut DecoderConfig) -> Result<(), ModelError>,
    /// Writes the same.
    pub write: fn(&DecoderConfig, &mut Map<String, Value>),
}

impl Table {
    /// The linear layers of a projection, in the order of their outputs.
    pub fn modules(&self, projection: Projection) -> &'static [Module] {
        let own = self.modules.get(projection as usize);
        let cross = || self.encoder.and_then(|encoder| encoder.cross.get(projection as usize - 4));
        own.or_else(cross).copied().unwrap_or_default()
    }

    /// Those of a block that writes, where there are two stacks: the others' have the same names.
    pub fn all_modules(&self) -> impl Iterator<Item = Module> {
        Projection::ALL.into_iter().flat_map(|projection| self.modules(projection)).copied()
    }

    /// What PEFT's targets may be called, each once.
    pub fn target_names(&self) -> Vec<&'static str> {
        let mut names: Vec<_> = self.all_modules().map(|module| module.name()).collect();
        let mut seen = std::collections::BTreeSet::new();
        names.retain(|name| seen.insert(*name));
        names
    }

    /// How the names of its classes begin: `Llama`, `Bert`.
    pub fn stem(&self) -> &'static str {
        let own = self.architecture;
        let end =
            ["ForCausalLM", "LMHeadModel", "ForMaskedLM"].into_iter().find_map(|end| own.strip_suffix(end));
        self.stem.or(end).unwrap_or(own)
    }

    /// Whether the feed-forward multiplies its activation with a second product.
    pub fn is_gated(&self) -> bool {
        !matches!(self.modules(Projection::GateUp), [Module { linear: Linear::Up, .. }])
    }
}

/// The stack that reads, of a model with two; and what the other has that looks at its rows.
pub struct EncoderTable {
    /// What stands before the number of a layer.
    pub layers: &'static str,
    pub modules: [&'static [Module]; 4],
    pub norms: &'static [(NormAt, &'static str)],
    pub final_norm: &'static str,
    /// Of the stack that writes: queries, keys and values, output.
    pub cross: [&'static [Module]; 3],
    /// The table of position biases in the first block of either stack.
    pub position_bias: &'static str,
}

/// What GGUF files of a family are like.
#[derive(Clone, Copy)]
pub struct GgufTable {
    /// llama.cpp's name of the family.
    pub architecture: &'static str,
    /// Whether llama.cpp stores the rows of q and k in its own order.
    pub is_permuted: bool,
    /// Reads what of the metadata the others don't have.
    pub read: fn(&GgufFields, &mut DecoderConfig) -> Result<(), ModelError>,
}

impl GgufTable {
    /// Whose metadata says nothing that the others' doesn't.
    const fn plain(architecture: &'static str) -> Self {
        Self { architecture, is_permuted: false, read: |_, _| Ok(()) }
    }
}

/// The names of config.json's keys, and what holds where they are missing.
pub struct Keys {
    pub width: &'static str,
    /// With how many times the width it is where it is missing, if it may be.
    pub ffn_width: (&'static str, Option<usize>),
    pub num_layers: &'static str,
    pub num_heads: &'static str,
    /// Of `head_dim`; the width shared out among the heads where there is none.
    pub head_width: Option<usize>,
    pub context: (&'static str, usize),
    pub epsilon: (&'static str, f64),
    pub theta: (&'static str, f64),
    pub activation: &'static str,
    pub ties_embeddings: bool,
    /// Of what is dropped while it learns, of hidden states and of shares of attention, and how much where that is missing.
    pub dropout: Option<[(&'static str, f64); 2]>,
}

/// As most families have them.
const USUAL_KEYS: Keys = Keys {
    width: "hidden_size",
    ffn_width: ("intermediate_size", None),
    num_layers: "num_hidden_layers",
    num_heads: "num_attention_heads",
    head_width: None,
    context: ("max_position_embeddings", 2_048),
    epsilon: ("rms_norm_eps", 1e-6),
    theta: ("rope_theta", 10_000.0),
    activation: "hidden_act",
    ties_embeddings: false,
    dropout: None,
};

/// Names of what is not in a projection.
pub struct Names {
    /// What stands before the number of a layer.
    pub layers: &'static str,
    /// What all names begin with but those of heads, unless a file holds nothing else.
    pub body: &'static str,
    pub embedding: &'static str,
    /// Where positions are learned.
    pub positions: Option<&'static str>,
    /// Where a token's embedding says which of two texts it is of.
    pub types: Option<&'static str>,
    pub embedding_norm: Option<&'static str>,
    pub final_norm: Option<&'static str>,
    pub head: &'static str,
    /// What an encoder's states go through before they predict tokens.
    pub transform: Option<Transform>,
}

/// A dense layer, the activation, and a norm, before the vocabulary projection; and that one's bias.
#[derive(Clone, Copy)]
pub struct Transform {
    pub dense: &'static str,
    pub norm: &'static str,
    /// The whole name.
    pub bias: &'static str,
}

/// What makes a class or a score of a text in transformers' `…ForSequenceClassification`.
#[derive(Clone, Copy)]
pub struct Scores {
    /// A dense layer with tanh that belongs to the body.
    pub pooler: Option<&'static str>,
    /// A dense layer of the head.
    pub dense: Option<(&'static str, Bend)>,
    pub norm: Option<&'static str>,
    pub out: &'static str,
    pub has_bias: bool,
    /// What of the hidden states it can read; the usual one first.
    pub poolings: &'static [Pooling],
}

/// What follows the dense layer of a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bend {
    Tanh,
    Relu,
    /// The one of the masked head.
    Own,
}

const USUAL_NAMES: Names = Names {
    layers: "model.layers.",
    body: "model.",
    embedding: "model.embed_tokens",
    positions: None,
    types: None,
    embedding_norm: None,
    final_norm: Some("model.norm"),
    head: "lm_head",
    transform: None,
};

/// A linear layer of every block, as the family's checkpoints have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Module {
    pub linear: Linear,
    /// `self_attn.q_proj`
    pub path: &'static str,
    pub stored: Stored,
}

impl Module {
    const fn new(linear: Linear, path: &'static str) -> Self {
        Self { linear, path, stored: Stored::Plainly }
    }

    /// `q_proj`, which PEFT's targets are called by.
    pub fn name(&self) -> &'static str {
        self.path.rsplit('.').next().unwrap_or(self.path)
    }

    /// Whether PEFT means it by a target: its name or the end of its path.
    pub fn is_meant_by(&self, target: &str) -> bool {
        self.path == target || self.path.strip_suffix(target).is_some_and(|rest| rest.ends_with('.'))
    }
}

/// How a file holds the matrix [out, in] of a linear layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    Plainly,
    /// As [in, out].
    Transposed,
    /// Its rows are query, key and value of the first head, then of the second, and so on.
    HeadByHead,
}

const USUAL_QKV: &[Module] = &[
    Module::new(Linear::Q, "self_attn.q_proj"),
    Module::new(Linear::K, "self_attn.k_proj"),
    Module::new(Linear::V, "self_attn.v_proj"),
];
const USUAL_O: &[Module] = &[Module::new(Linear::O, "self_attn.o_proj")];
const USUAL_GATE_UP: &[Module] =
    &[Module::new(Linear::Gate, "mlp.gate_proj"), Module::new(Linear::Up, "mlp.up_proj")];
const USUAL_DOWN: &[Module] = &[Module::new(Linear::Down, "mlp.down_proj")];
const USUAL_MODULES: [&[Module]; 4] = [USUAL_QKV, USUAL_O, USUAL_GATE_UP, USUAL_DOWN];

/// Before attention and before the feed-forward.
const USUAL_NORMS: &[(NormAt, &str)] =
    &[(NormAt::BeforeAttention, "input_layernorm"), (NormAt::BeforeFeedForward, "post_attention_layernorm")];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NormKind {
    Rms,
    /// RMS, whose weight is what is added to one (Gemma).
    RmsPlusOne,
    /// With a mean and a bias.
    Layer,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QkNorm {
    EachHead,
    /// All queries of a token together, and all keys.
    Whole,
}
