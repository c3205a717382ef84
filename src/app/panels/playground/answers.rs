//! What the columns have answered, as it comes.

use super::answer_job::AnswerJob;
use crate::app::action::Effect;
use crate::data::template::Rendered;
use crate::engine::event::{EventKind, GenerationEvent};
use crate::engine::{Command, Event, JobId};
use crate::infer::generate::Finish;

/// One text that was sent.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Asked {
    /// "zero-shot", or the number of the question.
    pub label: String,
    /// How many examples stood before the question.
    pub num_shots: usize,
    pub question: String,
    pub expected: Option<String>,
    /// The exact text sent.
    pub rendered: Rendered,
}

/// One column's answer to one text.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reply {
    pub text: String,
    pub prompt_tokens: usize,
    pub end: Option<End>,
    /// Why it will never end by itself.
    pub cut: Option<Cut>,
}

/// The job was over before the answer was.
#[derive(Debug, Clone, PartialEq)]
pub enum Cut {
    Stopped,
    /// With what failed, in words.
    Failed(String),
}

impl Reply {
    /// How it stands with an answer that has not ended; nothing when it has, or has not begun.
    pub fn state_words(&self) -> Option<String> {
        match (&self.end, &self.cut) {
            (Some(_), _) => None,
            (None, Some(Cut::Stopped)) => Some("stopped".into()),
            (None, Some(Cut::Failed(what))) => Some(format!("failed: {what}")),
            (None, None) => (self.prompt_tokens > 0).then(|| "writing…".into()),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct End {
    pub finish: Finish,
    pub num_tokens: usize,
    pub time_to_first_token_secs: f64,
    pub tokens_per_second: f64,
    pub is_match: Option<bool>,
}

/// All answers of one press of Generate.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Answers {
    pub asked: Vec<Asked>,
    /// Names of the columns when they were asked.
    pub columns: Vec<String>,
    /// [asked][column]
    replies: Vec<Vec<Reply>>,
    pub job: AnswerJob,
}

impl Answers {
    pub fn new(asked: Vec<Asked>, columns: Vec<String>) -> Self {
        let replies = vec![vec![Reply::default(); columns.len()]; asked.len()];
        Self { asked, columns, replies, job: AnswerJob::asked() }
    }

    pub fn reply(&self, asked: usize, column: usize) -> Option<&Reply> {
        self.replies.get(asked)?.get(column)
    }

    /// The engine called the job that answers `job`.
    pub fn submitted(&mut self, job: JobId, command: &Command) {
        if matches!(command, Command::Generate(_)) {
            self.job.taken(job);
        }
    }

    /// What stops it, while it runs.
    pub fn stop(&self) -> Option<Effect> {
        self.job.stop()
    }

    pub fn apply(&mut self, event: &Event) {
        if !self.job.is_of(event) {
            return;
        }
        match &event.kind {
            EventKind::Generation { column, prompt, event } => self.take(*prompt, *column, event),
            EventKind::Done | EventKind::Stopped => self.end(&Cut::Stopped),
            EventKind::Failed(failure) => self.end(&Cut::Failed(failure.title.clone())),
            _ => {}
        }
    }

    /// The job is over: what has not ended by now never will.
    fn end(&mut self, how: &Cut) {
        self.job.is_running = false;
        for reply in self.replies.iter_mut().flatten().filter(|reply| reply.end.is_none()) {
            reply.cut.get_or_insert_with(|| how.clone());
        }
    }

    fn take(&mut self, asked: usize, column: usize, event: &GenerationEvent) {
        let Some(reply) = self.replies.get_mut(asked).and_then(|r| r.get_mut(column)) else { return };
        match event {
            GenerationEvent::Began { prompt_tokens } => {
                *reply = Reply { prompt_tokens: *prompt_tokens, ..Reply::default() };
            }
            GenerationEvent::Text(piece) => reply.text.push_str(piece),
            GenerationEvent::Refused { why } => reply.cut = Some(Cut::Failed(why.clone())),
            GenerationEvent::Ended {
                finish,
                text,
                num_tokens,
                time_to_first_token_secs,
                tokens_per_second,
                is_match,
            } => {
                reply.text.clone_from(text);
                reply.end = Some(End {
                    finish: *finish,
                    num_tokens: *num_tokens,
                    time_to_first_token_secs: *time_to_first_token_secs,
                    tokens_per_second: *tokens_per_second,
                    is_match: *is_match,
                });
            }
        }
    }

    /// Right answers and scored ones of a column, among those with `num_shots` examples.
    pub fn score(&self, column: usize, num_shots: usize) -> (usize, usize) {
        let of_shots = (0..self.asked.len()).filter(|i| self.asked[*i].num_shots == num_shots);
        let matches: Vec<bool> = of_shots.filter_map(|i| self.reply(i, column)?.end?.is_match).collect();
        (matches.iter().filter(|m| **m).count(), matches.len())
    }

    /// The different numbers of examples that were asked with, ascending.
    pub fn shot_rows(&self) -> Vec<usize> {
        let mut rows: Vec<usize> = self.asked.iter().map(|a| a.num_shots).collect();
        rows.sort_unstable();
        rows.dedup();
        rows
    }
}

/// Why an answer ended, in words.
pub fn finish_words(finish: Finish) -> &'static str {
    match finish {
        Finish::EndOfText => "ended by itself",
        Finish::StopString => "ended at a stop string",
        Finish::MaxTokens => "cut at the longest answer",
        Finish::ContextFull => "the context is full",
        Finish::Stopped => "stopped",
    }
}
