//! What is wrong with a schema for a table, in words for people.

use super::{Layout, Role, Schema, placeholders};
use crate::base::human;
use crate::data::{DataError, Table};

/// Columns that a message names.
const MOST_NAMES: usize = 8;

impl Schema {
    /// Whether any row of `table` can become an example at all.
    ///
    /// # Errors
    /// [`DataError::Schema`] about the roles, [`DataError::Placeholder`] about the template, and
    /// [`DataError::NothingLeft`] when all is empty.
    pub fn check(&self, table: &Table) -> Result<(), DataError> {
        let (roles, columns) = (self.roles.len(), table.columns.len());
        if roles > columns {
            let why = format!("the roles are for {roles} columns, the file has {columns}");
            return Err(DataError::Schema { why });
        }
        if let Some(why) = self.prompt_template.as_ref().and_then(|t| placeholders::unusable(t, table)) {
            let names = table.columns.iter().map(|c| c.name.as_str());
            let why = format!("{why} The columns are {}.", human::some_of(names, MOST_NAMES));
            return Err(DataError::Placeholder { why });
        }
        if self.layout().is_none() {
            if table.columns.iter().all(|c| c.iter().all(|cell| cell.trim().is_empty())) {
                let why =
                    format!("every cell of the {} is empty", human::plural(table.num_rows() as u64, "row"));
                return Err(DataError::NothingLeft { why });
            }
            return Err(DataError::Schema { why: self.missing() });
        }
        Ok(())
    }

    /// All that keeps this schema from giving good examples; empty when it is fine.
    pub fn problems(&self, table: &Table) -> Vec<String> {
        let mut problems = Vec::new();
        if self.roles.len() != table.columns.len() {
            let (roles, columns) = (self.roles.len(), table.columns.len());
            problems.push(format!("the roles are for {roles} columns, the file has {columns}"));
            return problems;
        }
        if let Some(template) = &self.prompt_template {
            problems.extend(placeholders::check(template, table));
        }
        for role in Role::ALL {
            let names: Vec<&str> = (0..self.roles.len())
                .filter(|c| self.roles[*c] == role)
                .map(|c| table.columns[c].name.as_str())
                .collect();
            if role != Role::Ignore && names.len() > 1 {
                let title = role.title();
                problems.push(format!(
                    "{} columns are {title}: {}; only the first counts",
                    names.len(),
                    human::some_of(names.iter().copied(), MOST_NAMES)
                ));
            }
        }
        match self.layout() {
            None => problems.push(self.missing()),
            Some(layout) => problems.extend(self.empty_columns(layout, table)),
        }
        problems
    }

    fn missing(&self) -> String {
        let has = |role| self.column(role).is_some();
        let prompt = self.roles.iter().find(|r| r.is_prompt());
        match (prompt, self.answer_column()) {
            _ if has(Role::Chosen) => "a Chosen column needs a Rejected one beside it".into(),
            _ if has(Role::Rejected) => "a Rejected column needs a Chosen one beside it".into(),
            (Some(prompt), None) => {
                format!("there is a {} but no column to learn: say which is the Completion", prompt.title())
            }
            (None, Some(_)) => {
                "there is a column to learn but nothing before it: say which is the Prompt".into()
            }
            _ if has(Role::Label) || has(Role::Score) => "say which column is the Text".into(),
            _ => {
                "no column has a role: say which is the Prompt and which the Completion, or which is the Text"
                    .into()
            }
        }
    }

    fn empty_columns(&self, layout: Layout, table: &Table) -> Vec<String> {
        let matters = |role: Role| match layout {
            Layout::Chat => role == Role::Messages,
            Layout::ChosenRejected => matches!(role, Role::Chosen | Role::Rejected),
            Layout::Text | Layout::TextLabel | Layout::TextScore | Layout::TextPair => {
                matches!(role, Role::Text | Role::Second | Role::Negative | Role::Label | Role::Score)
            }
            _ => role.is_answer() || role.is_prompt(),
        };
        let columns = table.columns.iter().zip(&self.roles).filter(|(_, role)| matters(**role));
        columns
            .filter(|(column, _)| column.iter().all(|cell| cell.trim().is_empty()))
            .map(|(column, role)| {
                format!("the column {} is {} but empty in every row", column.name, role.title())
            })
            .collect()
    }
}
