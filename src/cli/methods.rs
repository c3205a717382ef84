//! `tunesmith methods`

use super::show::Show;
use super::table::table;
use super::train::{assignment, unusable};
use super::{number, out};
use crate::base::{Control, Failure};
use crate::engine::Halt;
use crate::engine::event::EventKind;
use crate::engine::jobs::methods::{Held, compare};
use crate::engine::jobs::{BaseModel, LastRead, train};
use crate::project::method_comparison::MethodComparison;
use crate::recipe::recipe::{Method, OrderBy};
use crate::recipe::variants::Contender;
use crate::recipe::{Recipe, load};
use clap::Args;
use std::path::{Path, PathBuf};

#[derive(Args)]
pub struct Arguments {
    /// Data file; a part of its rows is kept apart to test on. Several tasks of a recipe name their own
    #[arg(value_name = "DATA")]
    data: Option<PathBuf>,
    /// Another model than the recipe's: name from `tunesmith model list`, hub id (org/name), model folder or .gguf file
    #[arg(long)]
    model: Option<String>,
    /// Number of updates of each method; as many as the recipe says when not given
    #[arg(long, value_name = "COUNT", value_parser = number::times)]
    updates: Option<u64>,
    /// Kinds of methods, as a recipe calls them, with commas between, and the variants dora, rslora, lora_plus, pfeiffer,
    /// prefix_mlp; all kinds when not given
    #[arg(long, value_name = "KINDS", value_delimiter = ',', value_parser = super::bench::method)]
    methods: Vec<Method>,
    /// Orders of the training rows, with commas between: shuffled, length, loss, column:NAME. Each is compared with the
    /// others, by the recipe's own method where no methods are named
    #[arg(long, value_name = "ORDERS", value_delimiter = ',', value_parser = order)]
    orders: Vec<OrderBy>,
    /// A recipe, for all that is the same. Its own method keeps its settings and its learning rate; the others have
    /// their usual ones
    #[arg(long, value_name = "FILE")]
    recipe: Option<PathBuf>,
    /// Changes one setting of the recipe, for example run.device=cpu; may be given several times
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = assignment)]
    set: Vec<String>,
    /// Folder for the runs (DIR/runs/KIND or KIND-ORDER), comparison.json and comparison.md. Given again, it goes on where it was
    /// stopped; methods that are done there stay in the table
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

fn order(text: &str) -> Result<OrderBy, String> {
    OrderBy::try_from(text.to_string())
}

pub fn run(a: &Arguments, control: &Control) -> Result<(), Halt> {
    let recipe = recipe(a)?;
    let contenders = contenders(a, &recipe)?;
    let (mut base, data) = (BaseModel::default(), LastRead::default());
    let held = Held { base: &mut base, data: &data };
    let comparison = compared(held, &recipe, &contenders, &a.out, control)?;
    if a.json {
        out::json(&comparison);
    } else {
        let rows: Vec<Vec<String>> = comparison.rows.iter().map(|row| comparison.cells(row)).collect();
        out::line(table(&comparison.heading(), &rows));
        comparison.best_in_words().iter().for_each(out::line);
    }
    let has_none = comparison.rows.iter().all(|row| row.problem.is_some());
    if has_none { Err(Halt::Reported) } else { Ok(()) }
}

/// Each method in each order of the rows.
fn contenders(a: &Arguments, recipe: &Recipe) -> Result<Vec<Contender>, Halt> {
    if a.orders.is_empty() {
        return Ok(chosen(a, recipe).into_iter().map(Contender::from).collect());
    }
    let methods = if a.methods.is_empty() { vec![recipe.method.clone()] } else { chosen(a, recipe) };
    let mut all: Vec<Contender> = Vec::new();
    for order in &a.orders {
        for method in &methods {
            let next = Contender { method: method.clone(), order: Some(order.clone()) };
            if let Some(other) = all.iter().find(|other| other.key() == next.key()) {
                let why = format!("{} and {} would have one folder", other.describe(), next.describe());
                let hint = "Name each order once; columns whose names differ by signs alone cannot be compared together.";
                return Err(Failure::new("Cannot compare these orders", why, hint).into());
            }
            all.push(next);
        }
    }
    Ok(all)
}

/// Compares methods in a folder, and says how far it is.
fn compared(
    held: Held<'_>,
    recipe: &Recipe,
    contenders: &[Contender],
    out: &Path,
    control: &Control,
) -> Result<MethodComparison, Halt> {
    let mut show = Show::new();
    // The rows are the same each time.
    let mut has_told_rows = false;
    let mut turn = None;
    let mut sink = |kind: EventKind| match kind {
        EventKind::Rows { .. } if std::mem::replace(&mut has_told_rows, true) => {}
        EventKind::MethodTurn { key, index, total, .. } => turn = Some((key, index + 1, total)),
        EventKind::Compared { comparison, .. } => {
            let done = turn.take().and_then(|(key, num, total)| Some((comparison.row(&key)?, num, total)));
            if let Some((row, num, total)) = done {
                let what = row.problem.as_deref().map_or("done".into(), |why| format!("no result. {why}"));
                show.say(&format!("{num} of {total}: {}: {what}", row.name));
            }
        }
        other => show.take(&other),
    };
    let comparison = compare(held, recipe, contenders, out, control, &mut sink);
    show.clear();
    if matches!(comparison, Err(Halt::Stopped)) {
        out::note("What was done is kept. Give the same command again to go on.");
    }
    comparison
}

fn recipe(a: &Arguments) -> Result<Recipe, Halt> {
    let mut recipe = match &a.recipe {
        Some(path) => load::from_file(path).map_err(unusable)?,
        None => Recipe::default(),
    };
    load::set_all(&mut recipe, &a.set).map_err(unusable)?;
    recipe.data.path = a.data.clone().or(recipe.data.path);
    if recipe.data.path.is_none() && !recipe.has_tasks() {
        let hint = "Name a data file behind `methods`, or a recipe whose tasks name theirs with --recipe.";
        return Err(Failure::new("Cannot compare methods", "no data file is named", hint).into());
    }
    if let Some(model) = &a.model {
        recipe.model.source.clone_from(model);
    }
    recipe.length.updates = a.updates.or(recipe.length.updates);
    Ok(train::settled(recipe)?)
}

/// Each once, in the order given; of all kinds, the recipe's own method is its own kind's.
fn chosen(a: &Arguments, recipe: &Recipe) -> Vec<Method> {
    let own =
        |method: Method| if method.kind() == recipe.method.kind() { recipe.method.clone() } else { method };
    let all = match a.methods.is_empty() {
        true => Method::all().map(own).to_vec(),
        false => a.methods.clone(),
    };
    let mut chosen: Vec<Method> = Vec::new();
    for method in all {
        if !chosen.iter().any(|other| other.variant() == method.variant()) {
            chosen.push(method);
        }
    }
    chosen
}
