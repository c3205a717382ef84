//! `tunesmith adopt`

use super::out;
use crate::engine::Halt;
use crate::engine::jobs::adopt;
use clap::Args;
use serde_json::json;
use std::path::PathBuf;

#[derive(Args)]
pub struct Arguments {
    /// Folder of an adapter, or of a tuned model, that another program made
    #[arg(value_name = "ADAPTER")]
    adapter: PathBuf,
    /// The model that it was tuned from: name, hub id, folder or .gguf file
    #[arg(long)]
    model: String,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

pub fn run(a: &Arguments) -> Result<(), Halt> {
    adopt::run(&a.adapter, &a.model)?;
    if a.json {
        out::json(&json!({ "adapter": a.adapter, "model": a.model }));
    } else {
        out::line(format!("{} is taken as tuned from {} from now on.", a.adapter.display(), a.model));
    }
    Ok(())
}
