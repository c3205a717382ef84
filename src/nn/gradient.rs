//! The gradient of a flat buffer of parameters: filled part by part while the tape walks back, and added up over micro-steps.
//!
//! A gradient that goes where it belongs as soon as it is known never lies beside the whole: full tuning needs one
//! gradient's memory, not two.

use super::Result;
use super::kernels::cpu::Numbers;
use super::kernels::cpu::elementwise;
use super::params::FlatParams;
use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, DType, Device, InplaceOp1, Layout, Tensor};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;

/// The gradient `[P]` of a [`FlatParams`] `[P]`.
#[derive(Debug)]
pub struct FlatGradient {
    place: Place,
    /// Which parameters got a gradient since the last [`Self::clear`].
    is_filled: Rc<[Cell<bool>]>,
}

/// Where gradients are.
#[derive(Debug, Clone)]
enum Place {
    /// All of them, `[P]`.
    Whole(Tensor),
    /// Those that are not whole yet, each by the place of its first number.
    Passing(Rc<RefCell<BTreeMap<usize, Vec<f32>>>>),
}

/// Where the gradient of one leaf belongs: some neighbouring parameters.
#[derive(Debug, Clone)]
pub struct Slot {
    place: Place,
    is_filled: Rc<[Cell<bool>]>,
    parts: Range<usize>,
    start: usize,
    len: usize,
}

impl FlatGradient {
    pub fn new(params: &FlatParams) -> Result<Self> {
        let values = Tensor::zeros(params.num_values(), DType::F32, params.values().device())?;
        Ok(Self { place: Place::Whole(values), is_filled: unfilled(params) })
    }

    /// One that nowhere is as a whole: [`Slot::take`] takes each part away.
    pub fn passing(params: &FlatParams) -> Self {
        Self { place: Place::Passing(Rc::default()), is_filled: unfilled(params) }
    }

    /// Forgets everything: what comes next replaces what stands there.
    pub fn clear(&self) {
        self.is_filled.iter().for_each(|is_filled| is_filled.set(false));
        if let Place::Passing(parts) = &self.place {
            parts.borrow_mut().clear();
        }
    }

    /// The place of some neighbouring parameters.
    pub fn slot(&self, params: &FlatParams, parts: Range<usize>) -> Slot {
        let (start, len) = params.extent(&parts);
        Slot { place: self.place.clone(), is_filled: self.is_filled.clone(), parts, start, len }
    }

    /// Zeros for parameters that got none since the last [`Self::clear`]: of several tasks, an update may leave some out.
    pub fn settle(&self, params: &FlatParams) -> Result<()> {
        for part in (0..params.len()).filter(|part| !self.is_filled[*part].get()) {
            let slot = self.slot(params, part..part + 1);
            slot.add(&Tensor::zeros(slot.len, DType::F32, params.values().device())?)?;
        }
        Ok(())
    }

    /// The whole of it, `[P]`.
    ///
    /// # Errors
    /// Names the parameter that got no gradient: it would silently stay as it is.
    pub fn whole(&self, params: &FlatParams) -> Result<&Tensor> {
        match self.is_filled.iter().zip(params.names()).find(|(is_filled, _)| !is_filled.get()) {
            Some((_, name)) => candle_core::bail!("the trainable parameter {name} got no gradient"),
            None => match &self.place {
                Place::Whole(values) => Ok(values),
                Place::Passing(_) => candle_core::bail!("the gradient was taken away part by part"),
            },
        }
    }
}

fn unfilled(params: &FlatParams) -> Rc<[Cell<bool>]> {
    (0..params.len()).map(|_| Cell::new(false)).collect()
}

impl Slot {
    /// Adds a gradient of any shape and type with as many numbers.
    pub fn add(&self, gradient: &Tensor) -> Result<()> {
        if gradient.elem_count() != self.len {
            candle_core::bail!("a gradient of shape {:?} for {} parameters", gradient.dims(), self.len);
        }
        if let Some(numbers) = Numbers::of(gradient)
            && self.is_on_cpu()
        {
            return self.fill(|slot, is_first| match is_first {
                true => slot.copy_from_slice(&numbers),
                false => elementwise::add_to(slot, &numbers),
            });
        }
        let gradient = gradient.flatten_all()?.to_dtype(DType::F32)?;
        let Place::Whole(values) = &self.place else { return self.add(&gradient.to_device(&Device::Cpu)?) };
        let sum =
            if self.is_first() { gradient } else { (gradient + values.narrow(0, self.start, self.len)?)? };
        self.mark();
        values.slice_set(&sum.contiguous()?, 0, self.start)
    }

    /// Adds weight · (values - anchor), the gradient of weight/2 · ‖values - anchor‖²: both of any shape with as many numbers, f32.
    pub fn add_pull(&self, values: &Tensor, anchor: &Tensor, weight: f64) -> Result<()> {
        if let (Some(values), Some(anchor)) = (Numbers::of(values), Numbers::of(anchor))
            && self.is_on_cpu()
            && [values.len(), anchor.len()] == [self.len; 2]
        {
            return self.fill(|slot, is_first| {
                if is_first {
                    slot.fill(0.0);
                }
                elementwise::add_difference(slot, &values, &anchor, weight as f32);
            });
        }
        self.add(&((values.flatten_all()? - anchor.flatten_all()?)? * weight)?)
    }

    /// Whether [`Self::fill`] can be asked.
    pub fn is_on_cpu(&self) -> bool {
        match &self.place {
            Place::Whole(values) => values.device().is_cpu(),
            Place::Passing(_) => true,
        }
    }

    /// Takes the gradient away where it is passing, with the place of its first number. Nothing may be added to it afterwards.
    pub fn take(&self) -> Option<(usize, Vec<f32>)> {
        match &self.place {
            Place::Whole(_) => None,
            Place::Passing(parts) => parts.borrow_mut().remove_entry(&self.start),
        }
    }

    /// Lets `fill` write the gradient itself, on the CPU: what stands there means nothing when the second argument is true,
    /// and is to be added to otherwise.
    pub fn fill(&self, fill: impl FnOnce(&mut [f32], bool)) -> Result<()> {
        let is_first = self.is_first();
        self.mark();
        match &self.place {
            Place::Whole(values) => {
                let fill = RefCell::new(Some(fill));
                values.inplace_op1(&Fill { range: self.start..self.start + self.len, is_first, fill })
            }
            Place::Passing(parts) => {
                fill(parts.borrow_mut().entry(self.start).or_insert_with(|| vec![0.0; self.len]), is_first);
                Ok(())
            }
        }
    }

    fn is_first(&self) -> bool {
        !self.is_filled[self.parts.clone()].iter().any(Cell::get)
    }

    fn mark(&self) {
        self.is_filled[self.parts.clone()].iter().for_each(|is_filled| is_filled.set(true));
    }
}

/// A write into a part of a tensor.
struct Fill<F> {
    range: Range<usize>,
    is_first: bool,
    fill: RefCell<Option<F>>,
}

impl<F: FnOnce(&mut [f32], bool)> InplaceOp1 for Fill<F> {
    fn name(&self) -> &'static str {
        "fill-gradient"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, _layout: &Layout) -> Result<()> {
        let CpuStorage::F32(values) = storage else {
            candle_core::bail!("a gradient is f32, not {:?}", storage.dtype())
        };
        if let Some(fill) = self.fill.borrow_mut().take() {
            fill(&mut values[self.range.clone()], self.is_first);
        }
        Ok(())
    }
}
