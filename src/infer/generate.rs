//! Generation a step at a time: pieces of the prompt, then a token.

use super::sampler::{Sampler, Sampling, is_usable};
use super::stop::StopFilter;
use crate::base::Control;
use crate::data::Tokeniser;
use crate::data::tokenise::TextStream;
use crate::model::ModelError;
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// Tokens of prompts fed at once, so that a stop is noticed inside a long one.
pub(super) const PREFILL_TOKENS: usize = 256;

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finish {
    EndOfText,
    StopString,
    MaxTokens,
    /// The context was full.
    ContextFull,
    Stopped,
}

/// A model that remembers what it was fed (by a key-value cache).
pub trait NextLogits {
    /// Feeds tokens after what came before and returns the logits of the last one, [v].
    fn next(&mut self, tokens: &[u32]) -> Result<Vec<f32>, ModelError>;
    /// Tokens fed since the last reset.
    fn num_fed(&self) -> usize;
    /// The most tokens it can be fed.
    fn context_tokens(&self) -> usize;
    /// How many tokens of a prompt are read by a stack of their own: what is written repeats none of them.
    fn num_read(&self, prompt_ids: &[u32]) -> usize {
        let _ = prompt_ids;
        0
    }
    /// Forgets everything fed.
    fn reset(&mut self);
    /// Gets ready for a prompt: forgets what it was fed. A model that can go back keeps what the prompt begins
    /// with, but never all of it: the logits of the last token are wanted. After `reset` nothing can be kept.
    fn begin(&mut self, prompt_ids: &[u32]) {
        let _ = prompt_ids;
        self.reset();
    }
}

/// A model whose conversations can go through it together.
pub trait Together: NextLogits + Sized {
    /// A conversation of its own that was fed the same so far.
    fn fork(&self) -> Result<Self, ModelError>;
    /// [`NextLogits::next`] of several conversations, forks of one: the logits of the last token of each, [v].
    /// On an error, none was fed.
    fn next_together(rows: &mut [(&mut Self, &[u32])]) -> Result<Vec<Vec<f32>>, ModelError>;
}

/// Token ids -> text as it comes. A character is whole or not there yet.
pub trait TextPieces {
    /// The text that is certain after this token, if there is any.
    fn push(&mut self, id: u32) -> Option<String>;
    /// What is left at the end.
    fn finish(&mut self) -> Option<String>;
}

impl TextPieces for TextStream<'_> {
    fn push(&mut self, id: u32) -> Option<String> {
        TextStream::push(self, id)
    }

    fn finish(&mut self) -> Option<String> {
        TextStream::finish(self)
    }
}

/// How to answer.
#[derive(Debug, Clone, PartialEq)]
pub struct GenerateOptions {
    pub max_tokens: usize,
    pub sampling: Sampling,
    /// The answer ends before the first of these; empty ones are ignored.
    pub stop: Vec<String>,
    /// Tokens that end the answer.
    pub eos_ids: Vec<u32>,
}

impl Default for GenerateOptions {
    fn default() -> Self {
        Self { max_tokens: 128, sampling: Sampling::default(), stop: Vec::new(), eos_ids: Vec::new() }
    }
}

/// What a model answered, and how fast.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// Without the stop string and what came after it.
    pub text: String,
    /// All tokens chosen, those of a stop string too, but not the end-of-text token.
    pub token_ids: Vec<u32>,
    pub prompt_tokens: usize,
    pub finish: Finish,
    /// Up to the first token chosen, prefill included; 0 when none was. Here and below, a pass made together with
    /// other answers counts whole, and one made without this answer not at all.
    pub time_to_first_token_secs: f64,
    /// Tokens after the first one by the time they took; 0 when there was no second one.
    pub tokens_per_second: f64,
    pub secs: f64,
}

/// Answers a prompt with the model's own tokenizer; see [`generate_pieces`].
pub fn generate(
    model: &mut dyn NextLogits,
    tokeniser: &Tokeniser,
    prompt_ids: &[u32],
    options: &GenerateOptions,
    control: &Control,
    on_text: &mut dyn FnMut(&str),
) -> Result<Answer, ModelError> {
    generate_pieces(model, Box::new(tokeniser.stream()), prompt_ids, options, control, on_text)
}

/// Answers a prompt. `on_text` gets the text as it comes; its pieces end to end are
/// `Answer::text`. A stop by a person is not an error: the answer so far comes back.
///
/// Errors: an empty prompt, one longer than the context, logits that are no numbers, and the model's own.
pub fn generate_pieces(
    model: &mut dyn NextLogits,
    pieces: Box<dyn TextPieces + '_>,
    prompt_ids: &[u32],
    options: &GenerateOptions,
    control: &Control,
    on_text: &mut dyn FnMut(&str),
) -> Result<Answer, ModelError> {
    let mut generation = Generation::new(model, pieces, prompt_ids, options)?;
    model.begin(prompt_ids);
    loop {
        if let Some(finish) = generation.over(control) {
            return Ok(generation.end(finish, on_text));
        }
        let started = Instant::now();
        let piece = generation.wanted(model.num_fed(), PREFILL_TOKENS);
        let logits = model.next(piece)?;
        let (fed, spent) = (model.num_fed(), started.elapsed());
        if let Some(finish) = generation.take(logits, fed, spent, on_text)? {
            return Ok(generation.end(finish, on_text));
        }
    }
}

/// One answer in the making: says what it wants to be fed and takes the logits that come of it.
pub(super) struct Generation<'a> {
    pieces: Box<dyn TextPieces + 'a>,
    options: &'a GenerateOptions,
    sampler: Sampler,
    filter: StopFilter,
    /// Prompt and answer.
    seen: Vec<u32>,
    prompt_tokens: usize,
    /// Of the prompt.
    num_read: usize,
    context_tokens: usize,
    text: String,
    /// Spent in this answer's own passes.
    spent: Duration,
    first_after: Option<Duration>,
    /// Tokens chosen, that of the end too.
    num_chosen: usize,
}

impl<'a> Generation<'a> {
    /// Errors: an empty prompt, and one longer than the context.
    pub(super) fn new(
        model: &dyn NextLogits,
        pieces: Box<dyn TextPieces + 'a>,
        prompt_ids: &[u32],
        options: &'a GenerateOptions,
    ) -> Result<Self, ModelError> {
        let context_tokens = model.context_tokens();
        check_prompt(prompt_ids, context_tokens)?;
        Ok(Self {
            pieces,
            options,
            sampler: Sampler::new(&options.sampling),
            filter: StopFilter::new(&options.stop),
            seen: prompt_ids.to_vec(),
            prompt_tokens: prompt_ids.len(),
            num_read: model.num_read(prompt_ids),
            context_tokens,
            text: String::new(),
            spent: Duration::ZERO,
            first_after: None,
            num_chosen: 0,
        })
    }

    /// Counts time that passed for this answer elsewhere.
    pub(super) fn add_spent(&mut self, spent: Duration) {
        self.spent += spent;
    }

    /// Why there is no next pass, if so.
    pub(super) fn over(&self, control: &Control) -> Option<Finish> {
        if control.is_stopped() {
            return Some(Finish::Stopped);
        }
        (self.options.max_tokens == 0).then_some(Finish::MaxTokens)
    }

    /// What comes after the first `num_fed` tokens, at most `most` of it and at least one: a piece of the prompt, or
    /// the token chosen last.
    pub(super) fn wanted(&self, num_fed: usize, most: usize) -> &[u32] {
        let end = self.seen.len().min(num_fed + most.max(1));
        &self.seen[num_fed..end]
    }

    /// Takes the logits [v] of the last of `num_fed` tokens, which took `spent`. Why the answer has ended, if so.
    pub(super) fn take(
        &mut self,
        mut logits: Vec<f32>,
        num_fed: usize,
        spent: Duration,
        on_text: &mut dyn FnMut(&str),
    ) -> Result<Option<Finish>, ModelError> {
        self.spent += spent;
        if num_fed < self.seen.len() {
            return Ok(None);
        }
        if !is_usable(&logits) {
            return Err(ModelError::NoLikelyToken { position: self.seen.len() });
        }
        let started = Instant::now();
        let id = self.sampler.choose(&mut logits, &self.seen[self.num_read..]);
        self.spent += started.elapsed();
        self.first_after.get_or_insert(self.spent);
        self.num_chosen += 1;
        if self.options.eos_ids.contains(&id) {
            return Ok(Some(Finish::EndOfText));
        }
        self.seen.push(id);
        if let Some(piece) = self.pieces.push(id) {
            self.say(&piece, on_text);
        }
        Ok(if self.filter.is_stopped() {
            Some(Finish::StopString)
        } else if self.seen.len() - self.prompt_tokens >= self.options.max_tokens {
            Some(Finish::MaxTokens)
        } else if num_fed >= self.context_tokens {
            Some(Finish::ContextFull)
        } else {
            None
        })
    }

    fn say(&mut self, piece: &str, on_text: &mut dyn FnMut(&str)) {
        let shown = self.filter.push(piece);
        self.show(&shown, on_text);
    }

    fn show(&mut self, shown: &str, on_text: &mut dyn FnMut(&str)) {
        if !shown.is_empty() {
            self.text.push_str(shown);
            on_text(shown);
        }
    }

    /// The answer, with what the decoder and the stop filter still hold.
    pub(super) fn end(mut self, finish: Finish, on_text: &mut dyn FnMut(&str)) -> Answer {
        if finish != Finish::StopString {
            if let Some(rest) = self.pieces.finish() {
                self.say(&rest, on_text);
            }
            let held = self.filter.finish();
            self.show(&held, on_text);
        }
        let secs = self.spent.as_secs_f64();
        let first_secs = self.first_after.map_or(0.0, |after| after.as_secs_f64());
        let decode_secs = (secs - first_secs).max(1e-9);
        Answer {
            token_ids: self.seen.split_off(self.prompt_tokens),
            text: self.text,
            prompt_tokens: self.prompt_tokens,
            finish,
            time_to_first_token_secs: first_secs,
            tokens_per_second: self.num_chosen.saturating_sub(1) as f64 / decode_secs,
            secs,
        }
    }
}

pub(super) fn check_prompt(prompt_ids: &[u32], context_tokens: usize) -> Result<(), ModelError> {
    if prompt_ids.is_empty() {
        return Err(ModelError::EmptyPrompt);
    }
    if prompt_ids.len() > context_tokens {
        return Err(ModelError::PromptTooLong { prompt_tokens: prompt_ids.len(), context_tokens });
    }
    Ok(())
}
