//! Texts with what a model's tokenizer puts around them: `[CLS] one [SEP] other [SEP]`, as its post-processor says.

use super::DataError;
use super::tokenise::{MAX_PIECE_BYTES, Tokeniser, failed, piece_len};
use tokenizers::{
    Encoding, PostProcessor, TruncationDirection, TruncationParams, TruncationStrategy, truncate_encodings,
};

/// One text, or two, as a model reads them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Framed {
    pub ids: Vec<u32>,
    /// Where the tokens of the second text begin, of models that tell two texts apart.
    pub second: Option<u32>,
    /// Which of two texts each token is of, as the post-processor says it; BERT's word.
    pub types: Vec<u32>,
    /// Whether the post-processor put a token there.
    pub is_special: Vec<bool>,
    /// Whether a word begins with a token.
    pub word_starts: Vec<bool>,
    /// Before cutting.
    pub num_tokens: usize,
}

impl Framed {
    fn of(encoding: &Encoding, num_tokens: usize) -> Self {
        let types = encoding.get_type_ids();
        let is_special: Vec<bool> =
            encoding.get_special_tokens_mask().iter().map(|mask| *mask == 1).collect();
        let sequences = encoding.get_sequence_ids();
        let words: Vec<_> = sequences.iter().zip(encoding.get_word_ids()).collect();
        let begins =
            |at: usize| !is_special[at] && (at == 0 || is_special[at - 1] || words[at] != words[at - 1]);
        Self {
            ids: encoding.get_ids().to_vec(),
            second: types.iter().position(|kind| *kind > 0).map(|at| at as u32),
            types: types.to_vec(),
            word_starts: (0..is_special.len()).map(begins).collect(),
            is_special,
            num_tokens,
        }
    }
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

    /// Ids of a text with what stands around it, in which special tokens count as such: one hides a word.
    pub fn with_marks(&self, text: &str) -> Result<Vec<u32>, DataError> {
        let framed = self.framed(self.whole(text)?, None)?;
        Ok(framed.get_ids().to_vec())
    }

    /// A text, or two, of which the longer one is cut token by token until both fit, as transformers' `longest_first` does. Special tokens
    /// that people wrote are plain text; an empty second text is none.
    pub fn with_specials(
        &self,
        first: &str,
        second: Option<&str>,
        max_tokens: usize,
    ) -> Result<Framed, DataError> {
        // More than a piece fits no model. The faster way to encode does not tell words apart.
        let piece = |text: &str| if text.len() > MAX_PIECE_BYTES { piece_len(text) } else { text.len() };
        let encode = |text: &str| self.literal().encode(&text[..piece(text)], false).map_err(failed);
        let one = encode(first)?;
        let other = second.filter(|text| !text.is_empty()).map(encode).transpose()?;
        let added = self.post_processor().map_or(0, |post| post.added_tokens(other.is_some()));
        let num_tokens = one.len() + other.as_ref().map_or(0, Encoding::len) + added;
        let cut = TruncationParams {
            direction: TruncationDirection::Right,
            max_length: max_tokens.saturating_sub(added),
            strategy: TruncationStrategy::LongestFirst,
            stride: 0,
        };
        let (one, other) = truncate_encodings(one, other, &cut).map_err(failed)?;
        Ok(Framed::of(&self.framed(one, other)?, num_tokens))
    }
}
