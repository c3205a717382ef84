//! All state of the window. `act` and `apply` are pure: no file, no thread, no drawing.

use super::action::{Effect, Ending, FrameAction, Pick, PickWhat, Place, Question, UiAction};
use super::frame::palette;
use super::jobs::JobSwitch;
use super::keep::Keeper;
use super::notices::{Notice, Notices};
use super::panels::{data, home, model, playground, runs, train};
use super::shared::{Dot, Header, Machine, PaletteItem, Shared};
use crate::data::import::EXTENSIONS;
use crate::engine::event::{Event, EventKind, GenerationEvent};
use crate::engine::{Command, JobId};
use crate::recipe::plan::Facts;
use eframe::egui::ThemePreference;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::Arc;

/// What is remembered from one start to the next. What belongs to a project lies in its folder, see `keep`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    pub theme: ThemePreference,
    /// The project that was open.
    pub project: Option<PathBuf>,
    /// Projects that were opened, newest first.
    pub recent_projects: Vec<PathBuf>,
    pub place: Place,
}

/// What lies over the window.
#[derive(Debug, Clone, Default)]
pub enum Overlay {
    #[default]
    None,
    Palette {
        text: String,
        chosen: usize,
    },
    Ask(Question),
    /// What to do with the run in progress; `closes` when the window is to be closed after it.
    Stop {
        closes: bool,
    },
    Shortcuts,
}

#[derive(Debug, Default)]
pub struct AppState {
    pub place: Place,
    pub shared: Shared,
    pub home: home::State,
    pub model: model::State,
    pub data: data::State,
    pub train: train::State,
    pub runs: runs::State,
    pub playground: playground::State,
    pub notices: Notices,
    pub settings: Settings,
    pub overlay: Overlay,
    pub keeper: Keeper,
    /// The window closes when the run has ended and the project is written.
    pub is_leaving: bool,
    is_speed_asked: bool,
}

impl AppState {
    pub fn new(settings: Settings) -> Self {
        let mut state = Self { place: settings.place, ..Self::default() };
        state.shared.model_source = crate::recipe::Recipe::default().model.source;
        state.shared.recent_projects.clone_from(&settings.recent_projects);
        state.settings = settings;
        state.sync();
        state
    }

    /// What to ask of the engine when the window opens.
    pub fn open(&self, project: PathBuf) -> Vec<Effect> {
        vec![Effect::submit(Command::OpenProject { folder: project }), Effect::submit(Command::ListModels)]
    }

    pub fn settings_to_keep(&self) -> Settings {
        let mut kept = self.settings.clone();
        kept.place = self.place;
        kept.project = self.shared.project.as_ref().map(|p| p.folder.clone()).or(kept.project);
        kept.recent_projects.clone_from(&self.shared.recent_projects);
        kept
    }

    /// What a person did. Returns what reaches the world.
    pub fn act(&mut self, action: UiAction) -> Vec<Effect> {
        let effects = match action {
            UiAction::Go(place) => {
                self.place = place;
                self.overlay = Overlay::None;
                Vec::new()
            }
            UiAction::Frame(action) => self.act_frame(action),
            UiAction::Home(a) => self.home.act(a, &self.shared),
            UiAction::Model(a) => self.model.act(a, &self.shared),
            UiAction::Data(a) => self.data.act(a, &self.shared),
            UiAction::Train(a) => self.train.act(a, &self.shared),
            UiAction::Runs(a) => self.runs.act(a, &self.shared),
            UiAction::Playground(a) => self.playground.act(a, &self.shared),
        };
        self.keeper.touch(self.shared.now_secs);
        self.sync();
        self.settle(effects)
    }

    /// What the engine said. Returns what reaches the world.
    pub fn apply(&mut self, event: Event) -> Vec<Effect> {
        let mut effects = match &event.kind {
            EventKind::Project(project) => self.recall(project),
            _ => Vec::new(),
        };
        self.take_in(&event);
        if let EventKind::Failed(failure) = &event.kind {
            self.notices.add(Notice::failure(failure), self.shared.now_secs);
        }
        effects.extend(self.look_at_disk(&event));
        effects.extend(self.measure_speed(&event));
        effects.extend(self.model.apply(&event, &self.shared));
        effects.extend(self.data.apply(&event, &self.shared));
        effects.extend(self.train.apply(&event, &self.shared));
        effects.extend(self.runs.apply(&event, &self.shared));
        effects.extend(self.playground.apply(&event, &self.shared));
        self.sync();
        effects.extend(self.home.apply(&event, &self.shared));
        if let EventKind::Exported { .. }
        | EventKind::Generation { event: GenerationEvent::Ended { .. }, .. } = &event.kind
        {
            // Home remembers how far the user came.
            self.keeper.touch(self.shared.now_secs);
        }
        self.shared.jobs.apply(&event);
        self.keeper.apply(&event);
        if let (Overlay::Stop { closes }, None) = (&self.overlay, self.shared.jobs.training()) {
            // It ended while it was asked what to do with it.
            let closes = *closes;
            self.overlay = Overlay::None;
            effects.extend(if closes { self.leave_when_kept() } else { Vec::new() });
        }
        if self.is_leaving && !self.keeper.is_writing() && self.shared.jobs.training().is_none() {
            self.is_leaving = false;
            effects.push(Effect::Quit);
        }
        self.settle(effects)
    }

    /// The runs on disk and the room there are looked at when a project opens and when a run ends.
    fn look_at_disk(&self, event: &Event) -> Vec<Effect> {
        let has_ended = matches!(event.kind, EventKind::Done | EventKind::Stopped | EventKind::Failed(_));
        let is_training = self.shared.jobs.get(event.job).is_some_and(|job| job.is_training);
        let is_opened = matches!(event.kind, EventKind::Project(_));
        let is_due = is_opened || (has_ended && is_training);
        let Some(project) = self.shared.project.as_ref().filter(|_| is_due) else { return Vec::new() };
        let folder = project.folder.clone();
        let mut effects = vec![
            Effect::submit(Command::ListRuns { project: folder.clone() }),
            Effect::submit(Command::LookAtMachine { folder: folder.clone() }),
        ];
        if is_opened {
            effects.push(Effect::submit(Command::ListComparisons { project: folder }));
        }
        effects
    }

    /// Asked for once a session: where it fails, estimates of time stay rough.
    fn measure_speed(&mut self, event: &Event) -> Option<Effect> {
        let is_unknown = matches!(event.kind, EventKind::Machine(_)) && self.shared.facts.speed.is_none();
        if !is_unknown || self.is_speed_asked {
            return None;
        }
        self.is_speed_asked = true;
        Some(Effect::submit(Command::MeasureSpeed))
    }

    /// A command was given to the engine, which calls it `job`.
    pub fn submitted(&mut self, job: JobId, command: &Command) {
        self.shared.jobs.submitted(job, command, self.shared.now_secs);
        self.keeper.submitted(job, command);
        self.home.submitted(job, command);
        self.model.submitted(job, command);
        self.data.submitted(job, command);
        self.train.submitted(job, command, &self.shared);
        self.runs.submitted(job, command);
        self.playground.submitted(job, command);
        if self.model.is_trying(job) {
            self.shared.jobs.moved(job, Place::Model);
        }
    }

    /// Time goes on: good news fades, what was typed is written. Returns what reaches the world.
    pub fn tick(&mut self, now_secs: f64, machine: Option<Machine>) -> Vec<Effect> {
        self.shared.now_secs = now_secs;
        if let Some(machine) = machine {
            self.shared.machine = machine;
        }
        self.notices.sweep(now_secs);
        self.autosave().into_iter().collect()
    }

    pub fn header(&self, place: Place) -> Header {
        match place {
            Place::Home => self.home.header(&self.shared),
            Place::Model => self.model.header(&self.shared),
            Place::Data => self.data.header(&self.shared),
            Place::Train => self.train.header(&self.shared),
            Place::Runs => self.runs.header(&self.shared),
            Place::Playground => self.playground.header(&self.shared),
        }
    }

    pub fn dot(&self, place: Place) -> Dot {
        if self.shared.jobs.any_in(place) {
            return Dot::Working;
        }
        match place {
            Place::Home => Dot::None,
            Place::Model => self.model.dot(&self.shared),
            Place::Data => self.data.dot(&self.shared),
            Place::Train => self.train.dot(&self.shared),
            Place::Runs => self.runs.dot(&self.shared),
            Place::Playground => self.playground.dot(&self.shared),
        }
    }

    /// Everything the palette offers now.
    pub fn palette_items(&self) -> Vec<PaletteItem> {
        let mut items = palette::frame_items(self);
        items.extend(self.home.commands(&self.shared));
        items.extend(self.model.commands(&self.shared));
        items.extend(self.data.commands(&self.shared));
        items.extend(self.train.commands(&self.shared));
        items.extend(self.runs.commands(&self.shared));
        items.extend(self.playground.commands(&self.shared));
        items
    }

    /// Answers what the state can answer itself and returns the rest.
    fn settle(&mut self, effects: Vec<Effect>) -> Vec<Effect> {
        let mut out = Vec::new();
        for effect in effects {
            match effect {
                Effect::Act(action) => out.extend(self.act(action)),
                Effect::Say(notice) => self.notices.add(notice, self.shared.now_secs),
                Effect::Ask(question) => self.overlay = Overlay::Ask(question),
                Effect::Job(job, switch) => {
                    self.shared.jobs.switched(job, switch);
                    out.push(Effect::Job(job, switch));
                }
                other => out.push(other),
            }
        }
        out
    }

    /// Results go into what all places share.
    fn take_in(&mut self, event: &Event) {
        let shared = &mut self.shared;
        match &event.kind {
            EventKind::Project(project) => shared.project = Some(project.clone()),
            EventKind::Machine(facts) => {
                let speed = facts.speed.or(shared.facts.speed);
                shared.facts = Facts { speed, ..facts.clone() };
            }
            EventKind::Speed(speed) => shared.facts.speed = Some(*speed),
            EventKind::Models(models) => shared.models.clone_from(models),
            EventKind::Model(info) if info.source == shared.model_source => {
                shared.model = Some(Arc::new(info.clone()));
            }
            EventKind::Tokeniser { source, tokeniser, template } if *source == shared.model_source => {
                shared.tokeniser = Some((Arc::clone(tokeniser), Arc::clone(template)));
            }
            EventKind::Imported(imported) => {
                shared.imported = Some(Arc::clone(imported));
                shared.dataset = None;
                self.keeper.touch(shared.now_secs);
            }
            EventKind::Prepared(dataset) => shared.dataset = Some(Arc::clone(dataset)),
            EventKind::Runs(runs) => shared.runs.clone_from(runs),
            _ => {}
        }
    }

    /// What one place owns and others read.
    fn sync(&mut self) {
        if let Some(source) = self.model.take_chosen() {
            self.shared.model_source = source;
            self.shared.model = None;
            self.shared.tokeniser = None;
            self.shared.dataset = None;
        }
        self.shared.import_options = self.data.read_as().clone();
        if self.shared.prepare_options.as_ref() != self.data.options() {
            self.shared.prepare_options = self.data.options().cloned();
            self.train.look_again(&self.shared);
        }
    }

    fn act_frame(&mut self, action: FrameAction) -> Vec<Effect> {
        match action {
            FrameAction::OpenProject(folder) => return self.open_other(folder),
            FrameAction::PickProject => return vec![pick_project()],
            FrameAction::OpenData => return vec![pick_data()],
            FrameAction::TypePath => return self.type_path(),
            FrameAction::Dropped(path) => return vec![Effect::Act(opened(path))],
            FrameAction::DroppedFolder(path) => {
                let choose = model::Action::Choose(path.display().to_string());
                return vec![Effect::Act(UiAction::Model(choose))];
            }
            FrameAction::Primary => return self.primary(),
            FrameAction::Escape => return self.escape(),
            FrameAction::TogglePalette => {
                self.overlay = match self.overlay {
                    Overlay::None => Overlay::Palette { text: String::new(), chosen: 0 },
                    _ => Overlay::None,
                };
            }
            FrameAction::SetPaletteText(new) => {
                if let Overlay::Palette { text, chosen } = &mut self.overlay {
                    (*text, *chosen) = (new, 0);
                }
            }
            FrameAction::MovePalette(by) => self.move_palette(by),
            FrameAction::RunPaletteItem(index) => return self.run_palette_item(index),
            FrameAction::Job(job, switch) => return vec![Effect::Job(job, switch)],
            FrameAction::DismissNotice(id) => self.notices.dismiss(id),
            FrameAction::ToggleNoticeDetails(id) => self.notices.toggle_details(id),
            FrameAction::Copy(text) => return vec![Effect::CopyText(text)],
            FrameAction::SetTheme(theme) => {
                self.settings.theme = theme;
                return vec![Effect::SetTheme(theme)];
            }
            FrameAction::CloseRequested => {
                if self.shared.jobs.training().is_none() || self.is_leaving {
                    return self.leave_when_kept();
                }
                self.overlay = Overlay::Stop { closes: true };
            }
            FrameAction::AskStop => {
                if self.shared.jobs.training().is_some() {
                    self.overlay = Overlay::Stop { closes: false };
                }
            }
            FrameAction::EndRun(how) => return self.end_run(how),
            FrameAction::Ask(question) => self.overlay = Overlay::Ask(question),
            FrameAction::Answer(yes) => {
                let overlay = std::mem::take(&mut self.overlay);
                if let (true, Overlay::Ask(question)) = (yes, overlay) {
                    return vec![Effect::Act(*question.then)];
                }
            }
            FrameAction::ShowShortcuts(shown) => {
                self.overlay = if shown { Overlay::Shortcuts } else { Overlay::None };
            }
        }
        Vec::new()
    }

    fn type_path(&mut self) -> Vec<Effect> {
        if self.place == Place::Model {
            return vec![Effect::Act(UiAction::Model(model::Action::FocusPath(true)))];
        }
        let focus = UiAction::Data(data::Action::FocusPath(true));
        vec![Effect::Act(UiAction::Go(Place::Data)), Effect::Act(focus)]
    }

    fn primary(&mut self) -> Vec<Effect> {
        match self.header(self.place).primary {
            Some(primary) if primary.why_not.is_none() => vec![Effect::Act(primary.action)],
            Some(primary) => {
                let why = primary.why_not.unwrap_or_default();
                vec![Effect::Say(Notice::info(format!("{}: {why}", primary.label)))]
            }
            None => Vec::new(),
        }
    }

    fn escape(&mut self) -> Vec<Effect> {
        if !matches!(self.overlay, Overlay::None) {
            self.overlay = Overlay::None;
            return Vec::new();
        }
        let jobs = &self.shared.jobs;
        let here = jobs.all().iter().rfind(|j| j.place == self.place && !j.is_quiet && !j.is_training);
        if let Some(job) = here {
            return vec![Effect::Job(job.id, JobSwitch::Stop)];
        }
        match jobs.training() {
            _ if self.place == Place::Train && self.train.compare.is_open() => {
                let close = train::compare::Action::Close;
                vec![Effect::Act(UiAction::Train(train::Action::Compare(close)))]
            }
            _ if self.place == Place::Train && self.train.is_choosing_method => {
                vec![Effect::Act(UiAction::Train(train::Action::ShowMethods(false)))]
            }
            Some(_) if self.place == Place::Train => {
                vec![Effect::Act(UiAction::Frame(FrameAction::AskStop))]
            }
            _ if self.place == Place::Runs && self.runs.is_inside(&self.shared) => {
                vec![Effect::Act(UiAction::Runs(runs::Action::ShowList))]
            }
            _ => Vec::new(),
        }
    }

    fn move_palette(&mut self, by: i32) {
        let count = palette::found(self).len();
        if let Overlay::Palette { chosen, .. } = &mut self.overlay {
            let last = count.saturating_sub(1) as i64;
            *chosen = (*chosen as i64 + i64::from(by)).clamp(0, last) as usize;
        }
    }

    fn run_palette_item(&mut self, index: usize) -> Vec<Effect> {
        let found = palette::found(self);
        self.overlay = Overlay::None;
        found.into_iter().nth(index).map(|item| Effect::Act(item.action)).into_iter().collect()
    }

    fn end_run(&mut self, how: Ending) -> Vec<Effect> {
        let closes = matches!(std::mem::take(&mut self.overlay), Overlay::Stop { closes: true });
        let switch = match how {
            Ending::Keep => return Vec::new(),
            Ending::Save => JobSwitch::Stop,
            Ending::Discard => JobSwitch::Discard,
        };
        // A run that waits behind the first one is not begun when the window closes.
        let runs = self.shared.jobs.all().iter().filter(|j| j.is_training);
        let num_ended = if closes { usize::MAX } else { 1 };
        let mut effects: Vec<Effect> = runs.take(num_ended).map(|j| Effect::Job(j.id, switch)).collect();
        if closes {
            effects.extend(self.leave_when_kept());
        }
        effects
    }

    /// Closes the window once the run has ended and the project is written. Asked again, it closes at once.
    fn leave_when_kept(&mut self) -> Vec<Effect> {
        let kept = self.remember();
        let is_kept = kept.is_none() && !self.keeper.is_writing();
        if self.is_leaving || (is_kept && self.shared.jobs.training().is_none()) {
            return vec![Effect::Quit];
        }
        self.is_leaving = true;
        // Writing waits for what was begun before it: nobody waits for a download to close a window.
        let others = self.shared.jobs.all().iter().filter(|j| !j.is_training && !j.is_quiet);
        others.map(|j| Effect::Job(j.id, JobSwitch::Stop)).chain(kept).collect()
    }

    /// Opens another project; what was typed in this one is written first.
    fn open_other(&mut self, folder: PathBuf) -> Vec<Effect> {
        if self.shared.jobs.training().is_some() {
            return vec![Effect::Say(Notice::info(
                "A run is in progress: stop it first, then open the project",
            ))];
        }
        self.remember().into_iter().chain(self.open(folder)).collect()
    }
}

/// The dialog for a project: a folder that is one already, or an empty one.
fn pick_project() -> Effect {
    Effect::Pick(Pick {
        title: "Open a project, or choose an empty folder for a new one".into(),
        what: PickWhat::Folder,
        filters: Vec::new(),
        then: |path| UiAction::Frame(FrameAction::OpenProject(path)),
    })
}

/// The dialog for a data file.
pub fn pick_data() -> Effect {
    Effect::Pick(Pick {
        title: "Open data".into(),
        what: PickWhat::File,
        filters: vec![
            ("Data files".into(), EXTENSIONS.map(String::from).to_vec()),
            ("All files".into(), vec!["*".into()]),
        ],
        then: |path| UiAction::Data(data::Action::Open(path)),
    })
}

/// What a dropped file is, by its name: a model, a recipe, or else data.
fn opened(path: PathBuf) -> UiAction {
    let ending = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
    match ending.as_str() {
        "toml" => UiAction::Train(train::Action::OpenRecipe(path)),
        "gguf" => UiAction::Model(model::Action::Choose(path.display().to_string())),
        "safetensors" => {
            let folder = path.parent().map_or_else(|| path.clone(), PathBuf::from);
            UiAction::Model(model::Action::Choose(folder.display().to_string()))
        }
        _ => UiAction::Data(data::Action::Open(path)),
    }
}
