//! How good a model is on rows of data, with and without an adapter.

use super::Report;
use crate::base::{Control, Progress, Unit};
use crate::data::prepare::Dataset;
use crate::data::shots::{LineFormat, Shot};
use crate::data::{Example, Sample};
use crate::engine::halt::Halt;
use crate::engine::lane::Sink;
use crate::eval::run::{self, Asked, Asking, Reached, Scored};
use crate::infer::generate::GenerateOptions;
use crate::infer::sampler::Sampling;
use crate::infer::session::Session;
use crate::model::hooks::{Hooks, NoHooks};
use crate::model::load::LoadedModel;
use crate::objective::Language;
use crate::peft::Adapter;
use crate::train::validate::{LossTotal, Measured, loss_of};

/// Tokens of one forward pass while the loss is measured.
pub(super) const BUDGET_TOKENS: usize = 1024;

/// How questions are put to the model.
#[derive(Debug, Clone, Default)]
pub struct Style {
    /// With the model's chat template, if it has one; as text otherwise.
    pub chat: bool,
    /// How an example becomes a line of text.
    pub format: LineFormat,
    /// Shown before the question, as many as `num_shots` says.
    pub shots: Vec<Shot>,
    pub num_shots: usize,
}

impl Style {
    /// The question alone.
    pub fn zero_shot(chat: bool) -> Self {
        Self { chat, ..Self::default() }
    }

    fn asking(&self, model: &LoadedModel) -> Asking {
        Asking {
            format: (!self.is_chat(model)).then(|| self.format.clone()),
            instruction: None,
            shots: self.shots.clone(),
            num_shots: self.num_shots,
        }
    }

    fn is_chat(&self, model: &LoadedModel) -> bool {
        self.chat && model.template.has_chat()
    }

    /// Where an answer ends besides at the end of text.
    pub fn stop(&self, model: &LoadedModel) -> Vec<String> {
        let asking = self.asking(model);
        if asking.num_shown() > 0 { asking.stop() } else { Vec::new() }
    }

    /// A question ready to send.
    pub fn ask(&self, model: &LoadedModel, question: &str, expected: Option<String>) -> Result<Asked, Halt> {
        let prompt = self.asking(model).prompt(&model.template, question)?;
        Ok(Asked::new(prompt, &model.tokeniser, expected)?)
    }

    /// The prompt of a row, if it has an answer to compare with. Without shots it is exactly what training showed.
    fn ask_example(&self, model: &LoadedModel, example: &Example) -> Result<Option<Asked>, Halt> {
        let (prompt, expected) = model.template.example_prompt(example, self.chat)?;
        if expected.is_none() {
            return Ok(None);
        }
        match Shot::of(example) {
            Some(shot) if self.asking(model).num_shown() > 0 => {
                Ok(Some(self.ask(model, &shot.input, expected)?))
            }
            _ => Ok(Some(Asked::new(prompt, &model.tokeniser, expected)?)),
        }
    }
}

/// Rows of a data set as prompts; rows without an answer to compare with are left out.
pub fn ask_rows(
    model: &LoadedModel,
    dataset: &Dataset,
    rows: &[usize],
    style: &Style,
) -> Result<Vec<Asked>, Halt> {
    let mut asked = Vec::new();
    for example in rows.iter().filter_map(|row| dataset.example(*row)) {
        asked.extend(style.ask_example(model, &example)?);
    }
    Ok(asked)
}

/// Greedy answers of at most `max_tokens`.
pub fn greedy(model: &LoadedModel, max_tokens: usize, stop: Vec<String>) -> GenerateOptions {
    GenerateOptions { max_tokens, sampling: Sampling::default(), stop, eos_ids: model.text.eos_ids.clone() }
}

/// Answers all prompts, with progress under the name `phase`.
pub fn answer_all(
    model: &LoadedModel,
    adapter: Option<&Adapter>,
    asked: &[Asked],
    options: &GenerateOptions,
    phase: &str,
    control: &Control,
    sink: &mut Sink<'_>,
) -> Result<Vec<Scored>, Halt> {
    let mut session = Session::new(&model.decoder, adapter)?;
    let mut report = Report::to(sink);
    report.report(phase, 0, None, Unit::Tokens);
    let mut on_progress = |reached: Reached<'_>| {
        let (done, most) = (reached.num_tokens as u64, reached.most_tokens as u64);
        report.report(phase, done, Some(most), Unit::Tokens);
        control.wait_while_paused();
    };
    let scored = run::answer_all(&mut session, &model.tokeniser, asked, options, control, &mut on_progress)?;
    if scored.len() < asked.len() { Err(Halt::Stopped) } else { Ok(scored) }
}

/// The loss over samples, with progress under the name `phase`.
pub fn loss(
    model: &LoadedModel,
    adapter: Option<&Adapter>,
    samples: &[&Sample],
    phase: &str,
    control: &Control,
    sink: &mut Sink<'_>,
) -> Result<LossTotal, Halt> {
    let hooks: Box<dyn Hooks> = match adapter {
        Some(adapter) => adapter.hooks()?,
        None => Box::new(NoHooks),
    };
    let mut report = Report::to(sink);
    let mut goes_on = |done: usize| {
        report.report(phase, done as u64, Some(samples.len() as u64), Unit::Examples);
        control.wait_while_paused();
        Ok(!control.is_stopped())
    };
    let measured =
        Measured { model, hooks: hooks.as_ref(), objective: &Language, budget_tokens: BUDGET_TOKENS };
    loss_of(measured, samples, &mut goes_on, &|| Ok(()))?.ok_or(Halt::Stopped)
}
