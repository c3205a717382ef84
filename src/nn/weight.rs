//! A matrix as a linear layer uses it.

use super::kernels::Packed;
use super::kernels::cpu::{Numbers, Rows};
use super::{Node, Result};
use candle_core::{DType, Device, Tensor};
use std::borrow::Cow;

/// A frozen matrix [o, i], dense or in blocks. Cloning shares it.
#[derive(Debug, Clone)]
pub enum Weight {
    Dense(Tensor),
    Packed(Packed),
}

impl From<Tensor> for Weight {
    fn from(dense: Tensor) -> Self {
        Self::Dense(dense)
    }
}

impl Weight {
    /// One below the other. Where one of them is dense, all become so.
    pub fn stacked(parts: Vec<Self>) -> Result<Self> {
        let packed: Option<Vec<Packed>> = parts
            .iter()
            .map(|part| match part {
                Self::Dense(_) => None,
                Self::Packed(packed) => Some(packed.clone()),
            })
            .collect();
        if let Some(packed) = packed {
            return Packed::stacked(packed).map(Self::Packed);
        }
        let is_dense = |part: &&Self| matches!(part, Self::Dense(_));
        let dtype = parts.iter().find(is_dense).map_or(DType::F32, Self::dtype);
        let dense: Vec<Cow<Tensor>> = parts.iter().map(|part| part.widened(dtype)).collect::<Result<_>>()?;
        match &dense[..] {
            [only] => Ok(Self::Dense(only.clone().into_owned())),
            _ => Ok(Self::Dense(Tensor::cat(&dense.iter().map(AsRef::as_ref).collect::<Vec<&Tensor>>(), 0)?)),
        }
    }

    /// Number of outputs, o.
    pub fn rows(&self) -> usize {
        match self {
            Self::Dense(dense) => dense.dims().first().copied().unwrap_or(0),
            Self::Packed(packed) => packed.rows(),
        }
    }

    /// Number of inputs, i.
    pub fn width(&self) -> usize {
        match self {
            Self::Dense(dense) => dense.dims().get(1).copied().unwrap_or(0),
            Self::Packed(packed) => packed.width(),
        }
    }

    pub fn device(&self) -> &Device {
        match self {
            Self::Dense(dense) => dense.device(),
            Self::Packed(packed) => packed.device(),
        }
    }

    /// The type of its numbers where they are dense; f32, in which they are widened, where they are in blocks.
    fn dtype(&self) -> DType {
        match self {
            Self::Dense(dense) => dense.dtype(),
            Self::Packed(_) => DType::F32,
        }
    }

    /// All of it as one tensor [o, i] of a type, for as long as it is needed.
    pub fn widened(&self, dtype: DType) -> Result<Cow<'_, Tensor>> {
        match self {
            Self::Dense(dense) if dense.dtype() == dtype => Ok(Cow::Borrowed(dense)),
            Self::Dense(dense) => dense.to_dtype(dtype).map(Cow::Owned),
            Self::Packed(packed) => packed.widened()?.to_dtype(dtype).map(Cow::Owned),
        }
    }

    /// Its rows for the CPU's kernels; `None` where they don't lie there as f32 or as blocks.
    pub(super) fn on_cpu(&self) -> Option<Rows<'_>> {
        match self {
            Self::Dense(dense) => Numbers::of(dense).map(|numbers| Rows::Dense(numbers, self.width())),
            Self::Packed(packed) => packed.device().is_cpu().then_some(Rows::Packed(packed)),
        }
    }
}

/// A matrix in a forward pass: frozen, or a trained one on the tape.
#[derive(Debug, Clone)]
pub struct WeightNode {
    weight: Weight,
    leaf: Option<Node>,
}

impl<W: Into<Weight>> From<W> for WeightNode {
    fn from(frozen: W) -> Self {
        Self { weight: frozen.into(), leaf: None }
    }
}

impl WeightNode {
    /// A trained [o, i].
    pub fn trained(node: &Node) -> Self {
        Self { weight: Weight::Dense(node.value().clone()), leaf: Some(node.clone()) }
    }

    pub fn weight(&self) -> &Weight {
        &self.weight
    }

    /// The node that its gradient goes to.
    pub fn leaf(&self) -> Option<&Node> {
        self.leaf.as_ref().filter(|node| node.needs_gradient())
    }
}
