//! Conversations as JSON, in the forms in which people share them -> messages.

use crate::data::Message;
use serde_json::Value;

const WRAPPERS: [&str; 4] = ["messages", "conversations", "conversation", "turns"];

/// Whether a cell holds a conversation: cheap, for guessing.
pub(super) fn looks_like_one(cell: &str) -> bool {
    (cell.starts_with('[') || cell.starts_with('{')) && parse(cell).is_ok()
}

/// OpenAI `[{"role", "content"}]`, ShareGPT `[{"from", "value"}]`, either inside `{"messages": …}`.
pub(super) fn parse(cell: &str) -> Result<Vec<Message>, String> {
    let value: Value = serde_json::from_str(cell.trim()).map_err(|e| {
        if cell.trim_start().starts_with("[{'") {
            "the conversation is written in Python's way, with single quotes; save it as JSON".to_string()
        } else {
            format!("the conversation is not valid JSON: {e}")
        }
    })?;
    let turns = match &value {
        Value::Array(turns) => turns,
        Value::Object(object) => WRAPPERS
            .iter()
            .find_map(|key| object.get(*key).and_then(Value::as_array))
            .ok_or("the conversation is an object without a list of messages")?,
        _ => return Err("the conversation is not a list of messages".into()),
    };
    if turns.is_empty() {
        return Err("the conversation has no messages".into());
    }
    turns
        .iter()
        .enumerate()
        .map(|(i, turn)| message(turn).map_err(|e| format!("message {}: {e}", i + 1)))
        .collect()
}

fn message(turn: &Value) -> Result<Message, String> {
    let field = |names: [&str; 3]| names.iter().find_map(|name| turn.get(*name));
    let role = field(["role", "from", "speaker"]).and_then(Value::as_str).ok_or("has no role")?;
    let content = field(["content", "value", "text"]).ok_or("has no content")?;
    let content = match content {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().filter_map(part).collect::<Vec<_>>().join("\n"),
        other => other.to_string(),
    };
    Ok(Message { role: plain_role(role), content })
}

/// The text of one part of a message; pictures and sound have none.
fn part(part: &Value) -> Option<&str> {
    part.as_str().or_else(|| part.get("text").and_then(Value::as_str))
}

fn plain_role(role: &str) -> String {
    let lower = role.trim().to_lowercase();
    match lower.as_str() {
        "human" | "user" | "prompter" | "customer" => "user".into(),
        "gpt" | "assistant" | "bot" | "chatgpt" | "model" | "bing" | "bard" | "agent" => "assistant".into(),
        _ => lower,
    }
}

/// Messages as plain text, for a prompt that is one string: a single question stays as it is.
pub(super) fn as_prompt(messages: &[Message]) -> String {
    if let [only] = messages {
        return only.content.clone();
    }
    let named = messages.iter().map(|m| {
        let mut name = m.role.clone();
        if let Some(first) = name.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        format!("{name}: {}", m.content)
    });
    named.collect::<Vec<_>>().join("\n\n")
}
