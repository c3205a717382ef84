//! One row of a table -> one example.

use super::{Layout, Role, Schema, conversation, identity, placeholders};
use crate::data::{Example, Fate, Message, Row, Table, number};

impl Schema {
    /// What is known of row `index`.
    ///
    /// # Errors
    /// As [`Self::example`].
    pub fn row(&self, table: &Table, index: usize) -> Result<Row, Fate> {
        let example = self.example(table, index)?;
        let group = Cells { schema: self, table, index }.filled(Role::Group);
        Ok(Row {
            index,
            line: table.lines[index],
            hash: identity::content_hash(&example),
            group: group.map(identity::hash).or_else(|| identity::subject_hash(&example)),
            label: identity::label_hash(&example),
        })
    }

    /// The example in row `index`.
    ///
    /// # Errors
    /// The row's line in the ledger: empty, malformed, or without an answer.
    pub fn example(&self, table: &Table, index: usize) -> Result<Example, Fate> {
        let cells = Cells { schema: self, table, index };
        let layout = self.layout().ok_or("no column has a role that can be trained on")?;
        let example = match layout {
            Layout::Chat => cells.chat(),
            Layout::ChosenRejected => cells.preference(),
            Layout::Text => Ok(cells.text()?.map(|text| Example::Text { text })),
            Layout::TextLabel => cells.labelled(),
            Layout::TextScore => cells.scored(),
            Layout::TextPair => cells.pair(),
            Layout::PromptCompletion | Layout::InstructionInputOutput | Layout::QuestionAnswer => {
                cells.completion()
            }
        }?;
        example.ok_or(Fate::Empty)
    }
}

/// The cells of one row, by role.
struct Cells<'a> {
    schema: &'a Schema,
    table: &'a Table,
    index: usize,
}

impl<'a> Cells<'a> {
    fn get(&self, role: Role) -> &'a str {
        let column = self.schema.column(role).and_then(|column| self.table.columns.get(column));
        column.map_or("", |column| column.get(self.index))
    }

    fn filled(&self, role: Role) -> Option<&'a str> {
        Some(self.get(role)).filter(|cell| !cell.trim().is_empty())
    }

    /// The name of the column that plays `role`, for messages.
    fn name(&self, role: Role) -> &'a str {
        let column = self.schema.column(role).and_then(|column| self.table.columns.get(column));
        column.map_or(role.title(), |column| &column.name)
    }

    fn rendered(&self) -> Option<Result<String, String>> {
        let template = self.schema.prompt_template.as_ref()?;
        Some(placeholders::render(template, self.table, self.index))
    }

    /// What the model is given: the user's template, or task and material with a blank line between.
    fn prompt(&self) -> Result<String, String> {
        if let Some(rendered) = self.rendered() {
            return rendered;
        }
        let roles = [Role::Prompt, Role::Instruction, Role::Question, Role::Input];
        let filled: Vec<&str> = roles.iter().filter_map(|role| self.filled(*role)).collect();
        Ok(filled.join("\n\n"))
    }

    fn has_prompt_cell(&self) -> bool {
        let roles = [Role::Prompt, Role::Instruction, Role::Question, Role::Input];
        roles.iter().any(|role| self.filled(*role).is_some())
    }

    fn completion(&self) -> Result<Option<Example>, Fate> {
        let Some(column) = self.schema.answer_column() else {
            return Err("no column holds what is learnt".into());
        };
        let answer = self.table.cell(self.index, column);
        if answer.trim().is_empty() {
            let has_rest = if self.schema.prompt_template.is_some() {
                (0..self.table.columns.len()).any(|c| !self.table.cell(self.index, c).trim().is_empty())
            } else {
                self.has_prompt_cell()
            };
            let name = &self.table.columns[column].name;
            return if has_rest { Err(no_answer(format!("the column {name} is empty"))) } else { Ok(None) };
        }
        let prompt = self.prompt()?;
        let completion = answer.to_string();
        Ok(Some(match self.filled(Role::System) {
            None => Example::PromptCompletion { prompt, completion },
            Some(system) => {
                let turns = [
                    Message::new("system", system),
                    Message::new("user", prompt),
                    Message::new("assistant", completion),
                ];
                Example::Chat { messages: turns.into() }
            }
        }))
    }

    fn text(&self) -> Result<Option<String>, String> {
        let Some(text) = self.filled(Role::Text) else { return Ok(None) };
        self.rendered().unwrap_or_else(|| Ok(text.to_string())).map(Some)
    }

    /// The second text where there is a column of them.
    fn second(&self) -> Result<Option<String>, Fate> {
        if self.schema.column(Role::Second).is_none() {
            return Ok(None);
        }
        match self.filled(Role::Second) {
            Some(second) => Ok(Some(second.to_string())),
            None => Err(format!("the column {} is empty", self.name(Role::Second)).into()),
        }
    }

    fn pair(&self) -> Result<Option<Example>, Fate> {
        let (text, second) = match (self.text()?, self.filled(Role::Second)) {
            (None, None) => return Ok(None),
            (None, Some(_)) => return Err(format!("the column {} is empty", self.name(Role::Text)).into()),
            (Some(text), _) => (text, self.second()?.unwrap_or_default()),
        };
        let negative = self.filled(Role::Negative).map(String::from);
        if text.trim() == second.trim() {
            return Err("both texts are the same".into());
        }
        if negative.as_ref().is_some_and(|negative| negative.trim() == second.trim()) {
            return Err("the unlike text is the second text".into());
        }
        Ok(Some(Example::Pair { text, second, negative }))
    }

    fn labelled(&self) -> Result<Option<Example>, Fate> {
        match (self.text()?, self.filled(Role::Label)) {
            (Some(text), Some(label)) => {
                Ok(Some(Example::Labelled { text, second: self.second()?, label: label.trim().to_string() }))
            }
            (None, None) => Ok(None),
            (None, Some(_)) => Err(format!("the column {} is empty", self.name(Role::Text)).into()),
            (Some(_), None) => Err(no_answer(format!("the column {} is empty", self.name(Role::Label)))),
        }
    }

    fn scored(&self) -> Result<Option<Example>, Fate> {
        let (text, score) = match (self.text()?, self.filled(Role::Score)) {
            (Some(text), Some(score)) => (text, score),
            (None, None) => return Ok(None),
            (None, Some(_)) => return Err(format!("the column {} is empty", self.name(Role::Text)).into()),
            (Some(_), None) => {
                return Err(no_answer(format!("the column {} is empty", self.name(Role::Score))));
            }
        };
        let number = number(score);
        let shown: String = score.trim().chars().take(20).collect();
        let score = number.ok_or_else(|| format!("the score `{shown}` is not a number"))?;
        Ok(Some(Example::Scored { text, second: self.second()?, score }))
    }

    fn chat(&self) -> Result<Option<Example>, Fate> {
        let Some(cell) = self.filled(Role::Messages) else { return Ok(None) };
        if cell.trim() == "[]" {
            return Ok(None);
        }
        let mut messages = conversation::parse(cell)?;
        if let Some(system) = self.filled(Role::System)
            && messages.first().is_none_or(|m| m.role != "system")
        {
            messages.insert(0, Message::new("system", system));
        }
        if !messages.iter().any(|m| m.role == "assistant" && !m.content.trim().is_empty()) {
            let why = "the assistant says nothing in this conversation";
            return Err(no_answer(why.into()));
        }
        Ok(Some(Example::Chat { messages }))
    }

    fn preference(&self) -> Result<Option<Example>, Fate> {
        let (chosen, rejected) = match (self.filled(Role::Chosen), self.filled(Role::Rejected)) {
            (Some(chosen), Some(rejected)) => (chosen, rejected),
            (None, None) => return Ok(None),
            (None, _) => return Err(no_answer(format!("the column {} is empty", self.name(Role::Chosen)))),
            (_, None) => return Err(no_answer(format!("the column {} is empty", self.name(Role::Rejected)))),
        };
        let (before, chosen) = answer_of(chosen);
        let (_, rejected) = answer_of(rejected);
        let (shared, chosen, rejected) = match before {
            Some(before) => (before, chosen, rejected),
            None => split_transcripts(&chosen, &rejected).unwrap_or((String::new(), chosen, rejected)),
        };
        let own = self.prompt()?;
        let own = if own.trim_start().starts_with('[') {
            conversation::parse(&own).map_or(own, |messages| conversation::as_prompt(&messages))
        } else {
            own
        };
        let prompt = if own.trim().is_empty() { shared } else { own };
        if chosen.trim() == rejected.trim() {
            return Err("the chosen and the rejected answer are the same".into());
        }
        Ok(Some(Example::Preference { prompt, chosen, rejected }))
    }
}

fn no_answer(reason: String) -> Fate {
    Fate::NoAnswer { reason }
}

/// A cell that is a conversation gives its last answer and, first, what was said before it.
fn answer_of(cell: &str) -> (Option<String>, String) {
    let plain = || (None, cell.to_string());
    if !cell.trim_start().starts_with(['[', '{']) {
        return plain();
    }
    let Ok(mut messages) = conversation::parse(cell) else { return plain() };
    match messages.pop() {
        Some(last) => (Some(conversation::as_prompt(&messages)).filter(|p| !p.is_empty()), last.content),
        None => plain(),
    }
}

/// Transcripts `Human: … Assistant: …` that differ in the last answer only -> what they share, and the answers.
fn split_transcripts(chosen: &str, rejected: &str) -> Option<(String, String, String)> {
    const TURN: &str = "\n\nAssistant:";
    let (before, answer) = chosen.rsplit_once(TURN)?;
    let (other_before, other) = rejected.rsplit_once(TURN)?;
    (before == other_before).then(|| (format!("{before}{TURN}"), answer.to_string(), other.to_string()))
}
