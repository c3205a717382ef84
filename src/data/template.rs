//! Examples -> text: the model's chat template (minijinja), or a plain prompt template for base models.

mod budget;
mod chat;
mod shield;

use super::mask::TrainOn;
use super::{DataError, Example, Message, Tokeniser};
use chat::ChatTemplate;
use jiff::civil::DateTime;
use shield::Shield;
use std::ops::Range;
use std::sync::Arc;

/// How examples become text for one model.
#[derive(Debug, Clone)]
pub struct Template {
    chat: Option<Arc<ChatTemplate>>,
    /// What a text without a chat template begins with; may be empty.
    bos: String,
    eos: String,
    /// Tokens that count only where the template itself writes them.
    specials: Vec<String>,
    /// What an answer begins with, of a model that reads with one stack and writes with another: it stands behind a prompt and the token
    /// that ends it. Then people's texts are tokenised apart, and there is no chat.
    start: Option<String>,
}

/// Text as the model reads it: an example, or a prompt, of which nothing is trained on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rendered {
    pub text: String,
    /// Bytes that the model is trained on, ascending.
    pub trained: Vec<Range<usize>>,
    /// Bytes where people spell out a special token, which is then plain text; ascending.
    pub literal: Vec<Range<usize>>,
}

impl Rendered {
    fn untrained(text: String) -> Self {
        Self { text, ..Self::default() }
    }

    /// The tokens that the model gets.
    pub fn ids(&self, tokeniser: &Tokeniser) -> Result<Vec<u32>, DataError> {
        if self.literal.is_empty() {
            return tokeniser.encode(&self.text);
        }
        Ok(tokeniser.encode_placed(&self.text, &self.literal)?.into_iter().map(|token| token.id).collect())
    }
}

impl Template {
    /// A chat template in Jinja, as Hugging Face ships it.
    ///
    /// # Errors
    /// [`DataError::Template`] with the line when it is not valid, or too large.
    pub fn chat(source: &str, bos: &str, eos: &str) -> Result<Self, DataError> {
        let chat = ChatTemplate::compile(source, bos, eos)?;
        Ok(Self { chat: Some(Arc::new(chat)), ..Self::plain(bos, eos) })
    }

    /// Prompt, then answer, then the end of text: for base models.
    pub fn plain(bos: &str, eos: &str) -> Self {
        Self { chat: None, bos: bos.into(), eos: eos.into(), specials: Vec::new(), start: None }
    }

    /// For a model that reads a prompt with one stack and writes the answer with another, which begins with `start`.
    pub fn read_then_written(eos: &str, start: &str) -> Self {
        Self { start: Some(start.into()), ..Self::plain("", eos) }
    }

    /// Whether text without the chat template begins with the token that begins a sequence: as the model's
    /// tokenizer does it. Chat templates write that token themselves.
    #[must_use]
    pub fn begins_plain_text(mut self, has_bos: bool) -> Self {
        if !has_bos {
            self.bos.clear();
        }
        self
    }

    /// Text of people stays text, in data and in prompts alike: these tokens, see [`Tokeniser::specials`], count
    /// only where the template itself writes them.
    #[must_use]
    pub fn guarding(mut self, specials: &[String]) -> Self {
        self.specials = specials.to_vec();
        self
    }

    /// The same template at another time: what it writes of the date is that of `now`.
    #[must_use]
    pub fn dated(&self, now: DateTime) -> Self {
        let chat = self.chat.as_ref().map(|chat| Arc::new(chat.dated(now)));
        Self { chat, ..self.clone() }
    }

    /// What text without the chat template begins with.
    pub fn beginning(&self) -> &str {
        &self.bos
    }

    /// What text without the chat template ends with.
    pub fn ending(&self) -> &str {
        &self.eos
    }

    pub fn has_chat(&self) -> bool {
        self.chat.is_some()
    }

    /// Text of a conversation whose next turn is the assistant's.
    pub fn prompt(&self, messages: &[Message]) -> Result<Rendered, DataError> {
        if let Some(start) = &self.start {
            return Ok(self.apart(&joined(messages), start, None));
        }
        let mut shield = Shield::new(&self.specials);
        let messages = shield.cover_all(messages);
        let text = match &self.chat {
            Some(chat) => chat.render(&messages, true)?.0,
            None => format!("{}{}", self.bos, join_plain(&joined(&messages), None).0),
        };
        Ok(shield.uncover(Rendered::untrained(text)))
    }

    /// What is sent to the model for an example, and the answer it should give, if the example has one. The text
    /// is how the rendered example begins.
    pub fn example_prompt(
        &self,
        example: &Example,
        chat: bool,
    ) -> Result<(Rendered, Option<String>), DataError> {
        let (messages, answer) = split_answer(example);
        if let Some(start) = &self.start {
            return Ok((self.apart(&joined(&messages), start, None), answer));
        }
        let mut shield = Shield::new(&self.specials);
        let messages = shield.cover_all(&messages);
        let text = match (&self.chat, example) {
            (_, Example::Text { text }) => format!("{}{}", self.bos, shield.cover(text)),
            (Some(template), _) if chat => template.render(&messages, true)?.0,
            _ => format!("{}{}", self.bos, join_plain(&joined(&messages), answer.as_deref()).0),
        };
        Ok((shield.uncover(Rendered::untrained(text)), answer))
    }

    /// The whole text of an example with what is trained on. `chat` asks for the chat template when there is one.
    ///
    /// # Errors
    /// [`DataError::Template`] when the template fails, refuses the conversation or does not end.
    pub fn render(&self, example: &Example, train_on: TrainOn, chat: bool) -> Result<Rendered, DataError> {
        if let Some(start) = &self.start {
            let (messages, answer) = split_answer(example);
            return Ok(self.apart(&joined(&messages), start, answer.as_deref()));
        }
        let mut shield = Shield::new(&self.specials);
        let rendered = match (&self.chat, example) {
            (_, Example::Text { text }) => self.render_text(&shield.cover(text)),
            (template, _) => {
                let messages = shield.cover_all(&as_messages(example));
                match template {
                    Some(template) if chat => render_conversation(template, &messages)?,
                    _ => self.render_plain(&messages),
                }
            }
        };
        let mut rendered = shield.uncover(rendered);
        if train_on == TrainOn::Everything {
            rendered.trained = std::iter::once(0..rendered.text.len()).collect();
        }
        Ok(rendered)
    }

    /// What is read, and the answer, on which alone the model is trained, each tokenised as a text of its own.
    fn apart(&self, prompt: &str, start: &str, answer: Option<&str>) -> Rendered {
        let mut text = format!("{prompt}{}{start}", self.eos);
        let mut rendered =
            Rendered { literal: std::iter::once(0..prompt.len()).collect(), ..Rendered::default() };
        if let Some(answer) = answer {
            let from = text.len();
            text.push_str(answer);
            rendered.literal.push(from..text.len());
            text.push_str(&self.eos);
            rendered.trained.push(from..text.len());
        }
        rendered.literal.retain(|range| !range.is_empty());
        Rendered { text, ..rendered }
    }

    fn render_text(&self, text: &str) -> Rendered {
        let start = self.bos.len();
        let whole = format!("{}{text}{}", self.bos, self.eos);
        Rendered { trained: std::iter::once(start..whole.len()).collect(), text: whole, literal: Vec::new() }
    }

    fn render_plain(&self, messages: &[Message]) -> Rendered {
        let (prompt, answer) = match messages.split_last() {
            Some((last, rest)) if last.role == "assistant" => (rest, Some(last.content.as_str())),
            _ => (messages, None),
        };
        let (prompt, rest) = join_plain(&joined(prompt), answer);
        let start = self.bos.len() + prompt.len();
        let text = format!("{}{prompt}{rest}{}", self.bos, self.eos);
        let trained = answer.map(|_| start..text.len()).into_iter().collect();
        Rendered { text, trained, literal: Vec::new() }
    }
}

fn joined(messages: &[Message]) -> String {
    messages.iter().map(|m| m.content.as_str()).collect::<Vec<_>>().join("\n")
}

/// A prompt and its answer, set apart by the answer's own white space, else by a space after a colon or another
/// space, else by a new line. A space goes to the answer, because tokens of words begin with it: the model is
/// then asked and trained with the same tokens.
fn join_plain(prompt: &str, answer: Option<&str>) -> (String, String) {
    let bare = prompt.trim_end_matches([' ', '\t']);
    let own = answer.is_some_and(|a| a.starts_with(char::is_whitespace));
    let answer = answer.unwrap_or_default();
    if own || bare.is_empty() || bare.ends_with('\n') {
        (bare.into(), answer.into())
    } else if bare.ends_with(':') || bare.len() < prompt.len() {
        (bare.into(), format!(" {answer}"))
    } else {
        (format!("{bare}\n"), answer.into())
    }
}

fn render_conversation(template: &ChatTemplate, messages: &[Message]) -> Result<Rendered, DataError> {
    let (text, marked) = template.render(messages, false)?;
    if !marked.is_empty() {
        return Ok(Rendered { text, trained: marked, literal: Vec::new() });
    }
    let mut trained: Vec<Range<usize>> = Vec::new();
    for i in (0..messages.len()).filter(|i| messages[*i].role == "assistant") {
        let from = trained.last().map_or(0, |range| range.end);
        trained.extend(turn(template, messages, i, &text, from));
    }
    Ok(Rendered { text, trained, literal: Vec::new() })
}

/// Where turn `i` stands in the text: what the conversation up to it has more than the prompt for it. The
/// end-of-turn token is learnt, the template's newline after it is not.
///
/// Some templates write a turn differently once it is over (thoughts are opened by the prompt, or left out later):
/// then the turn begins where both still agree, or where its own words are found.
fn turn(
    template: &ChatTemplate,
    messages: &[Message],
    i: usize,
    text: &str,
    from: usize,
) -> Option<Range<usize>> {
    let render = |end: usize, is_asking: bool| template.render(&messages[..end], is_asking).ok().map(|r| r.0);
    let prompt = render(i, true).unwrap_or_default();
    let agreed = common_prefix(&prompt, text);
    let start = agreed.max(from);
    let is_sure = agreed == prompt.len() && agreed > 0
        || render(i, false).is_some_and(|before| text.starts_with(&before) && start >= before.len());
    // The last turn ends where the text does.
    let end = match i + 1 == messages.len() {
        true => Some(text.trim_end().len()),
        false => render(i + 1, false).filter(|upto| text.starts_with(upto)).map(|upto| upto.trim_end().len()),
    };
    if let Some(end) = end.filter(|_| is_sure) {
        return (start < end).then_some(start..end);
    }
    let content = messages[i].content.trim();
    let spoken = content.rsplit("</think>").next().unwrap_or_default().trim();
    let found = |words: &str| {
        Some(start + text[start..].find(words).filter(|_| !words.is_empty())?).map(|at| at..at + words.len())
    };
    let Range { start, end } = found(content).or_else(|| found(spoken))?;
    let has_eos = text[end..].starts_with(template.eos());
    Some(start..if has_eos { end + template.eos().len() } else { end })
}

/// Length in bytes of what two texts begin with alike, in whole characters.
fn common_prefix(a: &str, b: &str) -> usize {
    a.char_indices().zip(b.chars()).find(|((_, x), y)| x != y).map_or(a.len().min(b.len()), |((at, _), _)| at)
}

/// An example as a conversation with its answer as the last turn.
fn as_messages(example: &Example) -> Vec<Message> {
    if let Example::Chat { messages } = example {
        return messages.clone();
    }
    let (mut messages, answer) = split_answer(example);
    messages.extend(answer.map(|a| Message::new("assistant", a)));
    messages
}

/// The turns that are given, and the answer that is wanted.
fn split_answer(example: &Example) -> (Vec<Message>, Option<String>) {
    let user = |text: &str| vec![Message::new("user", text)];
    let both = |text: &str, second: Option<&str>| match second {
        Some(second) => user(&format!("{text}\n\n{second}")),
        None => user(text),
    };
    match example {
        Example::Text { text } => (user(text), None),
        Example::PromptCompletion { prompt, completion } => (user(prompt), Some(completion.clone())),
        Example::Labelled { text, second, label } => (both(text, second.as_deref()), Some(label.clone())),
        Example::Scored { text, second, score } => (both(text, second.as_deref()), Some(score.to_string())),
        Example::Pair { text, second, .. } => (user(text), Some(second.clone())),
        Example::Preference { prompt, chosen, .. } => (user(prompt), Some(chosen.clone())),
        Example::Chat { messages } => match messages.split_last() {
            Some((last, rest)) if last.role == "assistant" => (rest.to_vec(), Some(last.content.clone())),
            _ => (messages.clone(), None),
        },
    }
}
