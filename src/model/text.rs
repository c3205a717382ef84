//! What a model's files say about text: its chat template, and the tokens that begin and end.

use std::collections::BTreeMap;

/// As the files say it; most of it may be absent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TextSettings {
    /// Jinja source.
    pub chat_template: Option<String>,
    /// The text of the token that begins a sequence.
    pub bos: Option<String>,
    /// The text of the token that ends an answer.
    pub eos: Option<String>,
    /// All tokens that end an answer.
    pub eos_ids: Vec<u32>,
    /// Whether a text begins with `bos`; where this is absent the tokenizer says it.
    pub add_bos: Option<bool>,
    /// Other tokens with a meaning, by the names of tokenizer_config.json: `mask_token`, `pad_token`…
    pub specials: BTreeMap<String, String>,
}
