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

/// Carries out `--set optimizer.learning_rate=3e-4`. A value that is no TOML is taken as a word.
///
/// # Errors
/// An unknown field or a value that does not fit; the recipe stays as it was.
pub fn set(recipe: &mut Recipe, assignment: &str) -> Result<(), Vec<Problem>> {
    let (field, value) = assignment.split_once('=').ok_or_else(|| {
        let short = crate::base::human::elide(assignment, 60);
        vec![error(&short, format!("\"{short}\" is not of the form key=value"))]
    })?;
    set_field(recipe, field.trim(), value.trim())
}

/// What is wrong with `field` as the name of a setting, whatever the recipe; with the nearest right one.
pub fn misnamed(field: &str) -> Option<Problem> {
    let mut section = known();
    let mut prefix = String::new();
    let mut parts = field.split('.').peekable();
    while let Some(part) = parts.next() {
        match (section.remove(part), parts.peek()) {
            (Some(Value::Table(inner)), Some(_)) if inner.is_empty() => return None,
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
    let (sections, key) = field.rsplit_once('.').unwrap_or(("", field));
    for section in sections.split('.').filter(|_| !sections.is_empty()) {
        let next = place.entry(section.to_string()).or_insert_with(|| Value::Table(Table::new()));
        let Value::Table(next) = next else {
            return Err(vec![error(field, format!("\"{field}\" is not a setting."))]);
        };
        place = next;
    }
    let named = parse(value, kind_of(field).as_ref());
    if matches!(field, "method.kind" | "objective.kind") && place.get(key) != Some(&named) {
        // Another kind has other settings.
        place.clear();
    }
    if OPTIONAL.contains(&field) && (value.is_empty() || value == "none") {
        place.remove(key);
    } else {
        place.insert(key.to_string(), named);
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
