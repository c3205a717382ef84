//! Several answers that go through the model together: a pass reads all weights once, whether for one token or for many.
//!
//! What all prompts begin with is fed once. Rows leave when their answers end, and the next prompts take their places. Every
//! row has its own cache and its own sampler: an answer is that of the prompt alone, but for the rounding of sums that a
//! product of many rows adds up in another order.

use super::generate::{Answer, Finish, GenerateOptions, Generation, PREFILL_TOKENS, TextPieces, Together};
use crate::base::Control;
use crate::model::ModelError;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Answers in the making at the same time.
const MOST_ROWS: usize = 16;
/// What their prompts and longest answers may come to, unless one alone is longer. The keys and values of so many tokens
/// are a gigabyte with a model of eight billion parameters.
const MOST_TOKENS: usize = 4096;
/// A pass for the common head alone is worth it from so many tokens on that need not be fed again.
const LEAST_SAVED: usize = 16;

/// One prompt to answer.
pub struct Job<'a> {
    pub prompt: &'a [u32],
    pub pieces: Box<dyn TextPieces + 'a>,
    pub options: &'a GenerateOptions,
}

impl Job<'_> {
    /// Tokens in the cache at the end of the longest answer.
    fn most_tokens(&self) -> usize {
        self.prompt.len().saturating_add(self.options.max_tokens)
    }
}

/// What happens to one job. The texts end to end are the answer's.
pub enum News<'t> {
    Began,
    Text(&'t str),
    /// The error is an empty prompt or one too long: it concerns this job only.
    Ended(Result<Answer, ModelError>),
}

struct Row<'a, M> {
    job: usize,
    model: M,
    most_tokens: usize,
    generation: Generation<'a>,
}

/// Jobs on their way through one model, known by their number.
pub struct Batch<'a, M> {
    /// Is fed the head, and is what rows are forked from.
    model: &'a mut M,
    head: Vec<u32>,
    head_spent: Duration,
    waiting: VecDeque<(usize, Job<'a>)>,
    rows: Vec<Row<'a, M>>,
    /// Models of rows that have ended.
    free: Vec<M>,
}

impl<'a, M: Together> Batch<'a, M> {
    pub fn new(model: &'a mut M, jobs: Vec<Job<'a>>) -> Self {
        let context_tokens = model.context_tokens();
        let prompts: Vec<&[u32]> =
            jobs.iter().map(|job| job.prompt).filter(|p| (1..=context_tokens).contains(&p.len())).collect();
        let head = common_head(&prompts).to_vec();
        // The token after the head is one that `begin` wants to see fed.
        model.begin(prompts.first().map_or(&[][..], |first| &first[..=head.len()]));
        Self {
            model,
            head,
            head_spent: Duration::ZERO,
            waiting: jobs.into_iter().enumerate().collect(),
            rows: Vec::new(),
            free: Vec::new(),
        }
    }

    /// Whether every job has ended.
    pub fn is_done(&self) -> bool {
        self.waiting.is_empty() && self.rows.is_empty()
    }

    /// One pass through the model. False when it was the last: all jobs have ended, or a person stopped them; then those
    /// under way have ended with what they have, and those waiting never began.
    ///
    /// Errors: logits that are no numbers, and the model's own. They end the batch.
    pub fn step(
        &mut self,
        control: &Control,
        on_news: &mut dyn FnMut(usize, News<'_>),
    ) -> Result<bool, ModelError> {
        if !control.is_stopped() && !self.waiting.is_empty() {
            let num_fed = self.model.num_fed();
            if num_fed < self.head.len() {
                let started = Instant::now();
                let end = self.head.len().min(num_fed + PREFILL_TOKENS);
                self.model.next(&self.head[num_fed..end])?;
                self.head_spent += started.elapsed();
                return Ok(true);
            }
            self.fill(on_news)?;
        }
        let over = |row: &Row<'_, M>| row.generation.over(control);
        let finished = self.rows.iter().map(over).collect();
        self.leave(finished, on_news);
        self.pass(on_news)?;
        Ok(!self.rows.is_empty() || !(control.is_stopped() || self.waiting.is_empty()))
    }

    /// Lets jobs begin while there is room.
    fn fill(&mut self, on_news: &mut dyn FnMut(usize, News<'_>)) -> Result<(), ModelError> {
        while let Some((job, next)) = self.waiting.pop_front() {
            let most_tokens = next.most_tokens();
            let taken: usize = self.rows.iter().map(|row| row.most_tokens).sum();
            let is_full = self.rows.len() >= MOST_ROWS || taken.saturating_add(most_tokens) > MOST_TOKENS;
            if is_full && !self.rows.is_empty() {
                self.waiting.push_front((job, next));
                break;
            }
            let prompt = next.prompt;
            let mut generation = match Generation::new(&*self.model, next.pieces, prompt, next.options) {
                Ok(generation) => generation,
                Err(error) => {
                    on_news(job, News::Ended(Err(error)));
                    continue;
                }
            };
            let mut model = match self.free.pop() {
                Some(model) => model,
                None => {
                    generation.add_spent(self.head_spent);
                    self.model.fork()?
                }
            };
            model.begin(prompt);
            on_news(job, News::Began);
            self.rows.push(Row { job, model, most_tokens, generation });
        }
        Ok(())
    }

    /// Feeds every row what it wants next, prompts in pieces that come to one row's piece together.
    fn pass(&mut self, on_news: &mut dyn FnMut(usize, News<'_>)) -> Result<(), ModelError> {
        let started = Instant::now();
        let mut left = PREFILL_TOKENS;
        let mut feeds = Vec::with_capacity(self.rows.len());
        for row in &mut self.rows {
            let piece = row.generation.wanted(row.model.num_fed(), left);
            left = left.saturating_sub(piece.len());
            feeds.push((&mut row.model, piece));
        }
        let logits = M::next_together(&mut feeds)?;
        let spent = started.elapsed();
        let take = |(row, logits): (&mut Row<'a, M>, Vec<f32>)| {
            let mut on_text = |text: &str| on_news(row.job, News::Text(text));
            row.generation.take(logits, row.model.num_fed(), spent, &mut on_text)
        };
        let finished = self.rows.iter_mut().zip(logits).map(take).collect::<Result<_, _>>()?;
        self.leave(finished, on_news);
        Ok(())
    }

    /// Rows with a reason to end leave; the others keep their order.
    fn leave(&mut self, finished: Vec<Option<Finish>>, on_news: &mut dyn FnMut(usize, News<'_>)) {
        for (row, finish) in std::mem::take(&mut self.rows).into_iter().zip(finished) {
            let Some(finish) = finish else {
                self.rows.push(row);
                continue;
            };
            let answer = row.generation.end(finish, &mut |text| on_news(row.job, News::Text(text)));
            on_news(row.job, News::Ended(Ok(answer)));
            self.free.push(row.model);
        }
    }
}

/// The tokens all prompts begin with, but not all tokens of any; nothing where that saves too little.
fn common_head<'p>(prompts: &[&'p [u32]]) -> &'p [u32] {
    let Some((first, others)) = prompts.split_first() else { return &[] };
    let mut len = first.len() - 1;
    for other in others {
        let alike = first.iter().zip(&other[..other.len() - 1]).take_while(|(a, b)| a == b).count();
        len = len.min(alike);
    }
    if len * others.len() < LEAST_SAVED { &[] } else { &first[..len] }
}
