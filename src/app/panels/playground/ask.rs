//! From what was typed to the exact text that is sent.

use super::answers::Asked;
use crate::app::shared::Shared;
use crate::data::shots::{LineFormat, Question, Shot};
use crate::data::template::Rendered;
use crate::eval::run::Asking;
use serde::{Deserialize, Serialize};

/// Everything that was typed; kept from one start to the next.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Draft {
    pub prompt: String,
    /// Through the model's chat template; otherwise the text is completed as it is.
    pub is_chat: bool,
    pub shots: Vec<Shot>,
    pub num_shots: usize,
    pub line_format: String,
    pub questions: Vec<Question>,
    pub set_name: String,
    pub max_tokens: usize,
    /// As typed: one a line, with `\n`, `\t` and `\\` for what cannot be typed.
    pub stop: String,
    pub is_matrix: bool,
}

impl Default for Draft {
    fn default() -> Self {
        Self {
            prompt: String::new(),
            is_chat: true,
            shots: Vec::new(),
            num_shots: 0,
            line_format: "{input}: {output}".into(),
            questions: Vec::new(),
            set_name: String::new(),
            max_tokens: 128,
            stop: String::new(),
            is_matrix: false,
        }
    }
}

impl Draft {
    /// The shots that count: those with both halves.
    fn whole_shots(&self) -> Vec<Shot> {
        let is_whole = |s: &&Shot| !s.input.trim().is_empty() && !s.output.trim().is_empty();
        self.shots.iter().filter(is_whole).cloned().collect()
    }

    /// Numbers of examples that the matrix asks with.
    pub fn shot_rows(&self) -> Vec<usize> {
        let most = self.whole_shots().len();
        if !self.is_matrix {
            return vec![self.num_shots.min(most)];
        }
        let mut rows = vec![0, 1.min(most), self.num_shots.max(2).min(most)];
        rows.dedup();
        rows
    }

    /// Strings at which answers end: those that were typed, and those of the line format.
    pub fn stops(&self, shared: &Shared) -> Vec<String> {
        let typed = self.stop.lines().map(unescaped).filter(|s| !s.is_empty());
        let of_format = match self.asking(shared, 1) {
            Ok(asking) if !self.is_chat_with(shared) && self.num_shots > 0 => asking.stop(),
            _ => Vec::new(),
        };
        typed.chain(of_format).collect()
    }

    fn is_chat_with(&self, shared: &Shared) -> bool {
        self.is_chat && shared.tokeniser.as_ref().is_some_and(|(_, template)| template.has_chat())
    }

    fn asking(&self, shared: &Shared, num_shots: usize) -> Result<Asking, String> {
        let format = LineFormat::parse(&self.line_format).map_err(|e| e.to_string())?;
        Ok(Asking {
            format: (!self.is_chat_with(shared)).then_some(format),
            instruction: None,
            shots: self.whole_shots(),
            num_shots,
        })
    }

    /// The exact text for a question with `num_shots` examples before it, or why there is none.
    pub fn text(&self, question: &str, num_shots: usize, shared: &Shared) -> Result<Rendered, String> {
        let Some((_, template)) = &shared.tokeniser else {
            return Err("Choose a model first.".into());
        };
        self.asking(shared, num_shots)?.prompt(template, question).map_err(|e| e.to_string())
    }

    /// All texts to send: the prompt or every question of the set, with each number of examples.
    pub fn all_asked(&self, of_set: bool, shared: &Shared) -> Result<Vec<Asked>, String> {
        let alone = [Question { input: self.prompt.clone(), expected: None }];
        let questions: &[Question] = if of_set { &self.questions } else { &alone };
        let mut asked = Vec::new();
        for num_shots in self.shot_rows() {
            for (i, question) in questions.iter().enumerate().filter(|(_, q)| !q.input.trim().is_empty()) {
                let label = if of_set { format!("{}", i + 1) } else { shot_words(num_shots) };
                asked.push(Asked {
                    label,
                    num_shots,
                    question: question.input.clone(),
                    expected: question.expected.clone().filter(|e| !e.trim().is_empty()),
                    rendered: self.text(&question.input, num_shots, shared)?,
                });
            }
        }
        Ok(asked)
    }
}

/// A stop string as it is meant: `\n` is a line break, `\t` a tab, `\\` a backslash; anything else stays.
fn unescaped(typed: &str) -> String {
    let mut out = String::with_capacity(typed.len());
    let mut chars = typed.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('n') => out.push('\n'),
            Some('t') => out.push('\t'),
            Some('\\') => out.push('\\'),
            other => {
                out.push('\\');
                out.extend(other);
            }
        }
    }
    out
}

/// "zero-shot", "one-shot", "3-shot".
pub fn shot_words(num_shots: usize) -> String {
    match num_shots {
        0 => "zero-shot".into(),
        1 => "one-shot".into(),
        n => format!("{n}-shot"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_in_a_stop_string_are_meant_and_all_else_is_literal() {
        for (typed, meant) in [
            ("\\n", "\n"),
            ("a\\tb", "a\tb"),
            ("\\\\n", "\\n"),
            ("C:\\x", "C:\\x"),
            ("end\\", "end\\"),
            (". ", ". "),
        ] {
            assert_eq!(unescaped(typed), meant);
        }
    }
}
