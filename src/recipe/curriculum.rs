//! Rows from easy to hard (Bengio et al. 2009; competence as in Platanios et al. 2019, arXiv:1903.09848).

use super::check::Findings;
use super::plan::{DataFacts, Facts};
use super::recipe::Recipe;
use crate::base::human;
use serde::{Deserialize, Serialize};

/// Share of the rows that is in play at the first update.
const FIRST: f64 = 0.1;
/// Stages of [`Pacing::Step`].
const NUM_STAGES: f64 = 5.0;

/// In which order rows come into play, and how fast.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Curriculum {
    /// What tells an easy row from a hard one.
    pub by: OrderBy,
    pub pacing: Pacing,
    /// Share of the run after which all rows are in play.
    pub until: f64,
    /// The hardest first.
    pub descending: bool,
}

impl Default for Curriculum {
    fn default() -> Self {
        Self { by: OrderBy::Shuffled, pacing: Pacing::Linear, until: 0.5, descending: false }
    }
}

/// What the order of rows goes by.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum OrderBy {
    /// Nothing: all rows are in play from the first update on.
    #[default]
    Shuffled,
    /// Tokens.
    Length,
    /// The loss of the model before the run.
    Loss,
    /// The numbers of a column of the data.
    Column(String),
}

impl TryFrom<String> for OrderBy {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "shuffled" => Ok(Self::Shuffled),
            "length" => Ok(Self::Length),
            "loss" => Ok(Self::Loss),
            other => match other.strip_prefix("column:").filter(|name| !name.is_empty()) {
                Some(name) => Ok(Self::Column(name.into())),
                // As serde says it of other choices, so that it is told as they are.
                None => Err(format!(
                    "unknown variant `{other}`, expected one of `shuffled`, `length`, `loss`, `column:NAME`"
                )),
            },
        }
    }
}

impl From<OrderBy> for String {
    fn from(of: OrderBy) -> Self {
        match of {
            OrderBy::Shuffled => "shuffled".into(),
            OrderBy::Length => "length".into(),
            OrderBy::Loss => "loss".into(),
            OrderBy::Column(name) => format!("column:{name}"),
        }
    }
}

/// How the share of rows in play grows until all are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pacing {
    /// By as many rows in each update.
    #[default]
    Linear,
    /// Fast at first: every row has about as many updates in which it is new.
    Root,
    /// In five stages of as many updates each.
    Step,
}

impl Curriculum {
    pub(super) fn is_usual(&self) -> bool {
        *self == Self::default()
    }

    /// Whether rows have an order at all.
    pub fn is_on(&self) -> bool {
        self.by != OrderBy::Shuffled
    }

    /// The share of the rows that is in play in an update of a run, from 0.1 to 1.
    pub fn share(&self, update: u64, num_updates: u64) -> f64 {
        let end = (self.until * num_updates as f64).max(f64::MIN_POSITIVE);
        let x = update as f64 / end;
        if x >= 1.0 {
            return 1.0;
        }
        match self.pacing {
            Pacing::Linear => FIRST + (1.0 - FIRST) * x,
            Pacing::Root => (FIRST * FIRST + (1.0 - FIRST * FIRST) * x).sqrt(),
            Pacing::Step => ((x * NUM_STAGES).floor() + 1.0) / NUM_STAGES,
        }
    }
}

impl Recipe {
    pub(super) fn check_curriculum(&self, facts: &Facts, found: &mut Findings) {
        let of = &self.curriculum;
        found.above_zero("curriculum.until", of.until, 1.0, "0.5");
        if !of.is_on() {
            return;
        }
        let names = self.task_names();
        for (index, recipe) in self.each_task().iter().enumerate() {
            let who =
                if names[index].is_empty() { String::new() } else { format!("Task \"{}\": ", names[index]) };
            if of.by == OrderBy::Loss && !recipe.objective.is_of_tokens() {
                let text = format!(
                    "{who}The model knows nothing of {} before the run: its rows cannot be ordered by its loss. Order them by length or by a column.",
                    recipe.objective.name()
                );
                found.error("curriculum.by", text, Some("\"length\""));
            }
            let data = if self.has_tasks() { facts.tasks.get(index) } else { facts.data.as_ref() };
            if let (OrderBy::Column(name), Some(data)) = (&of.by, data)
                && let Some(why) = data.unordered(name)
            {
                found.error("curriculum.by", format!("{who}{why}"), Some("\"length\""));
            }
        }
    }
}

impl DataFacts {
    /// Why rows cannot be ordered by a column.
    fn unordered(&self, name: &str) -> Option<String> {
        let short = human::elide(name, 40);
        match self.columns.iter().find(|(column, _)| column == name) {
            None => {
                let names = human::some_of(self.columns.iter().map(|(name, _)| name.as_str()), 8);
                Some(format!("The data has no column {short} to order its rows by. It has {names}."))
            }
            Some((_, Some((line, cell)))) => Some(format!(
                "The column {short} cannot order the rows: line {line} has \"{}\", which is no number.",
                human::elide(cell, 40)
            )),
            Some((_, None)) => None,
        }
    }
}
