//! Generation a step at a time: pieces of the prompt, then a token. Answers that take turns are streamed side by side.

use super::sampler::{Sampler, Sampling, is_usable};
use super::stop::StopFilter;
use crate::base::Control;
use crate::data::Tokeniser;
use crate::data::tokenise::TextStream;
use crate::model::ModelError;
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// Tokens of the prompt fed at once, so that a stop is noticed inside a long prompt.
const PREFILL_TOKENS: usize = 256;

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
    /// Forgets everything fed.
    fn reset(&mut self);
    /// Gets ready for a prompt: forgets what it was fed. A model that can go back keeps what the prompt begins
    /// with, but never all of it: the logits of the last token are wanted. After `reset` nothing can be kept.
    fn begin(&mut self, prompt_ids: &[u32]) {
        let _ = prompt_ids;
        self.reset();
    }
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
    /// Up to the first token chosen, prefill included; 0 when none was. Here and below, time spent on answers
    /// taking turns with this one is not counted.
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
    let mut generation = Generation::begin(model, pieces, prompt_ids, options)?;
    loop {
        if let Some(answer) = generation.step(model, control, on_text)? {
            return Ok(answer);
        }
    }
}

/// One answer in the making.
pub struct Generation<'a> {
    pieces: Box<dyn TextPieces + 'a>,
    options: &'a GenerateOptions,
    sampler: Sampler,
    filter: StopFilter,
    /// Prompt and answer.
    seen: Vec<u32>,
    prompt_tokens: usize,
    text: String,
    /// Spent in this answer's own steps.
    spent: Duration,
    first_after: Option<Duration>,
    /// Passes through the model after the prompt.
    num_decoded: usize,
}

impl<'a> Generation<'a> {
    /// Gets the model ready for a prompt; see [`generate_pieces`] for the errors. Every step wants the same model.
    pub fn begin(
        model: &mut dyn NextLogits,
        pieces: Box<dyn TextPieces + 'a>,
        prompt_ids: &[u32],
        options: &'a GenerateOptions,
    ) -> Result<Self, ModelError> {
        check_prompt(prompt_ids, model.context_tokens())?;
        model.begin(prompt_ids);
        Ok(Self {
            pieces,
            options,
            sampler: Sampler::new(&options.sampling),
            filter: StopFilter::new(&options.stop),
            seen: prompt_ids.to_vec(),
            prompt_tokens: prompt_ids.len(),
            text: String::new(),
            spent: Duration::ZERO,
            first_after: None,
            num_decoded: 0,
        })
    }

    /// One pass through the model: a piece of the prompt or a token. The answer, when this was the last one.
    pub fn step(
        &mut self,
        model: &mut dyn NextLogits,
        control: &Control,
        on_text: &mut dyn FnMut(&str),
    ) -> Result<Option<Answer>, ModelError> {
        let started = Instant::now();
        let before = self.spent;
        let finish = self.pass(model, control, on_text, started);
        if let Ok(Some(finish)) = finish {
            self.flush(finish, on_text);
        }
        self.spent = before + started.elapsed();
        Ok(finish?.map(|finish| self.answer(finish)))
    }

    fn pass(
        &mut self,
        model: &mut dyn NextLogits,
        control: &Control,
        on_text: &mut dyn FnMut(&str),
        started: Instant,
    ) -> Result<Option<Finish>, ModelError> {
        if control.is_stopped() {
            return Ok(Some(Finish::Stopped));
        }
        if self.options.max_tokens == 0 {
            return Ok(Some(Finish::MaxTokens));
        }
        let fed = model.num_fed();
        let end = self.seen.len().min(fed + PREFILL_TOKENS);
        self.num_decoded += usize::from(fed >= self.prompt_tokens);
        let mut logits = model.next(&self.seen[fed..end])?;
        if end < self.seen.len() {
            return Ok(None);
        }
        if !is_usable(&logits) {
            return Err(ModelError::NoLikelyToken { position: self.seen.len() });
        }
        let id = self.sampler.choose(&mut logits, &self.seen);
        self.first_after.get_or_insert_with(|| self.spent + started.elapsed());
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
        } else if model.num_fed() >= model.context_tokens() {
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

    /// Lets out what the decoder and the stop filter still hold.
    fn flush(&mut self, finish: Finish, on_text: &mut dyn FnMut(&str)) {
        if finish == Finish::StopString {
            return;
        }
        if let Some(rest) = self.pieces.finish() {
            self.say(&rest, on_text);
        }
        let held = self.filter.finish();
        self.show(&held, on_text);
    }

    fn answer(&mut self, finish: Finish) -> Answer {
        let secs = self.spent.as_secs_f64();
        let first_secs = self.first_after.map_or(0.0, |after| after.as_secs_f64());
        let decode_secs = (secs - first_secs).max(1e-9);
        Answer {
            text: std::mem::take(&mut self.text),
            token_ids: self.seen.split_off(self.prompt_tokens),
            prompt_tokens: self.prompt_tokens,
            finish,
            time_to_first_token_secs: first_secs,
            tokens_per_second: if self.num_decoded == 0 {
                0.0
            } else {
                self.num_decoded as f64 / decode_secs
            },
            secs,
        }
    }
}

fn check_prompt(prompt_ids: &[u32], context_tokens: usize) -> Result<(), ModelError> {
    if prompt_ids.is_empty() {
        return Err(ModelError::EmptyPrompt);
    }
    if prompt_ids.len() > context_tokens {
        return Err(ModelError::PromptTooLong { prompt_tokens: prompt_ids.len(), context_tokens });
    }
    Ok(())
}
