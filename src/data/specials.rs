//! Texts with the special tokens that a model expects around them, as its own post-processor puts them: `[CLS] first [SEP] second [SEP]`.

use super::tokenise::{MAX_PIECE_BYTES, failed, piece_len};
use super::{DataError, Tokeniser};
use tokenizers::{
    Encoding, PostProcessor, TruncationDirection, TruncationParams, TruncationStrategy, truncate_encodings,
};

/// One text or two, with what the model expects around them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Surrounded {
    pub ids: Vec<u32>,
    /// Which of two texts each token is of, as the post-processor says it; BERT's word.
    pub types: Vec<u32>,
    /// Whether the post-processor put a token there.
    pub is_special: Vec<bool>,
    /// Whether a word begins with a token.
    pub word_starts: Vec<bool>,
    /// The first token of the second text.
    pub second: Option<u32>,
    /// Tokens before anything was cut off.
    pub num_tokens: usize,
}

impl Tokeniser {
    /// At most `max_tokens` tokens of one text or two with special tokens around them, the longer text cut first (transformers'
    /// `longest_first`). Special tokens written in a text are plain text. An empty second text is none.
    ///
    /// # Errors
    /// [`DataError::Tokeniser`].
    pub fn encode_with_specials(
        &self,
        first: &str,
        second: Option<&str>,
        max_tokens: usize,
    ) -> Result<Surrounded, DataError> {
        let first = self.plain(first, 0)?;
        let second = second.filter(|text| !text.is_empty()).map(|text| self.plain(text, 1)).transpose()?;
        let processor = self.tokenizer().get_post_processor();
        let num_special = processor.map_or(0, |processor| processor.added_tokens(second.is_some()));
        let num_tokens = first.len() + second.as_ref().map_or(0, Encoding::len) + num_special;
        let cut = TruncationParams {
            direction: TruncationDirection::Right,
            max_length: max_tokens.saturating_sub(num_special),
            strategy: TruncationStrategy::LongestFirst,
            stride: 0,
        };
        let (first, second) = truncate_encodings(first, second, &cut).map_err(failed)?;
        let encoding = match (processor, second) {
            (Some(processor), second) => processor.process(first, second, true).map_err(failed)?,
            (None, Some(second)) => Encoding::merge([first, second], false),
            (None, None) => first,
        };
        Ok(Surrounded { num_tokens, ..Surrounded::of(&encoding) })
    }

    /// A text alone, in which special tokens are plain text. More than a piece of it fits no model.
    fn plain(&self, text: &str, number: u32) -> Result<Encoding, DataError> {
        let piece = if text.len() > MAX_PIECE_BYTES { piece_len(text) } else { text.len() };
        let mut encoding = self.literal().encode(&text[..piece], false).map_err(failed)?;
        encoding.set_type_ids(vec![number; encoding.len()]);
        encoding.set_sequence_id(number as usize);
        Ok(encoding)
    }
}

impl Surrounded {
    fn of(encoding: &Encoding) -> Self {
        let is_special: Vec<bool> =
            encoding.get_special_tokens_mask().iter().map(|mask| *mask == 1).collect();
        let sequences = encoding.get_sequence_ids();
        let words: Vec<_> = sequences.iter().zip(encoding.get_word_ids()).collect();
        let begins =
            |at: usize| !is_special[at] && (at == 0 || is_special[at - 1] || words[at] != words[at - 1]);
        let of_second = |(at, sequence): (usize, &Option<usize>)| *sequence == Some(1) && !is_special[at];
        Self {
            ids: encoding.get_ids().to_vec(),
            types: encoding.get_type_ids().to_vec(),
            word_starts: (0..encoding.len()).map(begins).collect(),
            second: sequences.iter().enumerate().position(of_second).map(|at| at as u32),
            is_special,
            num_tokens: encoding.len(),
        }
    }
}
