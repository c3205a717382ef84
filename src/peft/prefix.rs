//! Prefix tuning (Li & Liang 2021, arXiv:2101.00190): trained keys and values before the first token, in every layer; as they
//! are, or made by a small network from trained embeddings.

use super::virtual_files::{self, Described};
use super::{Adapter, MicroStep, PeftError, Tuning, encoder};
use crate::model::config::{DecoderConfig, Needed};
use crate::model::error::During;
use crate::model::flops::{Learning, Work};
use crate::model::folder::Description;
use crate::model::hooks::{Hooks, Part, Projection};
use crate::model::load::LoadedModel;
use crate::nn::{FlatParams, Leaves, Node, Result, Tape, ops};
use candle_core::Tensor;
use serde_json::json;
use std::path::Path;

/// Parameters before the network's output layers: the embedding, and weight and bias of the layer between.
const BEFORE_LAYERS: usize = 3;

/// What distinguishes one prefix from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrefixSettings {
    pub num_tokens: usize,
    /// Width of the network that makes the prefix: linear, tanh, linear. Without it the keys and values themselves are trained.
    pub projection_width: Option<usize>,
}

impl PrefixSettings {
    /// The prefix of each layer, [p, 2k·e]: keys, then values.
    pub(super) fn prefixes(&self, config: &DecoderConfig, leaves: Leaves, tape: &Tape) -> Result<Vec<Node>> {
        let layers = 0..config.num_layers;
        if self.projection_width.is_none() {
            return layers.map(|layer| leaves.get(layer)).collect();
        }
        let hidden = ops::tanh(tape, &encoder::apply(tape, &leaves, 1, &leaves.get(0)?)?)?; // [p, w]
        layers.map(|layer| encoder::apply(tape, &leaves, BEFORE_LAYERS + 2 * layer, &hidden)).collect()
    }
}

impl Tuning for PrefixSettings {
    /// The network's last linear layer is one for each layer of the model, which read the same input.
    fn parameters(&self, config: &DecoderConfig) -> Vec<Needed> {
        let width = encoder::layer_width(config);
        let Some(hidden) = self.projection_width else {
            let of_layer = |layer| encoder::needed(format!("prefix.{layer}"), vec![self.num_tokens, width]);
            return (0..config.num_layers).map(of_layer).collect();
        };
        let inputs = width / 2;
        let mut all = vec![encoder::embedding(self.num_tokens, inputs)];
        all.extend(encoder::linear("transform.0", hidden, inputs));
        all.extend(
            (0..config.num_layers)
                .flat_map(|layer| encoder::linear(&format!("transform.2.{layer}"), width, hidden)),
        );
        all
    }

    fn init(&self, model: &LoadedModel, seed: u64) -> std::result::Result<FlatParams, PeftError> {
        let (needed, device) = (self.parameters(model.config()), model.decoder.device());
        let params = match self.projection_width {
            Some(_) => encoder::new_encoder(needed, seed, device),
            None => {
                let new = |(layer, Needed { name, shape, .. }): (usize, Needed)| -> Result<(String, Tensor)> {
                    Ok((name, encoder::new_embedding(&shape, &mut encoder::stream(seed, layer as u64))?))
                };
                let named = needed.into_iter().enumerate().map(new).collect::<Result<Vec<_>>>();
                named.and_then(|named| FlatParams::new(named, device))
            }
        };
        Ok(params.during("make the prefix")?)
    }

    fn attach(
        &self,
        config: &DecoderConfig,
        leaves: Leaves,
        step: Option<&MicroStep>,
    ) -> Result<Box<dyn Hooks>> {
        let inference = Tape::inference();
        let prefixes = self.prefixes(config, leaves, step.map_or(&inference, |step| step.tape))?;
        Ok(Box::new(PrefixHooks(prefixes)))
    }

    fn save(
        &self,
        adapter: &Adapter,
        _base: &Description,
        folder: &Path,
    ) -> std::result::Result<(), PeftError> {
        let config = &adapter.config;
        let layers = self.prefixes(config, adapter.params.frozen(), &Tape::inference());
        let layers = layers.during("make the prefix")?;
        let layers: Vec<&Tensor> = layers.iter().map(Node::value).collect();
        let described = Described {
            peft_type: virtual_files::PREFIX,
            num_virtual_tokens: self.num_tokens,
            has_encoder: self.projection_width.is_some(),
            more: json!({
                "prefix_projection": self.projection_width.is_some(),
                "encoder_hidden_size": self.projection_width.unwrap_or(encoder::layer_width(config) / 2),
            }),
        };
        let embeddings = Tensor::cat(&layers, 1).during("make the prefix")?; // [p, 2 l k·e]
        virtual_files::save(adapter, described, embeddings, folder)
    }

    /// The few products with the prefix are left out.
    fn cannot_merge(&self) -> Option<&'static str> {
        Some("a prefix is seen beside the text: the model's weights have no place for it")
    }

    /// q | k | v with the prefix take the place of those without; the rows of the prefix are counted as such.
    fn kept(&self, _config: &DecoderConfig) -> u64 {
        0
    }

    /// The keys and values, whatever made them.
    fn num_saved(&self, config: &DecoderConfig) -> u64 {
        let of_token = 2 * config.num_layers as u64 * config.head_layout().key_width() as u64;
        (self.num_tokens as u64).saturating_mul(of_token)
    }

    fn flops(&self, config: &DecoderConfig, work: Work) -> f64 {
        config.training_flops(work, &|part| match part {
            Part::Weight(_, Projection::Qkv) => Learning::Beside,
            _ => Learning::No,
        })
    }
}

struct PrefixHooks(Vec<Node>);

impl Hooks for PrefixHooks {
    fn prefix(&self, layer: usize) -> Option<&Node> {
        self.0.get(layer)
    }
}
