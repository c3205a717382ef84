//! LoRA (Hu et al. 2021, arXiv:2106.09685): each target layer gets `scale · B A` beside its frozen weight.

use super::targets;
use super::{Adapter, MicroStep, PeftError, Tuning, format};
use crate::base::rng::Rng;
use crate::model::config::{DecoderConfig, Family, Form, Needed};
use crate::model::decoder::Decoder;
use crate::model::families::Module;
use crate::model::flops::Work;
use crate::model::hooks::{Hooks, Linear, Projection, Site};
use crate::model::load::LoadedModel;
use crate::nn::ops::{Dropout, LowRank, LowRankPart};
use crate::nn::{FlatParams, Leaves, Result};
use candle_core::{Device, Tensor};
use std::collections::BTreeMap;
use std::path::Path;

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
    /// From names as PEFT writes them: `q_proj`…, or [`ALL_LINEAR`].
    pub fn new(
        family: Family,
        rank: usize,
        alpha: f64,
        dropout: f64,
        names: &[String],
    ) -> std::result::Result<Self, PeftError> {
        if rank == 0 {
            return Err(PeftError::ZeroRank);
        }
        let targets = targets::named(family, names)?;
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

    /// The tuned layers of each projection that has any, in the order of the flat buffer.
    fn groups<'a>(&'a self, config: &'a DecoderConfig) -> impl Iterator<Item = Group> + 'a {
        let of_layer = move |layer| {
            Projection::ALL.into_iter().filter_map(move |projection| {
                let all = config.modules(projection).iter();
                let is_target = |module: &&Module| self.targets.contains(&module.linear);
                let modules: Vec<_> = all.filter(is_target).copied().collect();
                (!modules.is_empty()).then_some(Group { layer, projection, modules })
            })
        };
        (0..config.num_layers).flat_map(of_layer)
    }

    /// Names and shapes of all parameters in the order of the flat buffer: every A of a projection, one above the
    /// other, so that they can be used as one matrix; then every B.
    pub fn factors(&self, config: &DecoderConfig) -> Vec<Parameter> {
        let mut all = Vec::new();
        for group in self.groups(config) {
            for factor in [Factor::A, Factor::B] {
                for module in &group.modules {
                    let site = Site { layer: group.layer, linear: module.linear };
                    let (outputs, inputs) = config.linear_shape(module.linear);
                    let shape = match factor {
                        Factor::A => [self.rank, inputs],
                        Factor::B => [outputs, self.rank],
                    };
                    let form =
                        if factor == Factor::B { config.form(module).of_rows() } else { Form::default() };
                    all.push(Parameter { site, factor, shape, form });
                }
            }
        }
        all
    }

    /// New parameters: A uniform as PEFT makes it (Kaiming with a = sqrt(5), so ±1/sqrt(i)), B zero; the
    /// tuned model begins as the base model.
    pub fn new_parameters(&self, config: &DecoderConfig, seed: u64, device: &Device) -> Result<FlatParams> {
        let streams: BTreeMap<Site, u64> = self.sites(config.num_layers).zip(0..).collect();
        let mut named = Vec::new();
        for parameter in self.factors(config) {
            let [rows, columns] = parameter.shape;
            let values = match parameter.factor {
                Factor::A => {
                    let mut stream = Rng::new(seed, &[INIT, streams[&parameter.site]]);
                    let bound = 1.0 / (columns as f64).sqrt();
                    (0..rows * columns).map(|_| ((2.0 * stream.uniform() - 1.0) * bound) as f32).collect()
                }
                Factor::B => vec![0f32; rows * columns],
            };
            named.push((parameter.name(config), Tensor::from_vec(values, (rows, columns), &Device::Cpu)?));
        }
        FlatParams::new(named, device)
    }
}

impl Tuning for LoraSettings {
    fn parameters(&self, config: &DecoderConfig) -> Vec<Needed> {
        let needed = |parameter: Parameter| Needed {
            name: parameter.name(config),
            shape: parameter.shape.to_vec(),
            form: parameter.form,
        };
        self.factors(config).into_iter().map(needed).collect()
    }

    fn init(&self, decoder: &Decoder, seed: u64) -> std::result::Result<FlatParams, PeftError> {
        self.new_parameters(decoder.config(), seed, decoder.device())
            .map_err(|source| PeftError::Compute { operation: "make the new parameters", source })
    }

    fn attach(
        &self,
        config: &DecoderConfig,
        leaves: Leaves,
        step: Option<&MicroStep>,
    ) -> Result<Box<dyn Hooks>> {
        Ok(Box::new(LoraHooks::new(self, config, leaves, step.map(|step| (step.seed, step.stream)))?))
    }

    fn save(
        &self,
        adapter: &Adapter,
        _base: &LoadedModel,
        folder: &Path,
    ) -> std::result::Result<(), PeftError> {
        format::save(adapter, self, folder)
    }

    fn flops(&self, config: &DecoderConfig, work: Work) -> f64 {
        config.lora_flops(work, self.rank, &self.targets)
    }

    /// x Aᵀ of each layer.
    fn kept(&self, _config: &DecoderConfig) -> u64 {
        (self.rank as u64).saturating_mul(self.targets.len() as u64)
    }
}

/// The tuned layers of one projection of one block.
struct Group {
    layer: usize,
    projection: Projection,
    modules: Vec<Module>,
}

/// The two factors of a low-rank matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Factor {
    A,
    B,
}

impl Factor {
    /// `base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight`, as PEFT names it.
    pub fn name(self, config: &DecoderConfig, site: Site) -> String {
        format!("base_model.model.{}.lora_{self:?}.weight", config.site_name(site))
    }
}

/// One trainable matrix.
#[derive(Debug, Clone, Copy)]
pub struct Parameter {
    pub site: Site,
    pub factor: Factor,
    /// A [r, i] or B [o, r].
    pub shape: [usize; 2],
    /// How its rows lie in files.
    pub form: Form,
}

impl Parameter {
    pub fn name(&self, config: &DecoderConfig) -> String {
        self.factor.name(config, self.site)
    }
}

/// LoRA in one forward pass: A and B of each projection, as leaves or frozen.
pub struct LoraHooks {
    low_ranks: BTreeMap<(usize, Projection), LowRank>,
}

impl LoraHooks {
    /// Over parameters that are leaves of a tape, or frozen. `dropping` is for training: the seed, and what tells dropout apart
    /// from micro-step to micro-step, `[update, micro-step]`.
    pub fn new(
        settings: &LoraSettings,
        config: &DecoderConfig,
        leaves: Leaves,
        dropping: Option<(u64, [u64; 2])>,
    ) -> Result<Self> {
        let dropping = dropping
            .filter(|_| settings.dropout > 0.0)
            .map(|(seed, stream)| Rng::new(seed, &[DROP, stream[0], stream[1]]));
        let mut low_ranks = BTreeMap::new();
        let mut next = 0;
        for group in settings.groups(config) {
            let num = group.modules.len();
            let a = leaves.stacked(next..next + num)?;
            let mut parts = Vec::with_capacity(num);
            let mut column = 0;
            for module in config.modules(group.projection) {
                let columns = column..column + config.linear_shape(module.linear).0;
                column = columns.end;
                if group.modules.contains(module) {
                    let index = parts.len();
                    let rows = index * settings.rank..(index + 1) * settings.rank;
                    let b = leaves.get(next + num + index)?;
                    parts.push(LowRankPart { b, columns, rows });
                }
            }
            next += 2 * num;
            let word = (group.layer * Projection::ALL.len() + group.projection as usize) as u64;
            let dropout = dropping
                .as_ref()
                .map(|rng| Dropout { share: settings.dropout as f32, stream: Rng::new(rng.at(word), &[]) });
            let low = LowRank { a, parts, scale: settings.scale(), dropout };
            low_ranks.insert((group.layer, group.projection), low);
        }
        Ok(Self { low_ranks })
    }
}

impl Hooks for LoraHooks {
    fn low_rank(&self, layer: usize, projection: Projection) -> Option<&LowRank> {
        self.low_ranks.get(&(layer, projection))
    }
}
