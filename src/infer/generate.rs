//! The generation loop: prefill, then a token at a time.

use super::sampler::{Sampler, Sampling, is_usable};
use super::stop::StopFilter;
use crate::base::Control;
use crate::data::Tokeniser;
use crate::data::tokenise::TextStream;
use crate::model::ModelError;
use serde::{Deserialize, Serialize};
use std::time::Instant;

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
    /// From the start to the first token chosen, prefill included; 0 when none was.
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
    generate_pieces(model, &mut tokeniser.stream(), prompt_ids, options, control, on_text)
}

/// Answers a prompt. `on_text` gets the text as it comes; its pieces end to end are
/// `Answer::text`. A stop by a person is not an error: the answer so far comes back.
///
/// Errors: an empty prompt, one longer than the context, logits that are no numbers, and the model's own.
pub fn generate_pieces(
    model: &mut dyn NextLogits,
    pieces: &mut dyn TextPieces,
    prompt_ids: &[u32],
    options: &GenerateOptions,
    control: &Control,
    on_text: &mut dyn FnMut(&str),
) -> Result<Answer, ModelError> {
    check_prompt(prompt_ids, model.context_tokens())?;
    let started = Instant::now();
    let mut run = Run::new(pieces, prompt_ids, options, on_text);
    let logits = if options.max_tokens == 0 { None } else { prefill(model, prompt_ids, control)? };
    let finish = match logits {
        None if options.max_tokens == 0 => Finish::MaxTokens,
        None => Finish::Stopped,
        Some(logits) => run.decode(model, logits, control)?,
    };
    run.flush(finish);
    let secs = started.elapsed().as_secs_f64();
    let first_secs = run.first_at.map_or(0.0, |at| (at - started).as_secs_f64());
    Ok(Answer {
        text: run.text,
        token_ids: run.seen.split_off(prompt_ids.len()),
        prompt_tokens: prompt_ids.len(),
        finish,
        time_to_first_token_secs: first_secs,
        tokens_per_second: if run.num_decoded == 0 {
            0.0
        } else {
            run.num_decoded as f64 / (secs - first_secs).max(1e-9)
        },
        secs,
    })
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

/// Logits after the prompt; `None` when stopped on the way.
fn prefill(
    model: &mut dyn NextLogits,
    prompt_ids: &[u32],
    control: &Control,
) -> Result<Option<Vec<f32>>, ModelError> {
    model.begin(prompt_ids);
    let mut logits = None;
    for chunk in prompt_ids[model.num_fed()..].chunks(PREFILL_TOKENS) {
        if control.is_stopped() {
            return Ok(None);
        }
        logits = Some(model.next(chunk)?);
    }
    Ok(logits)
}

/// One answer in the making.
struct Run<'a> {
    pieces: &'a mut dyn TextPieces,
    on_text: &'a mut dyn FnMut(&str),
    options: &'a GenerateOptions,
    sampler: Sampler,
    filter: StopFilter,
    /// Prompt and answer.
    seen: Vec<u32>,
    text: String,
    first_at: Option<Instant>,
    /// Passes through the model after the prompt.
    num_decoded: usize,
}

impl<'a> Run<'a> {
    fn new(
        pieces: &'a mut dyn TextPieces,
        prompt_ids: &[u32],
        options: &'a GenerateOptions,
        on_text: &'a mut dyn FnMut(&str),
    ) -> Self {
        Self {
            pieces,
            on_text,
            options,
            sampler: Sampler::new(&options.sampling),
            filter: StopFilter::new(&options.stop),
            seen: prompt_ids.to_vec(),
            text: String::new(),
            first_at: None,
            num_decoded: 0,
        }
    }

    fn decode(
        &mut self,
        model: &mut dyn NextLogits,
        mut logits: Vec<f32>,
        control: &Control,
    ) -> Result<Finish, ModelError> {
        for num_chosen in 1.. {
            if control.is_stopped() {
                return Ok(Finish::Stopped);
            }
            if !is_usable(&logits) {
                return Err(ModelError::NoLikelyToken { position: self.seen.len() });
            }
            let id = self.sampler.choose(&mut logits, &self.seen);
            self.first_at.get_or_insert_with(Instant::now);
            if self.options.eos_ids.contains(&id) {
                return Ok(Finish::EndOfText);
            }
            self.seen.push(id);
            if let Some(piece) = self.pieces.push(id) {
                self.say(&piece);
            }
            if self.filter.is_stopped() {
                return Ok(Finish::StopString);
            }
            if num_chosen >= self.options.max_tokens {
                return Ok(Finish::MaxTokens);
            }
            if model.num_fed() >= model.context_tokens() {
                return Ok(Finish::ContextFull);
            }
            logits = model.next(&[id])?;
            self.num_decoded += 1;
        }
        Ok(Finish::MaxTokens)
    }

    fn say(&mut self, piece: &str) {
        let shown = self.filter.push(piece);
        self.show(&shown);
    }

    fn show(&mut self, shown: &str) {
        if !shown.is_empty() {
            self.text.push_str(shown);
            (self.on_text)(shown);
        }
    }

    /// Lets out what the decoder and the stop filter still hold.
    fn flush(&mut self, finish: Finish) {
        if finish == Finish::StopString {
            return;
        }
        if let Some(rest) = self.pieces.finish() {
            self.say(&rest);
        }
        let held = self.filter.finish();
        self.show(&held);
    }
}
