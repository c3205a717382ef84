//! One adapter out of several of the same base model, as PEFT's `add_weighted_adapter` makes it.

use super::blend::{Keep, Merge, Sign, Weighted, merged};
use super::lora::Factor;
use super::{Adapter, LoraSettings, Patterns, PeftError, Settings, files, virtual_files};
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

    /// In words that follow a colon.
    pub fn describe(self) -> String {
        let elects = |sign| match sign {
            Sign::Total => "where they agree with the sign of their sum",
            Sign::Frequency => "where they agree with the sign of most",
        };
        match self {
            Self::Linear => "weighted sums of their parameters (linear)".into(),
            Self::Concatenate => {
                "their factors side by side, which is the sum of their changes (concatenated)".into()
            }
            Self::Ties { density, sign } => {
                format!("the largest values of each, a share of {density}, {} (TIES)", elects(sign))
            }
            Self::Dare { density, seed, with } => {
                let with = match with {
                    Merge::Linear => "and summed",
                    Merge::Ties(sign) => elects(sign),
                };
                format!("values at random, a share of {density} (seed {seed}), scaled up {with} (DARE)")
            }
        }
    }

    fn with_density(self, density: f64) -> Self {
        match self {
            Self::Linear | Self::Concatenate => self,
            Self::Ties { sign, .. } => Self::Ties { density, sign },
            Self::Dare { seed, with, .. } => Self::Dare { density, seed, with },
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
    /// As [`Self::require`]; and for numbers that leave nothing, or too much.
    pub fn load(&self, config: &DecoderConfig, device: &Device) -> std::result::Result<Adapter, PeftError> {
        compose(&self.read(config)?, self.how, device)
    }

    /// Whether the adapters can become one, for a model with this config.
    ///
    /// # Errors
    /// [`PeftError::Compose`] for numbers or methods that do not go together, and whatever [`files::load`] says.
    pub fn require(&self, config: &DecoderConfig) -> std::result::Result<(), PeftError> {
        self.read(config).map(drop)
    }

    /// How many layers `made`, which came of this, changes, and how many it would if every value were kept; `None` where these are
    /// as many.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn layers_left(&self, made: &Adapter) -> std::result::Result<Option<(usize, usize)>, PeftError> {
        if self.how.with_density(1.0) == self.how {
            return Ok(None);
        }
        let living = |adapter: &Adapter| adapter.params.named().and_then(|named| living_layers(&named));
        let left = living(made).during("compose the adapters")?;
        if made.settings.tuning().parameters(&made.config).len() == 2 * left {
            return Ok(None);
        }
        let whole = Self { how: self.how.with_density(1.0), ..self.clone() };
        let all = living(&whole.load(&made.config, &Device::Cpu)?).during("compose the adapters")?;
        Ok((left < all).then_some((left, all)))
    }

    fn read(&self, config: &DecoderConfig) -> std::result::Result<Vec<(Adapter, f64)>, PeftError> {
        self.check()?;
        if let Some(model) = self.parts.iter().find(|part| files::is_model(&part.folder)) {
            let why = format!("one of them is a whole model and no adapter ({})", model.folder.display());
            return Err(refused(why, "Compose whole models with `tunesmith compose --how task-vectors`."));
        }
        let mut loaded = Vec::new();
        for part in &self.parts {
            loaded.push((files::load(&part.folder, config, &Device::Cpu)?, part.weight));
        }
        let names: Vec<String> = self.parts.iter().map(|part| part.folder.display().to_string()).collect();
        let told =
            names.iter().zip(&loaded).map(|(name, (adapter, w))| (name.as_str(), &adapter.settings, *w));
        check_settings(&told.collect::<Vec<_>>(), self.how)?;
        Ok(loaded)
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

/// Adapters with their weights, at least one, as one on `device`. They have passed [`check_settings`].
fn compose(parts: &[(Adapter, f64)], how: How, device: &Device) -> std::result::Result<Adapter, PeftError> {
    let Some((first, _)) = parts.first() else { return Err(refused("there are none".into(), "Name two.")) };
    let mut loras = Vec::new();
    for (adapter, weight) in parts {
        if let Settings::Lora(settings) = &adapter.settings {
            loras.push(Lora { settings, adapter, weight: *weight });
        }
    }
    let (settings, named) = if loras.is_empty() {
        // The sum of two networks makes other virtual tokens than the sum of theirs.
        let own =
            |(adapter, weight): &(Adapter, f64)| Ok((virtual_files::without_encoder(adapter)?, *weight));
        let parts = parts.iter().map(own).collect::<std::result::Result<Vec<_>, PeftError>>()?;
        (parts[0].0.settings.clone(), sum_of_like(&parts)?)
    } else {
        let (settings, named) = of_loras(&loras, how, &first.config)?;
        if living_layers(&named).during("compose the adapters")? == 0 {
            refuse_density(&loras, how, &first.config)?;
        }
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

/// An adapter by its name, settings and weight.
pub type Told<'a, S = Settings> = (&'a str, &'a S, f64);

/// Whether adapters with these settings and weights can become one in this way.
///
/// # Errors
/// [`PeftError::Compose`], naming the first one that stands in the way.
pub fn check_settings(parts: &[Told<'_>], how: How) -> std::result::Result<(), PeftError> {
    let mut loras = Vec::new();
    for (name, settings, weight) in parts {
        if let Settings::Lora(lora) = settings {
            loras.push((*name, lora, *weight));
        }
    }
    if !loras.is_empty() && loras.len() == parts.len() {
        return check_loras(&loras, how);
    }
    if let Some((name, ..)) =
        parts.iter().find(|(_, settings, _)| matches!(settings, Settings::WithModules(_)))
    {
        return Err(refused(format!("{name} {HAS_OWN_WEIGHTS}"), AS_MODELS));
    }
    if let Some((name, ..)) = parts.iter().find(|(_, settings, _)| *settings != parts[0].1) {
        return Err(unlike(parts[0].0, name));
    }
    if how != How::Linear {
        return Err(refused("only LoRAs can be composed in this way".into(), "Compose them linearly."));
    }
    Ok(())
}

const HAS_OWN_WEIGHTS: &str =
    "has trained weights of the model besides (bias or modules_to_save), which no adapter is the sum of";
const AS_MODELS: &str = "Merge it into its model, and add and subtract whole models instead.";

fn check_loras(parts: &[Told<'_, LoraSettings>], how: How) -> std::result::Result<(), PeftError> {
    for (name, settings, _) in parts {
        let why = match () {
            () if settings.has_magnitudes => "is a DoRA, whose lengths of rows cannot be added up",
            () if !settings.own.is_empty() => HAS_OWN_WEIGHTS,
            () => continue,
        };
        return Err(refused(format!("{name} {why}"), AS_MODELS));
    }
    let mut counting = parts.iter().filter(|(.., weight)| how.counts(*weight));
    let Some((first, own, _)) = counting.next() else { return Ok(()) };
    let differs =
        |(_, other, _): &&Told<'_, LoraSettings>| (other.rank, &other.ranks) != (own.rank, &own.ranks);
    match counting.find(differs).filter(|_| how != How::Concatenate) {
        Some((name, ..)) => {
            let hint = "Concatenate them, which takes adapters of any rank.";
            Err(refused(format!("their ranks differ: those of {first} and {name}"), hint))
        }
        None => Ok(()),
    }
}

fn unlike(one: &str, other: &str) -> PeftError {
    let hint = "Compose adapters of one method with the same settings; only LoRAs may have targets and ranks of their own.";
    let why = format!("{one} and {other} were trained by different methods, or with other settings");
    refused(why, hint)
}

type Named = Vec<(String, Tensor)>;

/// The weighted sum of the parameters, for methods whose change is no product: IA3 as PEFT has it, bottlenecks, virtual tokens.
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
    parts: &[Lora<'_>],
    how: How,
    config: &DecoderConfig,
) -> std::result::Result<(LoraSettings, Named), PeftError> {
    let parts: Vec<&Lora<'_>> = parts.iter().filter(|part| how.counts(part.weight)).collect();
    let strongest = parts.iter().max_by(|a, b| a.strength().abs().total_cmp(&b.strength().abs()));
    let has_scales = |own: &LoraSettings| own.sites(config).all(|site| own.scale_of(config, site) != 0.0);
    let Some(own) = strongest.map(|part| part.settings.clone()).filter(has_scales) else {
        return Err(refused("nothing is left of any: weights or alphas are 0".into(), "Change the weights."));
    };
    let mut targets: Vec<_> = parts.iter().flat_map(|part| part.settings.targets.clone()).collect();
    targets.sort();
    targets.dedup();
    let mut settings = LoraSettings { targets, ..own.clone() };
    if how == How::Concatenate && parts.len() > 1 {
        // The rank of the layer that needs the highest one: others are filled up with zeros.
        let of_site = |site| parts.iter().map(|part| part.settings.rank_of(config, site)).sum();
        let rank = settings.sites(config).map(of_site).max().unwrap_or(own.rank);
        let growth = rank as f64 / own.rank as f64;
        let alpha = own.alpha * if own.has_rank_stabilised_scale { growth.sqrt() } else { growth };
        settings =
            LoraSettings { rank, alpha, ranks: Patterns::default(), alphas: Patterns::default(), ..settings };
    }
    let named = factors(&parts, &settings, how, config).during("compose the adapters")?;
    Ok((settings, named))
}

/// The factors of the result in the order of its flat buffer. A layer that a part does not tune has zeros there.
fn factors(parts: &[&Lora<'_>], settings: &LoraSettings, how: How, config: &DecoderConfig) -> Result<Named> {
    let mut own = Vec::new();
    for part in parts {
        own.push(part.adapter.params.named()?.into_iter().collect::<HashMap<_, _>>());
    }
    let mut named = Vec::new();
    for (place, parameter) in (0..).zip(settings.factors(config)) {
        let (name, site) = (parameter.name(config), parameter.site);
        let &[rows, columns] = parameter.shape.as_slice() else { candle_core::bail!("{name} is no matrix") };
        let (mut found, mut strengths) = (Vec::new(), Vec::new());
        for (part, own) in parts.iter().zip(&own) {
            let rank = part.settings.rank_of(config, site);
            let shape = if parameter.factor == Factor::A { (rank, columns) } else { (rows, rank) };
            found.push(match own.get(&name) {
                Some(tensor) => tensor.clone(),
                None => Tensor::zeros(shape, DType::F32, &Device::Cpu)?,
            });
            strengths
                .push(part.weight * part.settings.scale_of(config, site) / settings.scale_of(config, site));
        }
        let tensor = match (how, parameter.factor) {
            (How::Concatenate, Factor::A) => {
                let scaled = found.iter().zip(&strengths).map(|(a, strength)| a * *strength);
                let all = Tensor::cat(&scaled.collect::<Result<Vec<_>>>()?, 0)?;
                all.pad_with_zeros(0, 0, rows - all.dim(0)?)?
            }
            (How::Concatenate, Factor::B) => {
                let all = Tensor::cat(&found, 1)?;
                all.pad_with_zeros(1, 0, columns - all.dim(1)?)?
            }
            (_, factor) => {
                let mut tensors = Vec::new();
                for (tensor, strength) in found.iter().zip(&strengths) {
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

/// The number of layers whose B A is something: a rank of theirs has numbers in both factors.
fn living_layers(named: &Named) -> Result<usize> {
    let by_name: HashMap<&str, &Tensor> =
        named.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
    let mut living = 0;
    for (name, a) in named {
        let Some(b) =
            by_name.get(name.replace(".lora_A.", ".lora_B.").as_str()).filter(|_| name.contains(".lora_A."))
        else {
            continue;
        };
        let by_rank = (a.abs()?.max(1)? * b.abs()?.max(0)?)?;
        living += usize::from(by_rank.max(0)?.to_scalar::<f32>()? > 0.0);
    }
    Ok(living)
}

/// Refuses a density that leaves nothing of parts which have something, with the smallest one that leaves something.
fn refuse_density(
    parts: &[Lora<'_>],
    how: How,
    config: &DecoderConfig,
) -> std::result::Result<(), PeftError> {
    let (How::Ties { density, .. } | How::Dare { density, .. }) = how else { return Ok(()) };
    let is_too_low = |density: f64| {
        let (_, named) = of_loras(parts, how.with_density(density), config)?;
        Ok::<_, PeftError>(living_layers(&named).during("compose the adapters")? == 0)
    };
    if is_too_low(1.0)? {
        return Ok(());
    }
    let (mut low, mut high) = (density, 1.0);
    // To two digits.
    while high / low > 1.01 {
        let between = (low * high).sqrt();
        if is_too_low(between)? { low = between } else { high = between }
    }
    let decimals = (1.0 - high.log10().floor()).max(0.0) as usize;
    let digit = 0.1f64.powi(decimals as i32);
    let enough = ((high / digit).ceil() * digit).min(1.0);
    let why = format!("a density of {density} leaves nothing of matrices as small as theirs");
    Err(refused(why, &format!("Use a density of at least {enough:.decimals$}.")))
}
