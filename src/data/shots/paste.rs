//! Few-shot examples that were pasted.

use super::{LineFormat, Shot};
use serde_json::Value;

/// More examples than any context holds: the rest is not read.
const MOST_SHOTS: usize = 10_000;

/// A line that is no example.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SkippedLine {
    /// From 1.
    pub line: u64,
    /// Why, for people.
    pub why: String,
}

/// The examples found, and the lines that are none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PastedShots {
    pub shots: Vec<Shot>,
    pub skipped: Vec<SkippedLine>,
}

impl PastedShots {
    pub(super) fn add(&mut self, line: u64, shot: Option<Shot>, why: &str) {
        if self.shots.len() >= MOST_SHOTS {
            if self.skipped.last().is_none_or(|s| s.why != TOO_MANY) {
                self.skipped.push(SkippedLine { line, why: TOO_MANY.into() });
            }
            return;
        }
        match shot {
            Some(shot) => self.shots.push(shot),
            None => self.skipped.push(SkippedLine { line, why: why.into() }),
        }
    }
}

const TOO_MANY: &str = "from here on there are more examples than can be used";
pub(super) const NOT_TWO: &str = "has no question and answer";

/// How pasted lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Writing {
    Jsonl,
    Separated(u8),
    Format,
}

/// Examples from pasted text: cells copied from a spreadsheet, CSV, JSON lines, or lines in the line format. What
/// most lines are written in counts; a heading such as `input,output` is left out.
pub fn shots_from_text(text: &str, format: &LineFormat) -> PastedShots {
    let text = text.trim_start_matches('\u{feff}');
    match writing(text, format) {
        Writing::Jsonl => from_lines(text, from_json),
        Writing::Separated(separator) => from_cells(text, separator),
        Writing::Format if format.has_lines() => from_blocks(text, format),
        Writing::Format => {
            let colon = LineFormat::default();
            from_lines(text, |line| format.split(line).or_else(|| colon.split(line)))
        }
    }
}

fn writing(text: &str, format: &LineFormat) -> Writing {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|l| !l.is_empty()).take(100).collect();
    let most = |is: &dyn Fn(&str) -> bool| {
        !lines.is_empty() && 2 * lines.iter().filter(|l| is(l)).count() >= lines.len()
    };
    let is_quoted = lines.first().is_some_and(|l| l.starts_with('"'));
    let colon = LineFormat::default();
    if most(&|l| l.starts_with('{') && l.ends_with('}')) {
        Writing::Jsonl
    } else if lines.first().is_some_and(|l| l.contains('\t')) {
        Writing::Separated(b'\t')
    } else if !is_quoted && (format.has_lines() || most(&|l| format.split(l).is_some())) {
        Writing::Format
    } else if is_quoted || most(&|l| l.contains(',') && colon.split(l).is_none()) {
        Writing::Separated(if most(&|l| l.contains(';') && !l.contains(',')) { b';' } else { b',' })
    } else if most(&|l| l.contains(';') && colon.split(l).is_none()) {
        Writing::Separated(b';')
    } else {
        Writing::Format
    }
}

fn from_lines(text: &str, read: impl Fn(&str) -> Option<Shot>) -> PastedShots {
    let mut found = PastedShots::default();
    for (i, line) in text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty()) {
        found.add(i as u64 + 1, read(line), NOT_TWO);
    }
    found
}

/// Examples of several lines, with an empty line between two.
fn from_blocks(text: &str, format: &LineFormat) -> PastedShots {
    let mut found = PastedShots::default();
    let (mut block, mut began) = (String::new(), 1);
    for (i, line) in text.lines().chain([""]).enumerate() {
        if !line.trim().is_empty() {
            if block.is_empty() {
                began = i as u64 + 1;
            }
            block.push_str(line);
            block.push('\n');
        } else if !block.is_empty() {
            found.add(began, format.split(&block), NOT_TWO);
            block.clear();
        }
    }
    found
}

fn from_cells(text: &str, separator: u8) -> PastedShots {
    let mut found = PastedShots::default();
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(separator)
        .has_headers(false)
        .flexible(true)
        .from_reader(text.as_bytes());
    for (i, record) in reader.records().enumerate() {
        let Ok(record) = record else { continue };
        let line = record.position().map_or(0, csv::Position::line);
        if record.iter().all(|cell| cell.trim().is_empty()) || (i == 0 && is_heading(&record)) {
            continue;
        }
        let mut cells = record.iter().map(str::trim).filter(|cell| !cell.is_empty());
        let shot = cells.next().zip(cells.next()).map(|(input, output)| Shot::new(input, output));
        found.add(line, shot, NOT_TWO);
    }
    found
}

const INPUTS: [&str; 8] = ["input", "prompt", "question", "text", "instruction", "user", "query", "sentence"];
const OUTPUTS: [&str; 9] =
    ["output", "completion", "answer", "label", "response", "assistant", "target", "chosen", "score"];

fn is_heading(record: &csv::StringRecord) -> bool {
    let named = |i: usize, names: &[&str]| {
        record.get(i).is_some_and(|cell| names.contains(&cell.trim().to_lowercase().as_str()))
    };
    named(0, &INPUTS) && named(1, &OUTPUTS)
}

/// One JSON object: by the names people use, or a chat.
fn from_json(line: &str) -> Option<Shot> {
    let Value::Object(object) = serde_json::from_str(line.trim()).ok()? else { return None };
    if let Some(shot) = ["messages", "conversations"].iter().find_map(|&key| from_chat(object.get(key)?)) {
        return Some(shot);
    }
    let text = |names: &[&str]| {
        names.iter().find_map(|&name| match object.get(name)? {
            Value::String(s) if !s.trim().is_empty() => Some(s.trim().to_string()),
            n @ Value::Number(_) => Some(n.to_string()),
            _ => None,
        })
    };
    let (instruction, input) = (text(&["instruction"]), text(&INPUTS));
    let input = match (instruction, input) {
        (Some(instruction), Some(input)) if instruction != input => format!("{instruction}\n{input}"),
        (_, input) => input?,
    };
    Some(Shot::new(input, text(&OUTPUTS)?))
}

/// The last answer of a chat (OpenAI or ShareGPT form) and what the user said before it.
pub(super) fn from_chat(messages: &Value) -> Option<Shot> {
    let turns: Vec<(&str, &str)> = messages
        .as_array()?
        .iter()
        .filter_map(|m| {
            let part = |names: [&str; 2]| names.iter().find_map(|&n| m.get(n)?.as_str());
            Some((part(["role", "from"])?, part(["content", "value"])?.trim()))
        })
        .collect();
    let answer = turns.iter().rposition(|(role, _)| ["assistant", "gpt", "model"].contains(role))?;
    let question = turns[..answer].iter().rfind(|(role, _)| ["user", "human"].contains(role))?;
    let shot = Shot::new(question.1, turns[answer].1);
    (!shot.input.is_empty() && !shot.output.is_empty()).then_some(shot)
}
