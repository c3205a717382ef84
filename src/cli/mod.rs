//! The command line: the same engine for tests, scripts and machines without a screen. One file a subcommand.
//!
//! Results go to standard output (one JSON object, or JSON lines, with `--json`), everything else to standard
//! error. Exit codes: 0 done, 1 failed, 2 wrong usage.

mod asking;
mod bench;
mod compare;
mod data;
mod eval;
mod generate;
mod interrupt;
mod ledger;
mod lengths;
mod model;
mod out;
mod quickstart;
mod recipe;
mod show;
mod table;
mod train;

use crate::base::{DeviceChoice, Failure};
use crate::engine::Halt;
use crate::engine::lane::on_compute_stack;
use clap::{Parser, Subcommand, ValueEnum};
use std::process::ExitCode;

/// Fine-tune a language model on your own workstation. Without a subcommand, the window opens.
#[derive(Parser)]
#[command(name = "tunesmith", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
pub enum Command {
    /// The whole job on a bundled data set: starter model, LoRA, base against tuned, a table
    Quickstart(quickstart::Arguments),
    /// Get, list and look into models
    #[command(subcommand)]
    Model(model::Action),
    /// Look into a data file before it is trained on
    #[command(subcommand)]
    Data(data::Action),
    /// Train as a recipe says
    Train(train::Arguments),
    /// Check a recipe without training
    #[command(subcommand)]
    Recipe(recipe::Action),
    /// Answer a prompt, with or without an adapter
    Generate(generate::Arguments),
    /// Measure loss, perplexity and exact match on a data file
    Eval(eval::Arguments),
    /// Answer prompts with the base and with an adapter, side by side
    Compare(compare::Arguments),
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
    Cpu,
    Cuda,
    Metal,
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
    Arguments::parse().command
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
            Self::Compare(a) => compare::run(&a, control),
            Self::Bench(a) => bench::run(a, control),
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
            Self::Compare(a) => a.json,
            Self::Bench(a) => a.is_json(),
        }
    }
}
