//! `{column}` placeholders in a prompt that the user wrote.

use crate::data::Table;
use crate::data::table::Column;

/// A part of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part<'t> {
    Text(&'t str),
    Column(&'t str),
}

/// Takes a template apart. `{{` and `}}` stand for braces.
pub(super) fn parts(template: &str) -> Result<Vec<Part<'_>>, String> {
    let mut parts = Vec::new();
    let mut rest = template;
    while let Some(at) = rest.find(['{', '}']) {
        if at > 0 {
            parts.push(Part::Text(&rest[..at]));
        }
        let brace = &rest[at..=at];
        let after = &rest[at + 1..];
        if after.starts_with(brace) {
            parts.push(Part::Text(brace));
            rest = &after[1..];
        } else if brace == "{" {
            let end = after.find('}').ok_or("the template has a { without its }; write {{ for a brace")?;
            parts.push(Part::Column(after[..end].trim()));
            rest = &after[end + 1..];
        } else {
            return Err("the template has a } without its {; write }} for a brace".into());
        }
    }
    if !rest.is_empty() {
        parts.push(Part::Text(rest));
    }
    Ok(parts)
}

/// The names of the columns that a template uses.
///
/// # Errors
/// A sentence for people when its braces do not match.
pub fn placeholders(template: &str) -> Result<Vec<String>, String> {
    let columns = parts(template)?.into_iter().filter_map(|part| match part {
        Part::Column(name) => Some(name.to_string()),
        Part::Text(_) => None,
    });
    Ok(columns.collect())
}

/// The column that a placeholder means: its exact name, else the same name in other case.
fn find(table: &Table, name: &str) -> Result<usize, String> {
    let lower = name.to_lowercase();
    let other_case = || table.columns.iter().position(|c| c.name.to_lowercase() == lower);
    table.column_index(name).or_else(other_case).ok_or_else(|| unknown(&table.columns, name))
}

fn unknown(columns: &[Column], name: &str) -> String {
    let nearest = columns
        .iter()
        .map(|c| (strsim::jaro_winkler(&c.name.to_lowercase(), &name.to_lowercase()), &c.name))
        .max_by(|a, b| a.0.total_cmp(&b.0));
    match nearest {
        Some((_, nearest)) => {
            format!("the template names {{{name}}}, which is not a column; did you mean {{{nearest}}}?")
        }
        None => format!("the template names {{{name}}}, which is not a column"),
    }
}

/// The template filled in from one row.
pub(super) fn render(template: &str, table: &Table, row: usize) -> Result<String, String> {
    let mut out = String::new();
    for part in parts(template)? {
        match part {
            Part::Text(text) => out.push_str(text),
            Part::Column(name) => out.push_str(table.cell(row, find(table, name)?)),
        }
    }
    Ok(out)
}

/// What is wrong with a template, before any row.
pub(super) fn check(template: &str, table: &Table) -> Vec<String> {
    match parts(template) {
        Err(e) => vec![e],
        Ok(parts) => {
            let columns = parts.iter().filter_map(|part| match part {
                Part::Column(name) => Some(*name),
                Part::Text(_) => None,
            });
            let columns: Vec<&str> = columns.collect();
            if columns.is_empty() {
                return vec!["the template has no {column}: every prompt would be the same".into()];
            }
            columns.into_iter().filter_map(|name| find(table, name).err()).collect()
        }
    }
}

/// Why no row can be filled in, before any row.
pub(super) fn unusable(template: &str, table: &Table) -> Option<String> {
    match parts(template) {
        Err(why) => Some(why),
        Ok(parts) => parts.iter().find_map(|part| match part {
            Part::Column(name) => find(table, name).err(),
            Part::Text(_) => None,
        }),
    }
}
