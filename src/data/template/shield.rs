//! Keeps special tokens that are written in data and prompts from becoming real ones.
//!
//! A row that holds `<|im_end|>` must not be able to end its turn. Searching the rendered text for it afterwards
//! is no answer, because the template writes the same characters itself; so each one in the data is exchanged
//! for one private character before rendering, and put back after, when its place is known for certain.

use super::Rendered;
use crate::data::Message;
use std::borrow::Cow;
use std::collections::HashMap;

/// Stand-ins are taken from the last private plane, except the marks at its end.
const FIRST: u32 = 0x10_0000;
const MAX_STAND_INS: usize = 0xFFF0;

/// What the stand-ins of one row stand for.
pub(super) struct Shield<'a> {
    specials: &'a [String],
    pieces: Vec<String>,
    numbers: HashMap<String, u32>,
}

impl<'a> Shield<'a> {
    pub fn new(specials: &'a [String]) -> Self {
        Self { specials, pieces: Vec::new(), numbers: HashMap::new() }
    }

    /// [`Self::cover`] for a conversation: whoever wrote it, no turn can be forged in it.
    pub fn cover_all(&mut self, messages: &[Message]) -> Vec<Message> {
        let cover = |m: &Message| Message::new(&self.cover(&m.role), self.cover(&m.content));
        messages.iter().map(cover).collect()
    }

    /// `text` with stand-ins for special tokens, and for characters that could be taken for stand-ins.
    pub fn cover<'t>(&mut self, text: &'t str) -> Cow<'t, str> {
        if !text.contains(is_reserved) && !self.specials.iter().any(|s| text.contains(s.as_str())) {
            return Cow::Borrowed(text);
        }
        let mut out = String::with_capacity(text.len());
        let mut firsts: Vec<char> = self.specials.iter().filter_map(|s| s.chars().next()).collect();
        firsts.sort_unstable();
        firsts.dedup();
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            let may_begin = firsts.contains(&c);
            let beginning = || self.specials.iter().filter(|s| rest.starts_with(s.as_str()));
            let special = if may_begin { beginning().map(String::len).max() } else { None };
            let len = special.unwrap_or(c.len_utf8());
            match special.is_some() || is_reserved(c) {
                true => out.extend(self.stand_in(&rest[..len])),
                false => out.push(c),
            }
            rest = &rest[len..];
        }
        Cow::Owned(out)
    }

    /// None when a row has more different private characters than there are stand-ins: they are left out.
    fn stand_in(&mut self, piece: &str) -> Option<char> {
        let number = match self.numbers.get(piece) {
            Some(number) => *number,
            None if self.pieces.len() >= MAX_STAND_INS => return None,
            None => {
                let number = self.pieces.len() as u32;
                self.pieces.push(piece.into());
                self.numbers.insert(piece.into(), number);
                number
            }
        };
        char::from_u32(FIRST + number)
    }

    /// Puts the data's own characters back and notes where.
    pub fn uncover(&self, rendered: Rendered) -> Rendered {
        if self.pieces.is_empty() {
            return rendered;
        }
        let mut bounds = rendered.trained.iter().flat_map(|r| [r.start, r.end]).peekable();
        let (mut text, mut literal, mut moved) = (String::new(), Vec::new(), Vec::new());
        for (at, c) in rendered.text.char_indices() {
            while bounds.next_if(|bound| *bound <= at).is_some() {
                moved.push(text.len());
            }
            match (c as u32).checked_sub(FIRST).and_then(|n| self.pieces.get(n as usize)) {
                Some(piece) => {
                    literal.push(text.len()..text.len() + piece.len());
                    text.push_str(piece);
                }
                None => text.push(c),
            }
        }
        moved.extend(bounds.map(|_| text.len()));
        let trained = moved.chunks_exact(2).map(|pair| pair[0]..pair[1]).collect();
        Rendered { text, trained, literal }
    }
}

fn is_reserved(c: char) -> bool {
    c as u32 >= FIRST
}
