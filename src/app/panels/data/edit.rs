//! Changes to what is asked of `Prepare`.

use crate::data::prepare::PrepareOptions;
use crate::data::schema::Role;
use crate::data::{Reading, Schema, import::Imported};

/// One change.
#[derive(Debug, Clone, PartialEq)]
pub enum Edit {
    Role {
        column: usize,
        role: Role,
    },
    /// `None` goes back to the layout's own way.
    PromptTemplate(Option<String>),
    MaxTokens(usize),
    DropOverlong(bool),
    KeepDuplicates(bool),
    Reading(Reading),
    Chat(bool),
    Seed(u64),
    Valid(f64),
    Test(f64),
    Stratify(bool),
    /// Rows with the same value in this column stay on one side of the split.
    GroupBy(Option<usize>),
}

/// What a newly opened file is prepared with: the usual choices and the recognised roles.
pub fn fresh(imported: &Imported, before: Option<&PrepareOptions>) -> PrepareOptions {
    let mut options = before.cloned().unwrap_or_else(|| PrepareOptions::new(Schema::default()));
    options.schema = imported.schema.clone();
    options.schema.roles.resize(imported.table.columns.len(), Role::Ignore);
    options
}

impl Edit {
    pub fn apply(self, options: &mut PrepareOptions) {
        match self {
            Self::Role { column, role } => set_role(&mut options.schema, column, role),
            Self::PromptTemplate(text) => options.schema.prompt_template = text,
            Self::MaxTokens(n) => options.max_tokens = n.max(1),
            Self::DropOverlong(on) => options.drop_overlong = on,
            Self::KeepDuplicates(on) => options.keep_duplicates = on,
            Self::Reading(reading) => options.reading = reading,
            Self::Chat(on) => options.chat = on,
            Self::Seed(seed) => options.split.seed = seed,
            Self::Valid(share) => options.split.valid = share.clamp(0.0, 0.9 - options.split.test),
            Self::Test(share) => options.split.test = share.clamp(0.0, 0.9 - options.split.valid),
            Self::Stratify(on) => options.split.stratify = on,
            Self::GroupBy(column) => {
                for role in options.schema.roles.iter_mut().filter(|r| **r == Role::Group) {
                    *role = Role::Ignore;
                }
                if let Some(column) = column {
                    set_role(&mut options.schema, column, Role::Group);
                }
            }
        }
    }
}

/// A role belongs to one column: the one that had it before loses it.
fn set_role(schema: &mut Schema, column: usize, role: Role) {
    if role != Role::Ignore {
        for other in schema.roles.iter_mut().filter(|r| **r == role) {
            *other = Role::Ignore;
        }
    }
    if let Some(slot) = schema.roles.get_mut(column) {
        *slot = role;
    }
}

/// All roles in the order of the menu.
pub const ROLES: [Role; 18] = [
    Role::Prompt,
    Role::Completion,
    Role::Question,
    Role::Answer,
    Role::Instruction,
    Role::Input,
    Role::Output,
    Role::System,
    Role::Messages,
    Role::Text,
    Role::Second,
    Role::Negative,
    Role::Label,
    Role::Score,
    Role::Chosen,
    Role::Rejected,
    Role::Group,
    Role::Ignore,
];

/// What a role is called, and what it means.
pub fn role_name(role: Role) -> (&'static str, &'static str) {
    match role {
        Role::Ignore => ("Not used", "This column is left out."),
        Role::Prompt => ("Prompt", "What is asked."),
        Role::Completion => ("Completion", "What the model learns to answer."),
        Role::Instruction => ("Instruction", "What is to be done."),
        Role::Input => ("Input", "What it is to be done with; may be empty."),
        Role::Output => ("Output", "What the model learns to answer."),
        Role::Question => ("Question", "What is asked."),
        Role::Answer => ("Answer", "What the model learns to answer."),
        Role::System => ("System", "Standing instructions before the conversation."),
        Role::Messages => ("Messages", "A whole conversation as JSON."),
        Role::Text => ("Text", "Plain text to learn from, or to label."),
        Role::Second => {
            ("Second text", "A text that means the same, answers the first, or is judged together with it.")
        }
        Role::Negative => ("Unlike text", "A text that looks like the first one, and means something else."),
        Role::Label => ("Label", "The class of the text."),
        Role::Score => ("Score", "A number that belongs to the text."),
        Role::Chosen => ("Chosen", "The better answer."),
        Role::Rejected => ("Rejected", "The worse answer."),
        Role::Group => ("Group", "Rows with the same value stay on one side of the split."),
    }
}
