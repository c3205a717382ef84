//! Few-shot prompts: examples by a line format, then the question.

mod file;
mod format;
mod paste;

pub use file::{FoundQuestions, questions_from_table, read_questions, read_shots, shots_from_table};
pub use format::LineFormat;
pub use paste::{PastedShots, SkippedLine, shots_from_text};

use super::{Example, Message};
use crate::base::rng::Rng;
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};

/// Names the random stream by which shots are drawn.
const SHOTS: u64 = 0x5407;

/// More rows than this are not looked at: enough to meet every answer that is not rare.
const MOST_CANDIDATES: usize = 50_000;

/// One solved example shown to the model before the question.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shot {
    pub input: String,
    pub output: String,
}

impl Shot {
    pub fn new(input: impl Into<String>, output: impl Into<String>) -> Self {
        Self { input: input.into(), output: output.into() }
    }

    /// Question and answer of an example; `None` for plain text and for chats without an answer.
    pub fn of(example: &Example) -> Option<Self> {
        let (input, output) = match example {
            Example::PromptCompletion { prompt, completion } => (prompt.as_str(), completion.clone()),
            Example::Labelled { text, label, .. } => (text.as_str(), label.clone()),
            Example::Scored { text, score, .. } => (text.as_str(), score.to_string()),
            Example::Pair { text, second, .. } => (text.as_str(), second.clone()),
            Example::Preference { prompt, chosen, .. } => (prompt.as_str(), chosen.clone()),
            Example::Chat { messages } => last_turn(messages)?,
            Example::Text { .. } => return None,
        };
        let shot = Self::new(input.trim(), output.trim());
        (!shot.input.is_empty() && !shot.output.is_empty()).then_some(shot)
    }
}

/// A prompt worth keeping, with the right answer where it is known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    pub input: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
}

impl Question {
    pub fn new(input: impl Into<String>, expected: Option<String>) -> Self {
        Self { input: input.into(), expected }
    }
}

impl From<Shot> for Question {
    fn from(shot: Shot) -> Self {
        Self { input: shot.input, expected: Some(shot.output) }
    }
}

/// The last answer and what the user said before it.
fn last_turn(messages: &[Message]) -> Option<(&str, String)> {
    let answer = messages.iter().rposition(|m| m.role == "assistant")?;
    let question = messages[..answer].iter().rfind(|m| m.role == "user")?;
    Some((&question.content, messages[answer].content.clone()))
}

/// The prompt for a base model: the instruction, the first `k` shots, and the question as a line that ends
/// where the answer begins. With more than the shots there are, all are shown.
pub fn few_shot_text(
    format: &LineFormat,
    instruction: Option<&str>,
    shots: &[Shot],
    k: usize,
    question: &str,
) -> String {
    let mut text = String::new();
    if let Some(instruction) = instruction.map(str::trim).filter(|i| !i.is_empty()) {
        text.push_str(instruction);
        text.push_str("\n\n");
    }
    for shot in &shots[..k.min(shots.len())] {
        text.push_str(&format.line(shot));
        text.push_str(format.separator());
    }
    text.push_str(&format.question(question));
    text
}

/// The same as turns of a chat: a user and an assistant message for each of the first `k` shots, then the question.
/// A system message, if there is one, goes before these.
pub fn few_shot_messages(shots: &[Shot], k: usize, question: &str) -> Vec<Message> {
    let mut messages = Vec::with_capacity(2 * k.min(shots.len()) + 1);
    for shot in &shots[..k.min(shots.len())] {
        messages.push(Message::new("user", shot.input.as_str()));
        messages.push(Message::new("assistant", shot.output.as_str()));
    }
    messages.push(Message::new("user", question));
    messages
}

/// The rows `which` as prompts with their right answers, each question once, in order; `shot` gives those of a row.
pub fn questions(
    shot: impl Fn(usize) -> Option<Shot>,
    which: impl IntoIterator<Item = usize>,
) -> impl Iterator<Item = Question> {
    let mut seen = HashSet::new();
    let shots = which.into_iter().filter_map(shot);
    shots.filter(move |shot| seen.insert(shot.input.to_lowercase())).map(Question::from)
}

/// Draws `k` shots from the rows `train`, each question once; `shot` gives those of a row. Answers not shown yet come first, so that a few shots cover
/// several labels. The same seed gives the same order whatever `k` is: more shots are the fewer ones and some.
pub fn draw(shot: impl Fn(usize) -> Option<Shot>, train: &[usize], k: usize, seed: u64) -> Vec<Shot> {
    let mut order = train.to_vec();
    Rng::new(seed, &[SHOTS]).shuffle(&mut order);
    order.truncate(MOST_CANDIDATES);
    let mut by_answer: Vec<Vec<Shot>> = Vec::new();
    let mut place: HashMap<String, usize> = HashMap::new();
    let mut questions = HashSet::new();
    for shot in order.into_iter().filter_map(shot) {
        if !questions.insert(shot.input.to_lowercase()) {
            continue;
        }
        let at = *place.entry(shot.output.to_lowercase()).or_insert(by_answer.len());
        if at == by_answer.len() {
            by_answer.push(Vec::new());
        }
        by_answer[at].push(shot);
    }
    let mut rounds: Vec<_> = by_answer.into_iter().map(Vec::into_iter).collect();
    let mut drawn = Vec::new();
    while drawn.len() < k && !rounds.is_empty() {
        // One of each answer a round; answers that are used up leave.
        rounds.retain_mut(|answer| {
            answer.next().is_some_and(|shot| {
                drawn.push(shot);
                true
            })
        });
    }
    drawn.truncate(k);
    drawn
}
