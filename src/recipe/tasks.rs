//! Several tasks in one run: data sets and objectives of their own on one shared body, with a head for each that needs one.

use super::check::Findings;
use super::plan::{DataFacts, Facts};
use super::problem::{Fix, Problem};
use super::recipe::{DataSection, Objective, Recipe};
use crate::model::config::DecoderConfig;
use serde::{Deserialize, Serialize};

/// Longest name: it stands in names of tensors and files.
const MAX_NAME: usize = 40;
/// A weight or a temperature above this leaves nothing of what it is told apart from.
const MAX_FACTOR: f64 = 1000.0;

/// One of several tasks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskSection {
    /// What its head, its curve and its figures are called.
    pub name: String,
    /// How much its mean loss counts beside those of the others.
    #[serde(default = "one")]
    pub weight: f64,
    #[serde(default)]
    pub data: DataSection,
    #[serde(default)]
    pub objective: Objective,
}

fn one() -> f64 {
    1.0
}

/// How several tasks share a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mixing {
    /// T of p ∝ n^(1/T), by which each micro-batch draws its task; n are the micro-batches of a pass over a task's rows (Raffel et al.
    /// 2020, arXiv:1910.10683; XLM-R's α is 1/T, Conneau et al. 2020, arXiv:1911.02116). At 1 every row comes equally often; the higher
    /// it is, the more alike are the tasks.
    pub temperature: f64,
    /// What the best state is known by, and early stopping.
    pub best_by: BestBy,
}

impl Default for Mixing {
    fn default() -> Self {
        Self { temperature: 1.0, best_by: BestBy::Mean }
    }
}

impl Mixing {
    pub(super) fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}

/// One number of the validation losses of all tasks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum BestBy {
    /// Each beside what it was at the first validation, so that no unit counts: 1 at first, and less as they are learnt.
    #[default]
    Mean,
    /// Their mean by the tasks' weights, as they are.
    Weighted,
    /// That of one alone.
    Task(String),
}

impl From<String> for BestBy {
    fn from(text: String) -> Self {
        match text.as_str() {
            "mean" => Self::Mean,
            "weighted" => Self::Weighted,
            name => Self::Task(name.strip_prefix("task:").unwrap_or(name).into()),
        }
    }
}

impl From<BestBy> for String {
    fn from(of: BestBy) -> Self {
        match of {
            BestBy::Mean => "mean".into(),
            BestBy::Weighted => "weighted".into(),
            BestBy::Task(name) => format!("task:{name}"),
        }
    }
}

/// A config of a model that does all of these, each of a name, an objective and its classes: with a head for each that needs one, called
/// after it. Alone and without a name it is as the objective has it.
pub fn shared_config<'a>(
    config: &DecoderConfig,
    tasks: impl IntoIterator<Item = (&'a str, &'a Objective, &'a [String])>,
) -> DecoderConfig {
    let mut all = DecoderConfig { predicts_tokens: false, heads: Vec::new(), ..config.clone() };
    for (name, objective, labels) in tasks {
        let of_task = objective.config(config, labels);
        if name.is_empty() {
            return of_task;
        }
        all.predicts_tokens |= of_task.predicts_tokens;
        let heads = of_task.heads.into_iter().filter(|_| objective.has_head());
        all.heads.extend(heads.map(|mut head| {
            head.name = name.into();
            head
        }));
    }
    all
}

impl Recipe {
    /// Whether the run has several tasks, or one with a name.
    pub fn has_tasks(&self) -> bool {
        !self.tasks.is_empty()
    }

    /// One recipe a task, with its data and its objective alone; this one where there are none.
    pub fn each_task(&self) -> Vec<Recipe> {
        if self.tasks.is_empty() {
            return vec![self.clone()];
        }
        (0..self.tasks.len()).map(|index| self.of_task(index)).collect()
    }

    fn of_task(&self, index: usize) -> Recipe {
        let TaskSection { data, objective, .. } = self.tasks[index].clone();
        Recipe { data, objective, tasks: Vec::new(), ..self.clone() }
    }

    /// The tasks' names; an empty one where there are none.
    pub fn task_names(&self) -> Vec<&str> {
        if self.tasks.is_empty() {
            return vec![""];
        }
        self.tasks.iter().map(|task| task.name.as_str()).collect()
    }

    /// The tasks' weights.
    pub fn task_weights(&self) -> Vec<f64> {
        if self.tasks.is_empty() {
            return vec![1.0];
        }
        self.tasks.iter().map(|task| task.weight).collect()
    }

    pub(super) fn check_tasks(&self, facts: &Facts, found: &mut Findings) {
        self.check_names(found);
        found.above_zero("mixing.temperature", self.mixing.temperature, MAX_FACTOR, "1.0");
        for (index, task) in self.tasks.iter().enumerate() {
            let name = called(&task.name, index);
            if !(task.weight > 0.0 && task.weight <= MAX_FACTOR) {
                let text = format!(
                    "{name}: a weight of {} has to be above 0, at most {MAX_FACTOR}. Use 1, or take the task out.",
                    task.weight
                );
                found.error(&format!("tasks.{}.weight", task.name), text, None);
            }
            let (recipe, mut of_task) = (self.of_task(index), Findings::default());
            recipe.check_file(&mut of_task);
            recipe.check_split(&mut of_task);
            recipe.check_objective(facts, &mut of_task);
            recipe.check_data(facts.tasks.get(index), &mut of_task);
            of_task.into_problems().into_iter().for_each(|p| found.push(of_one(p, &task.name, &name)));
        }
        self.check_shared(facts, found);
    }

    fn check_names(&self, found: &mut Findings) {
        for (index, task) in self.tasks.iter().enumerate() {
            let name = &task.name;
            let is_sound = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            if name.is_empty() {
                let text = format!("{} has no name. Give it one: name = \"sentiment\".", called(name, index));
                found.error("tasks", text, None);
            } else if name.len() > MAX_NAME || !name.chars().all(is_sound) {
                let text = format!(
                    "{} cannot be called so: a task's name has letters, digits, - and _, at most {MAX_NAME}.",
                    called(name, index)
                );
                found.error("tasks", text, None);
            } else if self.tasks[..index].iter().any(|other| other.name.eq_ignore_ascii_case(name)) {
                let text = format!("Two tasks are called \"{name}\". Give each a name of its own.");
                found.error("tasks", text, None);
            }
        }
    }

    /// What holds for all of them together.
    fn check_shared(&self, facts: &Facts, found: &mut Findings) {
        if self.data.path.is_some() {
            let text = "Each task names its own data: this one would count for nothing. Leave it out.";
            found.error("data.path", text, Some("none"));
        }
        if self.objective != Objective::default() {
            let text = "Each task has its own objective: this one counts for nothing.";
            found.warn("objective.kind", text, Some("\"supervised\""));
        }
        if self.optimizer.in_backward {
            let text = "Weights that move during the backward pass move by one task at a time: several cannot be weighed against one another.";
            let fix = Fix::new("Move them together", "optimizer.in_backward", "false");
            found.error_fix_elsewhere("optimizer.in_backward", text, fix);
        }
        let BestBy::Task(wanted) = &self.mixing.best_by else { return };
        let place = self.tasks.iter().position(|task| task.name == *wanted);
        let has_none = |index: usize| facts.tasks.get(index).is_some_and(|data| data.num_valid == 0);
        if place.is_none() {
            let text = format!(
                "No task is called {}. Use \"mean\", \"weighted\", or one of: {}.",
                crate::base::human::elide(wanted, MAX_NAME),
                self.task_names().join(", ")
            );
            found.error("mixing.best_by", text, Some("\"mean\""));
        } else if place.is_some_and(has_none) {
            let text = format!("{wanted} has no validation rows to go by. Give it some, or use \"mean\".");
            found.error("mixing.best_by", text, Some("\"mean\""));
        }
    }
}

/// What people are told a task is called: its name, or its place where it has none.
fn called(name: &str, index: usize) -> String {
    match name.is_empty() {
        true => format!("Task {}", index + 1),
        false => format!("Task \"{}\"", crate::base::human::elide(name, MAX_NAME)),
    }
}

/// A problem of one task's recipe as one of the whole recipe. A fix of what the task has for itself has no field to change.
fn of_one(problem: Problem, task: &str, name: &str) -> Problem {
    let is_own = |field: &str| field.starts_with("data.") || field.starts_with("objective.");
    let own = |field: String| if is_own(&field) { format!("tasks.{task}.{field}") } else { field };
    Problem {
        text: format!("{name}: {}", problem.text),
        fix: problem.fix.filter(|fix| !is_own(&fix.field)),
        field: own(problem.field),
        ..problem
    }
}

impl DataFacts {
    /// Of several tasks' data together. Classes stay with the tasks.
    pub fn together(all: &[Self]) -> Self {
        let sum = |of: fn(&Self) -> u64| all.iter().map(of).sum::<u64>();
        let count = |of: fn(&Self) -> usize| all.iter().map(of).sum::<usize>();
        Self {
            num_train: count(|data| data.num_train),
            num_valid: count(|data| data.num_valid),
            num_test: count(|data| data.num_test),
            train_tokens: sum(|data| data.train_tokens),
            trained_tokens: sum(|data| data.trained_tokens),
            longest_tokens: all.iter().map(|data| data.longest_tokens).max().unwrap_or(0),
            num_overlong: count(|data| data.num_overlong),
            num_answer_cut: count(|data| data.num_answer_cut),
            ..Self::default()
        }
    }
}
