//! LoRA (Hu et al. 2021, arXiv:2106.09685): each target layer gets `scale · B A` beside its frozen weight. DoRA (Liu et al. 2024,
//! arXiv:2402.09353) trains the lengths of the changed rows besides.

use super::full::FullHooks;
use super::{Adapter, MicroStep, OwnWeights, Patterns, PeftError, Tuning, format, own_weights, targets};
use crate::base::rng::Rng;
use crate::model::config::{DecoderConfig, Family, Form, Needed};
use crate::model::decoder::Decoder;
use crate::model::error::During;
use crate::model::families::Module;
use crate::model::flops::Work;
use crate::model::folder::Description;
use crate::model::hooks::{Hooks, Linear, Part, Projection, Site};
use crate::model::load::LoadedModel;
use crate::nn::ops::{Dropout, LowRank, LowRankPart};
use crate::nn::{FlatParams, Leaves, Node, Result};
use candle_core::{DType, Device, Tensor};
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
    /// Whether the lengths of the changed rows are trained, too (DoRA).
    pub has_magnitudes: bool,
    /// Layers with another rank.
    pub ranks: Patterns<usize>,
    /// Layers with another alpha.
    pub alphas: Patterns<f64>,
    /// Weights of the model that are trained whole besides.
    pub own: OwnWeights,
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
        Ok(Self::of(rank, alpha, dropout, targets::named(family, names)?))
    }

    /// Of these layers in every block.
    pub fn of(rank: usize, alpha: f64, dropout: f64, targets: Vec<Linear>) -> Self {
        Self {
            rank,
            alpha,
            dropout,
            targets,
            has_rank_stabilised_scale: false,
            has_magnitudes: false,
            ranks: Patterns::default(),
            alphas: Patterns::default(),
            own: OwnWeights::default(),
        }
    }

    /// What B A of a layer with this rank and alpha is multiplied by.
    pub fn scale(&self, rank: usize, alpha: f64) -> f64 {
        let rank = rank as f64;
        alpha / if self.has_rank_stabilised_scale { rank.sqrt() } else { rank }
    }

    pub fn rank_of(&self, config: &DecoderConfig, site: Site) -> usize {
        self.ranks.of(&config.site_name(site)).unwrap_or(self.rank)
    }

    pub fn alpha_of(&self, config: &DecoderConfig, site: Site) -> f64 {
        self.alphas.of(&config.site_name(site)).unwrap_or(self.alpha)
    }

    pub fn scale_of(&self, config: &DecoderConfig, site: Site) -> f64 {
        self.scale(self.rank_of(config, site), self.alpha_of(config, site))
    }

    /// Every layer that is tuned, in order.
    pub fn sites<'a>(&'a self, config: &'a DecoderConfig) -> impl Iterator<Item = Site> + 'a {
        let of_layer = |layer| self.targets.iter().map(move |linear| Site { layer, linear: *linear });
        (0..config.num_layers).flat_map(of_layer).filter(|site| config.has_site(*site))
    }

    /// The tuned layers of each projection that has any, in the order of the flat buffer.
    fn groups<'a>(&'a self, config: &'a DecoderConfig) -> impl Iterator<Item = Group> + 'a {
        let of_layer = move |layer| {
            Projection::ALL.into_iter().filter_map(move |projection| {
                let all = config.modules(layer, projection).iter();
                let is_target = |module: &&Module| self.targets.contains(&module.linear);
                let modules: Vec<_> = all.filter(is_target).copied().collect();
                (!modules.is_empty()).then_some(Group { layer, projection, modules })
            })
        };
        (0..config.num_layers).flat_map(of_layer)
    }

    /// Names and shapes of all parameters in the order of the flat buffer: every A of a projection, one above the
    /// other, so that they can be used as one matrix; then every B; then every magnitude.
    pub fn factors(&self, config: &DecoderConfig) -> Vec<Parameter> {
        let mut all = Vec::new();
        let magnitude = self.has_magnitudes.then_some(Factor::Magnitude);
        for group in self.groups(config) {
            for factor in [Factor::A, Factor::B].into_iter().chain(magnitude) {
                for module in &group.modules {
                    let site = Site { layer: group.layer, linear: module.linear };
                    let (outputs, inputs) = config.linear_shape(module.linear);
                    let shape = match factor {
                        Factor::A => vec![self.rank_of(config, site), inputs],
                        Factor::B => vec![outputs, self.rank_of(config, site)],
                        Factor::Magnitude => vec![outputs],
                    };
                    let form =
                        if factor == Factor::A { Form::default() } else { config.form(module).of_rows() };
                    all.push(Parameter { site, factor, shape, form });
                }
            }
        }
        all
    }

    /// New parameters: A uniform as PEFT makes it (Kaiming with a = sqrt(5), so ±1/sqrt(i)), B zero, and the lengths that the
    /// rows of the weights have; the tuned model begins as the base model.
    fn new_parameters(&self, decoder: &Decoder, seed: u64) -> std::result::Result<FlatParams, PeftError> {
        let config = decoder.config();
        let streams: BTreeMap<Site, u64> = self.sites(config).zip(0..).collect();
        let mut named = Vec::new();
        for parameter in self.factors(config) {
            let name = parameter.name(config);
            let Parameter { site, factor, shape, .. } = parameter;
            let value = match factor {
                Factor::A => {
                    let mut stream = Rng::new(seed, &[INIT, streams[&site]]);
                    let bound = 1.0 / (shape[1] as f64).sqrt();
                    let numbers = (0..shape[0] * shape[1])
                        .map(|_| ((2.0 * stream.uniform() - 1.0) * bound) as f32)
                        .collect();
                    Tensor::from_vec(numbers, shape, &Device::Cpu)
                }
                Factor::B => Tensor::zeros(shape, DType::F32, &Device::Cpu),
                Factor::Magnitude => row_lengths(decoder, site),
            };
            named.push((name, value.during("make the new parameters")?));
        }
        named.extend(self.own.values(decoder, &self.targets)?);
        Ok(FlatParams::new(named, decoder.device()).during("make the new parameters")?)
    }
}

/// The lengths of the rows of a layer's weight, [o].
fn row_lengths(decoder: &Decoder, site: Site) -> Result<Tensor> {
    let config = decoder.config();
    let is_own = |module: &Module| module.linear == site.linear;
    let modules = |projection| config.modules(site.layer, projection).iter();
    let Some(projection) = Projection::ALL.into_iter().find(|p| modules(*p).any(is_own)) else {
        candle_core::bail!("{} belongs to no projection", config.site_name(site))
    };
    let before = modules(projection).take_while(|module| !is_own(module));
    let first: usize = before.map(|module| config.linear_shape(module.linear).0).sum();
    let squares = decoder.row_squares(site.layer, projection).map_err(candle_core::Error::wrap)?;
    squares.narrow(0, first, config.linear_shape(site.linear).0)?.sqrt()
}

impl Tuning for LoraSettings {
    fn check(&self, config: &DecoderConfig) -> std::result::Result<(), PeftError> {
        for site in self.sites(config) {
            let ((outputs, inputs), rank) = (config.linear_shape(site.linear), self.rank_of(config, site));
            if rank == 0 {
                return Err(PeftError::ZeroRank);
            }
            if rank > outputs.min(inputs) {
                return Err(PeftError::RankTooHigh { rank, module: config.site_name(site), outputs, inputs });
            }
        }
        self.own.check(config, &self.targets)
    }

    fn parameters(&self, config: &DecoderConfig) -> Vec<Needed> {
        let needed = |parameter: Parameter| Needed {
            name: parameter.name(config),
            shape: parameter.shape,
            form: parameter.form,
        };
        let own = self.own.needed(config, &self.targets);
        self.factors(config).into_iter().map(needed).chain(own).collect()
    }

    fn init(&self, model: &LoadedModel, seed: u64) -> std::result::Result<FlatParams, PeftError> {
        self.new_parameters(&model.decoder, seed)
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
        _base: &Description,
        folder: &Path,
    ) -> std::result::Result<(), PeftError> {
        format::save(adapter, self, folder)
    }

    fn flops(&self, config: &DecoderConfig, work: Work) -> f64 {
        let matrices = self.factors(config).into_iter().filter(|parameter| parameter.shape.len() == 2);
        let num_values =
            matrices.map(|parameter| parameter.shape.iter().map(|n| *n as f64).product::<f64>()).sum();
        config.lora_flops(work, num_values, &self.targets, &self.own.parts(config, &self.targets))
    }

    /// x Aᵀ of each layer, and with DoRA its outputs before they are brought to length.
    fn kept(&self, config: &DecoderConfig) -> u64 {
        let outputs = |linear: &Linear| config.linear_shape(*linear).0 as u64;
        let lengths = if self.has_magnitudes { self.targets.iter().map(outputs).sum() } else { 0 };
        (self.rank as u64).saturating_mul(self.targets.len() as u64).saturating_add(lengths)
    }

    /// The head's copy, too, where it is one with the embeddings.
    fn num_saved(&self, config: &DecoderConfig) -> u64 {
        let head = own_weights::tied_head(config, &self.own.needed(config, &self.targets));
        let size =
            |needed: Needed| needed.shape.iter().fold(1, |size: u64, n| size.saturating_mul(*n as u64));
        self.num_values(config).saturating_add(head.map_or(0, size))
    }
}

/// The tuned layers of one projection of one block.
struct Group {
    layer: usize,
    projection: Projection,
    modules: Vec<Module>,
}

/// What is trained of a layer: the two factors of a low-rank matrix, and the lengths of the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Factor {
    A,
    B,
    Magnitude,
}

impl Factor {
    /// `base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight`, as PEFT names it.
    pub fn name(self, config: &DecoderConfig, site: Site) -> String {
        let ending = match self {
            Self::A => "lora_A.weight",
            Self::B => "lora_B.weight",
            Self::Magnitude => "lora_magnitude_vector",
        };
        format!("base_model.model.{}.{ending}", config.site_name(site))
    }
}

/// One trainable matrix or vector.
#[derive(Debug, Clone)]
pub struct Parameter {
    pub site: Site,
    pub factor: Factor,
    /// A [r, i], B [o, r] or magnitude [o].
    pub shape: Vec<usize>,
    /// How its rows lie in files.
    pub form: Form,
}

impl Parameter {
    pub fn name(&self, config: &DecoderConfig) -> String {
        self.factor.name(config, self.site)
    }
}

/// LoRA in one forward pass: A, B and magnitudes of each projection, as leaves or frozen.
pub struct LoraHooks {
    low_ranks: BTreeMap<(usize, Projection), LowRank>,
    magnitudes: BTreeMap<(usize, Projection), Vec<Node>>,
    own: FullHooks,
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
        let (mut low_ranks, mut magnitudes) = (BTreeMap::new(), BTreeMap::new());
        let mut next = 0;
        for group in settings.groups(config) {
            let num = group.modules.len();
            let a = leaves.stacked(next..next + num)?;
            let mut parts = Vec::with_capacity(num);
            let (mut column, mut row) = (0, 0);
            for module in config.modules(group.layer, group.projection) {
                let columns = column..column + config.linear_shape(module.linear).0;
                column = columns.end;
                if group.modules.contains(module) {
                    let site = Site { layer: group.layer, linear: module.linear };
                    let rows = row..row + settings.rank_of(config, site);
                    row = rows.end;
                    let b = leaves.get(next + num + parts.len())?;
                    parts.push(LowRankPart { b, columns, rows, scale: settings.scale_of(config, site) });
                }
            }
            next += 2 * num;
            if settings.has_magnitudes {
                let nodes = (next..next + num).map(|index| leaves.get(index)).collect::<Result<_>>()?;
                magnitudes.insert((group.layer, group.projection), nodes);
                next += num;
            }
            let word = stream(group.layer, group.projection);
            let dropout = dropping
                .as_ref()
                .map(|rng| Dropout { share: settings.dropout as f32, stream: Rng::new(rng.at(word), &[]) });
            let low = LowRank { a, parts, dropout };
            low_ranks.insert((group.layer, group.projection), low);
        }
        let own = FullHooks::new(config, settings.own.groups(config, &settings.targets), leaves, next)?;
        Ok(Self { low_ranks, magnitudes, own })
    }
}

/// What tells a projection's dropout from that of all others.
fn stream(layer: usize, projection: Projection) -> u64 {
    match projection as usize {
        own @ 0..4 => (layer * 4 + own) as u64,
        cross => (1 << 32) + (layer * 4 + cross) as u64,
    }
}

impl Hooks for LoraHooks {
    fn low_rank(&self, layer: usize, projection: Projection) -> Option<&LowRank> {
        self.low_ranks.get(&(layer, projection))
    }

    fn magnitudes(&self, layer: usize, projection: Projection) -> &[Node] {
        self.magnitudes.get(&(layer, projection)).map_or(&[], Vec::as_slice)
    }

    fn replaced(&self, part: Part) -> Option<&Node> {
        self.own.replaced(part)
    }
}
