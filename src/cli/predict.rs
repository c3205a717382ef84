//! `tunesmith predict`

use super::asking::{self, Model};
use super::show::Show;
use super::table::{one_line, table};
use super::{number, out};
use crate::base::{Control, Failure};
use crate::engine::Halt;
use crate::engine::jobs::judge::{self, Judge};
use crate::recipe::recipe::Objective;
use clap::Args;
use serde_json::{Value, json};

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    model: Model,
    /// A text; several may be given. Where texts are compared, the first is held against the others
    #[arg(long, value_name = "TEXT", required = true)]
    text: Vec<String>,
    /// The second text of each, where two are judged together
    #[arg(long, value_name = "TEXT")]
    second: Option<String>,
    /// At most so many classes of each text
    #[arg(long, value_name = "COUNT", default_value_t = 5, value_parser = number::at_least_one)]
    top: usize,
    /// Which of several tasks that were learnt together
    #[arg(long, value_name = "NAME")]
    task: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

pub fn run(a: &Arguments, control: &Control) -> Result<(), Halt> {
    let task = judge::named(&a.model.model, a.model.adapter.as_deref(), a.task.as_deref())?;
    let task = task.ok_or_else(|| {
        Failure::new(
            "The model was not tuned to judge texts",
            "there is no task.json beside it",
            "Name the adapter of a run that learnt classes, scores or likeness; `tunesmith generate` lets a model write.",
        )
    })?;
    if !task.name.is_empty() && task.objective.is_of_tokens() {
        let why = format!("{} is {}, which judges no texts", task.name, task.objective.name());
        let hint = "Let it write with `tunesmith generate`, or measure it with `tunesmith eval --task`.";
        return Err(Failure::new("The task says nothing of texts", why, hint).into());
    }
    let mut show = Show::new();
    let loaded = asking::load_model(&a.model, control, &mut show)?;
    let judge = Judge::new(&loaded, a.model.adapter.as_deref(), task)?;
    let texts: Vec<(&str, Option<&str>)> = a.text.iter().map(|t| (t.as_str(), a.second.as_deref())).collect();
    let said = judge.say(&texts, control)?;
    show.clear();
    match &judge.task.objective {
        Objective::Contrastive(_) => compared(a, &said),
        Objective::Regression(_) => scored(a, &said),
        _ => classified(a, &judge.task.labels, &said),
    }
    Ok(())
}

fn classified(a: &Arguments, labels: &[String], said: &[Vec<f32>]) {
    let mut rows = Vec::new();
    let mut found = Vec::new();
    for (text, said) in a.text.iter().zip(said) {
        let mut order: Vec<usize> = (0..said.len().min(labels.len())).collect();
        order.sort_by(|x, y| said[*y].total_cmp(&said[*x]));
        let top: Vec<usize> = order.into_iter().take(a.top).collect();
        let classes: Vec<Value> =
            top.iter().map(|class| json!({ "label": labels[*class], "probability": said[*class] })).collect();
        found.push(json!({ "text": text, "classes": classes }));
        rows.extend(top.iter().enumerate().map(|(place, class)| {
            let text = if place == 0 { one_line(text) } else { String::new() };
            vec![format!("{:.1} %", said[*class] * 100.0), labels[*class].clone(), text]
        }));
    }
    say(a, &found, &["probability", "class", "text"], &rows);
}

fn scored(a: &Arguments, said: &[Vec<f32>]) {
    let number = |said: &Vec<f32>| said.first().copied().unwrap_or(f32::NAN);
    let pairs = || a.text.iter().zip(said);
    let found: Vec<Value> =
        pairs().map(|(text, said)| json!({ "text": text, "score": number(said) })).collect();
    let rows: Vec<Vec<String>> =
        pairs().map(|(text, said)| vec![format!("{:.3}", number(said)), one_line(text)]).collect();
    say(a, &found, &["score", "text"], &rows);
}

/// The first text against the others, the likest first.
fn compared(a: &Arguments, said: &[Vec<f32>]) {
    let cosine = |x: &[f32], y: &[f32]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f32>();
    let mut likeness: Vec<(f32, &String)> = a
        .text
        .iter()
        .zip(said)
        .skip(1)
        .map(|(text, direction)| (cosine(&said[0], direction), text))
        .collect();
    likeness.sort_by(|x, y| y.0.total_cmp(&x.0));
    let found: Vec<Value> =
        likeness.iter().map(|(cosine, text)| json!({ "text": text, "cosine": cosine })).collect();
    let rows: Vec<Vec<String>> =
        likeness.iter().map(|(cosine, text)| vec![format!("{cosine:.3}"), one_line(text)]).collect();
    say(a, &found, &["cosine", "text"], &rows);
}

fn say(a: &Arguments, found: &[Value], heading: &[&str], rows: &[Vec<String>]) {
    if a.json { out::json(&json!({ "texts": found })) } else { out::line(table(heading, rows)) }
}
