//! A model with or without an adapter, answering: the decoder, its cache, and the hooks.

use super::generate::{NextLogits, Together};
use crate::model::ModelError;
use crate::model::cache::Cache;
use crate::model::decoder::Decoder;
use crate::model::error::During;
use crate::model::hooks::{Hooks, NoHooks};
use crate::peft::{Adapter, PeftError};
use std::rc::Rc;

/// One conversation's state. Several may share one decoder. It remembers between prompts: `reset` it when the weights of
/// its adapter have changed.
pub struct Session<'a> {
    decoder: &'a Decoder,
    hooks: Rc<dyn Hooks>,
    cache: Cache,
    /// The tokens whose keys and values are in the cache.
    fed: Vec<u32>,
}

impl<'a> Session<'a> {
    /// The base model when `adapter` is absent.
    pub fn new(decoder: &'a Decoder, adapter: Option<&Adapter>) -> Result<Self, PeftError> {
        let hooks: Rc<dyn Hooks> = match adapter {
            Some(adapter) => adapter.hooks()?.into(),
            None => Rc::new(NoHooks),
        };
        Ok(Self { decoder, hooks, cache: Cache::new(decoder.config().num_layers), fed: Vec::new() })
    }
}

impl NextLogits for Session<'_> {
    fn next(&mut self, tokens: &[u32]) -> Result<Vec<f32>, ModelError> {
        Self::next_together(&mut [(self, tokens)]).map(|mut all| all.swap_remove(0))
    }

    fn num_fed(&self) -> usize {
        self.fed.len()
    }

    fn context_tokens(&self) -> usize {
        self.decoder.config().context_tokens.saturating_sub(self.hooks.num_virtual_tokens())
    }

    fn num_read(&self, prompt_ids: &[u32]) -> usize {
        self.decoder.config().encoder.map_or(0, |encoder| encoder.num_read(prompt_ids))
    }

    fn reset(&mut self) {
        self.fed.clear();
        self.cache.clear();
    }

    /// Few-shot prompts often differ in their last line only: what they have in common is fed once.
    fn begin(&mut self, prompt_ids: &[u32]) {
        let common = self.fed.iter().zip(prompt_ids).take_while(|(a, b)| a == b).count();
        let kept = common.min(prompt_ids.len().saturating_sub(1));
        self.fed.truncate(kept);
        self.cache.truncate(kept);
    }
}

impl Together for Session<'_> {
    fn fork(&self) -> Result<Self, ModelError> {
        Ok(Self {
            decoder: self.decoder,
            hooks: self.hooks.clone(),
            cache: self.cache.fork().during("copy of the cache")?,
            fed: self.fed.clone(),
        })
    }

    fn next_together(rows: &mut [(&mut Self, &[u32])]) -> Result<Vec<Vec<f32>>, ModelError> {
        let Some((first, _)) = rows.first() else { return Ok(Vec::new()) };
        let (decoder, hooks) = (first.decoder, first.hooks.clone());
        debug_assert!(rows.iter().all(|(row, _)| Rc::ptr_eq(&row.hooks, &hooks)), "forks of one session");
        let mut feeds: Vec<_> = rows.iter_mut().map(|(row, tokens)| (*tokens, &mut row.cache)).collect();
        let logits = decoder.extend_rows(&mut feeds, hooks.as_ref());
        for (row, tokens) in rows {
            match &logits {
                Ok(_) => row.fed.extend_from_slice(tokens),
                // Some layers may have gone ahead of the others.
                Err(_) => row.cache.truncate(row.fed.len()),
            }
        }
        logits
    }
}
