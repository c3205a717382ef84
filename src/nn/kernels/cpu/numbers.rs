//! Tensors as slices, and back.

use crate::nn::Result;
use candle_core::{Device, Shape, Storage, Tensor};
use parking_lot::RwLockReadGuard;
use std::ops::{Deref, Range};

/// The numbers of a tensor that lies in one piece, as f32, in the memory of the CPU.
pub struct Numbers<'a> {
    storage: RwLockReadGuard<'a, Storage>,
    range: Range<usize>,
}

impl<'a> Numbers<'a> {
    /// `None` when the tensor is on another device, of another type, or strided.
    pub fn of(tensor: &'a Tensor) -> Option<Self> {
        let (storage, layout) = tensor.storage_and_layout();
        let (start, end) = layout.contiguous_offsets()?;
        match &*storage {
            Storage::Cpu(cpu) => cpu.as_slice::<f32>().ok()?,
            _ => return None,
        };
        Some(Self { storage, range: start..end })
    }
}

impl Deref for Numbers<'_> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match &*self.storage {
            Storage::Cpu(cpu) => cpu.as_slice::<f32>().map_or(&[], |all| &all[self.range.clone()]),
            _ => &[],
        }
    }
}

/// A tensor around numbers that a kernel made, without a copy.
pub fn tensor(numbers: Vec<f32>, shape: impl Into<Shape>) -> Result<Tensor> {
    Tensor::from_vec(numbers, shape.into(), &Device::Cpu)
}
