//! `tunesmith fill-mask`

use super::asking::{self, Model};
use super::show::Show;
use super::table::{one_line, table};
use super::{number, out};
use crate::base::Control;
use crate::engine::Halt;
use crate::engine::event::Told;
use crate::engine::jobs::reader::{self, Reader};
use crate::engine::jobs::{ask, model};
use clap::Args;
use serde_json::json;

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    model: Model,
    /// A text in which [MASK] (or the model's own token) stands for each hidden word
    #[arg(long, value_name = "TEXT", required = true)]
    text: String,
    /// So many of the likeliest words of each place
    #[arg(long, value_name = "COUNT", default_value_t = 5, value_parser = number::at_least_one)]
    top: usize,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

pub fn run(a: &Arguments, control: &Control) -> Result<(), Halt> {
    let mut show = Show::new();
    let adapter = a.model.adapter.as_deref();
    let task = reader::task(&model::open(&a.model.model)?, adapter)?;
    let loaded = asking::load_model(&a.model, control, &mut show)?;
    let reader = Reader::new(&loaded, adapter, task)?;
    let Told::Filled(places) = ask::filled(&reader, &a.text, a.top)? else { return Ok(()) };
    show.clear();
    if a.json {
        out::json(&json!({ "text": a.text, "places": places }));
        return Ok(());
    }
    let mut rows = Vec::new();
    for (number, place) in places.iter().enumerate() {
        rows.extend(place.iter().enumerate().map(|(rank, guess)| {
            let number = if rank == 0 { (number + 1).to_string() } else { String::new() };
            vec![number, format!("{:.1} %", guess.probability * 100.0), one_line(&guess.token)]
        }));
    }
    out::line(table(&["place", "probability", "word"], &rows));
    Ok(())
}
