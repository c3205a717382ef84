//! How rows of q | k | v are divided, and who sees whom.

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
    /// Multiplies the scores, usually 1 / sqrt(e).
    pub scale: f64,
    /// Each position sees at most so many positions back, itself included.
    pub window: Option<usize>,
    /// Scores are bent so that they stay below this: cap · tanh(score / cap) (Gemma 2, arXiv:2408.00118).
    pub cap: Option<f64>,
}

/// Queries [start, end) of one segment and the keys [first_key, end) that any of them sees.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    pub start: usize,
    pub end: usize,
    pub first_key: usize,
}

impl Span {
    pub fn num_queries(self) -> usize {
        self.end - self.start
    }

    pub fn num_keys(self) -> usize {
        self.end - self.first_key
    }
}

impl Seen {
    /// All segments in blocks of at most `block` queries, in order.
    pub fn spans(&self, block: usize) -> Vec<Span> {
        self.segments.windows(2).flat_map(|s| self.spans_of(s[0], s[1], block)).collect()
    }

    /// The blocks of one segment.
    pub fn spans_of(&self, begin: usize, end: usize, block: usize) -> impl Iterator<Item = Span> {
        let window = self.window;
        (begin..end).step_by(block).map(move |start| {
            let reach = window.map_or(begin, |w| (start + 1).saturating_sub(w));
            Span { start, end: (start + block).min(end), first_key: reach.max(begin) }
        })
    }

    /// The keys, counted from the first of the span, that query `i` of the span sees.
    #[inline(always)]
    pub fn keys_of(&self, span: Span, i: usize) -> std::ops::Range<usize> {
        let position = span.start + i;
        let first =
            self.window.map_or(span.first_key, |w| (position + 1).saturating_sub(w).max(span.first_key));
        first - span.first_key..position + 1 - span.first_key
    }
}
