//! Bottleneck adapters: a narrow feed-forward block beside sub-layers. After attention and feed-forward (Houlsby et al. 2019,
//! arXiv:1902.00751), or after the feed-forward alone (Pfeiffer et al. 2021, arXiv:2005.00247). Files are those of the
//! `adapters` library.

use super::bottleneck_files as files;
use super::{Adapter, MicroStep, PeftError, Tuning};
use crate::base::rng::Rng;
use crate::model::config::{DecoderConfig, Form, Needed};
use crate::model::error::During;
use crate::model::flops::{Learning, Work};
use crate::model::folder::Description;
use crate::model::hooks::{Beside, Hooks, Part, Projection, SubLayer};
use crate::model::load::LoadedModel;
use crate::nn::ops::{Activation, Bottleneck};
use crate::nn::{FlatParams, Leaves, Result};
use candle_core::{Device, Tensor};
use std::collections::BTreeMap;
use std::path::Path;

/// Domain of the random stream of new parameters.
const INIT: u64 = 0xB0_77;

/// Where bottlenecks stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Places {
    /// After attention and after the feed-forward; each reads what its sub-layer made.
    Houlsby,
    /// After the feed-forward alone; it reads the block's sum.
    Pfeiffer,
}

impl Places {
    fn sub_layers(self) -> &'static [SubLayer] {
        match self {
            Self::Houlsby => &[SubLayer::Attention, SubLayer::FeedForward],
            Self::Pfeiffer => &[SubLayer::FeedForward],
        }
    }
}

/// What distinguishes one set of bottlenecks from another.
#[derive(Debug, Clone, PartialEq)]
pub struct Bottlenecks {
    pub places: Places,
    /// Numbers at the narrowest.
    pub width: usize,
    pub activation: Activation,
    /// Multiplies what a bottleneck adds.
    pub scale: f64,
}

/// The tensors of one bottleneck, in the order of the flat buffer, with their shapes for widths b and d.
const TENSORS: [&str; 4] =
    ["adapter_down.0.weight", "adapter_down.0.bias", "adapter_up.weight", "adapter_up.bias"];

impl Bottlenecks {
    fn spots(&self, num_layers: usize) -> impl Iterator<Item = (usize, SubLayer)> {
        let places = self.places;
        (0..num_layers).flat_map(move |layer| places.sub_layers().iter().map(move |after| (layer, *after)))
    }

    fn shapes(&self, d: usize) -> [Vec<usize>; 4] {
        let b = self.width;
        [vec![b, d], vec![b], vec![d, b], vec![d]]
    }
}

impl Tuning for Bottlenecks {
    /// `model.layers.0.output_adapters.adapters.tuned.adapter_down.0.weight`…
    fn parameters(&self, config: &DecoderConfig) -> Vec<Needed> {
        let of_spot = |(layer, after)| {
            let name = move |tensor: &str| files::tensor_name(config, layer, after, tensor);
            let all = TENSORS.into_iter().map(name).zip(self.shapes(config.width));
            all.map(|(name, shape)| Needed { name, shape, form: Form::default() })
        };
        self.spots(config.num_layers).flat_map(of_spot).collect()
    }

    /// The way down uniform in ±1/sqrt(d), biases and the way up zero: nothing is added at first.
    fn init(&self, model: &LoadedModel, seed: u64) -> std::result::Result<FlatParams, PeftError> {
        let config = model.config();
        let bound = 1.0 / (config.width as f64).sqrt();
        let new = |(index, Needed { name, shape, .. }): (usize, Needed)| {
            let mut stream = Rng::new(seed, &[INIT, index as u64]);
            let is_down = index % TENSORS.len() == 0;
            let value = || if is_down { ((2.0 * stream.uniform() - 1.0) * bound) as f32 } else { 0.0 };
            let values: Vec<f32> = std::iter::repeat_with(value).take(shape.iter().product()).collect();
            Ok((name, Tensor::from_vec(values, shape, &Device::Cpu)?))
        };
        let named: Result<Vec<_>> = self.parameters(config).into_iter().enumerate().map(new).collect();
        let params = named.and_then(|named| FlatParams::new(named, model.decoder.device()));
        Ok(params.during("make the new parameters")?)
    }

    fn attach(
        &self,
        config: &DecoderConfig,
        leaves: Leaves,
        _step: Option<&MicroStep>,
    ) -> Result<Box<dyn Hooks>> {
        let mut all = BTreeMap::new();
        for (i, spot) in self.spots(config.num_layers).enumerate() {
            let leaf = |tensor: usize| leaves.get(i * TENSORS.len() + tensor);
            let bottleneck = Bottleneck {
                down: leaf(0)?,
                down_bias: leaf(1)?,
                up: leaf(2)?,
                up_bias: leaf(3)?,
                activation: self.activation,
                scale: self.scale,
            };
            all.insert(spot, Beside { bottleneck, reads_sum: self.places == Places::Pfeiffer });
        }
        Ok(Box::new(BottleneckHooks(all)))
    }

    fn save(
        &self,
        adapter: &Adapter,
        base: &Description,
        folder: &Path,
    ) -> std::result::Result<(), PeftError> {
        files::save(adapter, self, base, folder)
    }

    fn cannot_merge(&self) -> Option<&'static str> {
        Some("bottleneck adapters are layers of their own: the model's weights have no place for them")
    }

    fn flops(&self, config: &DecoderConfig, work: Work) -> f64 {
        let n = work.segments.iter().sum::<usize>() as f64;
        // Forward, and back the gradients of the input and of the weights, of both matrices.
        let weights = 2 * self.width * config.width * self.spots(config.num_layers).count();
        let around = config.training_flops(work, &|part| match part {
            Part::Weight(_, Projection::Down) => Learning::Beside,
            Part::Weight(_, Projection::O) if self.places == Places::Houlsby => Learning::Beside,
            _ => Learning::No,
        });
        around + 6.0 * n * weights as f64
    }

    /// What each one reads, and its narrow side; that once more where it is scaled.
    fn kept(&self, config: &DecoderConfig) -> u64 {
        let narrow = (self.width as u64).saturating_mul(if self.scale == 1.0 { 1 } else { 2 });
        let num = self.places.sub_layers().len() as u64;
        narrow.saturating_add(config.width as u64).saturating_mul(num)
    }
}

struct BottleneckHooks(BTreeMap<(usize, SubLayer), Beside>);

impl Hooks for BottleneckHooks {
    fn bottleneck(&self, layer: usize, after: SubLayer) -> Option<&Beside> {
        self.0.get(&(layer, after))
    }
}
