//! The lane that reads and writes: models, data files, runs, prompts. It keeps the open project's lock.

use super::command::Command;
use super::event::EventKind;
use super::halt::Halt;
use super::jobs::{LastRead, Report, adopt, data, model, train};
use super::lane::{Carrier, Sink};
use crate::base::Control;
use crate::data::prepare::Dataset;
use crate::hub;
use crate::project::{Project, RunFolder, adapters, comparisons, data_ledger, prompt_set, runs, samples};
use crate::recipe::load;
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[derive(Default)]
pub(super) struct Io {
    project: Option<Project>,
    data: LastRead,
}

impl Carrier for Io {
    fn carry_out(&mut self, command: Command, control: &Control, sink: &mut Sink<'_>) -> Result<(), Halt> {
        match command {
            Command::OpenProject { folder } => self.open_project(&folder, sink)?,
            Command::Remember { project, memory } => {
                if let Some(open) = self.project.as_mut().filter(|open| open.folder() == project) {
                    open.remember(*memory)?;
                }
            }
            Command::LookAtMachine { folder } => sink(EventKind::Machine(train::machine_facts(&folder))),
            Command::ListModels => sink(EventKind::Models(hub::catalogue::list())),
            Command::InspectModel { source } => inspect(source, sink)?,
            Command::DownloadModel { name } => {
                hub::download::get(&name, control, &mut Report::to(sink))?;
                sink(EventKind::Models(hub::catalogue::list()));
            }
            Command::Import { path, options } => {
                let imported = self.data.read(&path, &options, control, sink)?;
                sink(EventKind::Imported(imported));
            }
            Command::Prepare { imported, model, options } => {
                let files = model::open(&model)?;
                let dataset = Arc::new(data::prepare_for(&imported, &files, &options, control, sink)?);
                sink(EventKind::Prepared(Arc::clone(&dataset)));
                self.keep_ledger(&dataset);
            }
            Command::ReadRecipe { path } => {
                let recipe = load::from_file(&path)
                    .map_err(|problems| train::refusal("The recipe cannot be used", &problems))?;
                sink(EventKind::Recipe { path, recipe: Box::new(recipe) });
            }
            Command::ListRuns { project } => sink(EventKind::Runs(runs::list(&project.join("runs"))?)),
            Command::ReadRun { folder } => {
                let events = RunFolder::open(&folder)?.events()?;
                sink(EventKind::RunRead { folder, events });
            }
            Command::DeleteRun { folder } => {
                runs::delete(&folder)?;
                if let Some(siblings) = folder.parent() {
                    sink(EventKind::Runs(runs::list(siblings)?));
                }
            }
            Command::ListComparisons { project } => {
                sink(EventKind::Comparisons(comparisons::list(&project)?));
            }
            Command::DeleteComparison { project, folder } => {
                comparisons::delete(&folder)?;
                sink(EventKind::Comparisons(comparisons::list(&project)?));
            }
            Command::ListPromptSets { project } => list_prompt_sets(&project, sink)?,
            Command::SavePromptSet { project, set } => {
                prompt_set::save(&project.join("prompts"), &set)?;
                list_prompt_sets(&project, sink)?;
            }
            Command::ListAdapters { project } => sink(EventKind::Adapters(adapters::list(&project)?)),
            Command::DeleteAdapter { project, folder } => {
                adapters::delete(&project, &folder)?;
                sink(EventKind::Adapters(adapters::list(&project)?));
            }
            Command::ReadAdapter { folder } => read_adapter(folder, sink),
            Command::AdoptAdapter { folder, model } => {
                adopt::run(&folder, &model)?;
                read_adapter(folder, sink);
            }
            Command::ExportAdapter { run, to } => {
                crate::export::adapter(&run, &to)?;
                sink(EventKind::Exported { to });
            }
            Command::MeasureSpeed
            | Command::Train { .. }
            | Command::ResumeRun { .. }
            | Command::CompareMethods { .. }
            | Command::ResumeComparison { .. }
            | Command::MergeAdapter { .. }
            | Command::SaveMix { .. }
            | Command::Generate(_) => {}
        }
        Ok(())
    }

    fn recover(&mut self) {}
}

impl Io {
    /// `data` is shared with the lane that trains.
    pub fn new(data: LastRead) -> Self {
        Self { data, ..Self::default() }
    }

    /// The data set is sound even where its ledger cannot be written, and the window shows it anyway.
    fn keep_ledger(&self, dataset: &Dataset) {
        let Some(project) = &self.project else { return };
        if let Err(error) = data_ledger::save(project.folder(), dataset) {
            log::warn!("the row ledger was not kept: {error}");
        }
    }

    fn open_project(&mut self, folder: &Path, sink: &mut Sink<'_>) -> Result<(), Halt> {
        if self.project.as_ref().is_none_or(|open| open.folder() != folder) {
            // The old one stays open when the new one cannot be opened.
            self.project = Some(Project::open(folder)?);
            samples::write_missing(folder)?;
        }
        if let Some(project) = &self.project {
            sink(EventKind::Project(project.view()));
        }
        Ok(())
    }
}

fn read_adapter(folder: PathBuf, sink: &mut Sink<'_>) {
    let model = crate::peft::files::base_model(&folder);
    sink(EventKind::AdapterModel { folder, model });
}

fn list_prompt_sets(project: &Path, sink: &mut Sink<'_>) -> Result<(), Halt> {
    sink(EventKind::PromptSets(prompt_set::list(&project.join("prompts"))?));
    Ok(())
}

/// The headers first, which are quick, then the tokenizer.
fn inspect(source: String, sink: &mut Sink<'_>) -> Result<(), Halt> {
    let files = model::open(&source)?;
    sink(EventKind::Model(files.info.clone()));
    let (tokeniser, template) = (files.tokeniser()?, files.template()?);
    sink(EventKind::Tokeniser { source, tokeniser, template });
    Ok(())
}
