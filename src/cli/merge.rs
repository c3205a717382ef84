//! `tunesmith merge`

use super::show::Show;
use super::{Device, out};
use crate::base::{Control, Failure, Precision};
use crate::engine::Halt;
use crate::engine::jobs::{self, BaseModel};
use crate::export;
use crate::model::load::Placement;
use crate::peft::files;
use crate::project::RunFolder;
use clap::Args;
use serde_json::json;
use std::path::{Path, PathBuf};

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
    let (run, adapter) = match RunFolder::is_one(&a.from) {
        true => (a.from.clone(), a.from.join("adapter")),
        false => (a.from.parent().unwrap_or(Path::new("")).to_path_buf(), a.from.clone()),
    };
    let source = a.model.clone().or_else(|| files::base_model(&adapter)).ok_or_else(|| nameless(&adapter))?;
    let model_files = jobs::model::open(&source)?;
    // As in its file: what is widened from there is exact.
    let placement = Placement { device: a.device.into(), precision: Precision::Stored };
    let base = BaseModel::default().load(&model_files, placement, control, &mut |kind| show.take(&kind))?;
    let adapter = jobs::model::adapter(&adapter, &base)?;
    show.clear();
    let merged = export::merged(&adapter, &base, &run, &a.out)?;
    if a.json {
        out::json(&json!({ "path": a.out, "merged": merged }));
    } else {
        out::line(format!(
            "{} is a model of its own. Its logits differ from the adapter's by at most {:.1e}, where the largest is {:.1}.",
            a.out.display(),
            merged.largest_difference,
            merged.largest_logit
        ));
    }
    Ok(())
}

fn nameless(adapter: &Path) -> Failure {
    Failure::new(
        "The adapter cannot be merged",
        format!("it does not name the model that it is for, or is no adapter ({})", adapter.display()),
        "Name a run or an adapter's folder, and the model with --model.",
    )
}
