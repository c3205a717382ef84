//! `tunesmith merge`

use super::show::Show;
use super::{Device, out};
use crate::base::Control;
use crate::engine::Halt;
use crate::engine::jobs::BaseModel;
use crate::engine::jobs::merge::{self, From};
use clap::Args;
use serde_json::json;
use std::path::PathBuf;

#[derive(Args)]
pub struct Arguments {
    /// Folder of a run, or of an adapter made by Tunesmith or PEFT
    #[arg(value_name = "RUN_OR_ADAPTER")]
    from: PathBuf,
    /// Folder of the model that comes of it, new or empty
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The model that the adapter is for: name, hub id, folder or .gguf file; the one that the adapter names when not given
    #[arg(long)]
    model: Option<String>,
    /// Where to compute
    #[arg(long, value_enum, default_value_t)]
    device: Device,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

pub fn run(a: &Arguments, control: &Control) -> Result<(), Halt> {
    let mut show = Show::new();
    let from = From { folder: &a.from, model: a.model.as_deref(), device: a.device.into() };
    let merged = merge::run(&mut BaseModel::default(), from, &a.out, control, &mut |kind| show.take(&kind))?;
    show.clear();
    if a.json {
        out::json(&json!({ "path": a.out, "merged": merged }));
    } else {
        out::line(format!("{} is a model of its own. {}", a.out.display(), merged.describe()));
    }
    Ok(())
}
