use super::compare;
use super::live::RunView;
use super::look::Look;
use super::review::{DataSight, Review, compose};
use crate::app::action::{Effect, Pick, PickWhat, Place, UiAction};
use crate::app::jobs::JobSwitch;
use crate::app::notices::Notice;
use crate::app::panels::data::{self, Edit};
use crate::app::shared::{Dot, Header, PaletteItem, Primary, Shared, last_part};
use crate::base::human;
use crate::engine::event::{Event, EventKind};
use crate::engine::{Command, JobId};
use crate::recipe::options::with_method;
use crate::recipe::recipe::{Method, Objective};
use crate::recipe::variants::Contender;
use crate::recipe::{Fix, Recipe, load, preset};
use std::path::PathBuf;
use std::sync::Arc;

/// Steps that can be undone.
const MOST_UNDO: usize = 200;

#[derive(Debug)]
pub struct State {
    draft: Recipe,
    /// The preset that changes are counted against; none for a recipe of an earlier run.
    pub preset: Option<String>,
    /// What Reset goes back to.
    origin: Recipe,
    /// The field that changed and the draft before it.
    undo: Vec<(&'static str, Recipe)>,
    pub is_advanced: bool,
    /// The list of methods stands where the run is drawn otherwise.
    pub is_choosing_method: bool,
    pub compare: compare::State,
    pub look: Look,
    pub review: Review,
    /// The run in progress, or the last one.
    pub live: Option<RunView>,
    job: Option<JobId>,
    /// Start was asked for while the data was being prepared.
    is_start_wanted: bool,
    /// The longest example changes with the pointer; the data is prepared again when it rests.
    pub is_limit_moving: bool,
    /// Data was told to prepare again and has not begun.
    is_prepare_asked: bool,
    sight: DataSight,
}

impl Default for State {
    fn default() -> Self {
        let preset = preset::find("balanced");
        let recipe = preset.as_ref().map_or_else(Recipe::default, |p| p.recipe.clone());
        Self {
            draft: recipe.clone(),
            preset: preset.map(|p| p.name.to_string()),
            origin: recipe,
            undo: Vec::new(),
            is_advanced: false,
            is_choosing_method: false,
            compare: compare::State::default(),
            look: Look::default(),
            review: Review::default(),
            live: None,
            job: None,
            is_start_wanted: false,
            is_limit_moving: false,
            is_prepare_asked: false,
            sight: DataSight::default(),
        }
    }
}

#[derive(Debug, Clone)]
pub enum Action {
    /// Put a shipped preset into the form (`quickstart`…).
    LoadPreset(String),
    /// Put the recipe of an earlier run into the form; the name says whose.
    LoadRecipe(Box<Recipe>, String),
    /// Choose a recipe file with the system's dialog.
    PickRecipe,
    /// Put the recipe of a file into the form.
    OpenRecipe(PathBuf),
    /// Choose the general text with the system's dialog.
    PickText,
    /// Take up this file as the general text.
    ChooseText(PathBuf),
    /// Train with the form as it is.
    Start,
    SetAdvanced(bool),
    /// One field was changed; the recipe is the whole form afterwards.
    Edit(&'static str, Box<Recipe>),
    Fix(Fix),
    /// Show the list of methods, or put it away.
    ShowMethods(bool),
    /// Take up the method that recipes call so, with its settings.
    ChooseMethod(&'static str),
    /// Take up a method with these settings and this learning rate.
    TakeMethod(Box<Contender>, f64),
    TakeRecommendation,
    /// Several methods on the same data.
    Compare(compare::Action),
    Undo,
    Reset,
    /// The pointer rests: prepare the data with the new limit.
    Settle,
    SetLook(Look),
    Pause,
    Resume,
    SaveNow,
    /// Put the ended run away and show the preview of the next one.
    CloseRun,
}

impl State {
    pub fn act(&mut self, action: Action, shared: &Shared) -> Vec<Effect> {
        let effects = self.carry_out(action, shared);
        self.look_again(shared);
        effects
    }

    /// Something changed that the recipe is checked against.
    pub fn look_again(&mut self, shared: &Shared) {
        self.review = Review::new(&self.draft, &self.origin, shared, &mut self.sight);
    }

    fn carry_out(&mut self, action: Action, shared: &Shared) -> Vec<Effect> {
        match action {
            Action::LoadPreset(name) => return self.load_preset(&name, shared),
            Action::LoadRecipe(recipe, name) => return self.load_recipe(*recipe, &name, shared),
            Action::PickRecipe => return vec![pick_recipe()],
            Action::PickText => return vec![pick_text()],
            Action::ChooseText(path) => {
                self.remember("");
                self.draft.forgetting.text = Some(path);
            }
            Action::OpenRecipe(path) => {
                let go = Effect::Act(UiAction::Go(Place::Train));
                return vec![go, Effect::submit(Command::ReadRecipe { path })];
            }
            Action::Start => return self.start(shared),
            Action::SetAdvanced(is_advanced) => self.is_advanced = is_advanced,
            Action::Edit(field, recipe) => {
                self.remember(field);
                self.draft = *recipe;
                return self.say_limit(shared, false);
            }
            Action::Fix(fix) => {
                self.remember("");
                let mut fixed = compose(&self.draft, shared);
                if let Err(problems) = load::apply(&mut fixed, &fix) {
                    let why = problems.first().map(|p| p.text.clone()).unwrap_or_default();
                    return vec![Effect::Say(Notice::info(format!("{}: {why}", fix.label)))];
                }
                self.draft = fixed;
                let mut effects = self.say_limit(shared, true);
                effects.extend(say_data(&self.draft, shared, &compose(&self.draft, shared)));
                return effects;
            }
            Action::ShowMethods(is_shown) => self.is_choosing_method = is_shown,
            Action::ChooseMethod(kind) => {
                let method = Method::all().into_iter().find(|method| method.kind() == kind);
                if let Some(method) = method {
                    self.remember("");
                    self.draft = with_method(&self.draft, method, &self.origin);
                }
            }
            Action::TakeMethod(contender, learning_rate) => {
                self.remember("");
                let Contender { method, order } = *contender;
                self.draft.method = method;
                self.draft.curriculum.by = order.unwrap_or(self.draft.curriculum.by.clone());
                self.draft.optimizer.learning_rate = learning_rate;
            }
            Action::TakeRecommendation => {
                if let Some(recommended) = self.review.recommendation.clone() {
                    self.remember("");
                    recommended.apply(&mut self.draft, &self.origin);
                }
            }
            Action::Compare(action) => {
                let why_not = self.why_not(shared).map(|obstacle| obstacle.words);
                return self.compare.act(action, &self.review, why_not, shared);
            }
            Action::Undo => {
                if let Some((_, before)) = self.undo.pop() {
                    self.draft = before;
                    return self.say_limit(shared, true);
                }
            }
            Action::Reset => {
                self.remember("");
                self.draft = self.origin.clone();
                return self.say_limit(shared, true);
            }
            Action::Settle => {
                self.is_limit_moving = false;
                self.is_prepare_asked = true;
                return vec![Effect::Act(UiAction::Data(data::Action::Refresh))];
            }
            Action::SetLook(look) => {
                if let Some(live) = self.live.as_mut().filter(|_| look.smoothing != self.look.smoothing) {
                    live.loss.set_smoothing(look.smoothing);
                }
                self.look = look;
            }
            Action::Pause => return self.switch(JobSwitch::Pause),
            Action::Resume => return self.switch(JobSwitch::Resume),
            Action::SaveNow => return self.switch(JobSwitch::SaveNow),
            Action::CloseRun => {
                if self.job.is_none() {
                    self.live = None;
                }
            }
        }
        Vec::new()
    }

    fn switch(&self, switch: JobSwitch) -> Vec<Effect> {
        self.job.or(self.compare.job()).map(|job| Effect::Job(job, switch)).into_iter().collect()
    }

    /// Keeps the draft for Undo; a field that is still being changed is one step.
    fn remember(&mut self, field: &'static str) {
        if !field.is_empty() && self.undo.last().is_some_and(|u| u.0 == field) {
            return;
        }
        self.undo.push((field, self.draft.clone()));
        if self.undo.len() > MOST_UNDO {
            self.undo.remove(0);
        }
    }

    fn load_preset(&mut self, name: &str, shared: &Shared) -> Vec<Effect> {
        let Some(preset) = preset::find(name) else {
            return vec![Effect::Say(Notice::info(format!("There is no preset called {name}")))];
        };
        self.remember("");
        // A preset that names no objective leaves it as it is.
        let objective = compose(&self.draft, shared).objective;
        self.preset = Some(preset.name.to_string());
        self.origin = preset.recipe.clone();
        // So are its several tasks.
        let (tasks, mixing) = (std::mem::take(&mut self.draft.tasks), self.draft.mixing.clone());
        self.draft = preset.recipe;
        for recipe in [&mut self.draft, &mut self.origin] {
            (recipe.tasks, recipe.mixing) = (tasks.clone(), mixing.clone());
        }
        if self.draft.objective == Objective::default() {
            self.draft.objective = objective.clone();
            self.origin.objective = objective;
        }
        self.tell_data(&Recipe::default(), shared)
    }

    /// Data takes over what the form says beyond `usual`, and is prepared once.
    fn tell_data(&mut self, usual: &Recipe, shared: &Shared) -> Vec<Effect> {
        let mut effects = self.say_limit(shared, false);
        effects.extend(say_data(&self.draft, shared, usual));
        if !effects.is_empty() {
            effects.push(Effect::Act(UiAction::Data(data::Action::Refresh)));
            self.is_limit_moving = false;
            self.is_prepare_asked = true;
        }
        effects
    }

    fn load_recipe(&mut self, recipe: Recipe, name: &str, shared: &Shared) -> Vec<Effect> {
        self.remember("");
        self.preset = None;
        self.origin = recipe.clone();
        self.draft = recipe;
        let elsewhere = compose(&self.draft, shared);
        let mut effects = self.tell_data(&elsewhere, shared);
        let mut notice = Notice::info(format!("The settings of {name} are in the form"));
        let is_other_data = self.draft.data.path.is_some() && elsewhere.data.path != self.draft.data.path;
        if is_other_data || elsewhere.model.source != self.draft.model.source {
            notice.hint = "It names another model or data file; those chosen now are used.".into();
        }
        effects.push(Effect::Say(notice));
        effects
    }

    /// The longest example is Data's as well: tells it. With `now`, the data is prepared at once.
    fn say_limit(&mut self, shared: &Shared, now: bool) -> Vec<Effect> {
        let mut effects = self.say_reading(shared);
        effects.extend(self.say_limit_alone(shared, now));
        effects
    }

    /// Rows are read as the objective wants them: tells Data where that has changed.
    fn say_reading(&mut self, shared: &Shared) -> Vec<Effect> {
        let Some(options) = shared.prepare_options.as_ref().filter(|_| !self.draft.has_tasks()) else {
            return Vec::new();
        };
        let reading = self.draft.objective.reading(options.split.seed);
        if reading == options.reading {
            return Vec::new();
        }
        self.is_prepare_asked = true;
        let edit = Effect::Act(UiAction::Data(data::Action::Edit(Edit::Reading(reading))));
        vec![edit, Effect::Act(UiAction::Data(data::Action::Refresh))]
    }

    fn say_limit_alone(&mut self, shared: &Shared, now: bool) -> Vec<Effect> {
        let limit = self.draft.batch.max_tokens;
        let is_same = shared.prepare_options.as_ref().is_none_or(|o| o.max_tokens == limit);
        if is_same || self.draft.has_tasks() {
            return Vec::new();
        }
        if now {
            self.is_prepare_asked = true;
            return vec![Effect::Act(UiAction::Data(data::Action::SetMaxTokens(limit)))];
        }
        self.is_limit_moving = true;
        vec![Effect::Act(UiAction::Data(data::Action::Edit(Edit::MaxTokens(limit))))]
    }

    fn start(&mut self, shared: &Shared) -> Vec<Effect> {
        self.is_start_wanted = false;
        match self.why_not(shared) {
            None => {}
            Some(Obstacle { is_passing: true, .. }) => {
                self.is_start_wanted = true;
                return Vec::new();
            }
            Some(obstacle) => {
                return vec![Effect::Say(Notice::info(format!("Cannot start yet: {}", obstacle.words)))];
            }
        }
        let Some(project) = &shared.project else { return Vec::new() };
        let recipe = Box::new(compose(&self.draft, shared));
        vec![Effect::submit(Command::Train { project: project.folder.clone(), recipe })]
    }

    /// Why Start cannot be pressed.
    fn why_not(&self, shared: &Shared) -> Option<Obstacle> {
        let lasting = |words: &str| Some(Obstacle { words: words.into(), is_passing: false });
        let passing = |words: &str| Some(Obstacle { words: words.into(), is_passing: true });
        if self.compare.job().is_some() {
            return lasting("Methods are being compared.");
        }
        if self.job.is_some() || shared.jobs.training().is_some() {
            return lasting("A run is in progress.");
        }
        if shared.project.is_none() {
            return lasting("No project is open.");
        }
        if !shared.is_model_ready() {
            return lasting("Choose a model first.");
        }
        let is_of_open_data = !self.draft.has_tasks();
        if is_of_open_data && shared.imported.is_none() {
            return lasting("Open a data file first.");
        }
        if is_of_open_data && !shared.is_data_ready() {
            let is_busy = shared.jobs.all().iter().any(|j| j.place == crate::app::Place::Data);
            return if is_busy || self.is_limit_moving || self.is_prepare_asked {
                passing("The data is being prepared.")
            } else {
                lasting("The data cannot be used as it is: see Data.")
            };
        }
        let fresh = compose(&self.draft, shared);
        let problem = if fresh == self.review.recipe { self.review.errors().next() } else { None };
        problem.map(|p| Obstacle { words: p.text.clone(), is_passing: false })
    }

    pub fn apply(&mut self, event: &Event, shared: &Shared) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.compare.apply(event);
        let is_ours = self.job == Some(event.job);
        match &event.kind {
            EventKind::Run { folder, event } => {
                let is_shown =
                    self.live.as_ref().is_some_and(|l| is_ours || l.folder.as_ref() == Some(folder));
                if let (true, Some(live)) = (is_shown, &mut self.live) {
                    live.folder = Some(folder.clone());
                    live.apply(event);
                }
                return effects;
            }
            EventKind::RunRead { folder, events } => {
                let live = self.live.as_mut().filter(|l| l.folder.as_ref() == Some(folder));
                if let Some(live) = live.filter(|l| l.last.update == 0) {
                    *live =
                        RunView::from_events(folder.clone(), live.recipe.take(), events, self.look.smoothing);
                }
            }
            EventKind::Report { folder, report } => {
                let live = self.live.as_mut().filter(|l| l.folder.as_ref() == Some(folder));
                if let Some(live) = live {
                    live.report = Some(Arc::clone(report));
                }
                return effects;
            }
            EventKind::Recipe { path, recipe } => {
                let name = last_part(&path.to_string_lossy());
                effects = self.load_recipe((**recipe).clone(), &name, shared);
            }
            EventKind::Done | EventKind::Stopped | EventKind::Failed(_) if is_ours => {
                self.job = None;
                if let Some(live) = &mut self.live {
                    live.phase = Some(crate::project::event::Phase::Ended);
                    if let EventKind::Failed(failure) = &event.kind {
                        live.failure = Some(failure.clone());
                    }
                }
            }
            EventKind::Prepared(_) if self.is_start_wanted => {
                self.look_again(shared);
                effects = vec![Effect::Act(UiAction::Train(Action::Start))];
            }
            EventKind::Failed(_) | EventKind::Stopped if self.is_start_wanted => self.is_start_wanted = false,
            EventKind::Progress { .. } | EventKind::Generation { .. } | EventKind::Started => return effects,
            _ => {}
        }
        self.look_again(shared);
        effects
    }

    /// A command of any place was given to the engine.
    pub fn submitted(&mut self, job: JobId, command: &Command, shared: &Shared) {
        self.compare.submitted(job, command);
        let mut begin = |folder: Option<PathBuf>, recipe: Option<Recipe>| {
            let mut live = RunView::new(folder, recipe);
            live.loss.set_smoothing(self.look.smoothing);
            self.live = Some(live);
            self.job = Some(job);
            self.look = self.look.afresh();
            self.is_choosing_method = false;
            self.compare.view = compare::View::Closed;
        };
        match command {
            Command::Train { recipe, .. } => begin(None, Some((**recipe).clone())),
            Command::ResumeRun { folder } => {
                let run = shared.runs.iter().find(|run| run.folder == *folder);
                begin(Some(folder.clone()), run.map(|run| run.recipe.clone()));
            }
            Command::Prepare { .. } => self.is_prepare_asked = false,
            _ => {}
        }
    }

    /// The form with what Model and Data say.
    pub fn recipe(&self) -> &Recipe {
        &self.review.recipe
    }

    /// Fields that differ from the preset; those of Model and Data do not count.
    pub fn changed(&self) -> Vec<(String, String, String)> {
        let differences = load::difference(&self.origin, &self.review.recipe);
        let own = |f: &str| !["about", "model.", "data.", "objective."].iter().any(|p| f.starts_with(p));
        differences.into_iter().filter(|(field, ..)| own(field)).collect()
    }

    pub fn can_undo(&self) -> bool {
        !self.undo.is_empty()
    }

    pub fn job(&self) -> Option<JobId> {
        self.job
    }

    pub fn header(&self, shared: &Shared) -> Header {
        let why_not = self.why_not(shared).map(|o| o.words);
        if self.compare.is_open() {
            return self.compare.header(&self.review, why_not, shared);
        }
        let state = match &self.live {
            Some(live) => match &live.failure {
                Some(failure) => format!("The run failed: {}", failure.title),
                None => match &live.recipe {
                    Some(recipe) => {
                        let data = recipe.data.path.as_ref().map(|p| last_part(&p.display().to_string()));
                        let data = data.map_or(String::new(), |d| format!(" on {d}"));
                        format!("{}{data}", last_part(&recipe.model.source))
                    }
                    None => {
                        live.folder.as_ref().map_or_else(String::new, |f| last_part(&f.display().to_string()))
                    }
                },
            },
            None if self.is_start_wanted => "Starts as soon as the data is prepared".into(),
            None => match &self.review.plan {
                Some(plan) => format!(
                    "Ready: {} on {}",
                    human::plural(plan.num_updates(), "update"),
                    shared.model_title()
                ),
                None => "The recipe: how the model is to learn from the data".into(),
            },
        };
        let action = UiAction::Train(Action::Start);
        Header { state, primary: Some(Primary { label: "Start".into(), action, why_not }) }
    }

    pub fn dot(&self, shared: &Shared) -> Dot {
        let is_ready = shared.is_model_ready() && shared.is_data_ready();
        if is_ready && self.review.errors().next().is_some() { Dot::Needs } else { Dot::None }
    }

    pub fn commands(&self, _shared: &Shared) -> Vec<PaletteItem> {
        let item = |label: String, keys, action| PaletteItem::new(label, keys, UiAction::Train(action));
        let mut items = vec![item("Train: start".into(), "Ctrl+Enter", Action::Start)];
        if self.job.or(self.compare.job()).is_some() {
            items.extend([
                item("Train: pause".into(), "", Action::Pause),
                item("Train: go on".into(), "", Action::Resume),
                item("Train: save a checkpoint now".into(), "", Action::SaveNow),
            ]);
        }
        let (label, other) = if self.is_advanced { ("simple", false) } else { ("advanced", true) };
        items.push(item(format!("Train: {label} form"), "", Action::SetAdvanced(other)));
        items.push(item("Train: show all methods".into(), "", Action::ShowMethods(true)));
        let compare = Action::Compare(compare::Action::Open);
        items.push(item("Train: compare methods on this data".into(), "", compare));
        for method in Method::all() {
            let label = format!("Train: method {}", method.title());
            items.push(item(label, "", Action::ChooseMethod(method.kind())));
        }
        if self.review.recommendation.is_some() {
            items.push(item("Train: use the recommended method".into(), "", Action::TakeRecommendation));
        }
        items.push(item("Train: open a recipe file".into(), "", Action::PickRecipe));
        if self.can_undo() {
            items.push(item("Train: undo the last change".into(), "", Action::Undo));
        }
        for preset in preset::all() {
            let label = format!("Train: preset {}", preset.title);
            items.push(item(label, "", Action::LoadPreset(preset.name.into())));
        }
        items
    }

    /// What was typed here and is on no disk yet.
    pub fn draft(&self) -> serde_json::Value {
        serde_json::json!({
            "preset": self.preset, "recipe": self.draft, "origin": self.origin,
            "is_advanced": self.is_advanced, "look": self.look, "compare": self.compare.draft(),
        })
    }

    pub fn restore(&mut self, draft: serde_json::Value) {
        let recipe = |key: &str| serde_json::from_value::<Recipe>(draft[key].clone()).ok();
        if let (Some(draft), Some(origin)) = (recipe("recipe"), recipe("origin")) {
            (self.draft, self.origin) = (draft, origin);
        }
        self.preset = draft["preset"].as_str().map(String::from).or(self.preset.take());
        self.is_advanced = draft["is_advanced"].as_bool().unwrap_or(false);
        self.look = serde_json::from_value(draft["look"].clone()).unwrap_or_default();
        self.compare.restore(&draft["compare"]);
    }
}

fn pick_recipe() -> Effect {
    Effect::Pick(Pick {
        title: "Open a recipe".into(),
        what: PickWhat::File,
        filters: vec![("Recipes".into(), vec!["toml".into()]), ("All files".into(), vec!["*".into()])],
        then: |path| UiAction::Train(Action::OpenRecipe(path)),
    })
}

fn pick_text() -> Effect {
    Effect::Pick(Pick {
        title: "Choose a general text".into(),
        what: PickWhat::File,
        filters: vec![
            ("Text".into(), vec!["txt".into(), "md".into()]),
            ("All files".into(), vec!["*".into()]),
        ],
        then: |path| UiAction::Train(Action::ChooseText(path)),
    })
}

/// Why Start cannot be pressed, and whether it goes by itself.
struct Obstacle {
    words: String,
    is_passing: bool,
}

/// What a preset says about the data beyond `usual`, for Data to take over.
fn say_data(recipe: &Recipe, shared: &Shared, usual: &Recipe) -> Vec<Effect> {
    let Some(options) = &shared.prepare_options else { return Vec::new() };
    let (split, plain, now) = (&recipe.data.split, &usual.data.split, &options.split);
    let mut edits = Vec::new();
    if split != plain {
        let same = |a: f64, b: f64| (a - b).abs() < 1e-12;
        edits.extend((split.seed != now.seed).then_some(Edit::Seed(split.seed)));
        edits.extend((!same(split.valid, now.valid)).then_some(Edit::Valid(split.valid)));
        edits.extend((!same(split.test, now.test)).then_some(Edit::Test(split.test)));
        edits.extend((split.stratify != now.stratify).then_some(Edit::Stratify(split.stratify)));
    }
    edits.into_iter().map(|e| Effect::Act(UiAction::Data(data::Action::Edit(e)))).collect()
}
