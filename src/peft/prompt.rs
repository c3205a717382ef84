//! Prompt tuning (Lester et al. 2021, arXiv:2104.08691): trained rows before the embedded tokens, and nothing else.

use super::virtual_files::{self, Described};
use super::{Adapter, MicroStep, PeftError, Tuning, encoder};
use crate::model::config::{DecoderConfig, Needed};
use crate::model::error::During;
use crate::model::flops::{Learning, Work};
use crate::model::folder::Description;
use crate::model::hooks::{Hooks, Part};
use crate::model::load::LoadedModel;
use crate::nn::{FlatParams, Leaves, Result};
use candle_core::Tensor;
use serde_json::json;
use std::path::Path;

/// What distinguishes one soft prompt from another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PromptSettings {
    pub num_tokens: usize,
    pub init: PromptInit,
}

/// What a soft prompt begins as.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum PromptInit {
    /// Of the normal distribution.
    Random,
    /// The embeddings of tokens drawn at random.
    #[default]
    Vocabulary,
    /// The embeddings of a text's tokens, repeated or cut to the length.
    Text(String),
}

impl PromptInit {
    /// As PEFT names it.
    pub(super) fn peft_name(&self) -> &'static str {
        match self {
            Self::Random => "RANDOM",
            Self::Vocabulary => "SAMPLE_VOCAB",
            Self::Text(_) => "TEXT",
        }
    }
}

impl PromptSettings {
    fn new_prompt(&self, model: &LoadedModel, seed: u64) -> std::result::Result<Tensor, PeftError> {
        let mut rng = encoder::stream(seed, 0);
        let tokens: Vec<u32> = match &self.init {
            PromptInit::Random => {
                let shape = [self.num_tokens, model.config().width];
                return Ok(encoder::new_embedding(&shape, &mut rng).during("make the prompt")?);
            }
            PromptInit::Vocabulary => {
                let vocabulary = model.config().vocabulary;
                (0..self.num_tokens).map(|_| rng.below(vocabulary) as u32).collect()
            }
            PromptInit::Text(text) => {
                let tokens = model.tokeniser.encode(text).map_err(|e| PeftError::Text(e.to_string()))?;
                if tokens.is_empty() {
                    return Err(PeftError::Text("it has no tokens".into()));
                }
                tokens.into_iter().cycle().take(self.num_tokens).collect()
            }
        };
        Ok(model.decoder.embedded(&tokens)?)
    }
}

impl Tuning for PromptSettings {
    fn parameters(&self, config: &DecoderConfig) -> Vec<Needed> {
        vec![encoder::needed(virtual_files::EMBEDDINGS.into(), vec![self.num_tokens, config.width])]
    }

    fn init(&self, model: &LoadedModel, seed: u64) -> std::result::Result<FlatParams, PeftError> {
        let named = vec![(virtual_files::EMBEDDINGS.into(), self.new_prompt(model, seed)?)];
        Ok(FlatParams::new(named, model.decoder.device()).during("make the prompt")?)
    }

    fn attach(
        &self,
        _config: &DecoderConfig,
        leaves: Leaves,
        _step: Option<&MicroStep>,
    ) -> Result<Box<dyn Hooks>> {
        Ok(Box::new(encoder::SoftPrompt(leaves.get(0)?)))
    }

    fn save(
        &self,
        adapter: &Adapter,
        _base: &Description,
        folder: &Path,
    ) -> std::result::Result<(), PeftError> {
        let text = match &self.init {
            PromptInit::Text(text) => Some(text),
            _ => None,
        };
        let described = Described {
            peft_type: virtual_files::PROMPT,
            num_virtual_tokens: self.num_tokens,
            has_encoder: false,
            more: json!({
                "prompt_tuning_init": self.init.peft_name(),
                "prompt_tuning_init_text": text,
                // PEFT asks for one beside a text, and does not open it.
                "tokenizer_name_or_path": text.map(|_| &adapter.base_model),
            }),
        };
        let embeddings = adapter.params.get(0).during("read the prompt")?;
        virtual_files::save(adapter, described, embeddings, folder)
    }

    fn cannot_merge(&self) -> Option<&'static str> {
        Some("a soft prompt stands before the text: the model's weights have no place for it")
    }

    /// The virtual tokens are rows like others, and counted as such.
    fn kept(&self, _config: &DecoderConfig) -> u64 {
        0
    }

    fn flops(&self, config: &DecoderConfig, work: Work) -> f64 {
        soft_prompt_flops(config, work, self.num_tokens)
    }
}

/// Of the frozen model on segments that are longer by `num_tokens`. The small products of an encoder are left out.
pub(super) fn soft_prompt_flops(config: &DecoderConfig, work: Work, num_tokens: usize) -> f64 {
    let segments: Vec<usize> = work.segments.iter().map(|len| len + num_tokens).collect();
    config.training_flops(Work { segments: &segments, ..work }, &|part| match part {
        Part::Embedding => Learning::Beside,
        _ => Learning::No,
    })
}
