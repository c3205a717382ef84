use super::answers::Answers;
use super::ask::Draft;
use super::made_for::MadeFor;
use super::reading::{self, Mode};
use super::saved::{self, Saved};
use super::test_rows::test_rows;
use crate::app::action::{Effect, Pick, PickWhat, Place, UiAction};
use crate::app::notices::Notice;
use crate::app::panels::model;
use crate::app::shared::{Dot, Header, PaletteItem, Primary, Shared, last_part};
use crate::data::shots::{LineFormat, Question, Shot, draw, questions, shots_from_text};
use crate::engine::command::{ColumnRequest, GenerateRequest, Prompt};
use crate::engine::event::EventKind;
use crate::engine::{Command, Event, JobId};
use crate::infer::sampler::Sampling;
use crate::peft::compose::Source;
use crate::project::adapters;
use crate::project::prompt_set::PromptSet;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Columns side by side; more do not fit.
pub(super) const MOST_COLUMNS: usize = 4;
/// Examples that can be shown before a question.
pub(super) const MOST_SHOTS: usize = 32;

/// One column: who answers, and how.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ColumnState {
    /// None is the base model.
    pub adapter: Option<Source>,
    pub name: String,
    pub sampling: Sampling,
}

impl ColumnState {
    pub fn base() -> Self {
        Self { name: "Base".into(), ..Self::default() }
    }
}

#[derive(Debug)]
pub struct State {
    pub(super) draft: Draft,
    pub(super) columns: Vec<ColumnState>,
    pub(super) answers: Option<Answers>,
    pub(super) sets: Vec<PromptSet>,
    pub(super) is_few_shot_open: bool,
    pub(super) is_sets_open: bool,
    /// Text and number of tokens that will be sent, or why not.
    pub(super) exact: Result<(String, usize), String>,
    seed: u64,
    /// Nobody chose columns yet: the newest adapter is put beside the base by itself.
    is_fresh: bool,
    picking_for: usize,
    pub(super) made_for: MadeFor,
    pub(super) saved: Saved,
    /// Of models that read texts rather than write them.
    pub(super) reading: reading::State,
    /// The job that writes a prompt set.
    saving: Option<JobId>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            draft: Draft::default(),
            columns: vec![ColumnState::base()],
            answers: None,
            sets: Vec::new(),
            is_few_shot_open: false,
            is_sets_open: false,
            exact: Err("Choose a model first.".into()),
            seed: 1,
            is_fresh: true,
            picking_for: 0,
            made_for: MadeFor::default(),
            saved: Saved::default(),
            reading: reading::State::default(),
            saving: None,
        }
    }
}

#[derive(Debug, Clone)]
pub enum Action {
    /// Base beside the adapter of a run; `name` is what to call it, `model` what it was made for.
    CompareWith {
        adapter: PathBuf,
        name: String,
        model: String,
    },
    /// Answer the prompt in all columns.
    Generate,
    /// Answer every question of the set in all columns.
    GenerateSet,
    Stop,
    Edit(Box<Draft>),
    AddColumn,
    RemoveColumn(usize),
    /// Who answers in a column; no folder is the base model.
    SetColumn(usize, Option<PathBuf>, String),
    /// Several runs as one answer in a column, under this name.
    SetMix(usize, Box<Source>, String),
    SetSampling(usize, Box<Sampling>),
    /// Keeping the mix of a column.
    Saved(saved::Action),
    Reading(reading::Action),
    PickAdapter(usize),
    /// Its files call the chosen model otherwise.
    Adopt(PathBuf),
    AdapterPicked(PathBuf),
    /// Takes examples out of the training rows.
    DrawShots(usize),
    /// Lines copied from elsewhere become examples.
    PasteShots(String),
    /// The rows kept for the test become the questions.
    AskTestRows,
    OpenFewShot(bool),
    OpenSets(bool),
    SaveSet,
    LoadSet(usize),
}

impl State {
    pub fn act(&mut self, action: Action, shared: &Shared) -> Vec<Effect> {
        let effects = self.carry_out(action, shared);
        self.refresh_exact(shared);
        effects
    }

    fn carry_out(&mut self, action: Action, shared: &Shared) -> Vec<Effect> {
        self.is_fresh &= !matches!(
            action,
            Action::CompareWith { .. }
                | Action::AddColumn
                | Action::RemoveColumn(_)
                | Action::SetColumn(..)
                | Action::SetMix(..)
                | Action::SetSampling(..)
                | Action::AdapterPicked(_)
        );
        match action {
            Action::CompareWith { adapter, name, model } => {
                let adapter = Some(Source::Folder(adapter));
                let tuned = ColumnState { adapter, name, sampling: Sampling::default() };
                self.columns = vec![ColumnState::base(), tuned];
                self.reading.draft.chosen = None;
                self.suggest_prompt(shared);
                if !model.is_empty() && model != shared.model_source {
                    // An adapter says nothing sensible on any other model.
                    return vec![
                        Effect::Act(UiAction::Model(model::Action::Choose(model))),
                        Effect::Act(UiAction::Go(Place::Playground)),
                    ];
                }
            }
            Action::Generate => return self.generate(false, shared),
            Action::GenerateSet => return self.generate(true, shared),
            Action::Stop => {
                return self.answers.as_ref().and_then(Answers::stop).into_iter().collect();
            }
            Action::Edit(draft) => self.draft = *draft,
            Action::AddColumn => {
                if self.columns.len() < MOST_COLUMNS {
                    let copied = self.columns.last().cloned().unwrap_or_else(ColumnState::base);
                    self.columns.push(copied);
                }
            }
            Action::RemoveColumn(column) => {
                if self.columns.len() > 1 && column < self.columns.len() {
                    self.saved.naming = None;
                    self.columns.remove(column);
                    return self.forget_answers();
                }
            }
            Action::SetColumn(column, adapter, name) => {
                if let Some(column) = self.columns.get_mut(column) {
                    (column.adapter, column.name) = (adapter.map(Source::Folder), name);
                    return self.forget_answers();
                }
            }
            Action::SetMix(column, mix, name) => {
                if let Some(column) = self.columns.get_mut(column) {
                    (column.adapter, column.name) = (Some(*mix), name);
                    return self.forget_answers();
                }
            }
            Action::SetSampling(column, sampling) => {
                if let Some(column) = self.columns.get_mut(column) {
                    column.sampling = *sampling;
                }
            }
            Action::Saved(action) => return self.saved.act(action, &self.columns, shared),
            Action::Reading(action) => return self.reading.act(action, &self.columns, shared),
            Action::PickAdapter(column) => {
                self.picking_for = column;
                return vec![Effect::Pick(Pick {
                    title: "Folder of an adapter or a tuned model".into(),
                    what: PickWhat::Folder,
                    filters: Vec::new(),
                    then: |path| UiAction::Playground(Action::AdapterPicked(path)),
                })];
            }
            Action::AdapterPicked(path) => {
                if let Some(column) = self.columns.get_mut(self.picking_for) {
                    column.name = last_part(&path.to_string_lossy());
                    column.adapter = Some(Source::Folder(path.clone()));
                    let read = Effect::submit(Command::ReadAdapter { folder: path });
                    return std::iter::once(read).chain(self.forget_answers()).collect();
                }
            }
            Action::Adopt(folder) => {
                return vec![Effect::submit(Command::AdoptAdapter {
                    folder,
                    model: shared.model_source.clone(),
                })];
            }
            Action::DrawShots(k) => return self.draw_shots(k, shared),
            Action::PasteShots(text) => return self.paste(&text),
            Action::AskTestRows => return self.ask_test_rows(shared),
            Action::OpenFewShot(is_open) => self.is_few_shot_open = is_open,
            Action::OpenSets(is_open) => self.is_sets_open = is_open,
            Action::SaveSet => return self.save_set(shared),
            Action::LoadSet(index) => self.load_set(index),
        }
        Vec::new()
    }

    /// Something to ask at once: a row that the model was not trained on.
    fn suggest_prompt(&mut self, shared: &Shared) {
        if !self.draft.prompt.trim().is_empty() {
            return;
        }
        if let Some(data) = &shared.dataset {
            let unseen = data.split.test.iter().chain(&data.split.valid).copied();
            if let Some(question) = questions(|row| data.shot(row), unseen).next() {
                self.draft.prompt = question.input;
            }
        }
    }

    fn generate(&mut self, of_set: bool, shared: &Shared) -> Vec<Effect> {
        match request(&self.draft, &self.columns, of_set, shared) {
            Ok((request, answers)) => {
                self.answers = Some(answers);
                vec![Effect::submit(Command::Generate(request))]
            }
            Err(why) => vec![Effect::Say(Notice::info(why))],
        }
    }

    fn draw_shots(&mut self, k: usize, shared: &Shared) -> Vec<Effect> {
        let Some(data) = &shared.dataset else {
            return vec![Effect::Say(Notice::info(
                "Open data first: examples are drawn from its training rows.",
            ))];
        };
        self.seed += 1;
        self.draft.shots = draw(|row| data.shot(row), &data.split.train, k, self.seed);
        self.draft.num_shots = self.draft.shots.len();
        Vec::new()
    }

    fn paste(&mut self, text: &str) -> Vec<Effect> {
        let format = LineFormat::parse(&self.draft.line_format).unwrap_or_default();
        let pasted = shots_from_text(text, &format);
        if pasted.shots.is_empty() {
            let words =
                "Nothing in it has a question and an answer: one example a line, parted by a tab or a colon.";
            return vec![Effect::Say(Notice::info(words))];
        }
        self.draft.shots.extend(pasted.shots);
        self.draft.shots.truncate(MOST_SHOTS);
        self.draft.num_shots = self.draft.shots.len();
        Vec::new()
    }

    fn ask_test_rows(&mut self, shared: &Shared) -> Vec<Effect> {
        let Some(data) = &shared.dataset else {
            return vec![Effect::Say(Notice::info("Open data first: its test rows become the questions."))];
        };
        (self.draft.questions, self.draft.set_name) = test_rows(data);
        self.is_sets_open = true;
        Vec::new()
    }

    fn save_set(&mut self, shared: &Shared) -> Vec<Effect> {
        let Some(project) = &shared.project else {
            return vec![Effect::Say(Notice::info("No project is open yet."))];
        };
        let mut prompts = self.draft.questions.clone();
        if prompts.is_empty() && !self.draft.prompt.trim().is_empty() {
            prompts.push(Question { input: self.draft.prompt.clone(), expected: None });
        }
        let name = match self.draft.set_name.trim() {
            "" => "prompts".to_string(),
            name => name.to_string(),
        };
        let set = PromptSet {
            name,
            line_format: self.draft.line_format.clone(),
            shots: self.draft.shots.clone(),
            prompts,
        };
        vec![Effect::submit(Command::SavePromptSet { project: project.folder.clone(), set })]
    }

    fn load_set(&mut self, index: usize) {
        let Some(set) = self.sets.get(index).cloned() else { return };
        self.draft.set_name = set.name;
        if !set.line_format.is_empty() {
            self.draft.line_format = set.line_format;
        }
        self.draft.num_shots = set.shots.len().min(self.draft.num_shots.max(1));
        self.draft.shots = set.shots;
        if let Some(first) = set.prompts.first() {
            self.draft.prompt.clone_from(&first.input);
        }
        self.draft.questions = set.prompts;
    }

    /// The exact text and its length, made once after each change.
    fn refresh_exact(&mut self, shared: &Shared) {
        let num_shots = *self.draft.shot_rows().last().unwrap_or(&0);
        self.exact = self.draft.text(&self.draft.prompt, num_shots, shared).map(|text| {
            let num_tokens =
                shared.tokeniser.as_ref().and_then(|(t, _)| text.ids(t).ok()).map_or(0, |i| i.len());
            (text.text, num_tokens)
        });
    }

    /// Answers of other columns than there are now would stand under the wrong names.
    fn forget_answers(&mut self) -> Vec<Effect> {
        let written = self.answers.take().and_then(|answers| answers.stop());
        written.into_iter().chain(self.reading.forget_answers()).collect()
    }

    /// What was deleted from a folder of the project answers no more.
    fn drop_deleted(&mut self, among: &str, is_left: impl Fn(&Path) -> bool, shared: &Shared) -> Vec<Effect> {
        let Some(place) = shared.project.as_ref().map(|project| project.folder.join(among)) else {
            return Vec::new();
        };
        let num = self.columns.len();
        self.columns.retain(|column| {
            let folders = column.adapter.as_ref().map_or_else(Vec::new, Source::folders);
            folders.into_iter().all(|folder| !folder.starts_with(&place) || is_left(folder))
        });
        let is_less = self.columns.len() < num;
        if self.columns.is_empty() {
            self.columns.push(ColumnState::base());
        }
        if is_less { self.forget_answers() } else { Vec::new() }
    }

    pub fn apply(&mut self, event: &Event, shared: &Shared) -> Vec<Effect> {
        if let Some(answers) = &mut self.answers {
            answers.apply(event);
        }
        self.reading.apply(event);
        let said = self.saved.apply(event, &mut self.made_for);
        if !said.is_empty() {
            return said;
        }
        match &event.kind {
            EventKind::PromptSets(sets) => self.sets.clone_from(sets),
            EventKind::Project(project) => {
                let list = Command::ListPromptSets { project: project.folder.clone() };
                let sources = self.columns.iter().filter_map(|c| c.adapter.as_ref());
                let folders = sources.flat_map(Source::folders).map(Path::to_path_buf);
                let read = folders.map(|folder| Effect::submit(Command::ReadAdapter { folder }));
                let saved = Effect::submit(Command::ListAdapters { project: project.folder.clone() });
                return [Effect::submit(list), saved].into_iter().chain(read).collect();
            }
            EventKind::Adapters(all) => {
                let is_saved = |folder: &Path| all.iter().any(|saved| saved.folder == folder);
                return self.drop_deleted(adapters::FOLDER, is_saved, shared);
            }
            EventKind::AdapterModel { folder, model } => self.made_for.told(folder, model.as_ref()),
            EventKind::Done if self.saving == Some(event.job) => {
                self.saving = None;
                return vec![Effect::Say(Notice::done("The prompts were saved"))];
            }
            // That it failed is told for every job.
            EventKind::Stopped | EventKind::Failed(_) if self.saving == Some(event.job) => self.saving = None,
            EventKind::Tokeniser { .. } => self.refresh_exact(shared),
            EventKind::Runs(runs) => {
                let is_run = |folder: &Path| runs.iter().any(|r| r.adapter.as_deref() == Some(folder));
                let stopped = self.drop_deleted("runs", is_run, shared);
                let newest =
                    runs.iter().find(|r| r.adapter.is_some() && r.recipe.model.source == shared.model_source);
                if let Some(run) = newest.filter(|_| self.is_fresh) {
                    let tuned = ColumnState {
                        adapter: run.adapter.clone().map(Source::Folder),
                        name: run.name.clone(),
                        ..ColumnState::base()
                    };
                    self.columns = vec![ColumnState::base(), tuned];
                }
                return stopped;
            }
            _ => {}
        }
        Vec::new()
    }

    /// A command of any place was given to the engine.
    pub fn submitted(&mut self, job: JobId, command: &Command) {
        if let Some(answers) = &mut self.answers {
            answers.submitted(job, command);
        }
        self.saved.submitted(job, command);
        self.reading.submitted(job, command);
        if matches!(command, Command::SavePromptSet { .. }) {
            self.saving = Some(job);
        }
    }

    /// What is done with texts now.
    pub fn mode(&self, shared: &Shared) -> Mode {
        self.reading.mode(&self.columns, shared)
    }

    pub(super) fn is_running(&self) -> bool {
        self.reading.is_running() || self.answers.as_ref().is_some_and(|a| a.job.is_running)
    }

    /// Why nothing can be asked now.
    pub(super) fn why_not(&self, shared: &Shared) -> Option<String> {
        if shared.model.is_none() {
            return Some("Choose a model first, and download it if it is not on this machine.".into());
        }
        if shared.jobs.training().is_some() {
            return Some("A run is training: its answers come when it has ended or was stopped.".into());
        }
        self.exact.as_ref().err().cloned()
    }

    pub fn header(&self, shared: &Shared) -> Header {
        let names: Vec<&str> = self.columns.iter().map(|c| c.name.as_str()).collect();
        let state = format!("{}: {}", shared.model_title(), names.join(" beside "));
        let mode = self.mode(shared);
        let primary = if self.reading.is_running() {
            let action = UiAction::Playground(Action::Reading(reading::Action::Stop));
            Primary { label: "Stop".into(), action, why_not: None }
        } else if mode != Mode::Write {
            let action = UiAction::Playground(Action::Reading(reading::Action::Ask));
            let why_not = self.reading.why_not(mode, &self.columns, shared);
            Primary { label: self.reading.verb(mode).into(), action, why_not }
        } else if self.is_running() {
            Primary { label: "Stop".into(), action: UiAction::Playground(Action::Stop), why_not: None }
        } else {
            let empty = self.draft.prompt.trim().is_empty().then(|| "Type a prompt first.".to_string());
            Primary {
                label: "Generate".into(),
                action: UiAction::Playground(Action::Generate),
                why_not: self.why_not(shared).or(empty),
            }
        };
        Header { state, primary: Some(primary) }
    }

    pub fn dot(&self, _shared: &Shared) -> Dot {
        if self.is_running() { Dot::Working } else { Dot::None }
    }

    pub fn commands(&self, _shared: &Shared) -> Vec<PaletteItem> {
        let item = |label: &str, keys, action| PaletteItem::new(label, keys, UiAction::Playground(action));
        let mut items = vec![
            item("Generate answers", "Ctrl+Enter", Action::Generate),
            item("Ask the test rows", "", Action::AskTestRows),
            item("Draw three examples from the data", "", Action::DrawShots(3)),
            item("Add a column to compare", "", Action::AddColumn),
        ];
        for mode in Mode::ALL {
            let label = format!("Playground: {}", mode.title());
            items.push(item(&label, "", Action::Reading(reading::Action::Choose(mode))));
        }
        items
    }

    /// What was typed and chosen here and is on no disk yet: the draft, and the columns if anybody chose them.
    pub fn draft(&self) -> serde_json::Value {
        let mut draft = serde_json::to_value(&self.draft).unwrap_or_default();
        draft["reading"] = serde_json::to_value(&self.reading.draft).unwrap_or_default();
        if !self.is_fresh {
            draft["columns"] = serde_json::to_value(&self.columns).unwrap_or_default();
        }
        draft
    }

    pub fn restore(&mut self, draft: serde_json::Value) {
        let columns = serde_json::from_value::<Vec<ColumnState>>(draft["columns"].clone());
        if let Some(mut columns) = columns.ok().filter(|columns| !columns.is_empty()) {
            columns.truncate(MOST_COLUMNS);
            (self.columns, self.is_fresh) = (columns, false);
        }
        self.reading.draft = serde_json::from_value(draft["reading"].clone()).unwrap_or_default();
        if let Ok(draft) = serde_json::from_value(draft) {
            self.draft = draft;
        }
    }

    /// An example or question that is new and empty.
    pub(super) fn blank() -> Shot {
        Shot::default()
    }
}

/// What to ask of the engine, and where its answers will stand; or what is missing.
pub fn request(
    draft: &Draft,
    columns: &[ColumnState],
    of_set: bool,
    shared: &Shared,
) -> Result<(GenerateRequest, Answers), String> {
    let asked = draft.all_asked(of_set, shared)?;
    if asked.is_empty() {
        return Err("Type a prompt first.".into());
    }
    let request = GenerateRequest {
        model: shared.model_source.clone(),
        columns: columns
            .iter()
            .map(|c| ColumnRequest { adapter: c.adapter.clone(), sampling: c.sampling.clone() })
            .collect(),
        prompts: asked
            .iter()
            .map(|a| Prompt { rendered: a.rendered.clone(), expected: a.expected.clone() })
            .collect(),
        max_tokens: draft.max_tokens,
        stop: draft.stops(shared),
    };
    let names = columns.iter().map(|c| c.name.clone()).collect();
    Ok((request, Answers::new(asked, names)))
}
