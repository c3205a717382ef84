//! A model with or without an adapter, answering: the decoder, its cache, and the hooks.

use super::generate::NextLogits;
use crate::model::ModelError;
use crate::model::cache::Cache;
use crate::model::decoder::Decoder;
use crate::model::hooks::{Hooks, NoHooks};
use crate::peft::{Adapter, PeftError};

/// One conversation's state. Several may share one decoder. It remembers between prompts: `reset` it when the weights of
/// its adapter have changed.
pub struct Session<'a> {
    decoder: &'a Decoder,
    hooks: Box<dyn Hooks>,
    cache: Cache,
    /// The tokens whose keys and values are in the cache.
    fed: Vec<u32>,
}

impl<'a> Session<'a> {
    /// The base model when `adapter` is absent.
    pub fn new(decoder: &'a Decoder, adapter: Option<&Adapter>) -> Result<Self, PeftError> {
        let hooks: Box<dyn Hooks> = match adapter {
            Some(adapter) => adapter.hooks()?,
            None => Box::new(NoHooks),
        };
        Ok(Self { decoder, hooks, cache: Cache::new(decoder.config().num_layers), fed: Vec::new() })
    }
}

impl NextLogits for Session<'_> {
    fn next(&mut self, tokens: &[u32]) -> Result<Vec<f32>, ModelError> {
        let logits = self.decoder.extend(tokens, &mut self.cache, self.hooks.as_ref());
        match &logits {
            Ok(_) => self.fed.extend_from_slice(tokens),
            // Some layers may have gone ahead of the others.
            Err(_) => self.cache.truncate(self.fed.len()),
        }
        logits
    }

    fn num_fed(&self) -> usize {
        self.fed.len()
    }

    fn context_tokens(&self) -> usize {
        self.decoder.config().context_tokens
    }

    fn reset(&mut self) {
        self.fed.clear();
        self.cache.truncate(0);
    }

    /// Few-shot prompts often differ in their last line only: what they have in common is fed once.
    fn begin(&mut self, prompt_ids: &[u32]) {
        let common = self.fed.iter().zip(prompt_ids).take_while(|(a, b)| a == b).count();
        let kept = common.min(prompt_ids.len().saturating_sub(1));
        self.fed.truncate(kept);
        self.cache.truncate(kept);
    }
}
