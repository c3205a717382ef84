//! The trainable parameters: one flat f32 buffer, and the names and shapes of its parts.
//!
//! Clipping, the optimizer and checkpoints each work on one tensor, however many matrices a method adds.

use super::Result;
use candle_core::{Device, Tensor};
use std::ops::Range;

/// The name of a parameter as it stands in files.
pub type ParamName = String;

#[derive(Debug, Clone, PartialEq, Eq)]
struct Part {
    name: ParamName,
    shape: Vec<usize>,
    start: usize,
    len: usize,
}

/// Named parameters end to end in one tensor `[P]`, in the order in which they were added.
#[derive(Debug, Clone)]
pub struct FlatParams {
    parts: Vec<Part>,
    values: Tensor,
}

impl FlatParams {
    /// Takes named tensors of any shape, f32.
    pub fn new(named: Vec<(ParamName, Tensor)>, device: &Device) -> Result<Self> {
        let mut parts = Vec::with_capacity(named.len());
        let mut flat = Vec::with_capacity(named.len());
        let mut start = 0;
        for (name, tensor) in named {
            let len = tensor.elem_count();
            parts.push(Part { name, shape: tensor.dims().to_vec(), start, len });
            flat.push(tensor.to_device(device)?.flatten_all()?);
            start += len;
        }
        let values = if flat.is_empty() {
            Tensor::zeros(0, candle_core::DType::F32, device)?
        } else {
            Tensor::cat(&flat, 0)?
        };
        Ok(Self { parts, values })
    }

    /// All values, [P].
    pub fn values(&self) -> &Tensor {
        &self.values
    }

    /// Puts new values, [P], in place of the old ones.
    pub fn set_values(&mut self, values: Tensor) -> Result<()> {
        if values.dims() != self.values.dims() {
            candle_core::bail!("expected {:?} trainable values, got {:?}", self.values.dims(), values.dims());
        }
        self.values = values;
        Ok(())
    }

    /// Number of trainable values `P`.
    pub fn num_values(&self) -> usize {
        self.values.elem_count()
    }

    /// Number of named parameters.
    pub fn len(&self) -> usize {
        self.parts.len()
    }

    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().map(|part| part.name.as_str())
    }

    /// The parameter at `index`, in its own shape; a view, not a copy.
    pub fn get(&self, index: usize) -> Result<Tensor> {
        let part = &self.parts[index];
        self.values.narrow(0, part.start, part.len)?.reshape(part.shape.as_slice())
    }

    /// Neighbours of the same width as one matrix, one above the other; a view, not a copy.
    pub fn stacked(&self, parts: Range<usize>) -> Result<Tensor> {
        let parts = &self.parts[parts];
        let Some(first) = parts.first() else { candle_core::bail!("no parameters to stack") };
        let (rows, len) = parts.iter().fold((0, 0), |(rows, len), p| (rows + p.shape[0], len + p.len));
        self.values.narrow(0, first.start, len)?.reshape((rows, len / rows))
    }

    /// All parameters by name, as views.
    pub fn named(&self) -> Result<Vec<(ParamName, Tensor)>> {
        self.parts.iter().enumerate().map(|(i, part)| Ok((part.name.clone(), self.get(i)?))).collect()
    }

    /// One flat gradient `[P]` out of the gradients of the parameters in order; neighbours may come as one tensor.
    ///
    /// # Errors
    /// Names the parameter that got no gradient: it would silently stay as it is.
    pub fn flatten(&self, gradients: Vec<Option<Tensor>>) -> Result<Tensor> {
        let mut flat = Vec::with_capacity(gradients.len());
        let mut num_values = 0;
        for gradient in gradients {
            let Some(gradient) = gradient else {
                let part = self.parts.iter().find(|part| part.start >= num_values);
                let name = part.map_or("(none)", |part| part.name.as_str());
                candle_core::bail!("the trainable parameter {name} got no gradient")
            };
            num_values += gradient.elem_count();
            if !self.parts.iter().any(|part| part.start + part.len == num_values) {
                candle_core::bail!("a gradient of shape {:?} fits no parameter", gradient.dims());
            }
            flat.push(gradient.flatten_all()?);
        }
        if num_values != self.num_values() {
            candle_core::bail!("{num_values} gradients for {} trainable values", self.num_values());
        }
        Tensor::cat(&flat, 0)
    }
}
