//! What moves the parameters: one of several rules over one flat buffer, with state that a checkpoint can hold.

use super::adamw::{AdamW, AdamWSettings};
use super::adamw_8bit::AdamW8Bit;
use super::lion::{Lion, LionSettings};
use super::parts::Parts;
use super::sgd::{Sgd, SgdSettings};
use crate::nn::{FlatParams, Result};
use candle_core::{DType, Device, Tensor};
use std::collections::HashMap;
use std::ops::Range;

/// Which rule, and its numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum OptimizerSettings {
    AdamW(AdamWSettings),
    AdamW8Bit(AdamWSettings),
    Lion(LionSettings),
    Sgd(SgdSettings),
}

/// One update apart from its gradient.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    /// Of the gradient, before anything else.
    pub scale: f64,
    pub learning_rate: f64,
    /// Number of this update, from 1.
    pub update: u64,
}

/// A way of moving parameters, and what it remembers.
pub(super) trait Rule: std::fmt::Debug {
    /// `gradient` is [P]. On the CPU the parameters change in place.
    fn step(&mut self, params: &mut FlatParams, gradient: &Tensor, step: Step) -> Result<()>;

    /// The same of some neighbouring parameters, `values` [n], the first of which is the one at `start`, in place. They begin at a multiple of
    /// [`BLOCK`](crate::nn::kernels::dynamic_code::BLOCK) and end at one, or with the last parameter.
    ///
    /// # Errors
    /// Where the parameters are not f32 in the memory of the CPU.
    fn step_part(&mut self, values: &Tensor, start: usize, gradient: &Tensor, step: Step) -> Result<()>;

    /// All that it remembers, by the names under which it looks for it in its [`Origin`].
    fn state(&self) -> Vec<(&'static str, State<'_>)>;
}

/// One-dimensional numbers of a rule where they lie: of full tuning they are as large as the model, and nobody copies them to save them.
#[derive(Debug, Clone, Copy)]
pub enum State<'a> {
    Numbers(&'a [f32]),
    Codes(&'a [u8]),
    Tensor(&'a Tensor),
}

/// What is left of a rule whose state is gone.
#[derive(Debug)]
struct Forgotten;

impl Rule for Forgotten {
    fn step(&mut self, _params: &mut FlatParams, _gradient: &Tensor, _step: Step) -> Result<()> {
        candle_core::bail!("the optimizer has forgotten its state")
    }

    fn step_part(&mut self, _values: &Tensor, _start: usize, _gradient: &Tensor, _step: Step) -> Result<()> {
        candle_core::bail!("the optimizer has forgotten its state")
    }

    fn state(&self) -> Vec<(&'static str, State<'_>)> {
        Vec::new()
    }
}

/// Where a rule's state comes from: zeros for a new run, or a checkpoint.
pub(super) struct Origin<'a> {
    params: &'a FlatParams,
    saved: Option<HashMap<String, Tensor>>,
}

impl Origin<'_> {
    /// State with a number for each parameter, [P], in the parameters' type.
    pub(super) fn moment(&mut self, name: &str) -> Result<Tensor> {
        self.tensor(name, self.num_values(), self.dtype())
    }

    /// The same of a new run, where it is f32 in the memory of the CPU: nothing is copied, and none of it is there before it is used.
    pub(super) fn zeros(&self) -> Option<Vec<f32>> {
        let is_on_cpu = self.params.values().device().is_cpu() && self.dtype() == DType::F32;
        (self.saved.is_none() && is_on_cpu).then(|| vec![0.0; self.num_values()])
    }

    /// Number of parameters P.
    pub(super) fn num_values(&self) -> usize {
        self.params.num_values()
    }

    /// Type of the parameters.
    pub(super) fn dtype(&self) -> DType {
        self.params.values().dtype()
    }

    /// State with `len` numbers, on the parameters' device.
    pub(super) fn tensor(&mut self, name: &str, len: usize, dtype: DType) -> Result<Tensor> {
        let device = self.params.values().device();
        let Some(saved) = &mut self.saved else { return Tensor::zeros(len, dtype, device) };
        let Some(tensor) = saved.remove(name) else { candle_core::bail!("there is no {name}") };
        if tensor.dims() != [len] {
            candle_core::bail!("{name} has the shape {:?}", tensor.dims());
        }
        tensor.to_device(device)?.to_dtype(dtype)
    }
}

/// A rule with its state, and how many updates it has made.
#[derive(Debug)]
pub struct Optimizer {
    rule: Box<dyn Rule>,
    num_updates: u64,
    /// What the learning rate is multiplied by, [P]; 1 everywhere where there is none.
    factors: Option<Tensor>,
}

impl Optimizer {
    pub fn new(settings: OptimizerSettings, params: &FlatParams) -> Result<Self> {
        Self::from(settings, Origin { params, saved: None }, 0)
    }

    /// Goes on from the tensors of [`Self::state`] after so many updates.
    ///
    /// # Errors
    /// When one of them is absent or does not fit the parameters.
    pub fn restore(
        settings: OptimizerSettings,
        params: &FlatParams,
        state: HashMap<String, Tensor>,
        num_updates: u64,
    ) -> Result<Self> {
        Self::from(settings, Origin { params, saved: Some(state) }, num_updates)
    }

    fn from(settings: OptimizerSettings, mut origin: Origin, num_updates: u64) -> Result<Self> {
        let origin = &mut origin;
        let rule: Box<dyn Rule> = match settings {
            OptimizerSettings::AdamW(settings) => Box::new(AdamW::new(settings, origin)?),
            OptimizerSettings::AdamW8Bit(settings) => Box::new(AdamW8Bit::new(settings, origin)?),
            OptimizerSettings::Lion(settings) => Box::new(Lion::new(settings, origin)?),
            OptimizerSettings::Sgd(settings) => Box::new(Sgd::new(settings, origin)?),
        };
        Ok(Self { rule, num_updates, factors: None })
    }

    /// Its state by name. With [`Self::num_updates`] that is all there is to keep.
    pub fn state(&self) -> Vec<(&'static str, State<'_>)> {
        self.rule.state()
    }

    /// Lets go of its state, which may be larger than the model: there is no step after that.
    pub fn forget(&mut self) {
        self.rule = Box::new(Forgotten);
    }

    pub fn num_updates(&self) -> u64 {
        self.num_updates
    }

    /// Moves the parameters against `scale` · gradient [P]. On the CPU they change in place: nothing may hold an older view.
    pub fn step(
        &mut self,
        params: &mut FlatParams,
        gradient: &Tensor,
        scale: f64,
        learning_rate: f64,
    ) -> Result<()> {
        if gradient.dims() != params.values().dims() {
            candle_core::bail!("{:?} gradients for {} parameters", gradient.dims(), params.num_values());
        }
        self.num_updates += 1;
        if params.num_values() == 0 {
            return Ok(());
        }
        let step = Step { scale, learning_rate, update: self.num_updates };
        let Some(factors) = &self.factors else { return self.rule.step(params, gradient, step) };
        // Every rule's move is proportional to its rate, decay included.
        let before = params.values().copy()?;
        self.rule.step(params, gradient, step)?;
        let moved = ((params.values() - &before)? * factors)?;
        params.set_values((before + moved)?)
    }

    /// The same with learning rates of their own for some ranges of the parameters: factors on the rate of a step. They are no part
    /// of the state.
    pub fn with_rates(mut self, params: &FlatParams, rates: &[(Range<usize>, f64)]) -> Result<Self> {
        if !rates.is_empty() {
            let mut factors = vec![1f64; params.num_values()];
            rates.iter().for_each(|(range, factor)| factors[range.clone()].fill(*factor));
            let values = params.values();
            let factors = Tensor::from_vec(factors, values.elem_count(), &Device::Cpu)?;
            self.factors = Some(factors.to_dtype(values.dtype())?.to_device(values.device())?);
        }
        Ok(self)
    }

    /// Begins an update whose gradient comes in parts: see [`Parts`]. Nothing may read a parameter once it was given.
    ///
    /// # Errors
    /// With learning rates of their own for some ranges.
    pub fn in_parts<'o>(
        &'o mut self,
        params: &'o FlatParams,
        scale: f64,
        learning_rate: f64,
    ) -> Result<Parts<'o>> {
        if self.factors.is_some() {
            candle_core::bail!("parameters that move part by part have one learning rate");
        }
        let step = Step { scale, learning_rate, update: self.num_updates + 1 };
        Ok(Parts::new(self.rule.as_mut(), &mut self.num_updates, params.values(), step))
    }
}
