//! One adapter out of several of the same base model, as PEFT's `add_weighted_adapter` makes it.

use super::blend::{Keep, Merge, Sign, Weighted, merged};
use super::lora::Factor;
use super::{Adapter, LoraSettings, PeftError, Settings, files};
use crate::model::config::DecoderConfig;
use crate::model::error::During;
use crate::nn::optim::norm;
use crate::nn::{FlatParams, Result};
use candle_core::{DType, Device, Tensor};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Adapters, and how they become one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Composition {
    pub parts: Vec<Part>,
    pub how: How,
}

/// An adapter's folder, and how much of what it changes goes into the result; less than nothing takes it away.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Part {
    pub folder: PathBuf,
    pub weight: f64,
}

/// What answers in place of the base model alone: what was trained, as it lies in a folder, or several of those as one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Source {
    Folder(PathBuf),
    Composed(Composition),
    /// The base model and so much of what each whole model changed of it, see [`super::task_vectors`].
    TaskVectors {
        task_vectors: Vec<Part>,
    },
}

impl Source {
    /// All folders that it reads.
    pub fn folders(&self) -> Vec<&Path> {
        fn of(parts: &[Part]) -> Vec<&Path> {
            parts.iter().map(|part| part.folder.as_path()).collect()
        }
        match self {
            Self::Folder(folder) => vec![folder],
            Self::Composed(composition) => of(&composition.parts),
            Self::TaskVectors { task_vectors } => of(task_vectors),
        }
    }
}

/// `density` is the share of values that are kept, above 0 and at most 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// A sum of the factors. A LoRA's change is a product of two, so that its sum has cross terms: a rough approximation.
    Linear,
    /// The factors side by side, which is the sum of the changes; ranks add up. LoRA only.
    Concatenate,
    /// The largest values of each, where they agree on the sign. LoRA only.
    Ties { density: f64, sign: Sign },
    /// Values at random, scaled up for those left out. LoRA only.
    Dare { density: f64, seed: u64, with: Merge },
}

impl How {
    fn keep(self) -> Keep {
        match self {
            Self::Linear | Self::Concatenate => Keep::All,
            Self::Ties { density, .. } => Keep::Largest(density),
            Self::Dare { density, seed, .. } => Keep::Random { density, seed },
        }
    }

    fn merge(self) -> Merge {
        match self {
            Self::Linear | Self::Concatenate => Merge::Linear,
            Self::Ties { sign, .. } => Merge::Ties(sign),
            Self::Dare { with, .. } => with,
        }
    }

    /// Whether a part of this weight has a say. In an election by sign it has a vote even with a weight of 0.
    fn counts(self, weight: f64) -> bool {
        weight != 0.0 || self.merge() != Merge::Linear
    }
}

impl Composition {
    /// Whether the numbers make sense, before any file is looked at.
    ///
    /// # Errors
    /// [`PeftError::Compose`]
    pub fn check(&self) -> std::result::Result<(), PeftError> {
        let weights: Vec<f64> = self.parts.iter().map(|part| part.weight).collect();
        if weights.len() < 2 {
            return Err(refused("there is nothing to compose it with".into(), "Name two or more."));
        }
        check_weights(&weights)?;
        if let How::Ties { density, .. } | How::Dare { density, .. } = self.how
            && !(density > 0.0 && density <= 1.0)
        {
            let why = format!("the density is {density}, and it is a share of the values that are kept");
            return Err(refused(why, "Use a density above 0 and at most 1, such as 0.5."));
        }
        Ok(())
    }

    /// Reads the adapters and makes one of them, for a model with this config.
    ///
    /// # Errors
    /// [`PeftError::Compose`] for numbers or methods that do not go together, and whatever [`files::load`] says.
    pub fn load(&self, config: &DecoderConfig, device: &Device) -> std::result::Result<Adapter, PeftError> {
        self.check()?;
        if let Some(model) = self.parts.iter().find(|part| files::is_model(&part.folder)) {
            let why = format!("one of them is a whole model and no adapter ({})", model.folder.display());
            return Err(refused(why, "Compose whole models with `tunesmith compose --how task-vectors`."));
        }
        let mut loaded = Vec::new();
        for part in &self.parts {
            loaded.push((files::load(&part.folder, config, &Device::Cpu)?, part.weight));
        }
        compose(&loaded, self.how, device)
    }
}

/// Refuses weights that are no numbers, or all nothing.
pub(super) fn check_weights(weights: &[f64]) -> std::result::Result<(), PeftError> {
    if let Some(weight) = weights.iter().find(|weight| !weight.is_finite()) {
        return Err(refused(format!("a weight is {weight}"), "Use numbers such as 0.7 and 0.3."));
    }
    if weights.iter().all(|weight| *weight == 0.0) {
        return Err(refused("every weight is 0".into(), "Give one of them a weight, such as 1."));
    }
    Ok(())
}

pub(super) fn refused(why: String, hint: &str) -> PeftError {
    PeftError::Compose { why, hint: hint.into() }
}

/// Adapters with their weights, at least one, as one on `device`.
pub fn compose(
    parts: &[(Adapter, f64)],
    how: How,
    device: &Device,
) -> std::result::Result<Adapter, PeftError> {
    let Some((first, _)) = parts.first() else { return Err(refused("there are none".into(), "Name two.")) };
    let of_parts: Vec<_> = parts.iter().map(|(adapter, weight)| (&adapter.settings, *weight)).collect();
    check_settings(&of_parts, how)?;
    let mut loras = Vec::new();
    for (adapter, weight) in parts {
        if let Settings::Lora(settings) = &adapter.settings {
            loras.push(Lora { settings, adapter, weight: *weight });
        }
    }
    let (settings, named) = if loras.is_empty() {
        (first.settings.clone(), sum_of_like(parts)?)
    } else {
        let (settings, named) = of_loras(loras, how, &first.config)?;
        (Settings::Lora(settings), named)
    };
    let params = FlatParams::new(named, device).during("compose the adapters")?;
    if !norm(params.values()).during("compose the adapters")?.is_finite() {
        return Err(refused(
            "the result has values that are no finite numbers".into(),
            "Use smaller weights.",
        ));
    }
    Ok(Adapter { settings, params, base_model: first.base_model.clone(), config: first.config.clone() })
}

/// Whether adapters with these settings and weights can become one in this way.
///
/// # Errors
/// [`PeftError::Compose`]
pub fn check_settings(parts: &[(&Settings, f64)], how: How) -> std::result::Result<(), PeftError> {
    let mut loras = Vec::new();
    for (settings, weight) in parts {
        if let Settings::Lora(lora) = settings {
            loras.push((lora, *weight));
        }
    }
    if !loras.is_empty() && loras.len() == parts.len() {
        return check_loras(&loras, how);
    }
    if parts.iter().any(|(settings, _)| *settings != parts[0].0) {
        return Err(unlike());
    }
    if how != How::Linear {
        return Err(refused("only LoRAs can be composed in this way".into(), "Compose them linearly."));
    }
    Ok(())
}

fn check_loras(parts: &[(&LoraSettings, f64)], how: How) -> std::result::Result<(), PeftError> {
    let is_plain = |settings: &LoraSettings| {
        let has_one_rank = settings.ranks.is_empty() && settings.alphas.is_empty();
        !settings.has_magnitudes && has_one_rank && settings.own.is_empty()
    };
    if !parts.iter().all(|(settings, _)| is_plain(settings)) {
        let why = "one of them is a DoRA, has ranks or alphas of its own for single layers, or trained weights of the model besides";
        let hint = "Merge it into its model, and add and subtract whole models instead.";
        return Err(refused(why.into(), hint));
    }
    let mut ranks = parts.iter().filter(|part| how.counts(part.1)).map(|(settings, _)| settings.rank);
    let first = ranks.next();
    if how != How::Concatenate && ranks.any(|rank| Some(rank) != first) {
        let hint = "Concatenate them, which takes adapters of any rank.";
        return Err(refused("their ranks differ".into(), hint));
    }
    Ok(())
}

fn unlike() -> PeftError {
    let hint = "Compose adapters of one method with the same settings; only LoRAs may have targets and ranks of their own.";
    refused("they were trained by different methods, or with other settings".into(), hint)
}

type Named = Vec<(String, Tensor)>;

/// The weighted sum of the parameters, for methods whose change is no product: IA3 as PEFT has it, and bottlenecks.
fn sum_of_like(parts: &[(Adapter, f64)]) -> std::result::Result<Named, PeftError> {
    let sum = || -> Result<Named> {
        let mut sum = (parts[0].0.params.values() * parts[0].1)?;
        for (adapter, weight) in &parts[1..] {
            sum = (sum + (adapter.params.values() * *weight)?)?;
        }
        let mut params = parts[0].0.params.clone();
        params.set_values(sum)?;
        params.named()
    };
    Ok(sum().during("compose the adapters")?)
}

/// What B A is multiplied by; all layers have the same, see [`of_loras`].
fn usual_scale(settings: &LoraSettings) -> f64 {
    settings.scale(settings.rank, settings.alpha)
}

struct Lora<'a> {
    settings: &'a LoraSettings,
    adapter: &'a Adapter,
    weight: f64,
}

impl Lora<'_> {
    fn strength(&self) -> f64 {
        self.weight * usual_scale(self.settings)
    }
}

/// PEFT brings each adapter's scale into its factors and gives the result a scale of 1. Here the result has the scale of the
/// strongest part, so that one with weight 1 among others with weight 0 stays as it is to the last bit. The parts have passed
/// [`check_settings`].
fn of_loras(
    mut parts: Vec<Lora<'_>>,
    how: How,
    config: &DecoderConfig,
) -> std::result::Result<(LoraSettings, Named), PeftError> {
    parts.retain(|part| how.counts(part.weight));
    let strongest = parts.iter().max_by(|a, b| a.strength().abs().total_cmp(&b.strength().abs()));
    let Some(own) = strongest.map(|part| part.settings.clone()).filter(|own| usual_scale(own) != 0.0) else {
        return Err(refused("nothing is left of any: weights or alphas are 0".into(), "Change the weights."));
    };
    let rank =
        if how == How::Concatenate { parts.iter().map(|part| part.settings.rank).sum() } else { own.rank };
    let mut targets: Vec<_> = parts.iter().flat_map(|part| part.settings.targets.clone()).collect();
    targets.sort();
    targets.dedup();
    let growth = rank as f64 / own.rank as f64;
    let alpha = own.alpha * if own.has_rank_stabilised_scale { growth.sqrt() } else { growth };
    let settings = LoraSettings { rank, alpha, targets, ..own.clone() };
    let strengths: Vec<f64> = parts.iter().map(|part| part.strength() / usual_scale(&own)).collect();
    let named = factors(&parts, &strengths, &settings, how, config).during("compose the adapters")?;
    Ok((settings, named))
}

/// The factors of the result in the order of its flat buffer. A layer that a part does not tune has zeros there.
fn factors(
    parts: &[Lora<'_>],
    strengths: &[f64],
    settings: &LoraSettings,
    how: How,
    config: &DecoderConfig,
) -> Result<Named> {
    let mut own = Vec::new();
    for part in parts {
        own.push(part.adapter.params.named()?.into_iter().collect::<HashMap<_, _>>());
    }
    let mut named = Vec::new();
    for (place, parameter) in (0..).zip(settings.factors(config)) {
        let name = parameter.name(config);
        let &[rows, columns] = parameter.shape.as_slice() else { candle_core::bail!("{name} is no matrix") };
        let mut found = Vec::new();
        for (part, own) in parts.iter().zip(&own) {
            let rank = part.settings.rank;
            let shape = if parameter.factor == Factor::A { (rank, columns) } else { (rows, rank) };
            found.push(match own.get(&name) {
                Some(tensor) => tensor.clone(),
                None => Tensor::zeros(shape, DType::F32, &Device::Cpu)?,
            });
        }
        let tensor = match (how, parameter.factor) {
            (How::Concatenate, Factor::A) => {
                let scaled = found.iter().zip(strengths).map(|(a, strength)| a * *strength);
                Tensor::cat(&scaled.collect::<Result<Vec<_>>>()?, 0)?
            }
            (How::Concatenate, Factor::B) => Tensor::cat(&found, 1)?,
            (_, factor) => {
                let mut tensors = Vec::new();
                for (tensor, strength) in found.iter().zip(strengths) {
                    // Half of the strength in each factor, the sign in one.
                    let sign = if factor == Factor::A && *strength < 0.0 { -1.0 } else { 1.0 };
                    let values = tensor.flatten_all()?.to_vec1()?;
                    tensors.push(Weighted { values, weight: strength.abs().sqrt() * sign });
                }
                let values = merged(tensors, how.keep(), how.merge(), place);
                Tensor::from_vec(values, (rows, columns), &Device::Cpu)?
            }
        };
        named.push((name, tensor));
    }
    Ok(named)
}
