//! P-tuning (Liu et al. 2021, arXiv:2103.10385): rows before the embedded tokens that a small network makes from trained
//! embeddings. The network is PEFT's usual one, three linear layers; its LSTM is left out.

use super::virtual_files::{self, Described};
use super::{Adapter, MicroStep, PeftError, Tuning, encoder, prompt};
use crate::model::config::{DecoderConfig, Needed};
use crate::model::error::During;
use crate::model::flops::Work;
use crate::model::folder::Description;
use crate::model::hooks::Hooks;
use crate::model::load::LoadedModel;
use crate::nn::ops::{self, Activation};
use crate::nn::{FlatParams, Leaves, Node, Result, Tape};
use serde_json::json;
use std::path::Path;

/// What distinguishes one P-tuning from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PTuningSettings {
    pub num_tokens: usize,
    /// Width of the two inner layers of the network.
    pub encoder_width: usize,
}

/// linear, ReLU, linear, ReLU, linear: [p, d].
pub(super) fn encoded(leaves: Leaves, tape: &Tape) -> Result<Node> {
    let bent = |x: Node| ops::activate(tape, &x, Activation::Relu);
    let hidden = bent(encoder::apply(tape, &leaves, 1, &leaves.get(0)?)?)?; // [p, w]
    let hidden = bent(encoder::apply(tape, &leaves, 3, &hidden)?)?; // [p, w]
    encoder::apply(tape, &leaves, 5, &hidden)
}

impl Tuning for PTuningSettings {
    fn parameters(&self, config: &DecoderConfig) -> Vec<Needed> {
        let (d, w) = (config.width, self.encoder_width);
        let mut all = vec![encoder::embedding(self.num_tokens, d)];
        for (name, outputs, inputs) in [("mlp_head.0", w, d), ("mlp_head.2", w, w), ("mlp_head.4", d, w)] {
            all.extend(encoder::linear(name, outputs, inputs));
        }
        all
    }

    fn init(&self, model: &LoadedModel, seed: u64) -> std::result::Result<FlatParams, PeftError> {
        let needed = self.parameters(model.config());
        Ok(encoder::new_encoder(needed, seed, model.decoder.device()).during("make the encoder")?)
    }

    fn attach(
        &self,
        _config: &DecoderConfig,
        leaves: Leaves,
        step: Option<&MicroStep>,
    ) -> Result<Box<dyn Hooks>> {
        let inference = Tape::inference();
        let prompt = encoded(leaves, step.map_or(&inference, |step| step.tape))?;
        Ok(Box::new(encoder::SoftPrompt(prompt)))
    }

    fn save(
        &self,
        adapter: &Adapter,
        _base: &Description,
        folder: &Path,
    ) -> std::result::Result<(), PeftError> {
        let prompt = encoded(adapter.params.frozen(), &Tape::inference()).during("make the prompt")?;
        let described = Described {
            peft_type: virtual_files::P_TUNING,
            num_virtual_tokens: self.num_tokens,
            has_encoder: true,
            more: json!({
                "encoder_reparameterization_type": "MLP",
                "encoder_hidden_size": self.encoder_width,
                "encoder_num_layers": 2,
                "encoder_dropout": 0.0,
            }),
        };
        virtual_files::save(adapter, described, prompt.value().clone(), folder)
    }

    fn cannot_merge(&self) -> Option<&'static str> {
        Some("a soft prompt stands before the text: the model's weights have no place for it")
    }

    /// The virtual tokens are rows like others, and counted as such.
    fn kept(&self, _config: &DecoderConfig) -> u64 {
        0
    }

    /// The virtual tokens; what made them stays behind.
    fn num_saved(&self, config: &DecoderConfig) -> u64 {
        (self.num_tokens as u64).saturating_mul(config.width as u64)
    }

    fn flops(&self, config: &DecoderConfig, work: Work) -> f64 {
        prompt::soft_prompt_flops(config, work, self.num_tokens)
    }
}
