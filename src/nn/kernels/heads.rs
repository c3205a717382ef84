//! How rows of q | k | v are divided, and who sees whom.

use crate::nn::Result;
use candle_core::{Device, Tensor};
use std::ops::Range;
use std::sync::OnceLock;

/// A row of q | k | v: `h` query heads, `k` key heads, `k` value heads, `e` numbers each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadLayout {
    pub num_heads: usize,
    pub num_kv_heads: usize,
    pub head_width: usize,
}

impl HeadLayout {
    /// Numbers of a row: (h + 2k) e.
    pub fn row_width(self) -> usize {
        self.query_width() + 2 * self.key_width()
    }

    /// Numbers of the queries of a row.
    pub fn query_width(self) -> usize {
        self.num_heads * self.head_width
    }

    /// Numbers of the keys, or of the values, of a row.
    pub fn key_width(self) -> usize {
        self.num_kv_heads * self.head_width
    }
}

/// Which keys a query sees, and how scores are scaled.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Offsets where packed segments begin, with `n` at the end.
    pub segments: Vec<usize>,
    /// The same of the keys, where they are rows of their own: of each segment all, whoever asks.
    pub keys: Option<Vec<usize>>,
    /// Multiplies the scores, usually 1 / sqrt(e).
    pub scale: f64,
    /// Each position sees at most so many positions back, itself included; and so many ahead where it sees any there.
    pub window: Option<usize>,
    /// No position sees those after it.
    pub is_causal: bool,
    /// Scores are bent so that they stay below this: cap · tanh(score / cap) (Gemma 2, arXiv:2408.00118).
    pub cap: Option<f64>,
    /// Made once for all layers of a forward pass, and for their way back.
    sights: OnceLock<Sights>,
}

/// The same on a device, as f32, which holds every position up to 2²⁴: the first and the last key that each query sees,
/// [n, 1] each, and all keys, [1, n].
#[derive(Debug, Clone)]
pub struct Sights {
    pub first: Tensor,
    pub last: Tensor,
    pub keys: Tensor,
}

/// Queries [start, end) of one segment and the keys [first_key, end_key) that any of them sees.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    pub start: usize,
    pub end: usize,
    pub first_key: usize,
    pub end_key: usize,
}

impl Span {
    pub fn num_queries(self) -> usize {
        self.end - self.start
    }

    pub fn num_keys(self) -> usize {
        self.end_key - self.first_key
    }
}

impl Seen {
    /// Causal.
    pub fn new(segments: Vec<usize>, scale: f64, window: Option<usize>, cap: Option<f64>) -> Self {
        Self { segments, keys: None, scale, window, is_causal: true, cap, sights: OnceLock::new() }
    }

    /// Rows that look at all rows of the same segment of others, which begin at `keys`.
    pub fn across(segments: Vec<usize>, keys: Vec<usize>, scale: f64) -> Self {
        Self { keys: Some(keys), ..Self::new(segments, scale, None, None).both_ways() }
    }

    /// The same with each position seeing those after it as those before.
    pub fn both_ways(self) -> Self {
        Self { is_causal: false, sights: OnceLock::new(), ..self }
    }

    /// The first key that a query of the segment whose keys begin at `begin` sees.
    pub fn first_key_of(&self, begin: usize, query: usize) -> usize {
        self.window.map_or(begin, |w| (query + 1).saturating_sub(w)).max(begin)
    }

    /// The end of the keys that a query of the segment that ends at `end` sees.
    fn end_key_of(&self, end: usize, query: usize) -> usize {
        match (self.is_causal, self.window) {
            (true, _) => query + 1,
            (false, window) => window.map_or(end, |w| (query + w).min(end)),
        }
    }

    /// Offsets where the keys of each segment begin, with their number at the end.
    fn key_segments(&self) -> &[usize] {
        self.keys.as_deref().unwrap_or(&self.segments)
    }

    /// Number of keys of all segments.
    pub fn num_keys(&self) -> usize {
        self.key_segments().last().copied().unwrap_or(0)
    }

    /// Queries and keys of each segment.
    pub fn pairs(&self) -> impl Iterator<Item = [Range<usize>; 2]> {
        let keys = self.key_segments().windows(2);
        self.segments.windows(2).zip(keys).map(|(own, keys)| [own[0]..own[1], keys[0]..keys[1]])
    }

    /// What each query sees, on `device`, which must be the same whenever it is asked.
    pub fn sights(&self, device: &Device) -> Result<Sights> {
        if let Some(sights) = self.sights.get() {
            return Ok(sights.clone());
        }
        let n = self.segments.last().copied().unwrap_or(0);
        let (mut first, mut last) = (Vec::with_capacity(n), Vec::with_capacity(n));
        for [queries, keys] in self.pairs() {
            for query in queries {
                first.push(self.first_key_of(keys.start, query) as f32);
                last.push((self.end_key_of(keys.end, query) as f32) - 1.0);
            }
        }
        let num_keys = self.num_keys();
        let keys: Vec<f32> = (0..num_keys).map(|key| key as f32).collect();
        let sights = Sights {
            first: Tensor::from_vec(first, (n, 1), device)?,
            last: Tensor::from_vec(last, (n, 1), device)?,
            keys: Tensor::from_vec(keys, (1, num_keys), device)?,
        };
        Ok(self.sights.get_or_init(|| sights).clone())
    }

    /// All queries in blocks of `block`, whatever segments they are of, each with the keys from the first that any of them sees:
    /// few large products for devices to which a small one costs as much as a large one.
    pub fn joined_spans(&self, block: usize) -> Vec<Span> {
        let n = self.segments.last().copied().unwrap_or(0);
        let keys = self.key_segments();
        let span = |start: usize| {
            let segment = |query| self.segments.partition_point(|begin| *begin <= query);
            let end = (start + block).min(n);
            Span {
                start,
                end,
                first_key: self.first_key_of(keys[segment(start) - 1], start),
                end_key: self.end_key_of(keys[segment(end - 1)], end - 1),
            }
        };
        (0..n).step_by(block).map(span).collect()
    }

    /// All segments in blocks of at most `block` queries, in order.
    pub fn spans(&self, block: usize) -> Vec<Span> {
        self.pairs().flat_map(|of| self.spans_of(of, block)).collect()
    }

    /// The blocks of queries and keys of one segment.
    pub fn spans_of(&self, [queries, keys]: [Range<usize>; 2], block: usize) -> impl Iterator<Item = Span> {
        queries.clone().step_by(block).map(move |start| {
            let end = (start + block).min(queries.end);
            let first_key = self.first_key_of(keys.start, start);
            Span { start, end, first_key, end_key: self.end_key_of(keys.end, end - 1) }
        })
    }

    /// The keys, counted from the first of the span, that query `i` of the span sees.
    #[inline(always)]
    pub fn keys_of(&self, span: Span, i: usize) -> Range<usize> {
        let position = span.start + i;
        let first =
            self.window.map_or(span.first_key, |w| (position + 1).saturating_sub(w).max(span.first_key));
        first - span.first_key..self.end_key_of(span.end_key, position) - span.first_key
    }
}
