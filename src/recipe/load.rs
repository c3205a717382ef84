//! TOML -> [`Recipe`]. Unknown or misspelt keys are problems that name the key and the nearest right one; values
//! that do not fit are problems that name the field and what it takes. All of them at once.

pub use super::field::{all, apply, difference, get, misfit, misnamed, set, set_all, set_field, split};
use super::load_tasks;
use super::memory_limit::FORMS;
use super::recipe::{Method, Objective};
use super::{Fix, Problem, Recipe, Severity};
use crate::base::{human, storage};
use std::path::Path;
use toml::{Table, Value};

/// Largest recipe or project file that is read.
pub const MAX_BYTES: u64 = 1 << 20;
/// A file that is no recipe at all need not be told line by line.
const MAX_PROBLEMS: usize = 50;
/// Sections that say by `kind` what else is in them.
const TAGGED: [&str; 2] = ["method", "objective"];

pub(super) fn error(field: &str, text: impl Into<String>) -> Problem {
    Problem { field: field.into(), severity: Severity::Error, text: text.into(), fix: None }
}

/// Parses a recipe; keys that are absent take their defaults.
///
/// # Errors
/// Every unknown key and every value that does not fit.
pub fn from_toml(text: &str) -> Result<Recipe, Vec<Problem>> {
    // Some editors put a byte order mark in front.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let table: Table = text.parse().map_err(|e: toml::de::Error| {
        let line = e.span().and_then(|span| text.get(..span.start)).map(|s| s.matches('\n').count() + 1);
        let place = line.map(|line| format!("line {line}: ")).unwrap_or_default();
        vec![error("", format!("{place}{}", human::elide(e.message().trim(), 300)))]
    })?;
    from_table(table)
}

/// Reads a recipe file; a relative path of the data, of the general text or of the model is taken from the file's folder.
///
/// # Errors
/// As [`from_toml`]; and when the file cannot be read or is larger than [`MAX_BYTES`].
pub fn from_file(path: &Path) -> Result<Recipe, Vec<Problem>> {
    let text = storage::read_text_bounded(path, MAX_BYTES)
        .map_err(|e| vec![error("", format!("the recipe cannot be read: {e} ({})", path.display()))])?;
    let mut recipe = from_toml(&text)?;
    let of_tasks = recipe.tasks.iter_mut().map(|task| &mut task.data.path);
    let files = [&mut recipe.data.path, &mut recipe.forgetting.text].into_iter().chain(of_tasks);
    for file in files.flatten() {
        if let Some(folder) = path.parent().filter(|_| file.is_relative()) {
            *file = folder.join(&*file);
        }
    }
    if let Some(model) = path.parent().and_then(|folder| beside(folder, &recipe.model.source)) {
        recipe.model.source = model;
    }
    Ok(recipe)
}

/// A model that is written as a path and lies there as seen from the recipe; a bare name is not a path.
fn beside(folder: &Path, source: &str) -> Option<String> {
    let is_path = source.contains(['/', '\\']) || source.ends_with(".gguf");
    let path = folder.join(source);
    (is_path && Path::new(source).is_relative() && path.exists()).then(|| path.to_str().map(String::from))?
}

/// Writes a recipe as TOML.
///
/// # Errors
/// The reason, in words: TOML cannot hold a path that is not Unicode or a seed above 2^63.
pub fn write(recipe: &Recipe) -> Result<String, String> {
    toml::to_string_pretty(recipe).map_err(|e| format!("the recipe cannot be written down: {e}"))
}

pub(super) fn from_table(mut table: Table) -> Result<Recipe, Vec<Problem>> {
    let mut problems = Vec::new();
    let tasks = table.remove("tasks").map_or_else(Vec::new, |tasks| load_tasks::read(tasks, &mut problems));
    let known = known_for(&table);
    take_other_kinds(&mut table, &known, &mut problems);
    take_unknown(&mut table, &known, "", &mut problems);
    give_kinds(&mut table, &known);
    match table.clone().try_into::<Recipe>() {
        Ok(recipe) if problems.is_empty() => return Ok(Recipe { tasks, ..recipe }),
        Ok(_) => {}
        Err(whole) => {
            let before = problems.len();
            wrong_values(&table, Known { all: &known, here: &known }, &mut Vec::new(), &mut problems);
            if problems.len() == before {
                problems.push(error("", whole.message().trim()));
            }
        }
    }
    Err(problems)
}

/// A recipe with every optional key present.
pub(super) fn complete() -> Recipe {
    let mut recipe = Recipe::default();
    recipe.data.path = Some("x".into());
    recipe.data.format = Some(crate::data::import::Format::Csv);
    recipe.data.encoding = Some("utf-8".into());
    recipe.data.separator = Some(',');
    recipe.data.has_header = Some(true);
    recipe.data.schema =
        Some(crate::data::Schema { roles: Vec::new(), prompt_template: Some(String::new()) });
    recipe.optimizer.clip_norm = Some(1.0);
    recipe.length.updates = Some(1);
    recipe.forgetting.text = Some("x".into());
    // What is usual of them is not written.
    recipe.mixing.temperature = 2.0;
    recipe.curriculum.until = 0.25;
    recipe
}

/// [`complete`] as a table with the settings of every method, to know all keys and their types by.
pub(super) fn known() -> Table {
    let mut known = Table::try_from(complete()).unwrap_or_default();
    for section in TAGGED {
        if let Some(Value::Table(inner)) = known.get_mut(section) {
            for (key, value) in kinds_of(section).into_iter().flat_map(|kind| kind.settings) {
                inner.entry(key).or_insert(value);
            }
        }
    }
    known
}

/// One kind of a section.
struct Kind {
    /// As recipes call it, and people.
    kind: &'static str,
    name: &'static str,
    settings: Table,
}

fn kinds_of(section: &str) -> Vec<Kind> {
    match section {
        "method" => Method::all()
            .iter()
            .map(|m| Kind { kind: m.kind(), name: m.name(), settings: settings_of(m) })
            .collect(),
        _ => Objective::all()
            .iter()
            .map(|o| Kind { kind: o.kind(), name: o.name(), settings: settings_of(o) })
            .collect(),
    }
}

/// [`complete`] as a table, with the method and the objective that `table` chooses; the usual ones where it chooses none that there is.
fn known_for(table: &Table) -> Table {
    let kind = |section: &str| table.get(section).and_then(|inner| inner.get("kind")).and_then(Value::as_str);
    let method = Method::all().into_iter().find(|method| Some(method.kind()) == kind("method"));
    let objective = Objective::all().into_iter().find(|of| Some(of.kind()) == kind("objective"));
    let (method, objective) = (method.unwrap_or_default(), objective.unwrap_or_default());
    Table::try_from(Recipe { method, objective, ..complete() }).unwrap_or_default()
}

/// What a person may choose of the recipe's method: (key, TOML text).
pub fn method_settings(recipe: &Recipe) -> Vec<(String, String)> {
    let settings = settings_of(&recipe.method).into_iter().filter(|(key, _)| key != "kind");
    settings.map(|(key, value)| (key, value.to_string())).collect()
}

/// The keys of a section.
fn settings_of(kind: &impl serde::Serialize) -> Table {
    Table::try_from(kind).unwrap_or_default()
}

pub(super) fn join(prefix: &str, key: &str) -> String {
    if prefix.is_empty() { key.into() } else { format!("{prefix}.{key}") }
}

/// Removes what is no setting, with a problem for each.
fn take_unknown(table: &mut Table, known: &Table, prefix: &str, problems: &mut Vec<Problem>) {
    table.retain(|key, value| {
        let problem = match (known.get(key), value) {
            // A list of pairs that a person names.
            (Some(Value::Table(inner_known)), Value::Table(_)) if inner_known.is_empty() => return true,
            (Some(Value::Table(inner_known)), Value::Table(inner)) => {
                take_unknown(inner, inner_known, &join(prefix, key), problems);
                return true;
            }
            (Some(Value::Table(inner_known)), _) if inner_known.is_empty() => {
                let field = join(prefix, key);
                let text = format!("\"{field}\" is a list of names and numbers: write {{q_proj = 4}}.");
                error(&field, text)
            }
            (Some(Value::Table(_)), _) => {
                let field = join(prefix, key);
                error(&field, format!("\"{field}\" is a section: write [{field}] and its settings below."))
            }
            (Some(_), _) => return true,
            (None, _) if problems.len() >= MAX_PROBLEMS => return false,
            (None, _) => unknown(prefix, key, known),
        };
        problems.push(problem);
        false
    });
}

pub(super) fn unknown(prefix: &str, key: &str, siblings: &Table) -> Problem {
    let short = human::elide(key, 60);
    let field = join(prefix, &short);
    // The right name in the wrong section comes before a similar name in the right one.
    let guess = elsewhere(key).or_else(|| {
        let near = nearest(&short, siblings.keys().map(String::as_str));
        near.map(|near| join(prefix, near))
    });
    let hint = guess.map(|guess| format!(" Did you mean \"{guess}\"?")).unwrap_or_default();
    error(&field, format!("\"{field}\" is not a setting.{hint}"))
}

/// The full path of the setting called `key`, when there is just one.
fn elsewhere(key: &str) -> Option<String> {
    let fields = super::field::flat_table(&known());
    let mut found = fields.into_keys().filter(|field| field.rsplit('.').next() == Some(key));
    found.next().filter(|_| found.next().is_none())
}

/// The most similar of `names`, if any is similar at all.
pub fn nearest<'a>(word: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    // Case alone makes no other name.
    let is_same = |name: &str| name.eq_ignore_ascii_case(word);
    names
        .map(|name| (if is_same(name) { 1.0 } else { strsim::jaro_winkler(word, name) }, name))
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

/// A section that does not say its kind has the usual one.
fn give_kinds(table: &mut Table, known: &Table) {
    for section in TAGGED {
        let kind = known.get(section).and_then(|usual| usual.get("kind"));
        if let (Some(Value::Table(inner)), Some(kind)) = (table.get_mut(section), kind)
            && !inner.contains_key("kind")
        {
            inner.insert("kind".into(), kind.clone());
        }
    }
}

/// Removes settings of kinds that are not the chosen one, with a problem for each.
fn take_other_kinds(table: &mut Table, known: &Table, problems: &mut Vec<Problem>) {
    for section in TAGGED {
        let (Some(Value::Table(inner)), Some(Value::Table(own))) =
            (table.get_mut(section), known.get(section))
        else {
            continue;
        };
        let all = kinds_of(section);
        let chosen = own.get("kind").and_then(Value::as_str);
        let chosen = all.iter().find(|kind| Some(kind.kind) == chosen).map_or("", |kind| kind.name);
        inner.retain(|key, _| {
            let owner = all.iter().find(|kind| kind.settings.contains_key(key));
            let Some(owner) = owner.filter(|_| !own.contains_key(key)) else { return true };
            let text =
                format!("\"{section}.{key}\" is a setting of {}: leave it out for {chosen}.", owner.name);
            problems.push(error(&format!("{section}.{key}"), text));
            false
        });
    }
}

/// The settings that there are.
#[derive(Clone, Copy)]
struct Known<'a> {
    all: &'a Table,
    /// Of the section that is looked at.
    here: &'a Table,
}

/// Tries each value alone, so that every one that does not fit is told with its field.
fn wrong_values(table: &Table, known: Known, path: &mut Vec<String>, problems: &mut Vec<Problem>) {
    for (key, value) in table {
        path.push(key.clone());
        match (known.here.get(key), value) {
            // A schema cannot be read in pieces.
            (Some(Value::Table(here)), Value::Table(inner)) if key != "schema" => {
                wrong_values(inner, Known { here, ..known }, path, problems);
            }
            _ => {
                if let Err(e) = alone(path, value, known.all).try_into::<Recipe>() {
                    problems.push(wrong_value(&path.join("."), value, e.message().trim()));
                }
            }
        }
        path.pop();
    }
}

/// A recipe with one value only, and what its section cannot be read without.
fn alone(path: &[String], value: &Value, known: &Table) -> Table {
    let mut value = value.clone();
    for key in path.iter().skip(1).rev() {
        value = Value::Table(Table::from_iter([(key.clone(), value)]));
    }
    let mut table = Table::from_iter(path.first().map(|key| (key.clone(), value)));
    give_kinds(&mut table, known);
    table
}

/// Says what a field takes instead of `value`; `message` is serde's.
fn wrong_value(field: &str, value: &Value, message: &str) -> Problem {
    let said = human::elide(&value.to_string().replace('\n', " "), 40);
    if message.starts_with("unknown variant") {
        // unknown variant `a`, expected one of `b`, `c`
        let choice = message.rsplit_once(", expected ").map_or("", |(_, choice)| choice);
        let names: Vec<&str> = choice.split('`').skip(1).step_by(2).collect();
        let mut problem =
            error(field, format!("{said} is not known here. Use one of: {}.", names.join(", ")));
        if let Value::String(word) = value {
            problem.fix = nearest(word, names.into_iter()).map(|near| Fix {
                label: format!("Use {near}"),
                field: field.into(),
                value: format!("\"{near}\""),
            });
        }
        return problem;
    }
    let expected = message.rsplit_once("expected ").map_or("", |(_, expected)| expected);
    let expected = match expected {
        "f64" => "a number",
        "usize" | "u64" | "u32" => "a whole number, 0 or above",
        "a boolean" => "true or false",
        "a string" | "path string" => "text in quotes",
        "a character" => "one character in quotes",
        "a sequence" => "a list in square brackets",
        FORMS => FORMS,
        "a number or \"none\"" => "a number, or \"none\"",
        _ => return error(field, format!("{said} does not fit: {}.", human::elide(message, 200))),
    };
    error(field, format!("{said} does not fit: it has to be {expected}."))
}
