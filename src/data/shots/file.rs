//! Few-shot examples and prompts that stand in a file.

use super::paste::{NOT_TWO, PastedShots, SkippedLine, from_chat, shots_from_text};
use super::{LineFormat, Question, Shot};
use crate::base::storage::read_text_bounded;
use crate::base::{Control, Silent};
use crate::data::import::{ImportOptions, import};
use crate::data::{DataError, Role, Table};
use std::path::Path;

const NO_QUESTION: &str = "has no question";

/// Prompts of a file, and the rows that are none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FoundQuestions {
    pub questions: Vec<Question>,
    pub skipped: Vec<SkippedLine>,
}

/// Plain text larger than this is no list of examples.
const MOST_TEXT_BYTES: u64 = 16 << 20;

/// Examples from a data file of any kind that can be imported. Plain text is read like pasted text.
///
/// # Errors
/// Those of [`import`], and [`DataError::NoShots`] when no row holds a question and an answer.
pub fn read_shots(path: &Path, format: &LineFormat, control: &Control) -> Result<PastedShots, DataError> {
    let found = if is_plain_text(path) {
        shots_from_text(&read_text(path)?, format)
    } else {
        let imported = import(path, &ImportOptions::default(), control, &mut Silent)?;
        shots_from_table(&imported.table, &imported.schema.roles)
    };
    if found.shots.is_empty() {
        return Err(DataError::NoShots { path: path.into() });
    }
    Ok(found)
}

/// Prompts from a file: each line of plain text, or each row of a data file, there with the right answer if it has one.
///
/// # Errors
/// Those of [`import`], and [`DataError::Empty`] when there is no prompt.
pub fn read_questions(path: &Path, control: &Control) -> Result<FoundQuestions, DataError> {
    let found = if is_plain_text(path) {
        let text = read_text(path)?;
        let lines = text.trim_start_matches('\u{feff}').lines().map(str::trim).filter(|l| !l.is_empty());
        let questions = lines.map(|line| Question::new(line, None)).collect();
        FoundQuestions { questions, skipped: Vec::new() }
    } else {
        let imported = import(path, &ImportOptions::default(), control, &mut Silent)?;
        questions_from_table(&imported.table, &imported.schema.roles)
    };
    if found.questions.is_empty() { Err(DataError::Empty { path: path.into() }) } else { Ok(found) }
}

fn is_plain_text(path: &Path) -> bool {
    let extension = path.extension().map(|e| e.to_string_lossy().to_lowercase());
    extension.as_deref().is_none_or(|e| matches!(e, "txt" | "md"))
}

fn read_text(path: &Path) -> Result<String, DataError> {
    read_text_bounded(path, MOST_TEXT_BYTES)
        .map_err(|e| DataError::Unreadable { path: path.into(), why: e.to_string() })
}

/// A question, and its answer where there is one.
type Pair = (String, Option<String>);

/// Examples from the rows of a table; rows without a question or an answer are listed.
pub fn shots_from_table(table: &Table, roles: &[Role]) -> PastedShots {
    let columns = Columns::of(table, roles);
    let mut found = PastedShots::default();
    for row in 0..table.num_rows() {
        let shot = columns.pair(table, row).and_then(|(input, output)| Some(Shot::new(input, output?)));
        found.add(table.lines[row], shot, NOT_TWO);
    }
    found
}

/// Prompts from the rows of a table, with the right answer where there is one; rows without a question are listed.
pub fn questions_from_table(table: &Table, roles: &[Role]) -> FoundQuestions {
    let columns = Columns::of(table, roles);
    let mut found = FoundQuestions::default();
    for row in 0..table.num_rows() {
        match columns.pair(table, row) {
            Some((input, expected)) => found.questions.push(Question { input, expected }),
            None => found.skipped.push(SkippedLine { line: table.lines[row], why: NO_QUESTION.into() }),
        }
    }
    found
}

/// Where question and answer stand in a table.
struct Columns {
    chat: Option<usize>,
    instruction: Option<usize>,
    input: Option<usize>,
    output: Option<usize>,
}

impl Columns {
    fn of(table: &Table, roles: &[Role]) -> Self {
        let column = |wanted: &[Role]| {
            wanted.iter().find_map(|w| roles.iter().take(table.columns.len()).position(|r| r == w))
        };
        let instruction = column(&[Role::Instruction]);
        let input = column(&[Role::Prompt, Role::Question, Role::Input, Role::Text]);
        let output =
            column(&[Role::Completion, Role::Output, Role::Answer, Role::Label, Role::Score, Role::Chosen]);
        let mut columns = Self { chat: column(&[Role::Messages]), instruction, input, output };
        if input.is_none() && instruction.is_none() {
            // Columns nobody knows by name: the first is the question, the second the answer.
            let place = |i: usize| (i < table.columns.len()).then_some(i);
            (columns.input, columns.output) = (place(0), place(1));
        }
        columns
    }

    fn pair(&self, table: &Table, row: usize) -> Option<Pair> {
        let cell = |column: Option<usize>| column.map_or("", |c| table.cell(row, c).trim());
        if let Some(chat) = self.chat {
            let shot = serde_json::from_str(table.cell(row, chat)).ok().as_ref().and_then(from_chat)?;
            return Some((shot.input, Some(shot.output)));
        }
        let (instruction, input) = (cell(self.instruction), cell(self.input));
        let question = [instruction, input].into_iter().filter(|part| !part.is_empty());
        let question = question.collect::<Vec<_>>().join("\n");
        let answer = cell(self.output);
        (!question.is_empty()).then(|| (question, (!answer.is_empty()).then(|| answer.to_string())))
    }
}
