//! The trainable parameters: one flat f32 buffer, and the names and shapes of its parts.
//!
//! Clipping, the optimizer and checkpoints each work on one tensor, however many matrices a method adds.

use super::Result;
use candle_core::{Device, Tensor};

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

    /// All parameters by name, as views.
    pub fn named(&self) -> Result<Vec<(ParamName, Tensor)>> {
        self.parts.iter().enumerate().map(|(i, part)| Ok((part.name.clone(), self.get(i)?))).collect()
    }

    /// One flat gradient `[P]` out of one gradient a parameter.
    ///
    /// # Errors
    /// Names the parameter that got no gradient: it would silently stay as it is.
    pub fn flatten(&self, gradients: Vec<Option<Tensor>>) -> Result<Tensor> {
        let mut flat = Vec::with_capacity(gradients.len());
        for (part, gradient) in self.parts.iter().zip(gradients) {
            let Some(gradient) = gradient else {
                candle_core::bail!("the trainable parameter {} got no gradient", part.name)
            };
            if gradient.dims() != part.shape {
                candle_core::bail!(
                    "the gradient of {} has the shape {:?} instead of {:?}",
                    part.name,
                    gradient.dims(),
                    part.shape
                );
            }
            flat.push(gradient.flatten_all()?);
        }
        Tensor::cat(&flat, 0)
    }
}
