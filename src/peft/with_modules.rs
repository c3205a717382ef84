//! A method and modules of the model that are trained whole besides, PEFT's `modules_to_save`: the heads of tasks. LoRA needs none of
//! it, as its own settings name such modules.

use super::full::FullHooks;
use super::{Adapter, MicroStep, OwnWeights, PeftError, Settings, Tuning, bottleneck_files, format};
use crate::model::config::{DecoderConfig, Needed};
use crate::model::error::During;
use crate::model::flops::Work;
use crate::model::folder::Description;
use crate::model::hooks::{Hooks, Part};
use crate::model::load::LoadedModel;
use crate::model::weights::save_safetensors;
use crate::nn::{FlatParams, Leaves, Node, Result};
use candle_core::Tensor;
use serde_json::json;
use std::collections::HashMap;
use std::path::Path;

/// A method, and what is trained besides.
#[derive(Debug, Clone, PartialEq)]
pub struct WithModules {
    pub method: Box<Settings>,
    own: OwnWeights,
}

impl WithModules {
    /// `modules` as [`OwnWeights`] has them.
    pub fn new(method: Settings, modules: Vec<String>) -> Self {
        Self { method: Box::new(method), own: OwnWeights { modules, ..OwnWeights::default() } }
    }

    fn tuning(&self) -> &dyn Tuning {
        self.method.tuning()
    }

    /// The modules' tensors by their names in the method's files.
    fn modules(&self, config: &DecoderConfig) -> Vec<Needed> {
        let named = self.own.needed(config, &[]).into_iter();
        named.map(|needed| Needed { name: self.method.name_in_files(&needed.name), ..needed }).collect()
    }

    /// The method's own part of an adapter, and the values of the modules.
    fn parted(&self, adapter: &Adapter) -> Result<(Adapter, Vec<(String, Tensor)>)> {
        let mut named = adapter.params.named()?;
        let modules = named.split_off(self.tuning().parameters(&adapter.config).len());
        let stored =
            |((name, values), needed): ((String, Tensor), Needed)| Ok((name, needed.form.to_file(&values)?));
        let modules = modules.into_iter().zip(self.modules(&adapter.config)).map(stored);
        let modules = modules.collect::<Result<_>>()?;
        let params = FlatParams::new(named, adapter.device())?;
        Ok((Adapter { settings: (*self.method).clone(), params, ..adapter.clone() }, modules))
    }
}

/// An adapter as its files have it, with the modules among `others` that its settings name.
pub(super) fn joined(
    adapter: Adapter,
    modules: Vec<String>,
    others: HashMap<String, Tensor>,
    path: &Path,
) -> std::result::Result<Adapter, PeftError> {
    let (config, device) = (&adapter.config, adapter.device());
    let settings = WithModules::new(adapter.settings.clone(), modules);
    settings.own.check(config, &[])?;
    let mut named = adapter.params.named().during("copy the adapter")?;
    named.extend(super::named_tensors::in_order(others, settings.modules(config), path)?);
    let params = FlatParams::new(named, device).during("copy the adapter")?;
    Ok(Adapter { settings: Settings::WithModules(settings), params, ..adapter })
}

impl Tuning for WithModules {
    fn check(&self, config: &DecoderConfig) -> std::result::Result<(), PeftError> {
        self.tuning().check(config)?;
        self.own.check(config, &[])
    }

    fn parameters(&self, config: &DecoderConfig) -> Vec<Needed> {
        self.tuning().parameters(config).into_iter().chain(self.modules(config)).collect()
    }

    fn init(&self, model: &LoadedModel, seed: u64) -> std::result::Result<FlatParams, PeftError> {
        let mut named = self.tuning().init(model, seed)?.named().during("make the new parameters")?;
        let values = self.own.values(&model.decoder, &[])?.into_iter().map(|(_, value)| value);
        named.extend(self.modules(model.config()).into_iter().map(|needed| needed.name).zip(values));
        Ok(FlatParams::new(named, model.decoder.device()).during("make the new parameters")?)
    }

    fn attach(
        &self,
        config: &DecoderConfig,
        leaves: Leaves,
        step: Option<&MicroStep>,
    ) -> Result<Box<dyn Hooks>> {
        let method = self.tuning().attach(config, leaves, step)?;
        let next = self.tuning().parameters(config).len();
        let own = FullHooks::new(config, self.own.groups(config, &[]), leaves, next)?;
        Ok(Box::new(Replacing { method, own }))
    }

    fn save(
        &self,
        adapter: &Adapter,
        base: &Description,
        folder: &Path,
    ) -> std::result::Result<(), PeftError> {
        let (own, modules) = self.parted(adapter).during("read the adapter")?;
        self.tuning().save(&own, base, folder)?;
        if let Settings::Bottleneck(_) = *self.method {
            return bottleneck_files::save_head(&modules, &adapter.config, &adapter.base_model, folder);
        }
        let mut config = format::read_config(folder)?;
        config["modules_to_save"] = json!(self.own.modules);
        format::write_config(folder, &config)?;
        let path = folder.join(format::WEIGHTS_FILE);
        let named: Vec<(String, Tensor)> = format::load_tensors(&path)?.into_iter().chain(modules).collect();
        Ok(save_safetensors(&named, &path)?)
    }

    fn cannot_merge(&self) -> Option<&'static str> {
        self.tuning().cannot_merge()
    }

    fn lowest_block(&self, config: &DecoderConfig) -> usize {
        self.tuning().lowest_block(config)
    }

    /// The heads' few products are left out.
    fn flops(&self, config: &DecoderConfig, work: Work) -> f64 {
        self.tuning().flops(config, work)
    }

    fn kept(&self, config: &DecoderConfig) -> u64 {
        self.tuning().kept(config)
    }

    fn num_saved(&self, config: &DecoderConfig) -> u64 {
        let of_modules = self.num_values(config) - self.tuning().num_values(config);
        self.tuning().num_saved(config).saturating_add(of_modules)
    }
}

/// A method's hooks, and parameters in the places of some of the model's tensors.
struct Replacing {
    method: Box<dyn Hooks>,
    own: FullHooks,
}

impl Hooks for Replacing {
    fn others(&self) -> Option<&dyn Hooks> {
        Some(self.method.as_ref())
    }

    fn replaced(&self, part: Part) -> Option<&Node> {
        self.own.replaced(part)
    }
}
