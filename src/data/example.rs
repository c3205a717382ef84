//! One training example, whatever file it came from.

use serde::{Deserialize, Serialize};

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Message {
    /// `system`, `user` or `assistant` (or what the chat template knows besides).
    pub role: String,
    pub content: String,
}

impl Message {
    pub fn new(role: &str, content: impl Into<String>) -> Self {
        Self { role: role.into(), content: content.into() }
    }
}

/// What one row means.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Example {
    Text {
        text: String,
    },
    PromptCompletion {
        prompt: String,
        completion: String,
    },
    Chat {
        messages: Vec<Message>,
    },
    Labelled {
        text: String,
        second: Option<String>,
        label: String,
    },
    Scored {
        text: String,
        second: Option<String>,
        score: f64,
    },
    /// Two texts that mean much the same, and one that does not.
    Pair {
        text: String,
        second: String,
        negative: Option<String>,
    },
    Preference {
        prompt: String,
        chosen: String,
        rejected: String,
    },
}

impl Example {
    /// What it is about, in its own words: the text, or what is asked first.
    pub fn subject(&self) -> &str {
        match self {
            Self::Text { text }
            | Self::Labelled { text, .. }
            | Self::Scored { text, .. }
            | Self::Pair { text, .. } => text,
            Self::PromptCompletion { prompt, .. } | Self::Preference { prompt, .. } => prompt,
            Self::Chat { messages } => {
                let asked = messages.iter().find(|m| m.role == "user").or(messages.first());
                asked.map_or("", |message| &message.content)
            }
        }
    }

    /// The second of two texts that are judged together.
    pub fn second(&self) -> Option<&str> {
        match self {
            Self::Labelled { second, .. } | Self::Scored { second, .. } => second.as_deref(),
            _ => None,
        }
    }
}

/// What is known of an example without its text. The text is in memory once, in the table: whoever needs it has the
/// example made anew ([`super::Schema::example`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// Row of the table.
    pub index: usize,
    /// Line of the file (from 1).
    pub line: u64,
    /// First 8 bytes of the BLAKE3 hash of the normalised content.
    pub hash: u64,
    /// Hash of the value of the column with the role `Group`, if any; or else of the text that a label or a score is said of.
    pub group: Option<u64>,
    /// Hash of the answer, if it is short enough for a label.
    pub label: Option<u64>,
}
