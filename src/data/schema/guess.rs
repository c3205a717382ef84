//! Roles from names, and where names say nothing, from what is in the columns.

use super::conversation;
use super::names::role_of;
use super::{Role, Table};
use crate::data::number;
use std::collections::HashSet;

/// Rows that are looked at.
const NUM_ROWS: usize = 500;

/// Sets of roles that belong together, best first; later roles of each are optional.
const FAMILIES: &[(&[Role], &[Role])] = &[
    (&[Role::Chosen, Role::Rejected], &[Role::Prompt, Role::Question, Role::Instruction, Role::System]),
    (&[Role::Messages], &[Role::System]),
    (&[Role::Instruction, Role::Output], &[Role::Input, Role::System]),
    (&[Role::Prompt, Role::Completion], &[Role::Input, Role::System]),
    (&[Role::Question, Role::Answer], &[Role::Input, Role::System]),
    // Mixed company: question and response, prompt and answer, input and output.
    (&[Role::Prompt, Role::Output], &[Role::Input, Role::System]),
    (&[Role::Prompt, Role::Answer], &[Role::Input, Role::System]),
    (&[Role::Question, Role::Output], &[Role::Input, Role::System]),
    (&[Role::Question, Role::Completion], &[Role::Input, Role::System]),
    (&[Role::Instruction, Role::Answer], &[Role::Input, Role::System]),
    (&[Role::Instruction, Role::Completion], &[Role::Input, Role::System]),
    (&[Role::Input, Role::Output], &[Role::System]),
    (&[Role::Input, Role::Completion], &[Role::System]),
    (&[Role::Input, Role::Answer], &[Role::System]),
    (&[Role::Text, Role::Label], &[Role::Second, Role::Score]),
    (&[Role::Text, Role::Score], &[Role::Second]),
    (&[Role::Text, Role::Second], &[Role::Negative]),
    (&[Role::Question, Role::Label], &[]),
    (&[Role::Prompt, Role::Second], &[Role::Negative]),
    (&[Role::Question, Role::Second], &[Role::Negative]),
];

pub(super) fn roles(table: &Table) -> Vec<Role> {
    let facts: Vec<Facts> = (0..table.columns.len()).map(|column| Facts::of(table, column)).collect();
    let named: Vec<Option<Role>> = table.columns.iter().zip(&facts).map(|(c, f)| named(&c.name, f)).collect();
    let mut roles = from_names(&named, &facts).unwrap_or_else(|| from_content(&named, &facts));
    // One column alone may hold the groups.
    if let Some(group) = named.iter().position(|r| *r == Some(Role::Group))
        && roles[group] == Role::Ignore
    {
        roles[group] = Role::Group;
    }
    roles
}

/// The role that the name tells, unless the content says otherwise.
fn named(name: &str, facts: &Facts) -> Option<Role> {
    match role_of(name)? {
        Role::Messages if !facts.is_conversation => None,
        Role::Score if !facts.is_mostly_numbers => None,
        role => Some(role),
    }
}

fn from_names(named: &[Option<Role>], facts: &[Facts]) -> Option<Vec<Role>> {
    let column = |role: Role| named.iter().position(|r| *r == Some(role));
    for (needed, optional) in FAMILIES {
        if needed.iter().any(|role| column(*role).is_none_or(|c| facts[c].is_empty)) {
            continue;
        }
        let mut roles = vec![Role::Ignore; named.len()];
        for role in needed.iter().chain(*optional) {
            if let Some(column) = column(*role) {
                roles[column] = *role;
            }
        }
        // A question with a label is a text with a label, one with a passage that answers it the first of two texts.
        if matches!(*needed, [Role::Question, Role::Label] | [Role::Prompt | Role::Question, Role::Second]) {
            roles.iter_mut().filter(|r| r.is_prompt()).for_each(|r| *r = Role::Text);
        }
        return Some(roles);
    }
    None
}

/// No family by name: look into the columns.
fn from_content(named: &[Option<Role>], facts: &[Facts]) -> Vec<Role> {
    let mut roles = vec![Role::Ignore; facts.len()];
    if let Some(column) = facts.iter().position(|f| f.is_conversation) {
        roles[column] = Role::Messages;
        return roles;
    }
    let useful: Vec<usize> =
        (0..facts.len()).filter(|c| !facts[*c].is_idle && named[*c] != Some(Role::Group)).collect();
    let known_text = named.iter().position(|r| *r == Some(Role::Text)).filter(|c| !facts[*c].is_empty);
    let known_label = named.iter().position(|r| *r == Some(Role::Label)).filter(|c| !facts[*c].is_empty);
    let text = known_text.or_else(|| {
        let wordy = useful.iter().copied().filter(|c| facts[*c].is_wordy && Some(*c) != known_label);
        wordy.max_by_key(|c| facts[*c].mean_chars)
    });
    if let Some(text) = text {
        let label = known_label.or_else(|| {
            useful.iter().copied().find(|c| *c != text && facts[*c].is_label && facts[text].is_wordy)
        });
        if let Some(label) = label {
            roles[text] = Role::Text;
            roles[label] = Role::Label;
            return roles;
        }
    }
    if let Some(text) = known_text {
        roles[text] = Role::Text;
        return roles;
    }
    match useful.as_slice() {
        [] => {
            if let Some(column) = (0..facts.len()).find(|c| !facts[*c].is_empty) {
                roles[column] = Role::Text;
            }
        }
        [only] => roles[*only] = Role::Text,
        [first, .., last] => {
            roles[*first] = Role::Prompt;
            roles[*last] = Role::Completion;
        }
    }
    roles
}

/// What the first rows of a column tell.
struct Facts {
    is_empty: bool,
    /// Every other cell at least is a number: what else stands there is a row that the ledger names.
    is_mostly_numbers: bool,
    is_conversation: bool,
    /// Numbering, dates, addresses of pages, or the same everywhere: nothing to learn from.
    is_idle: bool,
    /// Longer texts that hardly repeat.
    is_wordy: bool,
    /// Few different short values.
    is_label: bool,
    mean_chars: usize,
}

impl Facts {
    fn of(table: &Table, column: usize) -> Self {
        let num_rows = table.num_rows().min(NUM_ROWS);
        let cells: Vec<&str> =
            (0..num_rows).map(|row| table.cell(row, column).trim()).filter(|cell| !cell.is_empty()).collect();
        let num = cells.len();
        let num_distinct = cells.iter().collect::<HashSet<_>>().len();
        let all = |is: fn(&str) -> bool| num > 0 && cells.iter().all(|cell| is(cell));
        let chars: usize = cells.iter().map(|cell| cell.chars().take(10_000).count()).sum();
        let longest = cells.iter().map(|cell| cell.chars().take(100).count()).max().unwrap_or(0);
        let num_numbers = cells.iter().filter(|cell| number(cell).is_some()).count();
        let name = table.columns[column].name.to_lowercase();
        let is_numbering =
            matches!(name.as_str(), "id" | "index" | "idx" | "uuid" | "key" | "#" | "no" | "nr" | "")
                || name.ends_with("_id")
                || (num_numbers == num && num_distinct == num && num > 2 && column == 0);
        let is_constant = num_distinct == 1 && num > 2;
        let is_address = all(|cell| cell.starts_with("http://") || cell.starts_with("https://"));
        let mean_chars = chars.checked_div(num).unwrap_or(0);
        Self {
            is_empty: num == 0,
            is_mostly_numbers: num > 0 && 2 * num_numbers >= num,
            is_conversation: num > 0
                && cells.iter().take(20).filter(|cell| conversation::looks_like_one(cell)).count() * 2
                    > num.min(20),
            is_idle: num == 0 || is_numbering || is_constant || is_address,
            is_wordy: mean_chars >= 20 && num_distinct * 10 >= num * 7,
            is_label: num >= 4
                && num_distinct >= 2
                && num_distinct <= (num / 2).clamp(2, 50)
                && longest <= 40,
            mean_chars,
        }
    }
}
