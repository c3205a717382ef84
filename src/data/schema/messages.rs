//! Conversations in a cell: OpenAI (`role`/`content`) and ShareGPT (`from`/`value`) forms.

use crate::data::{Example, Message};
use serde_json::Value;

/// Messages in the cell's JSON; `Ok(None)` for an empty cell.
pub(super) fn chat(cell: &str, system: Option<&str>) -> Result<Option<Example>, String> {
    if cell.is_empty() {
        return Ok(None);
    }
    let mut messages = parse(cell)?;
    if messages.is_empty() {
        return Ok(None);
    }
    if let Some(system) = system.filter(|s| !s.is_empty() && messages[0].role != "system") {
        messages.insert(0, Message::new("system", system));
    }
    if !messages.iter().any(|m| m.role == "assistant") {
        return Err("the conversation has no answer of the assistant".into());
    }
    Ok(Some(Example::Chat { messages }))
}

/// Reads an array of messages of either form.
pub(super) fn parse(cell: &str) -> Result<Vec<Message>, String> {
    let value: Value = serde_json::from_str(cell).map_err(|_| "the messages are not JSON")?;
    let list = value.as_array().ok_or("the messages are not a list")?;
    list.iter().map(message).collect()
}

fn message(value: &Value) -> Result<Message, String> {
    let field = |names: [&str; 2]| names.iter().find_map(|n| value.get(n));
    let role = field(["role", "from"]).and_then(Value::as_str).ok_or("a message has no role")?;
    let content = match field(["content", "value"]) {
        Some(Value::String(text)) => text.clone(),
        // Parts, of which the texts count.
        Some(Value::Array(parts)) => {
            parts.iter().filter_map(|p| p.get("text").and_then(Value::as_str)).collect::<Vec<_>>().join("\n")
        }
        Some(Value::Null) | None => return Err("a message has no content".into()),
        Some(other) => other.to_string(),
    };
    let role = match role {
        "human" | "prompter" => "user",
        "gpt" | "bot" | "model" | "chatgpt" => "assistant",
        other => other,
    };
    Ok(Message::new(role, content))
}

/// Chosen and rejected, as texts or as conversations that differ in their last turn.
pub(super) fn preference(prompt: &str, chosen: &str, rejected: &str) -> Result<Option<Example>, String> {
    if chosen.is_empty() && rejected.is_empty() {
        return Ok(None);
    }
    if chosen.is_empty() || rejected.is_empty() {
        return Err("one of the two answers is empty".into());
    }
    let (mut asked, chosen) = last_turn(chosen);
    let (_, rejected) = last_turn(rejected);
    if !prompt.is_empty() {
        asked = parse(prompt).map_or_else(|_| prompt.to_string(), |messages| joined(&messages));
    }
    if asked.is_empty() {
        return Err("there is nothing that the two answers reply to".into());
    }
    Ok(Some(Example::Preference { prompt: asked, chosen, rejected }))
}

fn joined(messages: &[Message]) -> String {
    messages.iter().map(|m| m.content.as_str()).collect::<Vec<_>>().join("\n\n")
}

fn last_turn(cell: &str) -> (String, String) {
    match parse(cell).ok().as_deref().and_then(<[Message]>::split_last) {
        Some((last, rest)) => (joined(rest), last.content.clone()),
        None => (String::new(), cell.to_string()),
    }
}
