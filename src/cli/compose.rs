//! `tunesmith compose`

use super::show::Show;
use super::{number, out};
use crate::base::Control;
use crate::engine::Halt;
use crate::engine::jobs::compose::{self, Way};
use crate::peft::blend::{Merge, Sign};
use crate::peft::compose::{How, Part};
use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// How parts become one.
#[derive(Debug, Clone, Copy, PartialEq, ValueEnum)]
enum Name {
    /// Weighted sums of an adapter's matrices: needs equal ranks, and is a rough approximation for LoRA
    Linear,
    /// Side by side, which is exact; ranks add up
    Concatenate,
    /// The largest values, where most agree on the sign
    Ties,
    /// Values at random, scaled up, and summed
    DareLinear,
    /// Values at random, scaled up, where most agree on the sign
    DareTies,
    /// What full tuning changed, added to the base model or (with a weight below 0) taken from it
    TaskVectors,
}

/// Which sign TIES takes.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum SignName {
    /// That of the sum
    Total,
    /// That of most
    Frequency,
}

#[derive(Args)]
pub struct Arguments {
    /// Folders of runs or of adapters, also those made by PEFT; of tuned models with --how task-vectors
    #[arg(required = true, value_name = "DIR")]
    parts: Vec<PathBuf>,
    /// How much of each, in order, such as 0.7,0.3; below 0 takes away
    #[arg(long, required = true, value_delimiter = ',', value_name = "NUMBERS", value_parser = number::wide)]
    #[arg(allow_hyphen_values = true)]
    weights: Vec<f64>,
    /// How they become one
    #[arg(long, value_enum, default_value_t = Name::Linear)]
    how: Name,
    /// Share of values that are kept; of ties, dare-linear and dare-ties [default: 0.5]
    #[arg(long, value_name = "SHARE", value_parser = number::share)]
    density: Option<f64>,
    /// Whose sign counts; of ties and dare-ties [default: total]
    #[arg(long, value_enum)]
    sign: Option<SignName>,
    /// The same seed keeps the same values; of dare-linear and dare-ties [default: 42]
    #[arg(long, value_parser = number::seed)]
    seed: Option<u64>,
    /// The base model, if not the one that they say they were made for
    #[arg(long)]
    model: Option<String>,
    /// New or empty folder for the result
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

impl Arguments {
    /// Arguments that do not go together.
    pub fn contradiction(&self) -> Option<&'static str> {
        if self.parts.len() < 2 && self.how != Name::TaskVectors {
            return Some("there is nothing to compose one adapter with: name two or more");
        }
        if self.weights.len() != self.parts.len() {
            return Some("--weights needs one number for each folder, such as --weights 0.7,0.3 for two");
        }
        let draws = matches!(self.how, Name::DareLinear | Name::DareTies);
        let elects = matches!(self.how, Name::Ties | Name::DareTies);
        [
            (
                self.density.is_some(),
                draws || elects,
                "--density is for --how ties, dare-linear and dare-ties",
            ),
            (self.sign.is_some(), elects, "--sign is for --how ties and dare-ties"),
            (self.seed.is_some(), draws, "--seed is for --how dare-linear and dare-ties"),
        ]
        .into_iter()
        .find_map(|(is_set, counts, why)| (is_set && !counts).then_some(why))
    }

    fn way(&self) -> Way {
        let density = self.density.unwrap_or(0.5);
        let sign = match self.sign {
            Some(SignName::Frequency) => Sign::Frequency,
            Some(SignName::Total) | None => Sign::Total,
        };
        let dare = |with| How::Dare { density, seed: self.seed.unwrap_or(42), with };
        Way::Adapters(match self.how {
            Name::Linear => How::Linear,
            Name::Concatenate => How::Concatenate,
            Name::Ties => How::Ties { density, sign },
            Name::DareLinear => dare(Merge::Linear),
            Name::DareTies => dare(Merge::Ties(sign)),
            Name::TaskVectors => return Way::TaskVectors,
        })
    }
}

pub fn run(a: &Arguments, control: &Control) -> Result<(), Halt> {
    let part = |(folder, weight): (&PathBuf, &f64)| Part { folder: folder.clone(), weight: *weight };
    let parts: Vec<Part> = a.parts.iter().zip(&a.weights).map(part).collect();
    let mut show = Show::new();
    let model = a.model.as_deref();
    compose::run(&parts, a.way(), model, &a.out, control, &mut |kind| show.take(&kind))?;
    show.clear();
    if a.json {
        out::json(&serde_json::json!({ "path": a.out }));
    } else {
        let what = if a.how == Name::TaskVectors { "model" } else { "adapter" };
        out::line(format!("The {what} is at {}", a.out.display()));
    }
    Ok(())
}
