//! The line format of few-shot prompts, `{input}: {output}`.

use super::Shot;
use crate::data::DataError;

/// What stands before, between and after question and answer of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineFormat {
    before: String,
    between: String,
    after: String,
}

impl Default for LineFormat {
    fn default() -> Self {
        Self { before: String::new(), between: ": ".into(), after: String::new() }
    }
}

impl LineFormat {
    /// Reads `{input}: {output}` or the like. `\n` and `\t` may be written as such, `{{` and `}}` are braces.
    ///
    /// Errors: either placeholder missing, twice, in the wrong order or side by side, and any other in braces.
    pub fn parse(format: &str) -> Result<Self, DataError> {
        let wrong =
            |why: &str| Err(DataError::Template { why: format!("the line format \"{format}\" {why}") });
        let mut parts = vec![String::new()];
        let mut chars = format.chars().peekable();
        while let Some(c) = chars.next() {
            let literal = match (c, chars.peek()) {
                ('{', Some('{')) | ('}', Some('}')) => {
                    chars.next();
                    c
                }
                ('\\', Some('n')) => {
                    chars.next();
                    '\n'
                }
                ('\\', Some('t')) => {
                    chars.next();
                    '\t'
                }
                ('{', _) => {
                    let mut is_closed = false;
                    let ends = |&c: &char| {
                        is_closed = c == '}';
                        !is_closed
                    };
                    let name: String = chars.by_ref().take_while(ends).collect();
                    if !is_closed {
                        return wrong("has a { without }");
                    }
                    match (name.trim(), parts.len()) {
                        ("input", 1) | ("output", 2) => parts.push(String::new()),
                        ("output", 1) => return wrong("needs {input} before {output}"),
                        ("input" | "output", _) => return wrong("has a placeholder twice"),
                        _ => return wrong(&format!("knows {{input}} and {{output}}, not {{{name}}}")),
                    }
                    continue;
                }
                ('}', _) => return wrong("has a } without {"),
                _ => c,
            };
            if let Some(part) = parts.last_mut() {
                part.push(literal);
            }
        }
        match <[String; 3]>::try_from(parts) {
            Ok([_, between, _]) if between.is_empty() => {
                wrong("needs something between {input} and {output}, such as a colon")
            }
            Ok([before, between, after]) => Ok(Self { before, between, after }),
            Err(parts) if parts.len() == 1 => wrong("has no {input}"),
            Err(_) => wrong("has no {output}"),
        }
    }

    /// A line with its answer.
    pub fn line(&self, shot: &Shot) -> String {
        let (input, output) = (self.fit(&shot.input), self.fit(&shot.output));
        format!("{}{input}{}{output}{}", self.before, self.between, self.after)
    }

    /// A line up to where the answer begins. Spaces at its end are left out: tokens of answers
    /// begin with their space, so a prompt that ends in one asks for a word that begins without.
    pub fn question(&self, input: &str) -> String {
        let line = format!("{}{}{}", self.before, self.fit(input), self.between);
        line.trim_end_matches([' ', '\t']).to_string()
    }

    /// What stands between two lines: a line break, or an empty line where the format itself has several lines.
    pub fn separator(&self) -> &'static str {
        if self.has_lines() { "\n\n" } else { "\n" }
    }

    /// Where a base model's answer ends: without it, the model goes on with examples of its own.
    pub fn stop(&self) -> Vec<String> {
        let after = self.after.trim_end();
        let own = (!after.trim().is_empty()).then(|| after.to_string());
        own.into_iter().chain([self.separator().to_string()]).collect()
    }

    /// Splits a line that was written in this format; `None` where it was not.
    pub fn split(&self, line: &str) -> Option<Shot> {
        let line = line.trim();
        let rest = line.strip_prefix(self.before.trim_start())?;
        let rest = rest.strip_suffix(self.after.trim_end()).unwrap_or(rest);
        let mark = if self.between.trim().is_empty() { self.between.as_str() } else { self.between.trim() };
        let (input, output) = rest.split_once(mark)?;
        let shot = Shot::new(input.trim(), output.trim());
        (!shot.input.is_empty() && !shot.output.is_empty()).then_some(shot)
    }

    /// Whether one example takes several lines.
    pub fn has_lines(&self) -> bool {
        [&self.before, &self.between, &self.after].iter().any(|part| part.contains('\n'))
    }

    /// A text that does not break the format: without line breaks in a format of one line, without empty lines in others.
    fn fit(&self, text: &str) -> String {
        let text = text.trim();
        if !text.contains(['\n', '\r']) {
            return text.to_string();
        }
        let lines: Vec<&str> = text.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
        lines.join(if self.has_lines() { "\n" } else { " " })
    }
}

impl std::fmt::Display for LineFormat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let escape =
            |part: &str| part.replace('{', "{{").replace('}', "}}").replace('\n', "\\n").replace('\t', "\\t");
        let (before, between, after) = (escape(&self.before), escape(&self.between), escape(&self.after));
        write!(f, "{before}{{input}}{between}{{output}}{after}")
    }
}
