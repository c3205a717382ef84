//! The trainable parameters: one flat f32 buffer, and the names and shapes of its parts.
//!
//! Clipping, the optimizer and checkpoints each work on one tensor, however many matrices a method adds.

use super::{FlatGradient, Node, Result, Tape};
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

    /// Names, and where each lies in the buffer.
    pub fn ranges(&self) -> impl Iterator<Item = (&str, Range<usize>)> {
        self.parts.iter().map(|part| (part.name.as_str(), part.start..part.start + part.len))
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

    /// Neighbours end to end, [their numbers]; a view, not a copy.
    pub fn joined(&self, parts: &Range<usize>) -> Result<Tensor> {
        let (start, len) = self.extent(parts);
        self.values.narrow(0, start, len)
    }

    /// All parameters by name, as views.
    pub fn named(&self) -> Result<Vec<(ParamName, Tensor)>> {
        self.parts.iter().enumerate().map(|(i, part)| Ok((part.name.clone(), self.get(i)?))).collect()
    }

    /// Where neighbours lie in the buffer: the first number, and how many.
    pub(super) fn extent(&self, parts: &Range<usize>) -> (usize, usize) {
        let parts = &self.parts[parts.clone()];
        (parts.first().map_or(0, |part| part.start), parts.iter().map(|part| part.len).sum())
    }

    /// Its parameters as leaves of a tape, whose gradients go to `gradient`.
    pub fn on<'l, 'a>(&'l self, tape: &'l Tape<'a>, gradient: &'l FlatGradient) -> Leaves<'l, 'a> {
        Leaves { params: self, tape: Some((tape, gradient)) }
    }

    /// Its parameters as they are, for answering.
    pub fn frozen(&self) -> Leaves<'_, '_> {
        Leaves { params: self, tape: None }
    }
}

/// Parameters as the operations of one forward pass read them.
#[derive(Clone, Copy)]
pub struct Leaves<'l, 'a> {
    params: &'l FlatParams,
    /// With the place where gradients go; without both, nothing is trained.
    tape: Option<(&'l Tape<'a>, &'l FlatGradient)>,
}

impl Leaves<'_, '_> {
    /// The parameter at `index`, in its own shape.
    pub fn get(&self, index: usize) -> Result<Node> {
        Ok(self.node(index..index + 1, self.params.get(index)?))
    }

    /// Neighbours of the same width as one matrix, one above the other.
    pub fn stacked(&self, parts: Range<usize>) -> Result<Node> {
        Ok(self.node(parts.clone(), self.params.stacked(parts)?))
    }

    /// Neighbouring vectors as one, end to end.
    pub fn joined(&self, parts: Range<usize>) -> Result<Node> {
        let joined = self.params.joined(&parts)?;
        Ok(self.node(parts, joined))
    }

    fn node(&self, parts: Range<usize>, value: Tensor) -> Node {
        match self.tape {
            Some((tape, gradient)) => tape.parameter(value, gradient.slot(self.params, parts)),
            None => Node::frozen(value),
        }
    }
}
