//! Text <-> token ids. The only place that names the tokenizers crate.

use super::DataError;
use super::gguf_vocab;
pub use super::gguf_vocab::GgufVocab;
use std::ops::Range;
use std::path::Path;
use std::sync::OnceLock;
use tokenizers::{Encoding, PostProcessorWrapper, Tokenizer};

/// Largest tokenizer.json that is read; the largest vocabularies in use take about 35 MB.
const MAX_BYTES: u64 = 256 << 20;

/// Text is tokenised in pieces of at most this size, cut where words end, so that a line without end costs
/// neither minutes nor gigabytes.
pub(super) const MAX_PIECE_BYTES: usize = 256 << 10;
/// Tokens a stream holds back at most while it waits for the rest of a character.
const MAX_HELD: usize = 16;

/// Share of the words of one vocabulary that have the same ids in another one like it.
const MIN_SAME_WORDS: f64 = 0.99;

/// A tokenizer with its special tokens.
#[derive(Debug)]
pub struct Tokeniser {
    tokenizer: Tokenizer,
    /// The same one, reading special tokens as plain text; made when first needed.
    literal: OnceLock<Tokenizer>,
    specials: Vec<String>,
    /// Special tokens that people write and read: those of [`Self::writing_gaps`].
    gaps: Vec<u32>,
    adds_bos: bool,
}

/// A token with the bytes of the text that it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    pub id: u32,
    pub bytes: Range<usize>,
}

pub(super) fn failed(why: impl std::fmt::Display) -> DataError {
    DataError::Tokeniser { why: why.to_string() }
}

impl Tokeniser {
    /// From a Hugging Face `tokenizer.json`.
    pub fn from_file(path: &Path) -> Result<Self, DataError> {
        let place = |why: String| failed(format!("{why} ({})", path.display()));
        let text = crate::base::storage::read_text_bounded(path, MAX_BYTES).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => place("tokenizer.json is missing".into()),
            _ => place(e.to_string()),
        })?;
        Self::from_json(&text).map_err(|e| place(format!("tokenizer.json cannot be used: {e}")))
    }

    /// For a model that reads no text.
    pub fn without_words() -> Result<Self, DataError> {
        Self::from_json(r#"{"version":"1.0","model":{"type":"WordLevel","vocab":{},"unk_token":""}}"#)
    }

    /// From the vocabulary inside a GGUF file.
    pub fn from_gguf(vocab: GgufVocab) -> Result<Self, DataError> {
        let adds_bos = vocab.add_bos && vocab.bos.is_some();
        let mut tokeniser = Self::from_json(&gguf_vocab::tokenizer_json(vocab)?)?;
        tokeniser.adds_bos = adds_bos;
        Ok(tokeniser)
    }

    fn from_json(text: &str) -> Result<Self, DataError> {
        let mut tokenizer = Tokenizer::from_bytes(text).map_err(failed)?;
        // Cutting and padding are ours to decide, whatever the file says.
        tokenizer.with_truncation(None).map_err(failed)?;
        tokenizer.with_padding(None);
        let added = tokenizer.get_added_tokens_decoder();
        let mut specials: Vec<String> = added
            .values()
            .filter(|t| t.special && !t.content.is_empty())
            .map(|t| t.content.clone())
            .collect();
        specials.sort();
        // What the file's post-processor puts around no text at all.
        let around = tokenizer.encode_fast("", true).map_err(failed)?;
        let adds_bos = !around.is_empty();
        Ok(Self { tokenizer, literal: OnceLock::new(), specials, gaps: Vec::new(), adds_bos })
    }

    /// The same for a model that fills gaps: [`Self::sentinels`] stand for pieces of a text and end no turn, so that people write them in
    /// prompts and see them in answers, as with transformers' T5.
    #[must_use]
    pub fn writing_gaps(mut self) -> Self {
        self.gaps = self.sentinels();
        let names: Vec<String> = self.gaps.iter().filter_map(|id| self.token_text(*id)).collect();
        self.specials.retain(|special| !names.contains(special));
        self
    }

    /// As a Hugging Face `tokenizer.json`.
    pub fn to_json(&self) -> Result<String, DataError> {
        self.tokenizer.to_string(false).map_err(failed)
    }

    /// Whether nearly all words of the smaller vocabulary have the same ids in the other one; what is added to a model, or fills up
    /// its vocabulary, may differ.
    pub fn has_words_of(&self, other: &Self) -> bool {
        let (own, others) = (self.tokenizer.get_vocab(true), other.tokenizer.get_vocab(true));
        let (small, large) = if own.len() <= others.len() { (&own, &others) } else { (&others, &own) };
        let num_same = small.iter().filter(|(word, id)| large.get(*word) == Some(id)).count();
        num_same as f64 >= MIN_SAME_WORDS * small.len() as f64
    }

    /// Special tokens, sorted: what the data must not forge.
    pub fn specials(&self) -> &[String] {
        &self.specials
    }

    /// Whether the model expects text to begin with the token that begins a sequence. [`Self::encode`] doesn't add
    /// it; [`super::template::Template`] writes it.
    pub fn adds_bos(&self) -> bool {
        self.adds_bos
    }

    /// Ids of `text`. Special tokens written in it count as such; none are added.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, DataError> {
        if text.len() > MAX_PIECE_BYTES {
            return Ok(self.encode_placed(text, &[])?.into_iter().map(|token| token.id).collect());
        }
        let encoding = self.tokenizer.encode_fast(text, false).map_err(failed)?;
        Ok(encoding.get_ids().to_vec())
    }

    /// Ids of `text` with their places. In the ranges `literal`, ascending, special tokens are plain text.
    pub fn encode_placed(&self, text: &str, literal: &[Range<usize>]) -> Result<Vec<Placed>, DataError> {
        let mut placed = Vec::new();
        let mut start = 0;
        for range in literal {
            self.encode_pieces(&self.tokenizer, text, start..range.start, &mut placed)?;
            self.encode_pieces(self.literal(), text, range.clone(), &mut placed)?;
            start = range.end;
        }
        self.encode_pieces(&self.tokenizer, text, start..text.len(), &mut placed)?;
        Ok(placed)
    }

    fn encode_pieces(
        &self,
        with: &Tokenizer,
        text: &str,
        range: Range<usize>,
        placed: &mut Vec<Placed>,
    ) -> Result<(), DataError> {
        let Range { mut start, end } = range;
        while end - start > MAX_PIECE_BYTES {
            let cut = start + piece_len(&text[start..end]);
            self.encode_piece(with, text, start..cut, placed)?;
            start = cut;
        }
        self.encode_piece(with, text, start..end, placed)
    }

    fn encode_piece(
        &self,
        with: &Tokenizer,
        text: &str,
        piece: Range<usize>,
        placed: &mut Vec<Placed>,
    ) -> Result<(), DataError> {
        if piece.is_empty() {
            return Ok(());
        }
        let encoding = with.encode(&text[piece.clone()], false).map_err(failed)?;
        let offsets = encoding.get_offsets().iter();
        placed.extend(
            encoding
                .get_ids()
                .iter()
                .zip(offsets)
                .map(|(id, (start, end))| Placed { id: *id, bytes: piece.start + start..piece.start + end }),
        );
        Ok(())
    }

    pub(super) fn post_processor(&self) -> Option<&PostProcessorWrapper> {
        self.tokenizer.get_post_processor()
    }

    /// A text as the tokenizer's own file has it, special tokens among it.
    pub(super) fn whole(&self, text: &str) -> Result<Encoding, DataError> {
        let text = if text.len() > MAX_PIECE_BYTES { &text[..piece_len(text)] } else { text };
        self.tokenizer.encode(text, false).map_err(failed)
    }

    /// A text, or two, with what the post-processor puts around them.
    pub(super) fn framed(&self, first: Encoding, second: Option<Encoding>) -> Result<Encoding, DataError> {
        self.tokenizer.post_process(first, second, true).map_err(failed)
    }

    pub(super) fn literal(&self) -> &Tokenizer {
        self.literal.get_or_init(|| {
            let mut literal = self.without_specials().unwrap_or_else(|| self.tokenizer.clone());
            literal.set_encode_special_tokens(true);
            literal
        })
    }

    /// The same one for a model that fills gaps, `None` for others: gaps are no special tokens to people, and in its unigram vocabulary special
    /// tokens are words like others, which the setting alone would leave to be written.
    fn without_specials(&self) -> Option<Tokenizer> {
        if self.gaps.is_empty() {
            return None;
        }
        let mut json: serde_json::Value = serde_json::from_str(&self.to_json().ok()?).ok()?;
        let is_unigram = json["model"]["type"] == "Unigram";
        let is_special = |word: &str| is_unigram && self.specials.iter().any(|special| special == word);
        let mut is_word = std::collections::HashSet::new();
        let words = json["model"]["vocab"].as_array_mut().into_iter().flatten();
        for (place, word) in words.enumerate().filter(|(_, word)| word[0].as_str().is_some_and(is_special)) {
            // Nobody writes this.
            is_word.insert(std::mem::replace(&mut word[0], format!("\u{10FFFF}{place}").into()));
        }
        let added = json["added_tokens"].as_array_mut()?;
        added.retain(|token| !is_word.contains(&token["content"]));
        let is_gap = |token: &serde_json::Value| {
            token["id"].as_u64().is_some_and(|id| self.gaps.iter().any(|gap| u64::from(*gap) == id))
        };
        added.iter_mut().filter(|token| is_gap(token)).for_each(|token| token["special"] = false.into());
        let made = Tokenizer::from_bytes(json.to_string()).ok()?;
        let is_same = |id: &u32| self.token_text(*id).and_then(|text| made.token_to_id(&text)) == Some(*id);
        self.gaps.iter().all(is_same).then_some(made)
    }

    /// Text of `ids`; broken UTF-8 becomes U+FFFD. Gaps are never skipped.
    pub fn decode(&self, ids: &[u32], skip_special: bool) -> String {
        if skip_special && ids.iter().any(|id| self.gaps.contains(id)) {
            let is_shown = |id: &u32| self.token_text(*id).is_none_or(|text| !self.specials.contains(&text));
            let shown: Vec<u32> = ids.iter().copied().filter(is_shown).collect();
            return self.decode(&shown, false);
        }
        self.tokenizer.decode(ids, skip_special).unwrap_or_default()
    }

    /// Turns tokens into text as they come.
    pub fn stream(&self) -> TextStream<'_> {
        TextStream { tokeniser: self, ids: Vec::new(), num_shown: 0 }
    }

    /// The vocabulary's own spelling of a token.
    pub fn token_text(&self, id: u32) -> Option<String> {
        self.tokenizer.id_to_token(id)
    }

    pub fn id_of(&self, token: &str) -> Option<u32> {
        self.tokenizer.token_to_id(token)
    }

    /// The token that hides another one, of models that guess them.
    pub fn mask(&self) -> Option<u32> {
        ["[MASK]", "<mask>"].into_iter().find_map(|token| self.id_of(token))
    }

    /// The tokens that stand for pieces taken out of a text, of models that write them again.
    pub fn sentinels(&self) -> Vec<u32> {
        (0..).map_while(|number| self.id_of(&format!("<extra_id_{number}>"))).collect()
    }

    /// Whether each token begins a word, by how the vocabulary spells it.
    pub fn begins_word(&self) -> Vec<bool> {
        let texts: Vec<String> =
            (0..self.vocabulary() as u32).map(|id| self.token_text(id).unwrap_or_default()).collect();
        let marks_rest = texts.iter().any(|text| text.starts_with("##"));
        let begins = |text: &String| match marks_rest {
            true => !text.starts_with("##"),
            false => text.starts_with(['Ġ', '▁']),
        };
        texts.iter().map(begins).collect()
    }

    /// Number of tokens, added ones included.
    pub fn vocabulary(&self) -> usize {
        self.tokenizer.get_vocab_size(true)
    }
}

/// How much of a long text is tokenised at once: up to the last white space that fits, which begins the next piece.
pub(super) fn piece_len(text: &str) -> usize {
    let limit = text.floor_char_boundary(MAX_PIECE_BYTES);
    let at = text[..limit].rfind(char::is_whitespace).filter(|at| *at > limit / 2);
    at.unwrap_or(limit)
}

/// Text that grows token by token; a character is shown only when all its bytes are there.
pub struct TextStream<'a> {
    tokeniser: &'a Tokeniser,
    /// The tokens shown last, which decide how the next ones are spelt, and those not shown yet.
    ids: Vec<u32>,
    num_shown: usize,
}

impl TextStream<'_> {
    /// Takes a token and returns the text that is certain now.
    pub fn push(&mut self, id: u32) -> Option<String> {
        self.ids.push(id);
        let is_late = self.ids.len() - self.num_shown >= MAX_HELD;
        let text = self.tokeniser.decode(&self.ids, true);
        if text.ends_with('\u{FFFD}') && !is_late {
            return None;
        }
        self.show(&text)
    }

    /// What is left: a character whose last bytes never came.
    pub fn finish(&mut self) -> Option<String> {
        let text = self.tokeniser.decode(&self.ids, true);
        self.show(&text)
    }

    /// The new part of `text`. Tokens are decoded together with those before, because some decoders drop the
    /// space that begins a text.
    fn show(&mut self, text: &str) -> Option<String> {
        let before = self.tokeniser.decode(&self.ids[..self.num_shown], true);
        let new = text.get(before.len()..).filter(|new| !new.is_empty())?.to_string();
        self.ids.drain(..self.num_shown);
        self.num_shown = self.ids.len();
        Some(new)
    }
}
