//! A model's chat template in Jinja, run by minijinja as transformers runs it in Python.
//!
//! Templates come with models from anywhere: one can read no file, ends after a bounded number of instructions,
//! and builds and writes a bounded number of bytes ([`super::budget`]).

use super::budget;
use crate::data::{DataError, Message};
use jiff::Zoned;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use minijinja::machinery::{CompiledTemplate, TemplateConfig, eval, make_string_output};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Kwargs;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, Value, context};
use serde::Serialize;
use serde_json::ser::{Formatter, PrettyFormatter, Serializer};
use std::collections::HashSet;
use std::io::{self, Write};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

/// Instructions a template may take: far more than a long conversation needs, far fewer than a loop without end.
const FUEL: u64 = 20_000_000;
/// Largest template text.
const MAX_TEMPLATE_BYTES: usize = 1 << 20;
/// What a template may write besides the messages, each of which it may write four times.
const MAX_OUTPUT_BYTES: usize = 1 << 20;
/// Stand in the output for `{% generation %}` and `{% endgeneration %}` (the last two private characters).
pub(super) const BEGIN: char = '\u{10FFFC}';
pub(super) const END: char = '\u{10FFFD}';

/// A compiled chat template.
#[derive(Debug, Clone)]
pub(super) struct ChatTemplate {
    env: Environment<'static>,
    code: Arc<CompiledTemplate<'static>>,
    bos: String,
    eos: String,
}

impl ChatTemplate {
    pub fn compile(source: &str, bos: &str, eos: &str) -> Result<Self, DataError> {
        if source.len() > MAX_TEMPLATE_BYTES {
            return Err(DataError::Template { why: "the chat template is larger than 1 MB".into() });
        }
        let mut env = Environment::new();
        let syntax =
            SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build().map_err(explain)?;
        env.set_fuel(Some(FUEL));
        budget::install(&mut env);
        env.add_filter("tojson", to_json);
        env.add_function("raise_exception", |text: String| -> Result<String, Error> {
            Err(Error::new(ErrorKind::InvalidOperation, text))
        });
        env.add_function("strftime_now", |format: String| strftime(&format, &Zoned::now()));
        let source = kept(mark_generation(source));
        budget::check_constants(source, &syntax).map_err(explain)?;
        let config =
            TemplateConfig { syntax_config: syntax, default_auto_escape: Arc::new(|_| AutoEscape::None) };
        let mut code = CompiledTemplate::new("chat", source, &config).map_err(explain)?;
        budget::watch(&mut code);
        Ok(Self { env, code: Arc::new(code), bos: bos.into(), eos: eos.into() })
    }

    /// The same template, for which it is always `now`.
    pub fn dated(&self, now: DateTime) -> Self {
        let mut env = self.env.clone();
        // The zone is only for formats that name one; a date and a time of day need none.
        let now = now.to_zoned(TimeZone::UTC).unwrap_or_else(|_| Zoned::now());
        env.add_function("strftime_now", move |format: String| strftime(&format, &now));
        Self { env, ..self.clone() }
    }

    pub fn eos(&self) -> &str {
        &self.eos
    }

    /// The text, and the byte ranges inside `{% generation %}` blocks.
    pub fn render(
        &self,
        messages: &[Message],
        add_generation_prompt: bool,
    ) -> Result<(String, Vec<Range<usize>>), DataError> {
        let num_bytes: usize = messages.iter().map(|m| m.role.len() + m.content.len()).sum();
        let messages: Vec<Value> = messages
            .iter()
            .map(|m| context! { role => m.role.as_str(), content => m.content.as_str() })
            .collect();
        let (bos_token, eos_token) = (self.bos.as_str(), self.eos.as_str());
        let given = context! { messages, add_generation_prompt, bos_token, eos_token };
        let CompiledTemplate { instructions, blocks, .. } = self.code.as_ref();
        let mut text = String::new();
        budget::begin(num_bytes);
        let mut out = make_string_output(&mut text);
        eval(&self.env, instructions, given, blocks, &mut out, AutoEscape::None).map_err(explain)?;
        if text.len() > MAX_OUTPUT_BYTES + 4 * num_bytes {
            return Err(explain(budget::too_much()));
        }
        Ok(unmark(&text))
    }
}

/// Compiled templates borrow their text for ever; the few that a session meets are kept, each once.
fn kept(source: String) -> &'static str {
    static KEPT: Mutex<Option<HashSet<&'static str>>> = Mutex::new(None);
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    let kept = kept.get_or_insert_default();
    if let Some(known) = kept.get(source.as_str()) {
        return known;
    }
    let source: &'static str = source.leak();
    kept.insert(source);
    source
}

fn strftime(format: &str, now: &Zoned) -> Result<String, Error> {
    jiff::fmt::strtime::format(format, now)
        .map_err(|e| Error::new(ErrorKind::InvalidOperation, e.to_string()))
}

fn explain(error: Error) -> DataError {
    let place = error.line().map(|line| format!(" (line {line} of the chat template)")).unwrap_or_default();
    let why = match error.kind() {
        ErrorKind::OutOfFuel => "the chat template does not come to an end".to_string(),
        _ => error.detail().map_or_else(|| error.to_string(), String::from),
    };
    DataError::Template { why: format!("{why}{place}") }
}

/// Turns the tags that Hugging Face added to Jinja into marks in the output. Each becomes a pair of block tags
/// around the mark, so that white space beside it is trimmed as beside the tag itself.
fn mark_generation(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(start) = rest.find("{%") {
        let Some(len) = rest[start..].find("%}") else { break };
        let tag = &rest[start..start + len + 2];
        let inner = &tag[2..len];
        let mark = match inner.trim_matches(['-', '+', ' ', '\t', '\r', '\n']) {
            "generation" => Some(BEGIN),
            "endgeneration" => Some(END),
            _ => None,
        };
        out.push_str(&rest[..start]);
        match mark {
            Some(mark) => {
                let control = |c: Option<char>| c.filter(|c| matches!(c, '-' | '+')).map(String::from);
                let left = control(inner.chars().next()).unwrap_or_default();
                let right = control(inner.chars().last()).unwrap_or_default();
                out.push_str(&format!("{{%{left} if true %}}{mark}{{% endif {right}%}}"));
            }
            None => out.push_str(tag),
        }
        rest = &rest[start + len + 2..];
    }
    out.push_str(rest);
    out
}

fn unmark(marked: &str) -> (String, Vec<Range<usize>>) {
    let mut text = String::with_capacity(marked.len());
    let (mut ranges, mut start) = (Vec::new(), None);
    for c in marked.chars() {
        match c {
            BEGIN => start = Some(text.len()),
            END => ranges.extend(start.take().map(|s| s..text.len())),
            _ => text.push(c),
        }
    }
    (text, ranges)
}

/// JSON as Python's `json.dumps(ensure_ascii=False)` writes it; minijinja's own filter escapes for HTML.
fn to_json(value: Value, options: Kwargs) -> Result<String, Error> {
    let failed = |e: serde_json::Error| Error::new(ErrorKind::BadSerialization, e.to_string());
    let indent: Option<usize> = options.get("indent")?;
    budget::spend(budget::written_bytes(&value)?)?;
    let mut out = Vec::new();
    match indent {
        Some(indent) => {
            let spaces = " ".repeat(indent.min(16));
            let pretty = PrettyFormatter::with_indent(spaces.as_bytes());
            value.serialize(&mut Serializer::with_formatter(&mut out, pretty)).map_err(failed)?;
        }
        None => value.serialize(&mut Serializer::with_formatter(&mut out, Python)).map_err(failed)?,
    }
    Ok(String::from_utf8_lossy(&out).into_owned())
}

/// A space after each comma and colon.
struct Python;

impl Formatter for Python {
    fn begin_array_value<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { out.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { out.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        out.write_all(b": ")
    }
}
