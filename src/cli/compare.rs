//! `tunesmith compare`

use super::asking::{self, Model};
use super::show::Show;
use super::table::table;
use super::{number, out};
use crate::base::Control;
use crate::data::shots::read_questions;
use crate::engine::Halt;
use crate::engine::jobs::measure::{Style, answer_all, greedy};
use crate::eval::report::Comparison;
use clap::Args;
use std::path::PathBuf;

#[derive(Args)]
#[command(mut_arg("adapter", |adapter| adapter.required(true)))]
pub struct Arguments {
    #[command(flatten)]
    model: Model,
    /// Prompts: a line each in a text file, or rows of a data file, there with the right answers
    #[arg(long, value_name = "FILE")]
    prompts: PathBuf,
    /// Longest answer, in tokens
    #[arg(long, value_name = "TOKENS", default_value_t = 64, value_parser = number::at_least_one)]
    max_tokens: usize,
    /// Send the prompts as they are, without the model's chat template
    #[arg(long)]
    plain: bool,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

pub fn run(a: &Arguments, control: &Control) -> Result<(), Halt> {
    let found = read_questions(&a.prompts, control)?;
    asking::tell_skipped(&found.skipped, "prompts");
    let questions = found.questions;
    let mut show = Show::new();
    let loaded = asking::load(&a.model, control, &mut show)?;
    let model = &loaded.model;
    let style = Style::zero_shot(!a.plain);
    let mut asked = Vec::new();
    for question in &questions {
        asked.push(style.ask(model, &question.input, question.expected.clone())?);
    }
    let options = greedy(model, a.max_tokens, Vec::new());
    let mut sink = |kind| show.take(&kind);
    let base = answer_all(model, None, &asked, &options, "The base model answers", control, &mut sink)?;
    let adapter = loaded.adapter.as_ref();
    let tuned = answer_all(model, adapter, &asked, &options, "The tuned model answers", control, &mut sink)?;
    show.clear();
    let comparison = Comparison::new(&base, &tuned);
    if a.json {
        let mut value = serde_json::json!(comparison);
        value["num_without_question"] = found.skipped.len().into();
        out::json(&value);
        return Ok(());
    }
    let rows: Vec<Vec<String>> = comparison
        .pairs
        .iter()
        .zip(&questions)
        .map(|(pair, question)| {
            let expected = pair.expected.clone().unwrap_or_default();
            let answer = |text: &String| match &pair.problem {
                Some(problem) => format!("(not answered: {problem})"),
                None => text.clone(),
            };
            vec![question.input.clone(), expected, answer(&pair.base), answer(&pair.tuned)]
        })
        .collect();
    out::line(table(&["prompt", "expected", "base", "tuned"], &rows));
    out::line(format!("\nbase   {}\ntuned  {}", comparison.base, comparison.tuned));
    if comparison.num_unanswered > 0 {
        out::line(format!("{} could not be answered and are not scored", comparison.num_unanswered));
    }
    Ok(())
}
