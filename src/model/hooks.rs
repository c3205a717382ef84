//! The seams where a tuning method may change what the model computes. Methods live in `peft`; the model names
//! none of them.

use crate::base::rng::Rng;
use crate::nn::ops::{Bottleneck, ColumnScale, Dropout, LowRank, dropout};
use crate::nn::{Node, Result, Tape, Weight, WeightNode};
use candle_core::Tensor;

/// What a linear layer of a block computes; which of them a model has, and what they are called, its family says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Linear {
    Q,
    K,
    V,
    O,
    Gate,
    Up,
    Down,
    /// Queries, keys and values in one.
    Qkv,
    /// Gate and up in one.
    GateUp,
    /// Of a decoder's look at the rows of its encoder.
    CrossQ,
    CrossK,
    CrossV,
    CrossO,
}

/// Linear layers that read the same input and are computed as one, their outputs end to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Projection {
    Qkv,
    O,
    GateUp,
    Down,
    /// Of a decoder's look at the rows of its encoder: queries of its own rows, keys and values of those.
    CrossQ,
    CrossKv,
    CrossO,
}

impl Projection {
    pub const ALL: [Self; 7] =
        [Self::Qkv, Self::O, Self::GateUp, Self::Down, Self::CrossQ, Self::CrossKv, Self::CrossO];
}

/// One linear layer of one block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Site {
    pub layer: usize,
    pub linear: Linear,
}

/// Where a block may normalise; its family says which of them it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NormAt {
    BeforeAttention,
    /// The attention's output, before it is added to the stream.
    AfterAttention,
    /// Of what looks at the encoder's rows.
    BeforeCross,
    BeforeFeedForward,
    AfterFeedForward,
    /// The stream with the attention's output added.
    OfAttentionSum,
    /// The stream with the feed-forward's output added.
    OfFeedForwardSum,
}

/// A tensor of the model, as the forward pass reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    Embedding,
    /// One row a position, where positions are learned.
    Positions,
    /// One row for the first text of two, one for the second.
    Types,
    EmbeddingNorm,
    EmbeddingNormBias,
    Norm(usize, NormAt),
    NormBias(usize, NormAt),
    QueryNorm(usize),
    KeyNorm(usize),
    Weight(usize, Projection),
    Bias(usize, Projection),
    /// What is added to the scores of attention by distance, one row a bucket; of the stack that begins with this layer.
    PositionBias(usize),
    FinalNorm,
    FinalNormBias,
    /// Of the encoder, where the model has one besides its decoder.
    EncoderNorm,
    /// What an encoder's states go through before the vocabulary projection: a dense layer and a norm.
    Transform,
    TransformBias,
    TransformNorm,
    TransformNormBias,
    /// The vocabulary projection; the embedding where they are tied.
    Head,
    HeadBias,
    /// What the heads of a BERT read its first token through.
    Pooler,
    PoolerBias,
    /// Of the task head with this number.
    Score(usize, HeadTensor),
}

/// A tensor of a task's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HeadTensor {
    Dense,
    DenseBias,
    Norm,
    NormBias,
    Out,
    OutBias,
}

/// The two halves of a block, each of which is added to what went into it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SubLayer {
    Attention,
    FeedForward,
}

/// Which of its own numbers the body drops while it learns.
#[derive(Debug, Clone, Copy)]
pub struct BodyDropout {
    /// Share of the embedding's and of each sub-layer's output, before it is added to the stream: transformers' `hidden_dropout_prob`.
    pub hidden: f32,
    /// Share of the shares that queries give to keys: transformers' `attention_probs_dropout_prob`.
    pub attention: f32,
    /// Every place has a stream of its own, which follows from this one.
    pub stream: Rng,
}

/// Where the body drops numbers.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place {
    Embedding,
    /// The embedding of what a second stack writes.
    Written,
    After(usize, SubLayer),
    /// Inside the feed-forward, of what its last layer reads.
    Bent(usize),
    /// Of a decoder's look at the rows of its encoder, its output.
    AfterCross(usize),
    /// What is normalised last, of the stack that begins with this layer.
    Last(usize),
    /// Shares of attention.
    Shares(usize),
    /// The same of the look at an encoder's rows.
    CrossShares(usize),
}

impl Place {
    /// What tells its stream from those of all other places.
    fn stream(self, of: Rng) -> Rng {
        let (word, path) = match self {
            Self::Embedding => (0, None),
            Self::Written => (0, Some(6)),
            Self::After(layer, sub_layer) => (1 + 2 * layer as u64 + sub_layer as u64, None),
            Self::Bent(layer) => (layer as u64, Some(1)),
            Self::AfterCross(layer) => (layer as u64, Some(2)),
            Self::Last(layer) => (layer as u64, Some(3)),
            Self::Shares(layer) => (layer as u64, Some(4)),
            Self::CrossShares(layer) => (layer as u64, Some(5)),
        };
        Rng::new(of.at(word), path.as_slice())
    }
}

/// A bottleneck, and what it reads; what it makes is added to the block's sum.
#[derive(Debug, Clone)]
pub struct Beside {
    pub bottleneck: Bottleneck,
    /// The sum of the sub-layer's output and its input, rather than its output alone.
    pub reads_sum: bool,
}

/// What a tuning method adds to the forward pass, or puts in its place.
pub trait Hooks {
    /// The hooks that these stand before, and that say what these do not.
    fn others(&self) -> Option<&dyn Hooks> {
        None
    }

    /// The low-rank change of a projection, where the method has one.
    fn low_rank(&self, layer: usize, projection: Projection) -> Option<&LowRank> {
        self.others()?.low_rank(layer, projection)
    }

    /// Keys and values of a layer that stand before those of every conversation's first token, [p, 2k·e]: keys, then values. They take the
    /// positions 0..p, but are not rotated. Every layer has them, or none.
    fn prefix(&self, layer: usize) -> Option<&Node> {
        self.others()?.prefix(layer)
    }

    /// Rows that stand before the embedded tokens of every conversation, [p, d], at the positions 0..p.
    fn soft_prompt(&self) -> Option<&Node> {
        self.others()?.soft_prompt()
    }

    /// Factors of the columns of a projection's input, where the method has any.
    fn input_scale(&self, layer: usize, projection: Projection) -> Option<&ColumnScale> {
        self.others()?.input_scale(layer, projection)
    }

    /// Factors of the columns of a projection's output, where the method has any.
    fn output_scale(&self, layer: usize, projection: Projection) -> Option<&ColumnScale> {
        self.others()?.output_scale(layer, projection)
    }

    /// A bottleneck after a sub-layer, where the method has one.
    fn bottleneck(&self, layer: usize, after: SubLayer) -> Option<&Beside> {
        self.others()?.bottleneck(layer, after)
    }

    /// The lengths that a projection's changed rows have (DoRA), [o] for each part of its [`Self::low_rank`]; none where they
    /// stay as they come.
    fn magnitudes(&self, layer: usize, projection: Projection) -> &[Node] {
        self.others().map_or(&[], |others| others.magnitudes(layer, projection))
    }

    /// What takes the place of a tensor of the model, in the same shape.
    fn replaced(&self, part: Part) -> Option<&Node> {
        self.others()?.replaced(part)
    }

    /// What is dropped while training.
    fn dropout(&self) -> Option<BodyDropout> {
        self.others()?.dropout()
    }
}

/// Other hooks, and dropout of the body besides: the same text gives other states with every stream.
pub struct WithDropout<'h> {
    pub hooks: &'h dyn Hooks,
    pub dropout: BodyDropout,
}

impl Hooks for WithDropout<'_> {
    fn others(&self) -> Option<&dyn Hooks> {
        Some(self.hooks)
    }

    fn dropout(&self) -> Option<BodyDropout> {
        Some(self.dropout)
    }
}

/// The model as it is.
pub struct NoHooks;

impl Hooks for NoHooks {}

impl dyn Hooks + '_ {
    /// Positions of the context that the method takes for itself: real tokens begin after them.
    pub fn num_virtual_tokens(&self) -> usize {
        self.soft_prompt().or_else(|| self.prefix(0)).map_or(0, |rows| rows.value().dims()[0])
    }

    /// `x` with some of it dropped, where the method drops anything; `place` tells apart where.
    pub(super) fn dropped(&self, tape: &Tape, x: Node, place: Place) -> Result<Node> {
        let Some(BodyDropout { hidden: share, stream, .. }) = self.dropout() else { return Ok(x) };
        dropout(tape, &x, Dropout { share, stream: place.stream(stream) })
    }

    /// What is dropped of the shares of attention, where the method drops any.
    pub(super) fn dropped_shares(&self, place: Place) -> Option<Dropout> {
        let BodyDropout { attention: share, stream, .. } = self.dropout()?;
        (share > 0.0).then(|| Dropout { share, stream: place.stream(stream) })
    }

    /// A matrix for the operations: the model's own, or what replaces it.
    pub(super) fn matrix(&self, part: Part, own: &Weight) -> WeightNode {
        self.replaced(part).map_or_else(|| own.clone().into(), WeightNode::trained)
    }

    /// A vector for the operations: the model's own, or what replaces it.
    pub(super) fn vector(&self, part: Part, own: &Tensor) -> Node {
        self.replaced(part).cloned().unwrap_or_else(|| Node::frozen(own.clone()))
    }
}
