//! What each column is for, and the layout that follows.

mod names;
mod guess;
mod conversation;
mod placeholders;
mod problems;
mod row;
mod identity;

pub(super) use names::is_known_name;
pub use placeholders::placeholders;

use super::Table;
use serde::{Deserialize, Serialize};

/// What a column is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    Ignore,
    Prompt,
    Completion,
    Instruction,
    Input,
    Output,
    Question,
    Answer,
    System,
    /// JSON array of messages, OpenAI (`role`/`content`) or ShareGPT (`from`/`value`) form.
    Messages,
    Text,
    /// What belongs to the text: a paraphrase, a passage that answers it, the other one of two that are judged together.
    Second,
    /// What is unlike the text, though it may look like it.
    Negative,
    Label,
    Score,
    Chosen,
    Rejected,
    /// Rows with the same value stay on one side of the split.
    Group,
}

impl Role {
    /// In the order in which people are offered them.
    pub const ALL: [Self; 18] = [
        Self::Prompt,
        Self::Completion,
        Self::Instruction,
        Self::Input,
        Self::Output,
        Self::Question,
        Self::Answer,
        Self::System,
        Self::Messages,
        Self::Text,
        Self::Second,
        Self::Negative,
        Self::Label,
        Self::Score,
        Self::Chosen,
        Self::Rejected,
        Self::Group,
        Self::Ignore,
    ];

    /// The name in a column header.
    pub fn title(self) -> &'static str {
        match self {
            Self::Ignore => "Not used",
            Self::Prompt => "Prompt",
            Self::Completion => "Completion",
            Self::Instruction => "Instruction",
            Self::Input => "Input",
            Self::Output => "Output",
            Self::Question => "Question",
            Self::Answer => "Answer",
            Self::System => "System",
            Self::Messages => "Chat messages",
            Self::Text => "Text",
            Self::Second => "Second text",
            Self::Negative => "Unlike text",
            Self::Label => "Label",
            Self::Score => "Score",
            Self::Chosen => "Chosen",
            Self::Rejected => "Rejected",
            Self::Group => "Group",
        }
    }

    /// Whether the model learns to write this column.
    pub fn is_answer(self) -> bool {
        matches!(self, Self::Completion | Self::Output | Self::Answer)
    }

    /// Whether the model is given this column before it writes.
    pub fn is_prompt(self) -> bool {
        matches!(self, Self::Prompt | Self::Instruction | Self::Question)
    }
}

/// The shape of the data, recognised from the roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    Text,
    PromptCompletion,
    InstructionInputOutput,
    QuestionAnswer,
    Chat,
    TextLabel,
    TextScore,
    TextPair,
    ChosenRejected,
}

impl Layout {
    pub fn title(self) -> &'static str {
        match self {
            Self::Text => "Text",
            Self::PromptCompletion => "Prompt and completion",
            Self::InstructionInputOutput => "Instruction, input, output",
            Self::QuestionAnswer => "Question and answer",
            Self::Chat => "Chat messages",
            Self::TextLabel => "Text and label",
            Self::TextScore => "Text and score",
            Self::TextPair => "Two texts that belong together",
            Self::ChosenRejected => "Chosen and rejected answers",
        }
    }
}

/// Roles of the columns by position, and an optional template of the user's own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schema {
    pub roles: Vec<Role>,
    /// A prompt written by the user with `{column}` placeholders; replaces how the prompt is made.
    /// `{{` and `}}` stand for braces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt_template: Option<String>,
}

impl Schema {
    /// The best guess for a table, from the names of its columns and what is in them.
    pub fn guess(table: &Table) -> Self {
        Self { roles: guess::roles(table), prompt_template: None }
    }

    /// The first column with `role`.
    pub fn column(&self, role: Role) -> Option<usize> {
        self.roles.iter().position(|r| *r == role)
    }

    /// The first column that the model learns to write.
    pub fn answer_column(&self) -> Option<usize> {
        self.roles.iter().position(|r| r.is_answer())
    }

    /// Gives a column its role. Another column that had it is not used any more.
    pub fn set_role(&mut self, column: usize, role: Role) {
        if self.roles.len() <= column {
            self.roles.resize(column + 1, Role::Ignore);
        }
        if role != Role::Ignore
            && let Some(other) = self.column(role)
        {
            self.roles[other] = Role::Ignore;
        }
        self.roles[column] = role;
    }

    /// What the roles amount to; `None` when nothing can be trained on.
    pub fn layout(&self) -> Option<Layout> {
        let has = |role| self.column(role).is_some();
        let has_template = self.prompt_template.is_some();
        let has_prompt = has_template || self.roles.iter().any(|r| r.is_prompt()) || has(Role::Input);
        if has(Role::Chosen) && has(Role::Rejected) {
            Some(Layout::ChosenRejected)
        } else if has(Role::Messages) {
            Some(Layout::Chat)
        } else if has(Role::Instruction) && has(Role::Output) {
            Some(Layout::InstructionInputOutput)
        } else if has(Role::Question) && has(Role::Answer) {
            Some(Layout::QuestionAnswer)
        } else if has_prompt && self.answer_column().is_some() {
            Some(Layout::PromptCompletion)
        } else if !has(Role::Text) {
            None
        } else if has(Role::Label) {
            Some(Layout::TextLabel)
        } else if has(Role::Score) {
            Some(Layout::TextScore)
        } else if has(Role::Second) {
            Some(Layout::TextPair)
        } else {
            Some(Layout::Text)
        }
    }
}
