//! `tunesmith model get|list|inspect`

use super::out;
use super::show::Show;
use super::table::table;
use crate::base::{Control, human};
use crate::engine::Halt;
use crate::engine::jobs::{self, Report};
use crate::hub::{catalogue, download};
use crate::model::info::ModelInfo;
use clap::{Args, Subcommand};
use serde_json::json;

#[derive(Subcommand)]
pub enum Action {
    /// Download a model; what was downloaded before is checked and kept
    Get(Get),
    /// The models known by name, with their size and where they are
    List(List),
    /// What a model is: family, size, context, files
    Inspect(Inspect),
}

#[derive(Args)]
pub struct Get {
    /// Name from `tunesmith model list`, for example smollm2-135m-instruct, or a hub id (org/name)
    name: String,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub struct List {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub struct Inspect {
    /// Name from `tunesmith model list`, hub id (org/name), model folder or .gguf file
    model: String,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Action {
    pub fn is_json(&self) -> bool {
        match self {
            Self::Get(a) => a.json,
            Self::List(a) => a.json,
            Self::Inspect(a) => a.json,
        }
    }
}

pub fn run(action: Action, control: &Control) -> Result<(), Halt> {
    match action {
        Action::Get(a) => get(&a, control),
        Action::List(a) => {
            list(&a);
            Ok(())
        }
        Action::Inspect(a) => inspect(&a),
    }
}

fn get(a: &Get, control: &Control) -> Result<(), Halt> {
    let mut show = Show::new();
    let path = download::get(&a.name, control, &mut Report::to(&mut |kind| show.take(&kind)))?;
    show.clear();
    if a.json {
        out::json(&json!({ "name": a.name, "path": path }));
    } else {
        out::line(format!("{} is at {}", a.name, path.display()));
    }
    Ok(())
}

fn list(a: &List) {
    let models = catalogue::list();
    if a.json {
        out::json(&json!({ "models": models }));
        return;
    }
    let rows: Vec<Vec<String>> = models
        .into_iter()
        .map(|m| {
            let place = m.path.map_or_else(|| "not downloaded".into(), |p| p.display().to_string());
            vec![m.name, human::count(m.num_params), human::bytes(m.download_bytes), m.licence, place]
        })
        .collect();
    out::line(table(&["name", "parameters", "download", "licence", "where"], &rows));
}

fn inspect(a: &Inspect) -> Result<(), Halt> {
    let info = jobs::model::open(&a.model)?.info;
    if a.json {
        out::json(&info);
    } else {
        out::line(describe(&info));
    }
    Ok(())
}

fn describe(info: &ModelInfo) -> String {
    let yes_no = |yes: bool| if yes { "yes" } else { "no" }.to_string();
    let rows = [
        ("family", info.family.clone()),
        ("parameters", human::count(info.num_params)),
        ("layers", info.num_layers.to_string()),
        ("width", info.width.to_string()),
        ("heads", format!("{} ({} for keys and values)", info.num_heads, info.num_kv_heads)),
        ("feed-forward width", info.ffn_width.to_string()),
        ("vocabulary", human::count(info.vocabulary as u64)),
        ("context", format!("{} tokens", human::count(info.context_tokens as u64))),
        ("stored as", info.dtype.clone()),
        ("tied embeddings", yes_no(info.tied_embeddings)),
        ("chat template", yes_no(info.has_chat_template)),
        ("licence", info.licence.clone().unwrap_or_else(|| "not said".into())),
        ("where", info.path.display().to_string()),
    ];
    let mut lines: Vec<String> = rows.iter().map(|(name, value)| format!("{name:<20}{value}")).collect();
    lines.extend(info.files.iter().map(|(name, size)| format!("  {name}  {}", human::bytes(*size))));
    lines.join("\n")
}
