//! `tunesmith bench train|generate`

use super::asking::{self, Model};
use super::number::{at_least_one, at_least_two, share, times};
use super::out;
use super::show::Show;
use super::table::table;
use super::train::{assignment, unusable};
use super::{Device, PrecisionName};
use crate::base::{Control, DeviceChoice, Failure, hardware, human, storage};
use crate::engine::Halt;
use crate::engine::jobs::model::{self, BaseModel};
use crate::engine::jobs::{speed, train as jobs};
use crate::infer::generate::{GenerateOptions, NextLogits, generate};
use crate::infer::sampler::Sampling;
use crate::infer::session::Session;
use crate::model::config::DecoderConfig;
use crate::model::files::ModelFiles;
use crate::model::info::ModelInfo;
use crate::model::load::{LoadedModel, Placement};
use crate::recipe::plan::{DataFacts, Facts, ModelFacts, Speed};
use crate::recipe::recipe::{Checkpointing, Freeze, Lora, Method};
use crate::recipe::{Plan, Recipe, load};
use crate::train::bench::{self, BenchOptions, BenchReport};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;
use std::path::{Path, PathBuf};

/// Largest config.json that is read.
const MAX_CONFIG_BYTES: u64 = 1 << 20;

#[derive(Subcommand)]
pub enum Action {
    /// Time training: updates on random tokens
    Train(Train),
    /// Time answering: reading a prompt, then writing
    Generate(Generate),
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum CheckpointingName {
    /// As the memory that is free demands
    #[default]
    Auto,
    /// Kept
    None,
    /// Run again
    All,
}

impl From<CheckpointingName> for Checkpointing {
    fn from(name: CheckpointingName) -> Self {
        match name {
            CheckpointingName::Auto => Self::Auto,
            CheckpointingName::None => Self::None,
            CheckpointingName::All => Self::All,
        }
    }
}

#[derive(Args)]
pub struct Train {
    /// Name from `tunesmith model list`, hub id (org/name), model folder or .gguf file
    #[arg(long, required_unless_present = "config")]
    model: Option<String>,
    /// A config.json of Hugging Face's, for a model of that shape with random weights
    #[arg(long, value_name = "FILE", conflicts_with = "model", requires = "random_weights")]
    config: Option<PathBuf>,
    /// Make up the weights
    #[arg(long, requires = "config")]
    random_weights: bool,
    /// Where to compute
    #[arg(long, value_enum, default_value_t)]
    device: Device,
    /// How the model is tuned: the kind of a recipe's method, such as lora, full, ia3 or prompt
    #[arg(long, value_name = "KIND", default_value = "lora", value_parser = method)]
    method: Method,
    /// Rank of the adapter
    #[arg(long, default_value_t = 8, value_parser = at_least_one)]
    rank: usize,
    /// Topmost blocks that freezing trains
    #[arg(long, default_value_t = 2, value_parser = at_least_one)]
    blocks: usize,
    /// Virtual tokens of a prefix or a prompt
    #[arg(long, default_value_t = 20, value_parser = at_least_one)]
    virtual_tokens: usize,
    /// Examples in one update
    #[arg(long, default_value_t = 4, value_parser = at_least_one)]
    batch: usize,
    /// Tokens of an example
    #[arg(long, default_value_t = 256, value_parser = at_least_two)]
    seq: usize,
    /// Updates that count, after two to warm up
    #[arg(long, default_value_t = 10, value_parser = times)]
    updates: u64,
    /// Share of the positions that are trained on, as where only answers are
    #[arg(long, default_value_t = 1.0, value_parser = share)]
    supervised: f64,
    /// How the model's weights are kept
    #[arg(long, value_enum, default_value_t)]
    precision: PrecisionName,
    /// Whether blocks are run again on the way back instead of kept
    #[arg(long, value_enum, default_value_t)]
    checkpointing: CheckpointingName,
    /// Changes one setting of the recipe, for example optimizer.in_backward=true; may be given several times
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = assignment)]
    set: Vec<String>,
    /// Say where the time of an update goes, by operation
    #[arg(long)]
    profile: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub struct Generate {
    #[command(flatten)]
    model: Model,
    /// Tokens of the prompt
    #[arg(long, default_value_t = 128, value_parser = at_least_one)]
    prompt_tokens: usize,
    /// Tokens of the answer
    #[arg(long, default_value_t = 64, value_parser = at_least_two)]
    max_tokens: usize,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Action {
    pub fn is_json(&self) -> bool {
        match self {
            Self::Train(a) => a.json,
            Self::Generate(a) => a.json,
        }
    }
}

pub fn run(action: Action, control: &Control) -> Result<(), Halt> {
    match action {
        Action::Train(a) => train(&a, control),
        Action::Generate(a) => answer(&a, control),
    }
}

/// The usual settings of a kind of method, or of a variant.
pub(super) fn method(name: &str) -> Result<Method, String> {
    let all = Method::variants();
    let names: Vec<&str> = all.iter().map(Method::variant).collect();
    let why = format!("there are {}", names.join(", "));
    all.into_iter().find(|method| method.variant() == name.trim()).ok_or(why)
}

fn recipe(a: &Train) -> Recipe {
    let mut recipe = Recipe::default();
    let config = || a.config.as_ref().map(|path| path.display().to_string());
    recipe.model.source = a.model.clone().or_else(config).unwrap_or_default();
    recipe.model.precision = a.precision.into();
    recipe.method = match a.method.clone() {
        Method::Lora(lora) => Method::Lora(Lora { rank: a.rank, alpha: 2.0 * a.rank as f64, ..lora }),
        Method::Freeze(freeze) => Method::Freeze(Freeze { blocks: a.blocks, ..freeze }),
        other => other,
    };
    if let Some(num) = recipe.method.num_virtual_tokens_mut() {
        *num = a.virtual_tokens;
    }
    recipe.batch.max_tokens = a.seq;
    recipe.batch.micro_batch_tokens = a.batch.saturating_mul(a.seq);
    recipe.length.updates = Some(a.updates + bench::WARM_UP);
    recipe.run.device = a.device.into();
    recipe.run.checkpointing = a.checkpointing.into();
    recipe
}

/// What is measured: a model, or the shape of one.
enum Subject {
    Files(Box<ModelFiles>),
    Shape(String, Box<DecoderConfig>),
}

impl Subject {
    fn of(a: &Train) -> Result<Self, Halt> {
        let Some(path) = &a.config else {
            return Ok(Self::Files(Box::new(model::open(a.model.as_deref().unwrap_or_default())?)));
        };
        let text = storage::read_text_bounded(path, MAX_CONFIG_BYTES)
            .map_err(|e| crate::model::ModelError::of_file(path, &e))?;
        Ok(Self::Shape(path.display().to_string(), Box::new(DecoderConfig::from_json(path, &text)?)))
    }

    fn info(&self) -> ModelInfo {
        match self {
            Self::Files(files) => files.info.clone(),
            Self::Shape(source, config) => ModelInfo::of(source, Path::new(source), config),
        }
    }

    fn load(self, placement: Placement, control: &Control, show: &mut Show) -> Result<LoadedModel, Halt> {
        match self {
            Self::Files(files) => {
                BaseModel::default().load(&files, placement, control, &mut |kind| show.take(&kind))
            }
            Self::Shape(source, config) => Ok(LoadedModel::random(&source, *config, placement)?),
        }
    }
}

fn train(a: &Train, control: &Control) -> Result<(), Halt> {
    let mut recipe = recipe(a);
    load::set_all(&mut recipe, &a.set).map_err(unusable)?;
    if recipe.forgetting.text.is_some() {
        return Err(Failure::new(
            "The benchmark cannot be run",
            "forgetting.text: the benchmark trains on random tokens and reads no text",
            "Leave it out. What the divergence costs can be measured with forgetting.kl_weight alone.",
        )
        .into());
    }
    let subject = Subject::of(a)?;
    let num_tokens = (a.batch * a.seq) as u64;
    let num_read = a.batch * bench::num_read(&subject.info().config, a.seq);
    let facts = Facts {
        model: Some(ModelFacts::from(&subject.info())),
        data: Some(DataFacts {
            num_train: a.batch,
            train_tokens: num_tokens,
            trained_tokens: num_tokens - num_read as u64,
            longest_tokens: a.seq,
            labels: bench::labels(&recipe.objective),
            ..DataFacts::default()
        }),
        ..jobs::machine_facts(Path::new("."))
    }
    .of_objective(&recipe);
    let plan = Plan::new(recipe, &facts, 1).map_err(|p| jobs::refusal("The benchmark cannot be run", &p))?;
    let mut show = Show::new();
    let placement = Placement { device: a.device.into(), precision: plan.recipe().base_precision() };
    let model = subject.load(placement, control, &mut show)?;
    show.clear();
    let options = BenchOptions {
        batch: a.batch,
        seq: a.seq,
        updates: a.updates,
        supervised: a.supervised,
        profile: a.profile,
    };
    let report = bench::train(&plan, &model, options, control)?.ok_or(Halt::Stopped)?;
    let device = DeviceChoice::from(a.device).resolved(facts.has_cuda, facts.has_metal);
    speed::remember(Speed { device, flops_per_second: report.peak_flops_per_second });
    if a.json {
        out::json(&report);
    } else {
        out::line(format!(
            "{:.0} tokens/s, {} an update of {} x {} tokens, {} at its highest ({} expected), {}",
            report.tokens_per_second,
            human::secs(report.update_secs),
            a.batch,
            a.seq,
            human::bytes(report.peak_rss_bytes),
            human::bytes(report.estimated_memory_bytes),
            report.device
        ));
        out::line(format!(
            "{:.0} % of what matrix products reach here ({:.0} GFLOP/s), {} in {} blocks asked for by an update",
            100.0 * report.share_of_peak,
            report.peak_flops_per_second * 1e-9,
            human::bytes(report.allocated_bytes_per_update),
            human::count(report.allocations_per_update)
        ));
        if a.profile {
            out::line(profile(&report));
        }
    }
    Ok(())
}

/// Operations in rows, with what no operation accounts for.
fn profile(report: &BenchReport) -> String {
    let share = |secs: f64| format!("{:.1} %", 100.0 * secs / report.update_secs);
    let millis = |secs: f64| format!("{:.1} ms", 1e3 * secs);
    let mut rest = report.update_secs;
    let mut rows = Vec::new();
    for cost in &report.operations {
        let (forward, backward) = (cost.forward_secs, cost.backward_secs);
        rest -= forward + backward;
        let calls = cost.calls.to_string();
        rows.push(vec![
            cost.operation.clone(),
            calls,
            millis(forward),
            millis(backward),
            share(forward + backward),
        ]);
    }
    rows.push(vec!["the rest".into(), String::new(), String::new(), String::new(), share(rest)]);
    table(&["operation", "calls", "forward", "backward", "share"], &rows)
}

fn answer(a: &Generate, control: &Control) -> Result<(), Halt> {
    let mut show = Show::new();
    let loaded = asking::load(&a.model, control, &mut show)?;
    show.clear();
    let model = &loaded.model;
    let ids = bench::random_prompt(model.config(), a.prompt_tokens);
    let mut session = Session::new(&model.decoder, loaded.adapter.as_ref())?;
    // No end-of-text token: the answer has its full length.
    let options =
        |max_tokens| GenerateOptions { max_tokens, sampling: Sampling::default(), ..Default::default() };
    let silent = &mut |_: &str| {};
    generate(&mut session, &model.tokeniser, &ids, &options(2), control, silent)?;
    // The warm-up had the same prompt: without this its cached beginning would not be fed again.
    session.reset();
    let answer = generate(&mut session, &model.tokeniser, &ids, &options(a.max_tokens), control, silent)?;
    if control.is_stopped() {
        return Err(Halt::Stopped);
    }
    let prompt_tokens_per_second = answer.prompt_tokens as f64 / answer.time_to_first_token_secs.max(1e-9);
    if a.json {
        out::json(&json!({
            "tokens_per_second": answer.tokens_per_second,
            "prompt_tokens_per_second": prompt_tokens_per_second,
            "time_to_first_token_secs": answer.time_to_first_token_secs,
            "prompt_tokens": answer.prompt_tokens,
            "num_tokens": answer.token_ids.len(),
            "peak_rss_bytes": hardware::peak_resident_bytes(),
            "threads": hardware::num_threads(),
            "device": model.device_name(),
        }));
    } else {
        out::line(format!(
            "{:.1} tokens/s, prompt {prompt_tokens_per_second:.0} tokens/s, {}, {}",
            answer.tokens_per_second,
            human::bytes(hardware::peak_resident_bytes()),
            model.device_name()
        ));
    }
    Ok(())
}
