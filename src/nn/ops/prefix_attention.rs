//! Attention in which every segment begins with the same keys and values, which no query of theirs goes with.

use super::virtual_rows::{VirtualRows, with_virtual_rows, without_virtual_rows};
use super::{Dropout, HeadLayout, Seen, Shares, attention};
use crate::nn::{Node, Result, Tape};
use std::rc::Rc;

/// As [`attention`], after a prefix of keys and values: q | k | v [n, (h + 2k) e], prefix k | v [p, 2k e] -> [n, h·e]. `seen` counts the
/// prefix among the rows of each segment, as `places.segments()` does: a sliding window takes it for the positions before the
/// segment's first, as transformers does with what is in its cache.
pub fn prefix_attention(
    tape: &Tape,
    qkv: &Node,
    prefix: &Node,
    places: &VirtualRows,
    layout: HeadLayout,
    seen: &Rc<Seen>,
    dropout: Option<Dropout>,
) -> Result<Node> {
    let wide = with_virtual_rows(tape, qkv, prefix, places)?; // [n + s p, (h + 2k) e]
    let mixed = attention(tape, &wide, layout, seen, Shares { bias: None, dropout })?; // [n + s p, h·e]
    without_virtual_rows(tape, &mixed, places)
}
