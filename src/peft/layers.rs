//! An adapter's tensors, layer by layer. PEFT allows full names and layers without any tensors; here the same linear layers are tuned in
//! every block. The same function either way: a smaller rank is filled up with zeros, another scale goes into B, a layer
//! without tensors gets zeros.

use super::lora::Factor;
use super::{LoraSettings, PeftError};
use crate::model::config::DecoderConfig;
use crate::model::hooks::{Linear, Site};
use candle_core::{DType, Device, Result, Tensor};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

/// What one layer has: A [r, i] and B [o, r], and magnitudes [o] with DoRA.
struct Factors {
    a: Tensor,
    b: Tensor,
    magnitude: Option<Tensor>,
}

/// The factors of each layer that has any.
pub struct Layers {
    factors: BTreeMap<Site, Factors>,
}

impl Layers {
    /// Sorts the tensors of `path` by layer and checks their shapes against the model's and against the layer's `rank`; `None`
    /// where it may be any.
    ///
    /// # Errors
    /// [`PeftError::Tensor`] for one that the model has no place for, that does not fit, or whose other half is missing.
    pub fn sort(
        mut tensors: HashMap<String, Tensor>,
        rank: &dyn Fn(Site) -> Option<usize>,
        has_magnitudes: bool,
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
            let rank = rank(site).unwrap_or(own.clamp(1, inputs.max(outputs)));
            for (tensor, name, shape) in [(&a, &names[0], [rank, inputs]), (&b, &names[1], [outputs, rank])] {
                if tensor.dims() != shape {
                    let why = format!("its shape is {:?} where {shape:?} is needed", tensor.dims());
                    return Err(wrong(name.clone(), why));
                }
            }
            let magnitude = match has_magnitudes {
                false => None,
                true => {
                    let name = Factor::Magnitude.name(config, site);
                    let Some(magnitude) = tensors.remove(&name) else {
                        return Err(wrong(name, "it is missing".into()));
                    };
                    if magnitude.dims() != [outputs] {
                        let why =
                            format!("its shape is {:?} where {:?} is needed", magnitude.dims(), [outputs]);
                        return Err(wrong(name, why));
                    }
                    Some(magnitude)
                }
            };
            factors.insert(site, Factors { a, b, magnitude });
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
        if let Some(site) = settings.sites(config).find(|site| !self.factors.contains_key(site)) {
            return wrong(site, "it is missing");
        }
        match self.factors.keys().find(|site| !settings.targets.contains(&site.linear)) {
            Some(site) => wrong(*site, "the adapter's own settings have no place for it"),
            None => Ok(()),
        }
    }

    /// Refuses an adapter with magnitudes that leaves out a layer which another block tunes: the base model would have to be asked
    /// for the lengths of its rows.
    pub fn require_magnitudes(
        &self,
        settings: &LoraSettings,
        config: &DecoderConfig,
        path: &Path,
    ) -> std::result::Result<(), PeftError> {
        let missing = settings.sites(config).find(|site| !self.factors.contains_key(site));
        match missing.filter(|_| settings.has_magnitudes) {
            Some(site) => Err(PeftError::Tensor {
                path: path.to_path_buf(),
                tensor: Factor::Magnitude.name(config, site),
                why: "it is missing; DoRA adapters have to tune the same layers in every block".into(),
            }),
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

    /// The parameters of `settings`, which names every tuned linear layer and ranks that are high enough. `alpha` is what a
    /// layer's own was.
    pub fn fitted(
        &self,
        settings: &LoraSettings,
        alpha: &dyn Fn(Site) -> f64,
        config: &DecoderConfig,
    ) -> Result<Vec<(String, Tensor)>> {
        let mut named = Vec::new();
        for parameter in settings.factors(config) {
            let shape = parameter.shape.as_slice();
            let tensor = match (self.factors.get(&parameter.site), parameter.factor) {
                (None, Factor::Magnitude) => {
                    candle_core::bail!("{} is not known", parameter.name(config))
                }
                (None, _) => Tensor::zeros(shape, DType::F32, &Device::Cpu)?,
                (Some(found), Factor::Magnitude) => match &found.magnitude {
                    Some(magnitude) => parameter.form.from_file(magnitude)?,
                    None => candle_core::bail!("{} is not known", parameter.name(config)),
                },
                (Some(found), Factor::A) => found.a.pad_with_zeros(0, 0, shape[0] - found.a.dims()[0])?,
                (Some(found), Factor::B) => {
                    let rank = found.b.dims()[1];
                    let own = settings.scale(rank, alpha(parameter.site));
                    let scale = settings.scale_of(config, parameter.site);
                    let b = if own == scale { found.b.clone() } else { (&found.b * (own / scale))? };
                    parameter.form.from_file(&b)?.pad_with_zeros(1, 0, shape[1] - rank)?
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
        .filter(|site| config.has_site(*site))
}
