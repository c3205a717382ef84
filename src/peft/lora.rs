//! LoRA (Hu et al. 2021, arXiv:2106.09685): each target layer gets `scale · B A` beside its frozen weight.

use super::PeftError;
use crate::base::rng::Rng;
use crate::model::config::DecoderConfig;
use crate::model::hooks::{Hooks, Linear, Site};
use crate::nn::ops::{Dropout, dropout, lora_delta};
use crate::nn::{FlatParams, Gradients, Node, Result, Tape};
use candle_core::{Device, Tensor};
use std::collections::BTreeMap;

/// Domain of the random streams that belong to LoRA.
const INIT: u64 = 0x10_7A;
const DROP: u64 = 0xD4_09;

/// What distinguishes one LoRA from another.
#[derive(Debug, Clone, PartialEq)]
pub struct LoraSettings {
    pub rank: usize,
    pub alpha: f64,
    /// Share of the inputs dropped while training, 0..1.
    pub dropout: f64,
    /// Which linear layers of every block.
    pub targets: Vec<Linear>,
    /// Scale by alpha / sqrt(rank) instead of alpha / rank (Kalajdzievski 2023, arXiv:2312.03732).
    pub has_rank_stabilised_scale: bool,
}

impl LoraSettings {
    /// From names as PEFT writes them: `q_proj`…
    pub fn new(
        rank: usize,
        alpha: f64,
        dropout: f64,
        names: &[String],
    ) -> std::result::Result<Self, PeftError> {
        if rank == 0 {
            return Err(PeftError::ZeroRank);
        }
        let mut targets = Vec::new();
        for name in names {
            let linear = Linear::ALL.into_iter().find(|l| l.name() == name);
            targets.push(linear.ok_or_else(|| PeftError::NoTarget(name.clone()))?);
        }
        if targets.is_empty() {
            return Err(PeftError::NoTarget("(none)".into()));
        }
        targets.sort();
        targets.dedup();
        Ok(Self { rank, alpha, dropout, targets, has_rank_stabilised_scale: false })
    }

    pub fn scale(&self) -> f64 {
        let rank = self.rank as f64;
        self.alpha / if self.has_rank_stabilised_scale { rank.sqrt() } else { rank }
    }

    /// Every layer that is tuned, in order.
    pub fn sites(&self, num_layers: usize) -> impl Iterator<Item = Site> {
        (0..num_layers)
            .flat_map(|layer| self.targets.iter().map(move |linear| Site { layer, linear: *linear }))
    }

    /// New parameters: A uniform as PEFT makes it (Kaiming with a = sqrt(5), so ±1/sqrt(i)), B zero; the
    /// tuned model begins as the base model.
    pub fn init(&self, config: &DecoderConfig, seed: u64, device: &Device) -> Result<FlatParams> {
        let mut named = Vec::new();
        for (index, site) in self.sites(config.num_layers).enumerate() {
            let (outputs, inputs) = config.linear_shape(site.linear);
            let mut stream = Rng::new(seed, &[INIT, index as u64]);
            let bound = 1.0 / (inputs as f64).sqrt();
            let a: Vec<f32> =
                (0..self.rank * inputs).map(|_| ((2.0 * stream.uniform() - 1.0) * bound) as f32).collect();
            named.push((a_name(site), Tensor::from_vec(a, (self.rank, inputs), &Device::Cpu)?));
            let b = Tensor::zeros((outputs, self.rank), candle_core::DType::F32, &Device::Cpu)?;
            named.push((b_name(site), b));
        }
        FlatParams::new(named, device)
    }
}

/// `base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight`, as PEFT names it.
pub fn a_name(site: Site) -> String {
    format!("base_model.model.{site}.lora_A.weight")
}

pub fn b_name(site: Site) -> String {
    format!("base_model.model.{site}.lora_B.weight")
}

/// LoRA in one forward pass: A and B of each site, as leaves or frozen.
pub struct LoraHooks {
    pairs: BTreeMap<Site, (Node, Node)>,
    scale: f64,
    dropout: Option<(f32, Rng)>,
}

impl LoraHooks {
    /// For training: every A and B is a leaf of `tape`. `stream` tells dropout apart from micro-step to
    /// micro-step: `[update, micro-step]`.
    pub fn trainable(
        settings: &LoraSettings,
        params: &FlatParams,
        num_layers: usize,
        tape: &Tape,
        seed: u64,
        stream: [u64; 2],
    ) -> Result<Self> {
        let pairs = pairs(settings, params, num_layers, |t| tape.leaf(t))?;
        let rng = Rng::new(seed, &[DROP, stream[0], stream[1]]);
        let dropout = (settings.dropout > 0.0).then_some((settings.dropout as f32, rng));
        Ok(Self { pairs, scale: settings.scale(), dropout })
    }

    /// For answering: no gradient, no dropout.
    pub fn frozen(settings: &LoraSettings, params: &FlatParams, num_layers: usize) -> Result<Self> {
        let pairs = pairs(settings, params, num_layers, Node::frozen)?;
        Ok(Self { pairs, scale: settings.scale(), dropout: None })
    }

    /// The gradients of all parameters, in the order of the flat buffer.
    pub fn gradients(&self, found: &mut Gradients) -> Vec<Option<Tensor>> {
        self.pairs.values().flat_map(|(a, b)| [a, b]).map(|leaf| found.take(leaf)).collect()
    }
}

fn pairs(
    settings: &LoraSettings,
    params: &FlatParams,
    num_layers: usize,
    mut node: impl FnMut(Tensor) -> Node,
) -> Result<BTreeMap<Site, (Node, Node)>> {
    settings
        .sites(num_layers)
        .enumerate()
        .map(|(i, site)| Ok((site, (node(params.get(2 * i)?), node(params.get(2 * i + 1)?)))))
        .collect()
}

impl Hooks for LoraHooks {
    fn linear(&self, tape: &Tape, site: Site, x: &Node, y: Node) -> Result<Node> {
        let Some((a, b)) = self.pairs.get(&site) else { return Ok(y) };
        match self.dropout {
            None => lora_delta(tape, x, &y, a, b, self.scale),
            Some((share, rng)) => {
                let word = (site.layer * Linear::ALL.len() + site.linear as usize) as u64;
                let stream = Rng::new(rng.at(word), &[]);
                let x = dropout(tape, x, Dropout { share, stream })?;
                lora_delta(tape, &x, &y, a, b, self.scale)
            }
        }
    }
}
