//! An adapter's tensors, layer by layer. PEFT allows a rank and an alpha of its own for every layer, and layers without
//! any; here every layer of an adapter has the same. The same function either way: a smaller rank is filled up with
//! zeros, another scale goes into B, a layer without tensors gets zeros.

use super::lora::Factor;
use super::{LoraSettings, PeftError};
use crate::model::config::DecoderConfig;
use crate::model::hooks::{Linear, Site};
use candle_core::{DType, Device, Result, Tensor};
use regex::Regex;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

/// The two factors of one layer: A [r, i] and B [o, r].
struct Factors {
    a: Tensor,
    b: Tensor,
}

/// The factors of each layer that has any.
pub struct Layers {
    factors: BTreeMap<Site, Factors>,
}

impl Layers {
    /// Sorts the tensors of `path` by layer and checks their shapes against the model's and against `rank`; `None`
    /// where every layer may have its own.
    ///
    /// # Errors
    /// [`PeftError::Tensor`] for one that the model has no place for, that does not fit, or whose other half is missing.
    pub fn sort(
        mut tensors: HashMap<String, Tensor>,
        rank: Option<usize>,
        config: &DecoderConfig,
        path: &Path,
    ) -> std::result::Result<Self, PeftError> {
        let wrong = |tensor: String, why: String| PeftError::Tensor { path: path.to_path_buf(), tensor, why };
        let mut factors = BTreeMap::new();
        for site in sites(config) {
            let names = [Factor::A, Factor::B].map(|factor| factor.name(config, site));
            let (a, b) = match names.clone().map(|name| tensors.remove(&name)).into() {
                (None, None) => continue,
                (Some(a), Some(b)) => (a, b),
                (None, _) => return Err(wrong(names[0].clone(), "it is missing".into())),
                (_, None) => return Err(wrong(names[1].clone(), "it is missing".into())),
            };
            let (outputs, inputs) = config.linear_shape(site.linear);
            let own = a.dims().first().copied().unwrap_or(0);
            // What is smaller is filled up to the highest rank, so that one must be within reason.
            let rank = rank.unwrap_or(own.clamp(1, inputs.max(outputs)));
            for (tensor, name, shape) in [(&a, &names[0], [rank, inputs]), (&b, &names[1], [outputs, rank])] {
                if tensor.dims() != shape {
                    let why = format!("its shape is {:?} where {shape:?} is needed", tensor.dims());
                    return Err(wrong(name.clone(), why));
                }
            }
            factors.insert(site, Factors { a, b });
        }
        if let Some(name) = tensors.into_keys().min() {
            return Err(wrong(name, "the model has no place for it".into()));
        }
        Ok(Self { factors })
    }

    /// Refuses an adapter that lacks a layer which its settings name, or has one which they don't.
    pub fn require_exactly(
        &self,
        settings: &LoraSettings,
        config: &DecoderConfig,
        path: &Path,
    ) -> std::result::Result<(), PeftError> {
        let wrong = |site: Site, why: &str| {
            let (path, tensor) = (path.to_path_buf(), Factor::A.name(config, site));
            Err(PeftError::Tensor { path, tensor, why: why.into() })
        };
        if let Some(site) = settings.sites(config.num_layers).find(|site| !self.factors.contains_key(site)) {
            return wrong(site, "it is missing");
        }
        match self.factors.keys().find(|site| !settings.targets.contains(&site.linear)) {
            Some(site) => wrong(*site, "the adapter's own settings have no place for it"),
            None => Ok(()),
        }
    }

    /// Which linear layers are tuned in any block.
    pub fn targets(&self) -> Vec<Linear> {
        let linears: BTreeSet<Linear> = self.factors.keys().map(|site| site.linear).collect();
        linears.into_iter().collect()
    }

    pub fn max_rank(&self) -> usize {
        self.factors.values().map(|f| f.a.dims()[0]).max().unwrap_or(0)
    }

    /// The parameters of `settings`, which names every tuned linear layer and the highest rank.
    pub fn uniform(
        &self,
        settings: &LoraSettings,
        alphas: &Alphas,
        config: &DecoderConfig,
    ) -> Result<Vec<(String, Tensor)>> {
        let mut named = Vec::new();
        for parameter in settings.factors(config) {
            let [rows, columns] = parameter.shape;
            let tensor = match (self.factors.get(&parameter.site), parameter.factor) {
                (None, _) => Tensor::zeros((rows, columns), DType::F32, &Device::Cpu)?,
                (Some(found), Factor::A) => found.a.pad_with_zeros(0, 0, rows - found.a.dims()[0])?,
                (Some(found), Factor::B) => {
                    let rank = found.b.dims()[1];
                    let own = LoraSettings {
                        rank,
                        alpha: alphas.of(&config.site_name(parameter.site)),
                        ..settings.clone()
                    }
                    .scale();
                    let b = if own == settings.scale() {
                        found.b.clone()
                    } else {
                        (&found.b * (own / settings.scale()))?
                    };
                    parameter.form.from_file(&b)?.pad_with_zeros(1, 0, columns - rank)?
                }
            };
            named.push((parameter.name(config), tensor));
        }
        Ok(named)
    }
}

fn sites(config: &DecoderConfig) -> impl Iterator<Item = Site> {
    let modules = || config.family.table().all_modules();
    (0..config.num_layers)
        .flat_map(move |layer| modules().map(move |module| Site { layer, linear: module.linear }))
}

/// The alpha of each layer: PEFT's `lora_alpha`, and `alpha_pattern` for layers whose name ends in a pattern.
pub struct Alphas {
    usual: f64,
    patterns: Vec<(Regex, f64)>,
}

impl Alphas {
    /// # Errors
    /// [`PeftError::Unsupported`] for a pattern that is not a regular expression with a number.
    pub fn new(usual: f64, patterns: Option<&Value>, path: &Path) -> std::result::Result<Self, PeftError> {
        let mut all = Vec::new();
        for (pattern, alpha) in patterns.and_then(Value::as_object).into_iter().flatten() {
            // As PEFT's `get_pattern_key` matches.
            let regex = Regex::new(&format!(r"^(.*\.)?({pattern})$")).ok();
            let Some(pair) = regex.zip(alpha.as_f64()) else {
                let value = format!("{{{pattern:?}: {alpha}}}");
                let (path, key) = (path.to_path_buf(), "alpha_pattern".into());
                return Err(PeftError::Unsupported { path, key, value });
            };
            all.push(pair);
        }
        if usual == 0.0 && !all.is_empty() {
            let (path, key) = (path.to_path_buf(), "lora_alpha".into());
            return Err(PeftError::Unsupported { path, key, value: "0 with an alpha_pattern".into() });
        }
        Ok(Self { usual, patterns: all })
    }

    fn of(&self, name: &str) -> f64 {
        self.patterns.iter().find(|(regex, _)| regex.is_match(name)).map_or(self.usual, |(_, alpha)| *alpha)
    }
}
