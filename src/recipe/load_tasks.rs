//! `[[tasks]]` of a recipe: what is wrong with one is told with its name.

use super::load::{error, from_table, join, unknown};
use super::recipe::TaskSection;
use super::{Problem, Recipe};
use crate::base::human;
use toml::{Table, Value};

/// More than anybody means.
const MAX_TASKS: usize = 64;

/// The tasks that a recipe lists; what is wrong with them goes to `problems`.
pub(super) fn read(listed: Value, problems: &mut Vec<Problem>) -> Vec<TaskSection> {
    let Value::Array(listed) = listed else {
        problems
            .push(error("tasks", "\"tasks\" is a list: write [[tasks]] and the settings of one task below."));
        return Vec::new();
    };
    if listed.len() > MAX_TASKS {
        let text =
            format!("There are {} tasks, and {MAX_TASKS} at most can be learnt together.", listed.len());
        problems.push(error("tasks", text));
        return Vec::new();
    }
    let each = listed.into_iter().enumerate();
    each.filter_map(|(index, task)| one(task, index).map_err(|found| problems.extend(found)).ok()).collect()
}

/// The keys of a task, to know misspelt ones by.
fn keys() -> Table {
    let keys = ["name", "weight", "data", "objective"];
    keys.iter().map(|key| (key.to_string(), Value::Boolean(true))).collect()
}

fn one(task: Value, index: usize) -> Result<TaskSection, Vec<Problem>> {
    let place = format!("tasks.{}", index + 1);
    let Value::Table(mut task) = task else {
        return Err(vec![error(
            &place,
            format!("Task {} is no section: write [[tasks]] above its settings.", index + 1),
        )]);
    };
    let mut problems = Vec::new();
    let name = match task.remove("name") {
        Some(Value::String(name)) => name,
        None => String::new(),
        Some(other) => {
            let text = format!("Task {}: {other} is no name. Put it in quotes.", index + 1);
            problems.push(error(&join(&place, "name"), text));
            String::new()
        }
    };
    let prefix = if name.is_empty() { place } else { join("tasks", &name) };
    let who = match name.is_empty() {
        true => format!("Task {}", index + 1),
        false => format!("Task \"{}\"", human::elide(&name, 40)),
    };
    let named = |problem: Problem| Problem {
        field: join(&prefix, &problem.field),
        text: format!("{who}: {}", problem.text),
        fix: None,
        ..problem
    };
    let weight = match task.remove("weight") {
        None => 1.0,
        Some(Value::Float(weight)) => weight,
        Some(Value::Integer(weight)) => weight as f64,
        Some(other) => {
            problems.push(named(error("weight", format!("{other} does not fit: it has to be a number."))));
            1.0
        }
    };
    let mut sections = Table::new();
    for (key, value) in task {
        match key.as_str() {
            "data" | "objective" => drop(sections.insert(key, value)),
            _ => problems.push(named(unknown("", &key, &keys()))),
        }
    }
    match from_table(sections) {
        Ok(Recipe { data, objective, .. }) if problems.is_empty() => {
            Ok(TaskSection { name, weight, data, objective })
        }
        Ok(_) => Err(problems),
        Err(found) => {
            problems.extend(found.into_iter().map(named));
            Err(problems)
        }
    }
}
