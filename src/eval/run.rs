//! A set of prompts, answered and scored where the right answer is known.

use super::metrics::is_match;
use crate::base::Control;
use crate::data::shots::{LineFormat, Question, Shot, few_shot_messages, few_shot_text};
use crate::data::template::{Rendered, Template};
use crate::data::{DataError, Example, Message, Tokeniser};
use crate::infer::batch::{Batch, Job, News};
use crate::infer::generate::{Answer, Finish, GenerateOptions, TextPieces, Together};
use crate::model::ModelError;
use serde::{Deserialize, Serialize};

/// A prompt ready to send.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    /// The exact text sent, for the record.
    pub text: String,
    pub ids: Vec<u32>,
    /// The right answer, if known.
    pub expected: Option<String>,
}

impl Asked {
    pub fn new(prompt: Rendered, tokeniser: &Tokeniser, expected: Option<String>) -> Result<Self, DataError> {
        Ok(Self { ids: prompt.ids(tokeniser)?, text: prompt.text, expected })
    }
}

/// One prompt with its answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scored {
    pub prompt: String,
    pub expected: Option<String>,
    /// `None` where the prompt could not be answered.
    pub answer: Option<Answer>,
    /// Why there is no answer: an empty prompt, or one too long for the context.
    pub problem: Option<String>,
    /// Exact match. `None` where the right answer is not known, and where there is no answer: a question that was not
    /// put to the model says nothing about it.
    pub is_match: Option<bool>,
}

impl Scored {
    fn new(asked: &Asked, result: Result<Answer, ModelError>) -> Self {
        let (answer, problem) = match result {
            Ok(answer) => (Some(answer), None),
            Err(error) => (None, Some(error.to_string())),
        };
        let is_match =
            answer.as_ref().zip(asked.expected.as_ref()).map(|(a, right)| is_match(&a.text, right));
        Self { prompt: asked.text.clone(), expected: asked.expected.clone(), answer, problem, is_match }
    }

    /// The answer; empty where there is none.
    pub fn text(&self) -> &str {
        self.answer.as_ref().map_or("", |answer| &answer.text)
    }
}

/// How questions become prompts: few-shot lines for a base model, or turns of a chat.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asking {
    /// `None` asks in a chat by the model's template.
    pub format: Option<LineFormat>,
    /// Before the examples; the system message of a chat.
    pub instruction: Option<String>,
    pub shots: Vec<Shot>,
    /// How many of the shots are shown.
    pub num_shots: usize,
}

impl Asking {
    /// How many examples are shown.
    pub fn num_shown(&self) -> usize {
        self.num_shots.min(self.shots.len())
    }

    /// What is sent for a question. With nothing before it, a base model gets the question as it stands.
    ///
    /// # Errors
    /// Those of the chat template.
    pub fn prompt(&self, template: &Template, question: &str) -> Result<Rendered, DataError> {
        let instruction = self.instruction.as_deref().map(str::trim).filter(|i| !i.is_empty());
        if let Some(format) = &self.format {
            let text = match (self.num_shown(), instruction) {
                (0, None) => question.to_string(),
                _ => few_shot_text(format, instruction, &self.shots, self.num_shots, question),
            };
            return Ok(template.example_prompt(&Example::Text { text }, false)?.0);
        }
        let mut messages: Vec<Message> = instruction.map(|i| Message::new("system", i)).into_iter().collect();
        messages.extend(few_shot_messages(&self.shots, self.num_shots, question));
        template.prompt(&messages)
    }

    /// All questions as prompts ready to send.
    ///
    /// # Errors
    /// Those of the chat template and the tokenizer.
    pub fn all(
        &self,
        template: &Template,
        tokeniser: &Tokeniser,
        questions: &[Question],
    ) -> Result<Vec<Asked>, DataError> {
        let ask = |question: &Question| {
            let prompt = self.prompt(template, &question.input)?;
            Asked::new(prompt, tokeniser, question.expected.clone())
        };
        questions.iter().map(ask).collect()
    }

    /// Where an answer ends besides the end of text: a base model goes on with lines of its own.
    pub fn stop(&self) -> Vec<String> {
        self.format.as_ref().map(LineFormat::stop).unwrap_or_default()
    }
}

/// How far a set is. Many prompts are answered at a time, so that tokens tell it more evenly than answers.
pub struct Reached<'a> {
    pub num_done: usize,
    /// Tokens answered so far; of answers in progress, those that were text.
    pub num_tokens: usize,
    /// Tokens that there will be at most.
    pub most_tokens: usize,
    /// The answer that is now complete, if it was one.
    pub last: Option<&'a Scored>,
}

/// Answers all prompts with the model's own tokenizer; see [`answer_pieces`].
pub fn answer_all<M: Together>(
    model: &mut M,
    tokeniser: &Tokeniser,
    prompts: &[Asked],
    options: &GenerateOptions,
    control: &Control,
    on_progress: &mut dyn FnMut(Reached<'_>),
) -> Result<Vec<Scored>, ModelError> {
    let pieces = || Box::new(tokeniser.stream()) as Box<dyn TextPieces + '_>;
    answer_pieces(model, pieces, prompts, options, control, on_progress)
}

/// Answers all prompts, several at a time, and returns them in order. After each piece of text and each answer, `on_progress` gets
/// how far it is.
///
/// A prompt that cannot be answered does not end the set. When a person stops it, the answers that are complete come back.
/// Errors: those of the model.
pub fn answer_pieces<'p, M: Together>(
    model: &mut M,
    mut pieces: impl FnMut() -> Box<dyn TextPieces + 'p>,
    prompts: &[Asked],
    options: &GenerateOptions,
    control: &Control,
    on_progress: &mut dyn FnMut(Reached<'_>),
) -> Result<Vec<Scored>, ModelError> {
    let jobs = prompts.iter().map(|asked| Job { prompt: &asked.ids, pieces: pieces(), options });
    let mut batch = Batch::new(model, jobs.collect());
    let mut all: Vec<Option<Scored>> = vec![None; prompts.len()];
    let mut num_done = 0;
    // Of each prompt, so far and at most.
    let mut tokens = vec![(0, options.max_tokens); prompts.len()];
    let mut on_news = |job: usize, news: News<'_>| {
        let last = match news {
            News::Began => return,
            News::Text(_) => {
                tokens[job].0 = (tokens[job].0 + 1).min(options.max_tokens);
                None
            }
            News::Ended(Ok(answer)) if answer.finish == Finish::Stopped => return,
            News::Ended(result) => {
                num_done += 1;
                let num = result.as_ref().map_or(0, |answer| answer.token_ids.len());
                tokens[job] = (num, num);
                Some(&*all[job].insert(Scored::new(&prompts[job], result)))
            }
        };
        let num_tokens = tokens.iter().map(|of| of.0).sum();
        let most_tokens = tokens.iter().map(|of| of.1).sum();
        on_progress(Reached { num_done, num_tokens, most_tokens, last });
    };
    while batch.step(control, &mut on_news)? {}
    Ok(all.into_iter().flatten().collect())
}
