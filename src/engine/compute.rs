//! The lane that computes: it trains and answers, one job at a time, and holds the base model in between.

use super::command::Command;
use super::event::EventKind;
use super::halt::Halt;
use super::jobs::{BaseModel, Embedded, LastRead, answer, ask, compose, merge, methods, speed, train};
use super::lane::{Carrier, Sink};
use crate::base::{Control, DeviceChoice};
use crate::project::run_folder::free_path;
use crate::project::{Outcome, RunFolder, adapters, comparisons};
use crate::recipe::Recipe;
use std::path::Path;

#[derive(Default)]
pub(super) struct Compute {
    base: BaseModel,
    embedded: Embedded,
    data: LastRead,
}

impl Carrier for Compute {
    fn carry_out(&mut self, command: Command, control: &Control, sink: &mut Sink<'_>) -> Result<(), Halt> {
        // A run has better use for the memory.
        if !matches!(command, Command::Ask(_) | Command::Generate(_) | Command::MeasureSpeed) {
            self.embedded.forget();
        }
        match command {
            Command::MeasureSpeed => {
                sink(EventKind::Speed(speed::measured()?));
                Ok(())
            }
            Command::Train { project, recipe } => {
                self.train(&project, &train::settled(*recipe)?, control, sink)
            }
            Command::ResumeRun { folder } => {
                ended(train::resume(&mut self.base, &self.data, &folder, control, sink)?)
            }
            Command::CompareMethods { project, recipe, methods } => {
                let recipe = train::settled(*recipe)?;
                let folder = free_path(&project.join(comparisons::FOLDER), &train::name_hint(&recipe));
                methods::compare(self.held(), &recipe, &methods, &folder, control, sink)?;
                Ok(())
            }
            Command::ResumeComparison { folder } => {
                methods::resume(self.held(), &folder, control, sink)?;
                Ok(())
            }
            Command::MergeAdapter { run, to } => {
                let from = merge::From { folder: &run, model: None, device: DeviceChoice::Auto };
                let merged = merge::run(&mut self.base, from, &to, control, sink)?;
                sink(EventKind::Merged { run, to, merged });
                Ok(())
            }
            Command::SaveMix { project, name, model, parts, way } => {
                let to = adapters::path(&project, &name);
                compose::run(&parts, way, Some(&model), &to, control, sink)?;
                sink(EventKind::Adapters(adapters::list(&project)?));
                Ok(())
            }
            Command::Generate(request) => answer::run(&mut self.base, &request, control, sink),
            Command::Ask(request) => ask::run(&mut self.base, &mut self.embedded, &request, control, sink),
            _ => Ok(()),
        }
    }

    fn recover(&mut self) {
        self.base.forget();
        self.embedded.forget();
    }
}

impl Compute {
    /// `data` is shared with the lane that reads files.
    pub fn new(data: LastRead) -> Self {
        Self { data, ..Self::default() }
    }

    fn held(&mut self) -> methods::Held<'_> {
        methods::Held { base: &mut self.base, data: &self.data }
    }

    fn train(
        &mut self,
        project: &Path,
        recipe: &Recipe,
        control: &Control,
        sink: &mut Sink<'_>,
    ) -> Result<(), Halt> {
        let runs = project.join("runs");
        let ready = train::ready(recipe, &self.data, &runs, control, sink)?;
        let folder = RunFolder::create_in(&runs, &train::name_hint(recipe), recipe)?;
        ended(train::start(&mut self.base, &ready, &folder, control, sink)?)
    }
}

/// A run that a person ended is a job that was stopped.
fn ended(outcome: Outcome) -> Result<(), Halt> {
    match outcome {
        Outcome::Stopped | Outcome::Discarded => Err(Halt::Stopped),
        Outcome::Done | Outcome::StoppedEarly | Outcome::Failed => Ok(()),
    }
}
