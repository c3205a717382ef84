//! Beam search: of several answers that are written side by side, the one that is likeliest as a whole, as Hugging Face transformers
//! finds it.

use super::generate::{Answer, Finish, GenerateOptions, PREFILL_TOKENS, Together, check_prompt};
use super::sampler::is_usable;
use super::stop::StopFilter;
use crate::base::Control;
use crate::data::Tokeniser;
use crate::model::ModelError;
use std::time::Instant;

/// What is below every score of an answer that may be.
const NEVER: f32 = -1e9;

/// How beams are searched. The names are those of transformers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BeamOptions {
    pub num_beams: usize,
    /// An answer's score is its log-probability divided by its length to this power: above 0 long answers gain, below it short ones.
    pub length_penalty: f64,
    pub early_stopping: EarlyStopping,
}

/// When no more answers are looked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum EarlyStopping {
    /// When the best that goes on, judged by its length so far, is no better than those that have ended.
    #[default]
    Unlikely,
    /// As soon as there are as many answers as beams.
    Full,
    /// When no longer answer can become better.
    Impossible,
}

impl std::str::FromStr for EarlyStopping {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "unlikely" => Ok(Self::Unlikely),
            "full" => Ok(Self::Full),
            "impossible" => Ok(Self::Impossible),
            other => Err(format!("{other} is none of unlikely, full and impossible")),
        }
    }
}

impl Default for BeamOptions {
    fn default() -> Self {
        Self { num_beams: 4, length_penalty: 1.0, early_stopping: EarlyStopping::Unlikely }
    }
}

/// An answer that goes on.
struct Running<M> {
    model: M,
    tokens: Vec<u32>,
    score: f32,
    /// Of what comes next, [v].
    log_probs: Vec<f32>,
}

/// An answer with one token more.
struct Candidate {
    parent: usize,
    token: u32,
    score: f32,
    has_ended: bool,
}

/// An answer that has ended.
struct Ended {
    tokens: Vec<u32>,
    score: f32,
}

struct Search<'s> {
    beams: &'s BeamOptions,
    eos_ids: &'s [u32],
    max_tokens: usize,
    ended: Vec<Ended>,
    /// Whether a better answer than those that have ended may come.
    may_improve: bool,
}

/// The answer with the best score. The sampling's settings count for nothing; a stop string cuts the answer that was found.
///
/// # Errors
/// As [`super::generate::generate`].
pub fn beam_search<M: Together>(
    model: &mut M,
    tokeniser: &Tokeniser,
    prompt_ids: &[u32],
    options: &GenerateOptions,
    beams: &BeamOptions,
    control: &Control,
) -> Result<Answer, ModelError> {
    let started = Instant::now();
    let context_tokens = model.context_tokens();
    check_prompt(prompt_ids, context_tokens)?;
    model.begin(prompt_ids);
    let mut logits = Vec::new();
    while model.num_fed() < prompt_ids.len() && !control.is_stopped() {
        let fed = model.num_fed();
        logits = model.next(&prompt_ids[fed..prompt_ids.len().min(fed + PREFILL_TOKENS)])?;
    }
    let room = context_tokens + 1 - prompt_ids.len();
    let max_tokens = options.max_tokens.min(room);
    let mut search =
        Search { beams, eos_ids: &options.eos_ids, max_tokens, ended: Vec::new(), may_improve: true };
    let first_secs = started.elapsed().as_secs_f64();
    let mut best_open = Vec::new();
    if !control.is_stopped() && max_tokens > 0 {
        let first = Running {
            model: model.fork()?,
            tokens: Vec::new(),
            score: 0.0,
            log_probs: log_probs(logits, prompt_ids.len())?,
        };
        best_open = search.run(first, prompt_ids.len(), control)?;
    }
    let finish = match control.is_stopped() {
        true => Finish::Stopped,
        false if room < options.max_tokens => Finish::ContextFull,
        false => Finish::MaxTokens,
    };
    let tokens = search.ended.into_iter().next().map_or(best_open, |best| best.tokens);
    Ok(answer(
        tokeniser,
        tokens,
        prompt_ids.len(),
        options,
        finish,
        [first_secs, started.elapsed().as_secs_f64()],
    ))
}

impl Search<'_> {
    /// Until nothing better comes, or a person stops it: then the best that went on.
    fn run<M: Together>(
        &mut self,
        first: Running<M>,
        prompt_tokens: usize,
        control: &Control,
    ) -> Result<Vec<u32>, ModelError> {
        let mut running = vec![first];
        loop {
            let candidates = self.candidates(&running);
            self.keep_ended(&running, &candidates);
            let is_over = candidates.iter().all(|candidate| candidate.has_ended);
            let mut open: Vec<&Candidate> = candidates.iter().filter(|c| !c.has_ended).collect();
            open.truncate(self.beams.num_beams);
            let length = running[0].tokens.len() + 1;
            self.may_improve &= open.first().is_some_and(|best| self.may_become_best(best.score, length));
            let is_full = self.beams.early_stopping == EarlyStopping::Full && self.has_all();
            if is_over || is_full || !self.may_improve || control.is_stopped() {
                return Ok(running.swap_remove(0).tokens);
            }
            running = go_on(running, &open, prompt_tokens)?;
        }
    }

    /// The likeliest answers with one token more, best first: enough that as many as there are beams go on whatever ends.
    fn candidates<M>(&self, running: &[Running<M>]) -> Vec<Candidate> {
        let num = self.beams.num_beams * (1 + self.eos_ids.len()).max(2);
        let mut all: Vec<(f32, usize, u32)> = Vec::new();
        for (parent, beam) in running.iter().enumerate() {
            let mut own: Vec<(f32, u32)> = beam.log_probs.iter().copied().zip(0..).collect();
            let by_score = |a: &(f32, u32), b: &(f32, u32)| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1));
            if num < own.len() {
                own.select_nth_unstable_by(num - 1, by_score);
                own.truncate(num);
            }
            own.sort_unstable_by(by_score);
            all.extend(own.into_iter().map(|(log_prob, token)| (beam.score + log_prob, parent, token)));
        }
        all.sort_by(|a, b| b.0.total_cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
        all.truncate(num);
        let candidate = |(score, parent, token): (f32, usize, u32)| {
            let is_last = running[parent].tokens.len() + 1 >= self.max_tokens;
            Candidate { parent, token, score, has_ended: is_last || self.eos_ids.contains(&token) }
        };
        all.into_iter().map(candidate).collect()
    }

    /// Takes up the answers that have ended among the best of all; the best remain.
    fn keep_ended<M>(&mut self, running: &[Running<M>], candidates: &[Candidate]) {
        if !self.may_improve {
            return;
        }
        for candidate in candidates.iter().take(self.beams.num_beams).filter(|c| c.has_ended) {
            let tokens = [&running[candidate.parent].tokens[..], &[candidate.token]].concat();
            let score = candidate.score / self.divisor(tokens.len());
            self.ended.push(Ended { tokens, score });
        }
        self.ended.sort_by(|a, b| b.score.total_cmp(&a.score));
        self.ended.truncate(self.beams.num_beams);
    }

    fn divisor(&self, length: usize) -> f32 {
        (length as f64).powf(self.beams.length_penalty) as f32
    }

    fn has_all(&self) -> bool {
        self.ended.len() == self.beams.num_beams
    }

    /// Whether an answer that goes on with this score may yet be among the best.
    fn may_become_best(&self, score: f32, length: usize) -> bool {
        let is_patient = self.beams.early_stopping == EarlyStopping::Impossible;
        let length = if is_patient && self.beams.length_penalty > 0.0 { self.max_tokens } else { length };
        let worst = self.ended.last().filter(|_| self.has_all()).map_or(NEVER, |worst| worst.score);
        score / self.divisor(length) > worst
    }
}

/// The answers that go on, each a fork of the one that it is longer than.
fn go_on<M: Together>(
    running: Vec<Running<M>>,
    open: &[&Candidate],
    prompt_tokens: usize,
) -> Result<Vec<Running<M>>, ModelError> {
    let mut parents: Vec<Option<Running<M>>> = running.into_iter().map(Some).collect();
    let mut next = Vec::with_capacity(open.len());
    for (i, candidate) in open.iter().enumerate() {
        let is_last = open[i + 1..].iter().all(|later| later.parent != candidate.parent);
        let parent = &mut parents[candidate.parent];
        let tokens = parent.as_ref().map(|p| [&p.tokens[..], &[candidate.token]].concat());
        let model = match if is_last { parent.take() } else { None } {
            Some(parent) => Some(parent.model),
            None => parent.as_ref().map(|parent| parent.model.fork()).transpose()?,
        };
        if let (Some(model), Some(tokens)) = (model, tokens) {
            next.push(Running { model, tokens, score: candidate.score, log_probs: Vec::new() });
        }
    }
    let lasts: Vec<[u32; 1]> = open.iter().map(|candidate| [candidate.token]).collect();
    let mut feeds: Vec<_> =
        next.iter_mut().zip(&lasts).map(|(beam, last)| (&mut beam.model, &last[..])).collect();
    let logits = M::next_together(&mut feeds)?;
    for (beam, logits) in next.iter_mut().zip(logits) {
        beam.log_probs = log_probs(logits, prompt_tokens + beam.tokens.len())?;
    }
    Ok(next)
}

/// Logits [v] -> their logarithms of softmax.
fn log_probs(mut logits: Vec<f32>, position: usize) -> Result<Vec<f32>, ModelError> {
    if !is_usable(&logits) {
        return Err(ModelError::NoLikelyToken { position });
    }
    let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let total: f64 = logits.iter().map(|logit| f64::from(logit - highest).exp()).sum();
    let log_sum = f64::from(highest) + total.ln();
    logits.iter_mut().for_each(|logit| *logit = (f64::from(*logit) - log_sum) as f32);
    Ok(logits)
}

fn answer(
    tokeniser: &Tokeniser,
    mut tokens: Vec<u32>,
    prompt_tokens: usize,
    options: &GenerateOptions,
    finish: Finish,
    [first_secs, secs]: [f64; 2],
) -> Answer {
    let num_chosen = tokens.len();
    let has_end = tokens.last().is_some_and(|last| options.eos_ids.contains(last));
    if has_end {
        tokens.pop();
    }
    let mut filter = StopFilter::new(&options.stop);
    let mut text = filter.push(&tokeniser.decode(&tokens, true));
    text.push_str(&filter.finish());
    let finish = match finish {
        Finish::Stopped => Finish::Stopped,
        _ if filter.is_stopped() => Finish::StopString,
        _ if has_end => Finish::EndOfText,
        other => other,
    };
    Answer {
        text,
        token_ids: tokens,
        prompt_tokens,
        finish,
        time_to_first_token_secs: first_secs,
        tokens_per_second: num_chosen.saturating_sub(1) as f64 / (secs - first_secs).max(1e-9),
        secs,
    }
}
