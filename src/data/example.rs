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
    Text { text: String },
    PromptCompletion { prompt: String, completion: String },
    Chat { messages: Vec<Message> },
    Labelled { text: String, label: String },
    Scored { text: String, score: f64 },
    Preference { prompt: String, chosen: String, rejected: String },
}

/// An example with where it came from and the hash by which it is known.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Row of the table.
    pub index: usize,
    /// Line of the file (from 1).
    pub line: u64,
    /// First 8 bytes of the BLAKE3 hash of the normalised content.
    pub hash: u64,
    /// The value of the column with the role `Group`, if any.
    pub group: Option<String>,
    pub example: Example,
}
