//! The trainable parameters: one flat f32 buffer, and the names and shapes of its parts.
//!
//! Clipping, the optimizer and checkpoints each work on one tensor, however many matrices a method adds.

use super::kernels::cpu::Numbers;
use super::{FlatGradient, Node, Result, Tape};
use candle_core::{DType, Device, Tensor};
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
        let num_values = named.iter().map(|(_, tensor)| tensor.elem_count()).sum();
        let mut collected = Collected::new(num_values, device);
        for (name, tensor) in named {
            collected.push(name, &tensor)?;
        }
        collected.into_params()
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

/// Parameters that come one after the other: beside the buffer, nobody need hold more than one of them.
pub struct Collected {
    parts: Vec<Part>,
    numbers: Vec<f32>,
    /// What does not go into the numbers: on a device, or of another type.
    tensors: Vec<Tensor>,
    device: Device,
}

impl Collected {
    /// `num_values` of them are expected.
    pub fn new(num_values: usize, device: &Device) -> Self {
        let room = if device.is_cpu() { num_values } else { 0 };
        Self {
            parts: Vec::new(),
            numbers: Vec::with_capacity(room),
            tensors: Vec::new(),
            device: device.clone(),
        }
    }

    pub fn push(&mut self, name: ParamName, tensor: &Tensor) -> Result<()> {
        let start = self.parts.last().map_or(0, |part| part.start + part.len);
        self.parts.push(Part { name, shape: tensor.dims().to_vec(), start, len: tensor.elem_count() });
        let own = tensor.to_device(&self.device)?.flatten_all()?;
        match Numbers::of(&own).filter(|_| self.tensors.is_empty()) {
            Some(numbers) => self.numbers.extend_from_slice(&numbers),
            None => {
                self.keep_numbers()?;
                self.tensors.push(own.clone());
            }
        }
        Ok(())
    }

    /// The numbers so far as a tensor before the others.
    fn keep_numbers(&mut self) -> Result<()> {
        let numbers = std::mem::take(&mut self.numbers);
        if !numbers.is_empty() {
            let len = numbers.len();
            self.tensors.push(Tensor::from_vec(numbers, len, &self.device)?);
        }
        Ok(())
    }

    pub fn into_params(self) -> Result<FlatParams> {
        let Self { parts, numbers, tensors, device } = self;
        let values = match (parts.is_empty(), tensors.is_empty()) {
            (true, _) => Tensor::zeros(0, DType::F32, &device)?,
            (false, true) => {
                let len = numbers.len();
                Tensor::from_vec(numbers, len, &device)?
            }
            (false, false) => Tensor::cat(&tensors, 0)?,
        };
        Ok(FlatParams { parts, values })
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
