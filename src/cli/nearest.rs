//! `tunesmith nearest`

use super::asking::{self, Model};
use super::show::Show;
use super::table::{one_line, table};
use super::{number, out};
use crate::base::{Control, Failure};
use crate::data::import::ImportOptions;
use crate::engine::Halt;
use crate::engine::jobs::data::{self, row_texts};
use crate::engine::jobs::embed::embed;
use crate::engine::jobs::model;
use crate::engine::jobs::reader::{self, Reader};
use crate::infer::directions::nearest;
use clap::Args;
use serde_json::{Value, json};
use std::path::PathBuf;

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    model: Model,
    /// Data file with the rows to look through
    #[arg(long, value_name = "FILE")]
    data: PathBuf,
    /// A text; several may be given
    #[arg(long, value_name = "TEXT", required = true)]
    text: Vec<String>,
    /// So many of the nearest rows
    #[arg(long, value_name = "COUNT", default_value_t = 5, value_parser = number::at_least_one)]
    top: usize,
    /// At most so many rows of the file; all of them when not given
    #[arg(long, value_name = "ROWS", value_parser = number::at_least_one)]
    limit: Option<usize>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

pub fn run(a: &Arguments, control: &Control) -> Result<(), Halt> {
    if a.text.iter().any(|text| text.trim().is_empty()) {
        let why = "an empty text is like no other";
        return Err(Failure::new("A text is empty", why, "Write something after --text.").into());
    }
    let mut show = Show::new();
    let adapter = a.model.adapter.as_deref();
    let imported = data::read(&a.data, &ImportOptions::default(), control, &mut |kind| show.take(&kind))?;
    let mut rows = row_texts(&imported)?;
    rows.truncate(a.limit.unwrap_or(usize::MAX));
    let task = reader::task(&model::open(&a.model.model)?, adapter)?;
    let loaded = asking::load_model(&a.model, control, &mut show)?;
    let reader = Reader::new(&loaded, adapter, task)?;
    let texts: Vec<&str> = a.text.iter().map(String::as_str).collect();
    let asked = embed(&reader, &texts, control, &mut |kind| show.take(&kind))?;
    let texts: Vec<&str> = rows.iter().map(|row| row.text.as_str()).collect();
    let directions = embed(&reader, &texts, control, &mut |kind| show.take(&kind))?;
    show.clear();
    let (mut found, mut lines) = (Vec::new(), Vec::new());
    for (text, direction) in a.text.iter().zip(&asked) {
        let near = nearest(direction, &directions, a.top);
        let shown = |(row, cosine): &(usize, f32)| {
            let row = &rows[*row];
            json!({ "line": row.line, "cosine": cosine, "text": row.text })
        };
        found.push(json!({ "text": text, "nearest": near.iter().map(shown).collect::<Vec<Value>>() }));
        lines.extend(near.iter().map(|(row, cosine)| {
            let row = &rows[*row];
            vec![format!("{cosine:.3}"), row.line.to_string(), one_line(&row.text)]
        }));
    }
    if a.json {
        out::json(&json!({ "texts": found }));
    } else {
        out::line(table(&["cosine", "line", "text"], &lines));
    }
    Ok(())
}
