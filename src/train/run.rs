//! The training loop.

mod answers;
mod ending;
mod measures;
mod shortage;
mod tested;

use self::ending::stopped_before;
use super::curriculum::Grading;
use super::early_stop::Policy;
use super::error::Failed;
use super::feed::Rows;
use super::memory::{self, Meter};
use super::report::{Listener, Reporter};
use super::trainer::{Trainer, UpdateReport};
use super::{TrainError, checkpoint, curriculum, objective, profile};
use crate::base::{Control, Explain, Failure, human};
use crate::data::GeneralText;
use crate::data::prepare::Dataset;
use crate::data::split::spread;
use crate::model::load::LoadedModel;
use crate::nn;
use crate::objective::Objective;
use crate::project::event::{OperationCost, Phase};
use crate::project::{Outcome, RunEvent, RunFolder};
use crate::recipe::{Plan, Recipe, Task, recipe};
use std::time::Instant;

/// What a run hears and sees of the world while it goes.
#[derive(Clone, Copy)]
pub struct Outside<'a> {
    pub control: &'a Control,
    /// Memory of this process now, in bytes.
    pub resident_bytes: &'a dyn Fn() -> u64,
}

/// Trains `plan` on the data set of each of its tasks into `folder`; with `resume`, goes on from its latest checkpoint.
///
/// Events reach `listener` after they are in `metrics.jsonl`. A failure leaves the last good checkpoint intact and
/// is reported as `RunEvent::Failed` besides being returned.
pub fn run(
    plan: &Plan,
    model: &LoadedModel,
    datasets: &[Dataset],
    folder: &RunFolder,
    resume: bool,
    outside: Outside<'_>,
    listener: &mut dyn Listener,
) -> Result<Outcome, Failed> {
    let mut reporter = Reporter::new(folder, listener);
    let meter = Meter::new(outside.resident_bytes, plan.memory_limit_bytes());
    let tasks = objective::tasks(plan, datasets);
    let objectives = tasks.iter().zip(datasets);
    let objectives =
        objectives.map(|(task, data)| objective::of(task, model, objective::class_weights(task, data)));
    let objectives = match objectives.collect::<Result<Vec<_>, _>>() {
        Ok(objectives) => objectives,
        Err(error) => return Err(fail(&mut reporter, 0, error, folder)),
    };
    let grading = Grading { plan, model, datasets, folder, meter: &meter };
    let orders = match curriculum::orders(grading, outside.control, &mut reporter) {
        Ok(Some(orders)) => orders,
        Ok(None) => return Ok(stopped_before(&mut reporter, outside.control, folder)),
        Err(error) => return Err(fail(&mut reporter, 0, error, folder)),
    };
    let begin = Begin { plan, model, folder, resume, orders };
    let each = tasks.iter().zip(&objectives).zip(datasets).zip(plan.recipe().each_task());
    let learnt = each.map(|(((task, objective), dataset), recipe)| {
        Learnt::new(task, &**objective, dataset, recipe, plan.recipe())
    });
    let mut run = match Run::begin(begin, learnt.collect(), meter) {
        Ok(run) => run,
        Err(error) => return Err(fail(&mut reporter, 0, error, folder)),
    };
    match run.train(outside.control, &mut reporter) {
        Ok(outcome) => Ok(outcome),
        Err(error) => Err(fail(&mut reporter, run.trainer.position.update.0, error, folder)),
    }
}

fn fail(reporter: &mut Reporter, update: u64, error: TrainError, folder: &RunFolder) -> Failed {
    let error = Box::new(memory::recognised(error));
    let failed = Failed { error, kept: folder.checkpoints().last().copied() };
    let failure = Failure { title: failed.title(), detail: failed.to_string(), hint: failed.hint() };
    let _logged = reporter.log(&failure.to_string());
    reporter.send_anyway(RunEvent::Failed { update, failure });
    failed
}

type Updated = Result<Option<UpdateReport>, TrainError>;

/// What a run is made of.
struct Begin<'a> {
    plan: &'a Plan,
    model: &'a LoadedModel,
    folder: &'a RunFolder,
    resume: bool,
    /// Of the rows of each task, where there is one.
    orders: Vec<Vec<usize>>,
}

/// A task of the run: the only one, or one of several.
struct Learnt<'a> {
    task: &'a Task,
    objective: &'a dyn Objective,
    dataset: &'a Dataset,
    /// Render conversations with the model's chat template.
    chat: bool,
    /// Validation rows that are measured.
    valid: Vec<usize>,
}

impl<'a> Learnt<'a> {
    fn new(
        task: &'a Task,
        objective: &'a dyn Objective,
        dataset: &'a Dataset,
        own: Recipe,
        whole: &Recipe,
    ) -> Self {
        let trainable = |i: &usize| dataset.samples[*i].num_trained() > 0;
        let valid: Vec<usize> = dataset.split.valid.iter().copied().filter(trainable).collect();
        let valid = spread(&valid, whole.validation.max_examples);
        Self { task, objective, dataset, chat: own.data.chat, valid }
    }

    fn is_supervised(&self) -> bool {
        matches!(self.task.objective, recipe::Objective::Supervised { .. })
    }
}

struct Run<'a> {
    tasks: Vec<Learnt<'a>>,
    plan: &'a Plan,
    model: &'a LoadedModel,
    folder: &'a RunFolder,
    trainer: Trainer<'a>,
    policy: Policy,
    text: Option<&'a GeneralText>,
    num_train: usize,
    from_update: u64,
    began: Instant,
    secs_before: f64,
    /// What the base model answers, or why it cannot; asked once.
    base_answers: Option<Vec<Result<String, String>>>,
    /// That some questions have no answers was said.
    has_told_unanswered: bool,
    last_checkpoint: Option<u64>,
    /// What had to be passed over to go on.
    notices: Vec<String>,
}

impl<'a> Run<'a> {
    fn begin(begin: Begin<'a>, tasks: Vec<Learnt<'a>>, meter: Meter<'a>) -> Result<Self, TrainError> {
        let Begin { plan, model, folder, resume, orders } = begin;
        let recipe = plan.recipe();
        let mut orders = orders.into_iter();
        let rows = |task: &Learnt<'a>| {
            let samples = task.dataset.split.train.iter().map(|i| &task.dataset.samples[*i]).collect();
            Rows { objective: task.objective, samples, order: orders.next() }
        };
        let num_rows: usize = tasks.iter().map(|task| task.dataset.split.train.len()).sum();
        let text = tasks.iter().find_map(|task| task.dataset.general_text.as_ref());
        let pieces = text.map_or(&[][..], |text| &text.rest);
        let mut trainer = Trainer::new(plan, model, tasks.iter().map(rows).collect(), pieces, meter)?;
        let num_train = trainer.num_samples();
        let mut notices = Vec::new();
        if text.is_some_and(|text| text.is_cut) {
            notices.push("The general text is long: only its beginning is used.".into());
        }
        if num_train < num_rows {
            let rows = human::plural((num_rows - num_train) as u64, "training row");
            notices.push(format!("{rows} without a token to learn from: passed over."));
        }
        if resume {
            notices.extend(checkpoint::restore_latest(&mut trainer, folder)?);
            folder.truncate_after(trainer.position.update.0)?;
        }
        let early = &recipe.early_stop;
        Ok(Self {
            policy: Policy { patience: early.enabled.then_some(early.patience), min_gain: early.min_gain },
            from_update: trainer.position.update.0,
            secs_before: trainer.position.secs,
            began: Instant::now(),
            base_answers: None,
            has_told_unanswered: false,
            last_checkpoint: None,
            notices,
            num_train,
            text,
            tasks,
            plan,
            model,
            folder,
            trainer,
        })
    }

    /// Whether the tasks have names.
    fn has_several(&self) -> bool {
        self.plan.recipe().has_tasks()
    }

    fn train(&mut self, control: &Control, reporter: &mut Reporter) -> Result<Outcome, TrainError> {
        self.announce(reporter)?;
        self.try_memory(control, reporter)?;
        if self.measure_before(control, reporter)?.is_none() {
            return self.stop(control, reporter);
        }
        loop {
            // Also before the first update: a run that was stopped while it validated goes on with that validation.
            match self.settle(control, reporter)? {
                Some(Outcome::Stopped) => return self.stop(control, reporter),
                Some(outcome) => return self.finish(outcome, control, reporter),
                None => reporter.wait_while_paused(control, Phase::Training)?,
            }
            let start = Instant::now();
            let (outcome, costs) = self.update(control);
            let report = match outcome {
                Ok(Some(report)) => report,
                Ok(None) => return self.stop(control, reporter),
                Err(TrainError::OutOfMemory(shortage)) => {
                    self.give_in(shortage, reporter)?;
                    continue;
                }
                Err(error) => return Err(error),
            };
            let secs = start.elapsed().as_secs_f64();
            self.report_update(report, secs, reporter)?;
            if let Some(operations) = costs {
                let update = self.trainer.position.update.0;
                reporter.send(RunEvent::Profile { update, update_secs: secs, operations })?;
            }
            self.trainer.position.owes_validation = self.is_validation_due();
        }
    }

    /// The next update, and what its operations cost where that is due to be measured.
    fn update(&mut self, control: &Control) -> (Updated, Option<Vec<OperationCost>>) {
        if !profile::is_due(self.trainer.position.update.0 + 1) {
            return (self.trainer.update(control), None);
        }
        let (outcome, costs) = nn::profile::measured(|| self.trainer.update(control));
        (outcome, Some(profile::operations(costs, 1)))
    }

    /// Validates and saves where the last update makes that due; how the run ends, if it ends here.
    fn settle(&mut self, control: &Control, reporter: &mut Reporter) -> Result<Option<Outcome>, TrainError> {
        let update = self.trainer.position.update.0;
        let is_last = update >= self.plan.num_updates();
        if self.trainer.position.owes_validation && self.validate(control, reporter)?.is_none() {
            return Ok(Some(Outcome::Stopped));
        }
        // Also of a run that was stopped while its test rows were measured.
        let is_over = self.policy.is_over(&self.trainer.position.validation) && !is_last;
        let is_new = update > self.from_update;
        let is_due = self.is_due(self.plan.checkpoint_every(), update);
        if is_new && (control.take_save_now() || is_over || is_due) {
            self.save(reporter)?;
        }
        Ok(if is_over { Some(Outcome::StoppedEarly) } else { is_last.then_some(Outcome::Done) })
    }

    fn is_due(&self, every: u64, update: u64) -> bool {
        every != u64::MAX && update.is_multiple_of(every.max(1))
    }

    fn announce(&mut self, reporter: &mut Reporter) -> Result<(), TrainError> {
        let device = self.model.device_name();
        reporter.log(&format!(
            "{} from update {} of {} on {device}, {} trainable parameters, {} training rows",
            if self.from_update == 0 { "Starting" } else { "Going on" },
            self.from_update,
            self.plan.num_updates(),
            self.trainer.adapter.params.num_values(),
            self.num_train,
        ))?;
        reporter.send(RunEvent::Started {
            time: self.folder.now(),
            num_updates: self.plan.num_updates(),
            updates_per_epoch: self.plan.updates_per_epoch(),
            num_train: self.num_train,
            num_valid: self.tasks.iter().map(|task| task.valid.len()).sum(),
            num_trainable_params: self.trainer.adapter.params.num_values() as u64,
            estimated_memory_bytes: self.plan.estimate().memory_bytes,
            estimated_secs: self.plan.estimate().secs,
            device,
            from_update: self.from_update,
        })?;
        for text in std::mem::take(&mut self.notices) {
            self.notice(text, reporter)?;
        }
        reporter.send(RunEvent::Phase { phase: Phase::Training })
    }

    /// Says something that is no failure, in the log as well.
    fn notice(&self, text: String, reporter: &mut Reporter) -> Result<(), TrainError> {
        reporter.log(&text)?;
        reporter.send(RunEvent::Notice { text })
    }

    fn report_update(
        &mut self,
        r: UpdateReport,
        secs: f64,
        reporter: &mut Reporter,
    ) -> Result<(), TrainError> {
        self.trainer.position.secs = self.secs_before + self.began.elapsed().as_secs_f64();
        reporter.send(RunEvent::Update {
            update: self.trainer.position.update.0,
            epoch: self.trainer.epochs(),
            loss: r.loss,
            learning_rate: r.learning_rate,
            grad_norm: r.grad_norm,
            num_tokens: r.num_tokens,
            tokens_per_second: r.num_tokens as f64 / secs.max(1e-9),
            update_secs: secs,
            memory_bytes: self.trainer.meter.now_bytes(),
            replay_loss: r.replay_loss,
            divergence: r.divergence,
        })?;
        if !self.has_several() {
            return Ok(());
        }
        let named = r.task_losses.iter().map(|(task, loss)| (self.tasks[*task].task.name.clone(), *loss));
        let update = self.trainer.position.update.0;
        reporter.send(RunEvent::TaskLosses { update, losses: named.collect() })
    }
}
