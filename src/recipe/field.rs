//! Single settings by their TOML path, `optimizer.learning_rate`: read, set, compared.

use super::load::{complete, error, from_table, join, known, unknown};
use super::recipe::{Method, Objective, Recipe};
use super::{Fix, Problem};
use std::collections::BTreeMap;
use toml::{Table, Value};

/// Settings that may be absent: `none` takes them away.
const OPTIONAL: [&str; 9] = [
    "data.path",
    "data.format",
    "data.encoding",
    "data.separator",
    "data.has_header",
    "data.schema",
    "data.schema.prompt_template",
    "length.updates",
    "forgetting.text",
];

/// Settings that say which others there are.
const KINDS: [&str; 2] = ["method.kind", "objective.kind"];

/// Carries out `--set optimizer.learning_rate=3e-4`. A value that is no TOML is taken as a word.
///
/// # Errors
/// An unknown field or a value that does not fit; the recipe stays as it was.
pub fn set(recipe: &mut Recipe, assignment: &str) -> Result<(), Vec<Problem>> {
    let (field, value) = split(assignment).ok_or_else(|| {
        let short = crate::base::human::elide(assignment, 60);
        vec![error(&short, format!("\"{short}\" is not of the form key=value"))]
    })?;
    set_field(recipe, field, value)
}

/// Carries out all of them. Kinds come first, as each has its own settings, whatever the order that they were given in; and with
/// another method, a learning rate that was the usual one of the method before becomes its own.
///
/// # Errors
/// As [`set`]; the recipe stays as it was.
pub fn set_all(recipe: &mut Recipe, assignments: &[String]) -> Result<(), Vec<Problem>> {
    let is_kind = |text: &&String| split(text).is_some_and(|(field, _)| KINDS.contains(&field));
    let (kinds, others): (Vec<_>, Vec<_>) = assignments.iter().partition(is_kind);
    let mut changed = recipe.clone();
    for kind in kinds {
        set(&mut changed, kind)?;
    }
    let is_usual = recipe.optimizer.learning_rate == recipe.usual_learning_rate();
    if is_usual && changed.method.kind() != recipe.method.kind() {
        changed.optimizer.learning_rate = changed.usual_learning_rate();
    }
    for other in others {
        set(&mut changed, other)?;
    }
    *recipe = changed;
    Ok(())
}

/// `field=value` in two; an equals sign in quotes is part of the field.
pub fn split(assignment: &str) -> Option<(&str, &str)> {
    let mut quote = None;
    let at = assignment.find(|c| {
        match (quote, c) {
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), _) if open == c => quote = None,
            _ => {}
        }
        c == '=' && quote.is_none()
    })?;
    Some((assignment[..at].trim(), assignment[at + 1..].trim()))
}

/// The keys on the way to a setting. A name in a list of pairs that a person names may hold dots, in quotes or not.
fn keys(field: &str) -> Vec<String> {
    let mut section = known();
    let mut keys = Vec::new();
    let mut rest = field;
    while let Some((key, after)) = rest.split_once('.') {
        keys.push(key.to_string());
        rest = after;
        match section.remove(key) {
            Some(Value::Table(inner)) if inner.is_empty() => {
                keys.push(unquoted(rest));
                return keys;
            }
            Some(Value::Table(inner)) => section = inner,
            _ => section = Table::new(),
        }
    }
    keys.push(rest.to_string());
    keys
}

/// A name without the quotes around it. A pattern's backslashes stay where they are no escapes of TOML.
fn unquoted(name: &str) -> String {
    let name = name.trim();
    let inner = ['"', '\''].iter().find_map(|quote| name.strip_prefix(*quote)?.strip_suffix(*quote));
    let parsed = inner.and_then(|_| format!("x = {name}").parse::<Table>().ok());
    match parsed.and_then(|mut table| table.remove("x")) {
        Some(Value::String(text)) => text,
        _ => inner.unwrap_or(name).to_string(),
    }
}

/// What is wrong with `field` as the name of a setting, whatever the recipe; with the nearest right one.
pub fn misnamed(field: &str) -> Option<Problem> {
    let mut section = known();
    let mut prefix = String::new();
    let mut parts = field.split('.').peekable();
    while let Some(part) = parts.next() {
        match (section.remove(part), parts.peek()) {
            // A list of pairs that a person names: one of them, or all.
            (Some(Value::Table(inner)), rest) if inner.is_empty() => {
                let has_name = rest.is_none() || keys(field).last().is_some_and(|name| !name.is_empty());
                let text = format!(
                    "\"{field}\" names no layers: write \"{}=NUMBER\".",
                    join(&join(&prefix, part), "NAME")
                );
                return (!has_name).then(|| error(field, text));
            }
            (Some(Value::Table(inner)), Some(_)) => section = inner,
            (Some(Value::Table(_)), None) => {
                let text =
                    format!("\"{field}\" is a section: name a setting in it, such as \"{field}.KEY\".");
                return Some(error(field, text));
            }
            (Some(_), None) => return None,
            (Some(_), Some(_)) => return Some(error(field, format!("\"{field}\" is not a setting."))),
            (None, _) => {
                let rest: Vec<&str> = std::iter::once(part).chain(parts).collect();
                return Some(unknown(&prefix, &rest.join("."), &section));
            }
        }
        prefix = join(&prefix, part);
    }
    None
}

/// What is wrong with `key=value` whatever the recipe: no such setting, or a value that it does not take.
pub fn misfit(field: &str, value: &str) -> Option<Problem> {
    // As long as any method or objective takes it.
    let value_problem = || {
        let mut problems = Vec::new();
        let methods = Method::all().map(|method| Recipe { method, ..complete() });
        let objectives = Objective::all().map(|objective| Recipe { objective, ..complete() });
        for mut recipe in methods.into_iter().chain(objectives) {
            problems.extend(set_field(&mut recipe, field, value).err()?);
        }
        // What a method says that has the setting, before those that have it not.
        problems.sort_by_key(|problem| problem.text.contains("is a setting of"));
        problems.into_iter().next()
    };
    misnamed(field).or_else(value_problem)
}

/// Sets one field, `optimizer.learning_rate`, to TOML text.
///
/// # Errors
/// An unknown field or a value that does not fit; the recipe stays as it was.
pub fn set_field(recipe: &mut Recipe, field: &str, value: &str) -> Result<(), Vec<Problem>> {
    let mut table = Table::try_from(writable(recipe)).map_err(|e| vec![error(field, e.to_string())])?;
    let mut place = &mut table;
    let mut sections = keys(field);
    let key = sections.pop().unwrap_or_default();
    for section in sections {
        let next = place.entry(section).or_insert_with(|| Value::Table(Table::new()));
        let Value::Table(next) = next else {
            return Err(vec![error(field, format!("\"{field}\" is not a setting."))]);
        };
        place = next;
    }
    let named = parse(value, kind_of(field).as_ref());
    if KINDS.contains(&field) && place.get(&key) != Some(&named) {
        // Another kind has other settings.
        place.clear();
    }
    if OPTIONAL.contains(&field) && (value.is_empty() || value == "none") {
        place.remove(&key);
    } else {
        place.insert(key, named);
    }
    *recipe = from_table(table)?;
    Ok(())
}

/// The recipe with whole numbers that TOML cannot hold at their largest, so that a fix can mend just those.
fn writable(recipe: &Recipe) -> Recipe {
    let mut recipe = recipe.clone();
    for size in recipe.method.sizes_mut().into_iter().chain([
        &mut recipe.batch.max_tokens,
        &mut recipe.batch.micro_batch_tokens,
        &mut recipe.batch.accumulation,
        &mut recipe.validation.max_examples,
        &mut recipe.validation.num_answers,
        &mut recipe.checkpoint.keep_last,
    ]) {
        *size = (*size).min(isize::MAX as usize);
    }
    for number in [
        &mut recipe.run.seed,
        &mut recipe.data.split.seed,
        &mut recipe.validation.every_updates,
        &mut recipe.checkpoint.every_updates,
    ] {
        *number = (*number).min(i64::MAX as u64);
    }
    recipe.length.updates = recipe.length.updates.map(|updates| updates.min(i64::MAX as u64));
    recipe
}

/// Every setting there is, by its path.
pub fn all() -> Vec<String> {
    flat_table(&known()).into_keys().collect()
}

/// Applies a problem's fix.
///
/// # Errors
/// As [`set_field`].
pub fn apply(recipe: &mut Recipe, fix: &Fix) -> Result<(), Vec<Problem>> {
    set_field(recipe, &fix.field, &fix.value)
}

/// One field as TOML text; `None` when it is absent or there is no such field.
pub fn get(recipe: &Recipe, field: &str) -> Option<String> {
    flat(recipe).remove(field)
}

/// Fields in which two recipes differ: (field, in a, in b), as TOML text; absent is empty.
pub fn difference(a: &Recipe, b: &Recipe) -> Vec<(String, String, String)> {
    let (mut a, mut b) = (flat(a), flat(b));
    let fields: std::collections::BTreeSet<String> = a.keys().chain(b.keys()).cloned().collect();
    let both = fields.into_iter().map(|field| {
        let (in_a, in_b) = (a.remove(&field).unwrap_or_default(), b.remove(&field).unwrap_or_default());
        (field, in_a, in_b)
    });
    both.filter(|(_, in_a, in_b)| in_a != in_b).collect()
}

impl Recipe {
    /// The recipe in one line: `LoRA rank 16 on 7 layers, 3 passes, learning rate 0.0005`.
    pub fn describe(&self) -> String {
        let length = match (self.length.updates, self.length.epochs) {
            (Some(updates), _) => crate::base::human::plural(updates, "update"),
            (None, 1.0) => "1 pass".into(),
            (None, epochs) => format!("{epochs} passes"),
        };
        let method = match &self.method {
            Method::Lora(lora) => {
                let layers = match lora.has_all_modules() {
                    true => "all layers".into(),
                    false => crate::base::human::plural(lora.target_modules.len() as u64, "layer"),
                };
                format!("{} rank {} on {layers}", lora.name(), lora.rank)
            }
            method => method.describe(),
        };
        format!("{method}, {length}, learning rate {}", self.optimizer.learning_rate)
    }
}

/// What a field holds in a recipe with everything in it.
fn kind_of(field: &str) -> Option<Value> {
    let mut value = Value::Table(known());
    for part in field.split('.') {
        value = value.get(part)?.clone();
    }
    Some(value)
}

/// TOML text -> value, as leniently as the field's kind allows: bare words and file names need no quotes, lists of
/// words no brackets.
fn parse(text: &str, kind: Option<&Value>) -> Value {
    let parsed = format!("x = {text}").parse::<Table>().ok();
    let parsed = parsed.filter(|table| table.len() == 1).and_then(|mut table| table.remove("x"));
    match (kind, parsed) {
        (Some(Value::String(_)), Some(Value::String(word))) => Value::String(word),
        (Some(Value::String(_)), _) => Value::String(text.into()),
        (_, Some(parsed)) => parsed,
        (Some(Value::Float(_)), None) if text.parse::<f64>().is_ok() => {
            text.parse().map_or(Value::String(text.into()), Value::Float)
        }
        (Some(Value::Array(_)), None) => {
            let words = text.split(',').map(|word| Value::String(word.trim().into()));
            Value::Array(words.collect())
        }
        (_, None) => Value::String(text.into()),
    }
}

fn flat(recipe: &Recipe) -> BTreeMap<String, String> {
    Table::try_from(recipe).map(|table| flat_table(&table)).unwrap_or_default()
}

/// Every value by its whole path.
pub(super) fn flat_table(table: &Table) -> BTreeMap<String, String> {
    fn walk(table: &Table, prefix: &str, out: &mut BTreeMap<String, String>) {
        for (key, value) in table {
            let field = join(prefix, key);
            match value {
                Value::Table(inner) => walk(inner, &field, out),
                other => {
                    out.insert(field, other.to_string());
                }
            }
        }
    }
    let mut out = BTreeMap::new();
    walk(table, "", &mut out);
    out
}
