//! One block, for every family: attention and feed-forward, each added to the stream that both read. Where it
//! normalises, and how, the family's table says.

use super::cache::{CachedRows, Look};
use super::config::DecoderConfig;
use super::families::{NormKind, QkNorm};
use super::hooks::{Beside, Hooks, NormAt, Part, Place, Projection, SubLayer};
use super::params::DecoderParams;
use crate::nn::ops::{self, HeadNorms, NormedColumns, RopeRows, Seen, Shares, VirtualRows};
use crate::nn::{Node, Result, Tape};
use candle_core::Tensor;
use std::rc::Rc;

/// What the tokens of a forward pass may see.
pub enum Sight<'a> {
    /// Packed segments, each seeing itself only, and where they stand behind a prefix.
    Packed(&'a Rc<Seen>, Option<&'a VirtualRows>),
    /// All tokens in their conversation's cache, to which these are added. No gradient.
    Cached(CachedRows<'a>),
}

/// A block of a given layer with everything it needs besides its input.
pub struct Block<'a> {
    pub layer: usize,
    pub config: &'a DecoderConfig,
    pub params: &'a DecoderParams,
    pub hooks: &'a dyn Hooks,
    /// `None` for a layer that turns nothing.
    pub rope: Option<&'a RopeRows>,
    /// What is added to scores by distance, [2l - 1, h].
    pub bias: Option<&'a Node>,
    /// The rows of an encoder, for a block that looks at any.
    pub read: Option<Read<'a>>,
}

/// The encoder's rows that the tokens of a forward pass look at.
#[derive(Clone, Copy)]
pub enum Read<'a> {
    /// As they are, [m, d], and which of them each token sees.
    Rows(&'a Node, &'a Rc<Seen>),
    /// Keys and values of this layer, [m, 2k·e], of each conversation; and how many of the tokens are its.
    Kept(&'a [(usize, &'a Tensor)]),
}

impl Block<'_> {
    fn projection(&self, tape: &Tape, projection: Projection, x: &Node) -> Result<Node> {
        let y = match self.hooks.input_scale(self.layer, projection) {
            Some(scale) => self.product(tape, projection, &ops::scale_columns(tape, x, scale)?)?,
            None => self.product(tape, projection, x)?,
        };
        match self.hooks.output_scale(self.layer, projection) {
            Some(scale) => ops::scale_columns(tape, &y, scale),
            None => Ok(y),
        }
    }

    fn product(&self, tape: &Tape, projection: Projection, x: &Node) -> Result<Node> {
        let part = Part::Weight(self.layer, projection);
        let own = self.params.matrix(part).map_err(candle_core::Error::wrap)?;
        let weight = self.hooks.matrix(part, own);
        let bias = Part::Bias(self.layer, projection);
        let bias = self.params.vector(bias).map(|own| self.hooks.vector(bias, own));
        match self.hooks.low_rank(self.layer, projection) {
            Some(low_rank) => match self.hooks.magnitudes(self.layer, projection) {
                [] => ops::low_rank_linear(tape, x, weight.weight(), bias.as_ref(), low_rank),
                magnitudes => {
                    let squares = self.params.row_squares(part).map_err(candle_core::Error::wrap)?;
                    let rows = ops::Magnitudes { nodes: magnitudes, squares: &squares };
                    ops::decomposed_linear(tape, x, weight.weight(), bias.as_ref(), low_rank, rows)
                }
            },
            None => ops::linear(tape, x, &weight, bias.as_ref()),
        }
    }

    /// Weights of the norms of queries and of keys, where the family has them.
    fn qk_norms(&self, tape: &Tape) -> Result<Option<[Node; 2]>> {
        let norms = Norms { config: self.config, params: self.params, hooks: self.hooks };
        let [query, key] = [Part::QueryNorm(self.layer), Part::KeyNorm(self.layer)];
        Ok(norms.weight(tape, query)?.zip(norms.weight(tape, key)?).map(Into::into))
    }

    /// q | k | v [n, (h + 2k) e] -> the same, normalised and turned as the family does.
    fn turned(&self, tape: &Tape, qkv: Node) -> Result<Node> {
        let (layout, epsilon) = (self.config.head_layout(), self.config.norm_epsilon);
        let norms = self.qk_norms(tape)?;
        let (qkv, of_heads) = match (self.config.family.table().qk_norm, norms) {
            (Some(QkNorm::Whole), Some([query, key])) => {
                let query = NormedColumns { first: 0, weight: query };
                let key = NormedColumns { first: layout.query_width(), weight: key };
                (ops::rms_norm_columns(tape, &qkv, &[query, key], epsilon)?, None)
            }
            (_, norms) => (qkv, norms.map(|[query, key]| HeadNorms { query, key, epsilon })),
        };
        match self.rope {
            Some(rope) => ops::rotate(tape, &qkv, layout, rope, of_heads.as_ref()),
            None => Ok(qkv),
        }
    }

    fn attention(&self, tape: &Tape, x: &Node, sight: Sight) -> Result<Node> {
        let layout = self.config.head_layout();
        let qkv = self.projection(tape, Projection::Qkv, x)?; // [n, (h + 2k) e]
        let qkv = self.turned(tape, qkv)?;
        let mixed = match sight {
            Sight::Packed(seen, behind) => {
                let dropout = self.hooks.dropped_shares(Place::Shares(self.layer));
                let shares = Shares { bias: self.bias, dropout };
                match self.hooks.prefix(self.layer).zip(behind) {
                    Some((prefix, places)) => {
                        ops::prefix_attention(tape, &qkv, prefix, places, layout, seen, dropout)?
                    }
                    None => ops::attention(tape, &qkv, layout, seen, shares)?,
                }
            }
            Sight::Cached(cache) => {
                let look = Look {
                    scale: self.config.attention_scale,
                    window: self.config.window_of(self.layer),
                    cap: self.config.attention_cap,
                };
                Node::frozen(cache.attend(qkv.value(), layout, look, self.bias.map(Node::value))?)
            }
        };
        self.projection(tape, Projection::O, &mixed)
    }

    /// Keys and values of an encoder's rows [m, d] for this layer: [m, 2k·e].
    pub fn keys_of(&self, tape: &Tape, rows: &Node) -> Result<Node> {
        self.projection(tape, Projection::CrossKv, rows)
    }

    /// Attention of x [n, d] to the encoder's rows: -> [n, d].
    fn cross_attention(&self, tape: &Tape, x: &Node, read: Read) -> Result<Node> {
        let layout = self.config.head_layout();
        let q = self.projection(tape, Projection::CrossQ, x)?; // [n, h·e]
        let mixed = match read {
            Read::Rows(rows, seen) => {
                let dropout = self.hooks.dropped_shares(Place::CrossShares(self.layer));
                ops::cross_attention(tape, &q, &self.keys_of(tape, rows)?, layout, seen, dropout)?
            }
            Read::Kept(all) => {
                let (mut first, mut mixed) = (0, Vec::with_capacity(all.len()));
                for (num, kept) in all.iter().filter(|(num, _)| *num > 0) {
                    let seen =
                        Seen::across(vec![0, *num], vec![0, kept.dim(0)?], self.config.attention_scale);
                    let own = Node::frozen(q.value().narrow(0, first, *num)?);
                    let kept = Node::frozen((*kept).clone());
                    let looked = ops::cross_attention(tape, &own, &kept, layout, &Rc::new(seen), None)?;
                    mixed.push(looked.value().clone());
                    first += num;
                }
                Node::frozen(Tensor::cat(&mixed, 0)?)
            }
        };
        self.projection(tape, Projection::CrossO, &mixed)
    }

    fn feed_forward(&self, tape: &Tape, x: &Node) -> Result<Node> {
        let activation = self.config.activation;
        let up = self.projection(tape, Projection::GateUp, x)?; // [n, 2f], or [n, f] without a gate
        let bent = match self.config.family.table().is_gated() {
            true => ops::gated(tape, &up, activation)?,
            false => ops::activate(tape, &up, activation)?,
        };
        let bent = match self.config.family.table().encoder {
            Some(_) => self.hooks.dropped(tape, bent, Place::Bent(self.layer))?,
            None => bent,
        };
        self.projection(tape, Projection::Down, &bent)
    }

    /// x as it is where the family has no norm there.
    fn normed(&self, tape: &Tape, x: Node, at: NormAt) -> Result<Node> {
        let norms = Norms { config: self.config, params: self.params, hooks: self.hooks };
        let [weight, bias] = [Part::Norm(self.layer, at), Part::NormBias(self.layer, at)];
        Ok(norms.apply(tape, &x, weight, bias)?.unwrap_or(x))
    }

    /// `x + made`, the latter scaled as the family does, and what a method adds beside it; normed where the family norms sums.
    fn joined(&self, tape: &Tape, x: &Node, made: Node, sub_layer: SubLayer) -> Result<Node> {
        let made = self.hooks.dropped(tape, made, Place::After(self.layer, sub_layer))?;
        let scale = self.config.residual_scale;
        let made = if scale == 1.0 { made } else { ops::affine(tape, &made, scale, 0.0)? };
        let normed_at = match sub_layer {
            SubLayer::Attention => NormAt::OfAttentionSum,
            SubLayer::FeedForward => NormAt::OfFeedForwardSum,
        };
        let mut sum = ops::add(tape, x, &made)?;
        if let Some(Beside { bottleneck, reads_sum }) = self.hooks.bottleneck(self.layer, sub_layer) {
            // As the `adapters` library has it: normed here, and once more with what it makes.
            let read = if *reads_sum { self.normed(tape, sum.clone(), normed_at)? } else { made };
            sum = ops::add(tape, &sum, &ops::bottleneck(tape, &read, bottleneck)?)?;
        }
        self.normed(tape, sum, normed_at)
    }

    /// x [n, d] -> [n, d].
    pub fn forward(&self, tape: &Tape, x: &Node, sight: Sight) -> Result<Node> {
        let normed = self.normed(tape, x.clone(), NormAt::BeforeAttention)?;
        let made = self.attention(tape, &normed, sight)?;
        let made = self.normed(tape, made, NormAt::AfterAttention)?;
        let mixed = self.joined(tape, x, made, SubLayer::Attention)?;
        let mixed = match self.read {
            Some(read) => {
                let normed = self.normed(tape, mixed.clone(), NormAt::BeforeCross)?;
                let made = self.cross_attention(tape, &normed, read)?;
                ops::add(tape, &mixed, &self.hooks.dropped(tape, made, Place::AfterCross(self.layer))?)?
            }
            None => mixed,
        };
        let read = if self.config.is_parallel { x } else { &mixed };
        let normed = self.normed(tape, read.clone(), NormAt::BeforeFeedForward)?;
        let made = self.feed_forward(tape, &normed)?;
        let made = self.normed(tape, made, NormAt::AfterFeedForward)?;
        self.joined(tape, &mixed, made, SubLayer::FeedForward)
    }
}

/// The norms of a model, whatever kind they are of.
pub struct Norms<'a> {
    pub config: &'a DecoderConfig,
    pub params: &'a DecoderParams,
    pub hooks: &'a dyn Hooks,
}

impl Norms<'_> {
    fn vector(&self, part: Part) -> Option<Node> {
        self.params.vector(part).map(|own| self.hooks.vector(part, own))
    }

    /// What numbers are multiplied by, [d]; `None` where the model has no such norm.
    fn weight(&self, tape: &Tape, part: Part) -> Result<Option<Node>> {
        match (self.config.family.table().norm, self.vector(part)) {
            (NormKind::RmsPlusOne, Some(weight)) => ops::affine(tape, &weight, 1.0, 1.0).map(Some),
            (_, weight) => Ok(weight),
        }
    }

    /// x [n, d] -> [n, d]; `None` where the model has no such norm.
    pub fn apply(&self, tape: &Tape, x: &Node, weight: Part, bias: Part) -> Result<Option<Node>> {
        let Some(weight) = self.weight(tape, weight)? else { return Ok(None) };
        let epsilon = self.config.norm_epsilon;
        let bias = match (self.config.family.table().norm, self.vector(bias)) {
            (NormKind::Layer, None) => Some(Node::frozen(weight.value().zeros_like()?)),
            (_, bias) => bias,
        };
        match bias {
            Some(bias) => ops::layer_norm(tape, x, &weight, &bias, epsilon).map(Some),
            None => ops::rms_norm(tape, x, &weight, epsilon).map(Some),
        }
    }
}
