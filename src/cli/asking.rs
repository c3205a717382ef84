//! What all subcommands that answer have in common: a model, an adapter, a device.

use super::show::Show;
use super::{Device, PrecisionName, out};
use crate::base::{Control, Failure, human};
use crate::data::shots::SkippedLine;
use crate::engine::Halt;
use crate::engine::jobs::{self, BaseModel};
use crate::model::load::{LoadedModel, Placement};
use crate::peft::Adapter;
use clap::Args;
use std::path::{Path, PathBuf};

#[derive(Args)]
pub struct Model {
    /// Name from `tunesmith model list`, hub id (org/name), model folder or .gguf file
    #[arg(long)]
    pub model: String,
    /// Folder of a run, of an adapter, also one made by PEFT, or of a tuned model
    #[arg(long, value_name = "DIR")]
    pub adapter: Option<PathBuf>,
    /// Where to compute
    #[arg(long, value_enum, default_value_t)]
    pub device: Device,
    /// How the model's weights are kept; as they are in the file where answers are quicker so, unless it is said
    #[arg(long, value_enum)]
    pub precision: Option<PrecisionName>,
}

/// A model in memory, and its adapter if one was named.
pub struct Loaded {
    pub model: LoadedModel,
    pub adapter: Option<Adapter>,
}

/// The model alone, held against the adapter's words on it.
pub fn load_model(a: &Model, control: &Control, show: &mut Show) -> Result<LoadedModel, Halt> {
    let files = jobs::model::open(&a.model)?;
    let adapter = a.adapter.as_deref().map(jobs::model::adapter_in);
    if let Some(adapter) = &adapter {
        jobs::model::require_base(adapter, &files, &mut |kind| show.take(&kind))?;
        let task = jobs::judge::task(&a.model, Some(adapter))?;
        let config = task.map_or_else(|| files.config.clone(), |task| task.config(&files.config));
        jobs::model::check_adapter(adapter, &config)?;
    }
    let placement = match a.precision {
        Some(precision) => Placement { device: a.device.into(), precision: precision.into() },
        None => jobs::model::answering(&files, a.device.into()),
    };
    BaseModel::default().load(&files, placement, control, &mut |kind| show.take(&kind))
}

/// A model that is to write.
pub fn load(a: &Model, control: &Control, show: &mut Show) -> Result<Loaded, Halt> {
    let adapter = a.adapter.as_deref().map(jobs::model::adapter_in);
    let task = adapter.as_deref().map(|folder| jobs::judge::task("", Some(folder))).transpose()?.flatten();
    // One of several tasks was writing: the model is as they left it, with the heads of the others.
    let shared = task.filter(|task| task.is_beside_writing());
    if let (Some(adapter), None) = (&adapter, &shared) {
        jobs::judge::require_writer(adapter)?;
    }
    jobs::model::open(&a.model)?.config.check_writes()?;
    let mut model = load_model(a, control, show)?;
    if let Some(task) = shared {
        model = model.with_config(task.config(model.config()), 0)?;
    }
    let adapter = adapter.map(|folder| jobs::model::adapter(&folder, &model)).transpose()?;
    Ok(Loaded { model, adapter })
}

/// Says which rows of a file of `what` are left out.
pub fn tell_skipped(skipped: &[SkippedLine], what: &str) {
    if let Some(first) = skipped.first() {
        let rows = human::plural(skipped.len() as u64, "row");
        out::note(format!("{rows} of the {what} left out: line {} {}", first.line, first.why));
    }
}

/// Refuses to show fewer examples than were asked for.
pub fn need_shots(num: usize, wanted: usize, place: &str, file: &Path) -> Result<(), Failure> {
    if num >= wanted {
        return Ok(());
    }
    let example = |n: usize| human::plural(n as u64, "example");
    Err(Failure::new(
        "There are fewer examples than asked for",
        format!(
            "--num-shots asks for {}, and {place} has {} ({})",
            example(wanted),
            example(num),
            file.display()
        ),
        format!("Use --num-shots {num}, or a file with more examples."),
    ))
}

/// Refuses a model that cannot chat, where a chat was asked for.
pub fn need_chat(model: &LoadedModel) -> Result<(), Failure> {
    if model.template.has_chat() {
        return Ok(());
    }
    Err(Failure::new(
        "The model has no chat template",
        format!("it is a base model that goes on with a text ({})", model.info.path.display()),
        "Leave out --chat, or choose an instruct model.",
    ))
}
