//! Keys and values of the tokens so far, in buffers that grow by a quarter: they are most of the memory of a long answer.

use crate::nn::Result;
use crate::nn::ops::{Bias, HeadLayout, attend_cached};
use candle_core::Tensor;
use std::rc::Rc;

/// How the queries of a layer look at keys: what scores are multiplied by, how far back, and bent below what.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    pub scale: f64,
    pub window: Option<usize>,
    pub cap: Option<f64>,
}

/// Keys and values of one layer: [capacity, k, e] each, of which the first `len` rows count, in the type that the model computes in.
#[derive(Debug, Default)]
pub struct LayerCache {
    buffers: Option<(Tensor, Tensor)>,
    len: usize,
}

impl LayerCache {
    /// Appends the keys and values of new rows of q | k | v, [s, (h + 2k) e], and lets their queries look at all so far:
    /// -> [s, h·e]. `bias` is added to scores by distance, [2l - 1, h].
    pub fn attend(
        &mut self,
        qkv: &Tensor,
        layout: HeadLayout,
        look: Look,
        bias: Option<&Tensor>,
    ) -> Result<Tensor> {
        let (s, e) = (qkv.dim(0)?, layout.head_width);
        let (q, k) = (layout.query_width(), layout.key_width());
        let heads = |first, width| qkv.narrow(1, first, width)?.contiguous()?.reshape((s, width / e, e)); // [s, heads, e]
        let (keys, values) = self.extend(&heads(q, k)?, &heads(q + k, k)?)?;
        let Look { scale, window, cap } = look;
        attend_cached(&heads(0, q)?, &keys, &values, scale, window, cap, bias.map(Bias))?.reshape((s, q)) // [s, h·e]
    }

    /// Appends keys and values [s, k, e] and returns all of them, [t, k, e] each.
    fn extend(&mut self, k: &Tensor, v: &Tensor) -> Result<(Tensor, Tensor)> {
        let (s, num_kv, e) = k.dims3()?;
        let needed = self.len + s;
        let capacity = self.buffers.as_ref().map_or(0, |(k, _)| k.dims()[0]);
        if needed > capacity {
            let rows = needed.max(capacity + capacity / 4).next_multiple_of(64);
            let grown =
                (grow(self.keys(), (rows, num_kv, e), k)?, grow(self.values(), (rows, num_kv, e), v)?);
            self.buffers = Some(grown);
        }
        let Some((keys, values)) = &self.buffers else { candle_core::bail!("the cache has no buffers") };
        keys.slice_set(&k.contiguous()?, 0, self.len)?;
        values.slice_set(&v.contiguous()?, 0, self.len)?;
        self.len = needed;
        Ok((keys.narrow(0, 0, needed)?, values.narrow(0, 0, needed)?))
    }

    /// Begins with keys and values that belong to no token: k | v, [p, 2k·e].
    pub(super) fn begin(&mut self, prefix: &Tensor, layout: HeadLayout) -> Result<()> {
        let (p, k) = (prefix.dim(0)?, layout.key_width());
        let heads = |first| {
            prefix.narrow(1, first, k)?.contiguous()?.reshape((p, layout.num_kv_heads, layout.head_width)) // [p, k, e]
        };
        self.len = 0;
        self.extend(&heads(0)?, &heads(k)?).map(|_| ())
    }

    /// The same in buffers of its own.
    fn fork(&self) -> Result<Self> {
        let Some((keys, values)) = &self.buffers else { return Ok(Self::default()) };
        let copy = |old, of: &Tensor| grow(old, of.dims3()?, of);
        Ok(Self { buffers: Some((copy(self.keys(), keys)?, copy(self.values(), values)?)), len: self.len })
    }

    fn keys(&self) -> Option<(&Tensor, usize)> {
        self.buffers.as_ref().map(|(k, _)| (k, self.len))
    }

    fn values(&self) -> Option<(&Tensor, usize)> {
        self.buffers.as_ref().map(|(_, v)| (v, self.len))
    }
}

/// A buffer in the type and on the device of `like`, with what the old one holds.
fn grow(old: Option<(&Tensor, usize)>, shape: (usize, usize, usize), like: &Tensor) -> Result<Tensor> {
    let new = Tensor::zeros(shape, like.dtype(), like.device())?;
    if let Some((old, len)) = old
        && len > 0
    {
        new.slice_set(&old.narrow(0, 0, len)?.contiguous()?, 0, 0)?;
    }
    Ok(new)
}

/// One layer of several conversations: how many rows of the input are each one's, in order.
pub struct CachedRows<'a>(pub Vec<(usize, &'a mut LayerCache)>);

impl CachedRows<'_> {
    /// [`LayerCache::attend`] for each conversation's rows of q | k | v, [n, (h + 2k) e] -> [n, h·e].
    pub fn attend(
        self,
        qkv: &Tensor,
        layout: HeadLayout,
        look: Look,
        bias: Option<&Tensor>,
    ) -> Result<Tensor> {
        let mut first = 0;
        let attend = |(s, cache): (usize, &mut LayerCache)| {
            let rows = qkv.narrow(0, first, s)?;
            first += s;
            cache.attend(&rows, layout, look, bias)
        };
        let mixed = self.0.into_iter().map(attend).collect::<Result<Vec<_>>>()?;
        Tensor::cat(&mixed, 0)
    }
}

/// The caches of all layers of one conversation.
#[derive(Debug)]
pub struct Cache {
    pub(super) layers: Vec<LayerCache>,
    /// Rows before the first token's that belong to no token.
    pub(super) num_virtual: usize,
    /// What is read, of a model with two stacks: all tokens before the first that is written.
    pub(super) read: Vec<u32>,
    /// Keys and values of the encoder's rows for each layer that writes, [m, 2k·e], once everything is read. Forks share them.
    pub(super) kept: Option<Rc<Vec<Tensor>>>,
}

impl Cache {
    pub fn new(num_layers: usize) -> Self {
        let layers = (0..num_layers).map(|_| LayerCache::default()).collect();
        Self { layers, num_virtual: 0, read: Vec::new(), kept: None }
    }

    /// Number of tokens so far.
    pub fn len(&self) -> usize {
        self.read.len() + self.num_written()
    }

    /// Number of tokens that the layers know. An encoder's layers keep nothing.
    pub(super) fn num_written(&self) -> usize {
        self.layers.last().map_or(0, |layer| layer.len.saturating_sub(self.num_virtual))
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The same in buffers of its own: what is added to one is not in the other.
    pub fn fork(&self) -> Result<Self> {
        let layers = self.layers.iter().map(LayerCache::fork).collect::<Result<_>>()?;
        let (read, kept) = (self.read.clone(), self.kept.clone());
        Ok(Self { layers, num_virtual: self.num_virtual, read, kept })
    }

    /// Forgets all but the first `num_kept` tokens; the buffers stay, and virtual rows, too.
    pub fn truncate(&mut self, num_kept: usize) {
        if num_kept <= self.read.len() {
            // Of a text that is read in part nothing is known.
            self.kept = None;
            self.read.truncate(num_kept);
        }
        let num_kept = num_kept - self.read.len();
        for layer in &mut self.layers {
            layer.len = layer.len.min(self.num_virtual + num_kept);
        }
    }

    /// Forgets everything, virtual rows, too; the buffers stay.
    pub fn clear(&mut self) {
        self.num_virtual = 0;
        self.truncate(0);
    }
}
