//! The command line: the same engine for tests, scripts and machines without a screen. One file a subcommand.
//!
//! Results go to standard output (one JSON object, or JSON lines, with `--json`), everything else to standard
//! error. Exit codes: 0 done, 1 failed, 2 wrong usage.

mod adopt;
mod asking;
mod bench;
mod compare;
mod compose;
mod data;
mod eval;
mod generate;
mod interrupt;
mod ledger;
mod lengths;
mod merge;
mod methods;
mod model;
mod number;
mod out;
mod predict;
mod quickstart;
mod recipe;
mod show;
mod table;
mod train;

use crate::base::{DeviceChoice, Failure, Precision};
use crate::engine::Halt;
use crate::engine::lane::on_compute_stack;
use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use std::process::ExitCode;

const FIRST_STEPS: &str = "\
First steps:
  tunesmith quickstart                         see it work on a bundled example
  tunesmith data inspect my.csv                is my file understood?
  tunesmith recipe show balanced > my.toml     a recipe to start from
  tunesmith train --recipe my.toml --set data.path=my.csv --out my-run
  tunesmith compare --model smollm2-135m-instruct --adapter my-run/adapter --prompts prompts.txt

Exit codes: 0 done, 1 failed or stopped, 2 wrong usage.
More on each command: tunesmith COMMAND --help";

/// Fine-tune a language model on your own workstation. Without a subcommand, the window opens.
#[derive(Parser)]
#[command(name = "tunesmith", version, max_term_width = 100, after_help = FIRST_STEPS)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
pub enum Command {
    /// See it work: get the starter model, train it on a bundled example, compare before and after
    Quickstart(quickstart::Arguments),
    /// Download, list and look into models
    #[command(subcommand)]
    Model(model::Action),
    /// Look into a data file before it is trained on
    #[command(subcommand)]
    Data(data::Action),
    /// Train a model on a data file, as a recipe says; or go on with a run that was stopped
    Train(train::Arguments),
    /// List and show the recipes that come along; check one without training
    #[command(subcommand)]
    Recipe(recipe::Action),
    /// Answer a prompt, with the base model or with what was trained (an adapter)
    Generate(generate::Arguments),
    /// Say the class, the score or the likeness of texts, by a model that was tuned for it
    Predict(predict::Arguments),
    /// Measure a model on a data file: loss, perplexity, exact match
    Eval(eval::Arguments),
    /// Answer prompts with the base model and with an adapter, side by side
    Compare(compare::Arguments),
    /// Work what was trained into the model's weights: a model folder that needs no adapter
    Merge(merge::Arguments),
    /// Make one adapter out of several of one base model, or one model out of several tuned ones
    Compose(compose::Arguments),
    /// Say once which model an adapter of another program is for, where that is called otherwise here
    Adopt(adopt::Arguments),
    /// Train with several methods on the same data and compare what they need and reach
    Methods(methods::Arguments),
    /// Measure how fast this machine is
    #[command(subcommand)]
    Bench(bench::Action),
}

/// Where to compute.
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum Device {
    /// The best one there is
    #[default]
    Auto,
    /// The processor
    Cpu,
    /// An NVIDIA GPU; needs a build with CUDA
    Cuda,
    /// An Apple GPU; needs a build with Metal
    Metal,
}

/// How the frozen weights are kept in memory.
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum PrecisionName {
    /// 4 bytes a weight: the fastest
    #[default]
    F32,
    /// As they are in the file
    Stored,
    /// 2 bytes a weight
    Bf16,
    /// About 8.5 bits a weight
    #[value(name = "q8_0")]
    Q8_0,
    /// About 5.5 bits a weight
    #[value(name = "q5_0")]
    Q5_0,
    /// About 4.5 bits a weight
    #[value(name = "q4_0")]
    Q4_0,
}

impl From<PrecisionName> for Precision {
    fn from(name: PrecisionName) -> Self {
        match name {
            PrecisionName::F32 => Self::F32,
            PrecisionName::Stored => Self::Stored,
            PrecisionName::Bf16 => Self::Bf16,
            PrecisionName::Q8_0 => Self::Q8_0,
            PrecisionName::Q5_0 => Self::Q5_0,
            PrecisionName::Q4_0 => Self::Q4_0,
        }
    }
}

impl From<Device> for DeviceChoice {
    fn from(device: Device) -> Self {
        match device {
            Device::Auto => Self::Auto,
            Device::Cpu => Self::Cpu,
            Device::Cuda => Self::Cuda,
            Device::Metal => Self::Metal,
        }
    }
}

/// Reads the arguments; `None` asks for the window. Wrong usage ends the process with exit code 2.
pub fn parse() -> Option<Command> {
    let mut usage = taking_negative_numbers(Arguments::command());
    let matches = usage.get_matches_mut();
    let arguments = Arguments::from_arg_matches(&matches).unwrap_or_else(|e| e.format(&mut usage).exit());
    if let Some((name, why)) = arguments.command.as_ref().and_then(Command::contradiction) {
        usage.build();
        let of_command =
            usage.find_subcommand_mut(name).map(|command| command.error(ErrorKind::ArgumentConflict, why));
        of_command.unwrap_or_else(|| clap::Error::new(ErrorKind::ArgumentConflict)).exit();
    }
    arguments.command
}

/// So that `--temperature -1` is a temperature that can be refused in words, and not an unknown option "-1".
fn taking_negative_numbers(usage: clap::Command) -> clap::Command {
    let each = |argument: clap::Arg| {
        let takes_value = argument.get_action().takes_values();
        argument.allow_negative_numbers(takes_value)
    };
    usage.mut_args(each).mut_subcommands(taking_negative_numbers)
}

/// Carries out a subcommand, with its results on standard output.
pub fn run(command: Command) -> ExitCode {
    let _already_set =
        env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("error")).try_init();
    let control = interrupt::control();
    let is_json = command.is_json();
    let result =
        on_compute_stack(|| command.carry_out(&control)).unwrap_or_else(|failure| Err(failure.into()));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(halt) => {
            out::halt(&halt, is_json);
            ExitCode::FAILURE
        }
    }
}

/// Says how the window ended.
pub fn exit(result: Result<(), Failure>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            out::halt(&failure.into(), false);
            ExitCode::FAILURE
        }
    }
}

impl Command {
    fn carry_out(self, control: &crate::base::Control) -> Result<(), Halt> {
        match self {
            Self::Quickstart(a) => quickstart::run(&a, control),
            Self::Model(a) => model::run(a, control),
            Self::Data(a) => data::run(a, control),
            Self::Train(a) => train::run(&a, control),
            Self::Recipe(a) => recipe::run(a, control),
            Self::Generate(a) => generate::run(&a, control),
            Self::Eval(a) => eval::run(&a, control),
            Self::Predict(a) => predict::run(&a, control),
            Self::Compare(a) => compare::run(&a, control),
            Self::Merge(a) => merge::run(&a, control),
            Self::Compose(a) => compose::run(&a, control),
            Self::Adopt(a) => adopt::run(&a),
            Self::Methods(a) => methods::run(&a, control),
            Self::Bench(a) => bench::run(a, control),
        }
    }

    /// Arguments that do not go together, where it needs more words than clap has.
    fn contradiction(&self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Train(a) => a.contradiction().map(|why| ("train", why)),
            Self::Compose(a) => a.contradiction().map(|why| ("compose", why)),
            _ => None,
        }
    }

    fn is_json(&self) -> bool {
        match self {
            Self::Quickstart(a) => a.json,
            Self::Model(a) => a.is_json(),
            Self::Data(a) => a.is_json(),
            Self::Train(a) => a.json,
            Self::Recipe(a) => a.is_json(),
            Self::Generate(a) => a.json,
            Self::Eval(a) => a.json,
            Self::Predict(a) => a.json,
            Self::Compare(a) => a.json,
            Self::Merge(a) => a.json,
            Self::Compose(a) => a.json,
            Self::Adopt(a) => a.json,
            Self::Methods(a) => a.json,
            Self::Bench(a) => a.is_json(),
        }
    }
}
