//! The weights of a decoder in memory: one copy, shared by everything that runs on it.

use super::config::{DecoderConfig, Group, Needed, RopeScaling};
use super::hooks::Part;
use super::weights::{Weights, blocks_of};
use super::{ModelError, error::During};
use crate::base::{Control, Precision, Progress, Silent, Unit};
use crate::nn::Weight;
use crate::nn::kernels::Packed;
use candle_core::{DType, Device, Tensor};
use std::collections::HashMap;
use std::sync::OnceLock;

/// All weights on one device, by what the forward pass reads as one: matrices in some precision, dense ones in the type of the
/// activations; vectors in f32.
#[derive(Debug, Clone)]
pub struct DecoderParams {
    /// Tables of rows that are in blocks lie on the host, since a device would have to widen them all for a few.
    pub matrices: HashMap<Part, Weight>,
    pub vectors: HashMap<Part, Tensor>,
    /// Sums of squares of the rows of projections, made when first asked for.
    row_squares: HashMap<Part, OnceLock<Tensor>>,
    /// The type of activations and products.
    pub compute: DType,
}

impl DecoderParams {
    /// Reads every tensor, for a model that computes in `compute`. `weights.check` must have passed.
    pub fn load(
        weights: &Weights,
        config: &DecoderConfig,
        precision: Precision,
        device: &Device,
        compute: DType,
        control: &Control,
        progress: &mut dyn Progress,
    ) -> Result<Self, ModelError> {
        let read = Reading { source: Source::Files(weights), precision, device, compute };
        Self::read(&read, config, control, progress)
    }

    /// Random weights of this config, for measuring what a model that is not there would cost.
    pub fn random(
        config: &DecoderConfig,
        precision: Precision,
        device: &Device,
        compute: DType,
    ) -> Result<Self, ModelError> {
        let read = Reading { source: Source::Random, precision, device, compute };
        Self::read(&read, config, &Control::new(), &mut Silent)
    }

    fn read(
        read: &Reading,
        config: &DecoderConfig,
        control: &Control,
        progress: &mut dyn Progress,
    ) -> Result<Self, ModelError> {
        let mut groups = config.groups();
        if let Source::Files(weights) = &read.source {
            let is_there = |needed: &Needed| weights.shape(&needed.name).as_ref() == Some(&needed.shape);
            let spare = config.spare_groups().into_iter();
            groups.extend(spare.filter(|group| group.tensors.iter().all(is_there)));
        }
        let num = groups.len() as u64;
        let mut all = Self {
            matrices: HashMap::new(),
            vectors: HashMap::new(),
            row_squares: HashMap::new(),
            compute: read.compute,
        };
        for (i, Group { part, tensors }) in groups.into_iter().enumerate() {
            if control.is_stopped() {
                return Err(ModelError::Stopped);
            }
            progress.report("Loading the model", i as u64, Some(num), Unit::Tensors);
            if tensors.iter().all(|needed| needed.shape.len() == 2) {
                let parts =
                    tensors.iter().map(|needed| read.on_host(part, needed)).collect::<Result<_, _>>()?;
                let joined = Weight::stacked(parts).during("join the weights")?;
                let placed = read.placed(&joined)?;
                if part == Part::Embedding && config.has_tied_head() {
                    all.matrices.insert(Part::Head, placed.clone());
                }
                let is_table = matches!(part, Part::Embedding | Part::Positions | Part::Types);
                let stays = is_table && matches!(placed, Weight::Packed(_));
                all.matrices.insert(part, if stays { joined } else { placed });
                all.row_squares.insert(part, OnceLock::new());
            } else {
                let parts =
                    tensors.iter().map(|needed| read.vector(needed)).collect::<Result<Vec<_>, _>>()?;
                all.vectors.insert(part, Tensor::cat(&parts, 0).during("join the biases")?);
            }
        }
        Ok(all)
    }

    /// # Errors
    /// For a matrix that models of this family don't have.
    pub fn matrix(&self, part: Part) -> Result<&Weight, ModelError> {
        self.matrices.get(&part).ok_or_else(|| ModelError::Device(format!("the model has no {part:?}")))
    }

    /// The sum of squares of each row of a matrix, [o].
    ///
    /// # Errors
    /// As [`Self::matrix`].
    pub fn row_squares(&self, part: Part) -> Result<Tensor, ModelError> {
        let known = self.row_squares.get(&part);
        if let Some(squares) = known.and_then(OnceLock::get) {
            return Ok(squares.clone());
        }
        let squares = self.matrix(part)?.row_squares().during("measure a weight")?;
        Ok(known.map_or(squares.clone(), |known| known.get_or_init(|| squares).clone()))
    }

    /// Lets [`Self::row_squares`] keep those of a matrix that was added.
    pub(super) fn expect_row_squares(&mut self, part: Part) {
        self.row_squares.insert(part, OnceLock::new());
    }

    /// A norm's weight or a bias, if the model has it.
    pub fn vector(&self, part: Part) -> Option<&Tensor> {
        self.vectors.get(&part)
    }
}

/// Where tensors come from.
enum Source<'a> {
    Files(&'a Weights),
    /// They are made up.
    Random,
}

/// Where tensors come from and what becomes of them.
struct Reading<'a> {
    source: Source<'a>,
    precision: Precision,
    device: &'a Device,
    compute: DType,
}

impl Reading<'_> {
    /// On the device, in its blocks or in the type of the activations.
    fn placed(&self, weight: &Weight) -> Result<Weight, ModelError> {
        let place = || match weight {
            Weight::Packed(packed) if Packed::are_widened_on(self.device, packed.dtype()) => {
                packed.to_device(self.device).map(Weight::Packed)
            }
            _ => Ok(weight.widened(self.compute)?.to_device(self.device)?.into()),
        };
        place().during("place a weight on the device")
    }

    fn on_host(&self, part: Part, needed: &Needed) -> Result<Weight, ModelError> {
        // The heads of tasks and biases by distance are small, and trained.
        let precision = match part {
            Part::Pooler | Part::Score(..) | Part::PositionBias(_) => Precision::F32,
            _ => self.precision,
        };
        match &self.source {
            Source::Files(weights) => weights.weight(needed, precision, &Device::Cpu),
            Source::Random => {
                // About the size of a trained model's numbers.
                let numbers = Tensor::rand(-0.03f32, 0.03, needed.shape.as_slice(), &Device::Cpu)
                    .during("make random weights")?;
                match blocks_of(precision) {
                    None => Ok(numbers.into()),
                    Some(dtype) => Ok(Weight::Packed(
                        Packed::quantise(&numbers, dtype).during("quantise random weights")?,
                    )),
                }
            }
        }
    }

    fn vector(&self, needed: &Needed) -> Result<Tensor, ModelError> {
        match &self.source {
            Source::Files(weights) => weights.values(needed, self.device),
            Source::Random => {
                Tensor::ones(needed.shape.as_slice(), DType::F32, self.device).during("make random weights")
            }
        }
    }
}

impl DecoderConfig {
    /// One inverse frequency for each pair of a head's numbers that are turned, [r / 2], scaled as the model asks.
    pub fn inverse_frequencies(&self) -> Vec<f64> {
        let plain = self.plain_frequencies(self.rope_theta);
        match &self.rope_scaling {
            RopeScaling::None => plain.collect(),
            RopeScaling::LongRope { short_factors, .. } => {
                plain.zip(short_factors).map(|(f, factor)| f / factor).collect()
            }
            RopeScaling::Linear { factor } => plain.map(|f| f / factor).collect(),
            RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_context } => plain
                .map(|f| {
                    let wavelength = std::f64::consts::TAU / f;
                    let turns = *original_context as f64 / wavelength;
                    let ramp =
                        ((turns - low_freq_factor) / (high_freq_factor - low_freq_factor)).clamp(0.0, 1.0);
                    (1.0 - ramp) * f / factor + ramp * f
                })
                .collect(),
        }
    }

    /// The same for layers with a sliding window, where they have a rope of their own.
    pub fn local_frequencies(&self) -> Option<Vec<f64>> {
        let has_own = self.family.table().has_local_rope;
        has_own.then(|| self.plain_frequencies(self.local_rope_theta).collect())
    }

    fn plain_frequencies(&self, theta: f64) -> impl Iterator<Item = f64> {
        let width = self.rotary_width;
        (0..width / 2).map(move |i| theta.powf(-((2 * i) as f64) / width as f64))
    }
}

/// Copies host numbers to the device of the weights: u32 [n].
pub fn index_tensor(values: &[u32], device: &Device) -> Result<Tensor, ModelError> {
    Tensor::from_slice(values, values.len(), device).during("copy token ids")
}
