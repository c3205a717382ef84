//! Texts with what a model's tokenizer puts around them: `[CLS] one [SEP] other [SEP]`, as its post-processor says.

use super::DataError;
use super::tokenise::{Tokeniser, failed};
use tokenizers::{Encoding, PostProcessor};

/// One text, or two, as a model reads them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Framed {
    pub ids: Vec<u32>,
    /// Where the tokens of the second text begin, of models that tell two texts apart.
    pub second: Option<u32>,
    /// Before cutting.
    pub num_tokens: usize,
}

impl Tokeniser {
    /// Ids of a text in which special tokens are plain text; none are added.
    pub fn literal_ids(&self, text: &str) -> Result<Vec<u32>, DataError> {
        let placed = self.encode_placed(text, std::slice::from_ref(&(0..text.len())))?;
        Ok(placed.into_iter().map(|token| token.id).collect())
    }

    /// What stands before and after a single text.
    pub fn around(&self) -> Result<[Vec<u32>; 2], DataError> {
        let framed = self.framed(self.literal().encode_fast("a", false).map_err(failed)?, None)?;
        let own = framed.get_special_tokens_mask();
        let first = own.iter().position(|special| *special == 0).unwrap_or(own.len());
        let last = own.iter().rposition(|special| *special == 0).map_or(own.len(), |last| last + 1);
        let ids = framed.get_ids();
        Ok([ids[..first].to_vec(), ids[last..].to_vec()])
    }

    /// A text, or two, of which the longer one is cut token by token until both fit, as transformers' `longest_first` does. Special tokens
    /// that people wrote are plain text.
    pub fn with_specials(
        &self,
        first: &str,
        second: Option<&str>,
        max_tokens: usize,
    ) -> Result<Framed, DataError> {
        let encode = |text: &str| self.literal().encode_fast(text, false).map_err(failed);
        let (mut one, mut other) = (encode(first)?, second.map(encode).transpose()?);
        let added = self.post_processor().map_or(0, |post| post.added_tokens(other.is_some()));
        let num_tokens = one.len() + other.as_ref().map_or(0, Encoding::len) + added;
        let room = max_tokens.saturating_sub(added);
        let lengths = fitting(one.len(), other.as_ref().map_or(0, Encoding::len), room);
        let end = tokenizers::TruncationDirection::Right;
        one.truncate(lengths.0, 0, end);
        if let Some(other) = &mut other {
            other.truncate(lengths.1, 0, end);
        }
        let framed = self.framed(one, other)?;
        let types = framed.get_type_ids();
        let second = types.iter().position(|kind| *kind > 0).map(|at| at as u32);
        Ok(Framed { ids: framed.get_ids().to_vec(), second, num_tokens })
    }
}

/// How long two texts may stay so that both together fit: the longer one gives way, the first where they are equal.
fn fitting(one: usize, other: usize, room: usize) -> (usize, usize) {
    let (mut one, mut other) = (one, other);
    let mut too_many = (one + other).saturating_sub(room);
    let longer_by = one.abs_diff(other).min(too_many);
    *(if one > other { &mut one } else { &mut other }) -= longer_by;
    too_many -= longer_by;
    one -= too_many.div_ceil(2).min(one);
    other -= (too_many / 2).min(other);
    (one, other)
}

#[cfg(test)]
mod tests {
    use super::fitting;

    #[test]
    fn the_longer_text_gives_way() {
        assert_eq!(fitting(5, 3, 8), (5, 3));
        assert_eq!(fitting(10, 3, 8), (5, 3));
        assert_eq!(fitting(3, 10, 8), (3, 5));
        assert_eq!(fitting(10, 9, 8), (4, 4));
        assert_eq!(fitting(9, 9, 7), (3, 4));
        assert_eq!(fitting(4, 0, 2), (2, 0));
        assert_eq!(fitting(4, 4, 0), (0, 0));
    }
}
