//! Numbers beside the parameters, one or two for each, and the parameters as a slice that changes in place.

use super::optimizer::{Origin, State};
use crate::nn::Result;
use crate::nn::kernels::cpu::Numbers;
use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, InplaceOp2, Layout, Tensor};
use std::cell::RefCell;

/// `N` numbers for each parameter, [P] each.
#[derive(Debug)]
pub(super) enum Moments<const N: usize> {
    /// f32 in the memory of the CPU, changed in place.
    Numbers([Vec<f32>; N]),
    Tensors([Tensor; N]),
}

impl<const N: usize> Moments<N> {
    /// One after the other: of full tuning, each is as large as the model.
    pub(super) fn new(names: [&str; N], origin: &mut Origin) -> Result<Self> {
        let (mut numbers, mut tensors) = (Vec::with_capacity(N), Vec::with_capacity(N));
        for name in names {
            if let Some(zeros) = origin.zeros() {
                numbers.push(zeros);
                continue;
            }
            let moment = origin.moment(name)?;
            match Numbers::of(&moment) {
                Some(of) => numbers.push(of.to_vec()),
                None => tensors.push(moment.clone()),
            }
        }
        match (numbers.try_into(), tensors.try_into()) {
            (Ok(numbers), _) => Ok(Self::Numbers(numbers)),
            (_, Ok(tensors)) => Ok(Self::Tensors(tensors)),
            _ => candle_core::bail!("moments in different places"),
        }
    }

    pub(super) fn named(&self, names: [&'static str; N]) -> Vec<(&'static str, State<'_>)> {
        match self {
            Self::Numbers(numbers) => {
                names.into_iter().zip(numbers.iter().map(|of| State::Numbers(of))).collect()
            }
            Self::Tensors(tensors) => names.into_iter().zip(tensors.iter().map(State::Tensor)).collect(),
        }
    }
}

/// Gives parameters [n] and their gradient [n] to `work`, which changes the former where they lie: f32 on the CPU.
pub(super) fn in_place(
    values: &Tensor,
    gradient: &Tensor,
    work: impl FnMut(&mut [f32], &[f32]),
) -> Result<()> {
    values.inplace_op2(gradient, &InPlace(RefCell::new(work)))
}

/// What a rule says that is asked for a part of parameters which do not lie in the memory of the CPU.
pub(super) fn not_in_parts<T>() -> Result<T> {
    candle_core::bail!("parameters can be moved part by part on the CPU only, in f32")
}

struct InPlace<F>(RefCell<F>);

impl<F: FnMut(&mut [f32], &[f32])> InplaceOp2 for InPlace<F> {
    fn name(&self) -> &'static str {
        "optimizer"
    }

    fn cpu_fwd(
        &self,
        values: &mut CpuStorage,
        values_at: &Layout,
        gradient: &CpuStorage,
        gradient_at: &Layout,
    ) -> Result<()> {
        let (Some(at), Some(gradient_at)) =
            (values_at.contiguous_offsets(), gradient_at.contiguous_offsets())
        else {
            candle_core::bail!("an optimizer needs parameters and gradient in one piece")
        };
        let CpuStorage::F32(values) = values else {
            candle_core::bail!("an optimizer needs f32 parameters, not {:?}", values.dtype())
        };
        let gradient = &gradient.as_slice::<f32>()?[gradient_at.0..gradient_at.1];
        (self.0.borrow_mut())(&mut values[at.0..at.1], gradient);
        Ok(())
    }
}
