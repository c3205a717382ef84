use super::super::review::Review;
use crate::app::action::{Effect, FrameAction, Question, UiAction};
use crate::app::panels::train;
use crate::app::shared::{Header, Primary, Shared};
use crate::base::human;
use crate::engine::event::{Event, EventKind, TESTING};
use crate::engine::{Command, JobId};
use crate::project::comparisons::Comparison;
use crate::project::method_comparison::{MethodComparison, MethodRow};
use crate::recipe::recipe::{Method, OrderBy};
use crate::recipe::variants::Contender;
use crate::recipe::{MethodOption, Recipe};
use std::cmp::Ordering;
use std::path::{Path, PathBuf};

/// Updates of each method at first: enough to tell most apart.
const USUAL_UPDATES: u64 = 60;

/// What of it stands in Train.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum View {
    #[default]
    Closed,
    /// What to compare, and the earlier comparisons.
    Form,
    /// It was started, and its folder is not known yet.
    Starting,
    Result(PathBuf),
}

#[derive(Debug)]
pub struct State {
    pub view: View,
    /// Kinds that were ticked by hand; those that fit the memory until then.
    ticked: Option<Vec<&'static str>>,
    /// Each method once more with its rows shuffled, where the recipe orders them.
    pub also_shuffled: bool,
    /// Of each method.
    pub updates: u64,
    /// Those of the project, newest first.
    pub all: Vec<Comparison>,
    job: Option<JobId>,
    /// The folder that the job writes to, once it is known.
    running: Option<PathBuf>,
    /// The key of the one whose turn it is.
    pub turn: Option<String>,
    /// Whether that method is trained and tested now.
    pub is_testing: bool,
    /// Column of the table, and whether its largest number is on top.
    pub sort: Option<(usize, bool)>,
    /// Column that the chart shows; the first that tells methods apart when none was chosen.
    pub charted: Option<usize>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            view: View::Closed,
            ticked: None,
            also_shuffled: false,
            updates: USUAL_UPDATES,
            all: Vec::new(),
            job: None,
            running: None,
            turn: None,
            is_testing: false,
            sort: None,
            charted: None,
        }
    }
}

#[derive(Debug, Clone)]
pub enum Action {
    /// Show what can be compared, or what is compared now.
    Open,
    Close,
    /// Show the form, whatever is being compared.
    ShowForm,
    Tick(&'static str, bool),
    AlsoShuffled(bool),
    SetUpdates(u64),
    Start,
    /// Show a comparison.
    Show(PathBuf),
    Resume(PathBuf),
    SortBy(usize),
    ChartOf(usize),
    /// Put a method into the form of Train, with the settings, the order of rows and the learning rate that it had.
    Use(Box<Contender>, f64),
    OpenFolder(PathBuf),
    AskDelete(PathBuf),
    Delete(PathBuf),
}

impl State {
    /// `why_not` says why no run can be started now.
    pub fn act(
        &mut self,
        action: Action,
        review: &Review,
        why_not: Option<String>,
        shared: &Shared,
    ) -> Vec<Effect> {
        match action {
            Action::Open => {
                self.view = match (self.job, &self.running) {
                    (Some(_), Some(folder)) => View::Result(folder.clone()),
                    (Some(_), None) => View::Starting,
                    (None, _) => View::Form,
                };
            }
            Action::Close => self.view = View::Closed,
            Action::ShowForm => self.view = View::Form,
            Action::Tick(kind, is_ticked) => {
                let mut ticked = self.ticked(review);
                ticked.retain(|other| *other != kind);
                ticked.extend(is_ticked.then_some(kind));
                self.ticked = Some(ticked);
            }
            Action::AlsoShuffled(is_on) => self.also_shuffled = is_on,
            Action::SetUpdates(updates) => self.updates = updates.max(1),
            Action::Start => return self.start(review, why_not, shared),
            Action::Show(folder) => {
                self.view = View::Result(folder);
                (self.sort, self.charted) = (None, None);
            }
            Action::Resume(folder) => {
                if self.job.is_none() && shared.jobs.training().is_none() {
                    self.view = View::Result(folder.clone());
                    return vec![Effect::submit(Command::ResumeComparison { folder })];
                }
            }
            Action::SortBy(column) => {
                self.sort = match self.sort {
                    Some((sorted, is_falling)) if sorted == column => Some((column, !is_falling)),
                    _ => Some((column, false)),
                };
            }
            Action::ChartOf(column) => self.charted = Some(column),
            Action::Use(contender, learning_rate) => {
                self.view = View::Closed;
                let close = train::Action::ShowMethods(false);
                let choose = train::Action::TakeMethod(contender, learning_rate);
                return [close, choose].map(|action| Effect::Act(UiAction::Train(action))).into();
            }
            Action::OpenFolder(folder) => return vec![Effect::OpenFolder(folder)],
            Action::AskDelete(folder) => return vec![Effect::Ask(self.delete_question(folder))],
            Action::Delete(folder) => {
                let Some(project) = &shared.project else { return Vec::new() };
                self.view = View::Form;
                let project = project.folder.clone();
                return vec![Effect::submit(Command::DeleteComparison { project, folder })];
            }
        }
        Vec::new()
    }

    fn start(&mut self, review: &Review, why_not: Option<String>, shared: &Shared) -> Vec<Effect> {
        let Some(project) = &shared.project else { return Vec::new() };
        if self.why_not(review, why_not).is_some() {
            return Vec::new();
        }
        let methods = self.contenders(review);
        let mut recipe: Recipe = review.recipe.clone();
        recipe.length.updates = Some(self.updates);
        self.view = View::Starting;
        (self.sort, self.charted) = (None, None);
        let (project, recipe) = (project.folder.clone(), Box::new(recipe));
        vec![Effect::submit(Command::CompareMethods { project, recipe, methods })]
    }

    fn delete_question(&self, folder: PathBuf) -> Question {
        let name = self.get(&folder).map_or_else(String::new, |c| c.name.clone());
        Question {
            title: format!("Delete {name}?"),
            text: "The table, and the runs of its methods with what they trained, will be gone for good."
                .into(),
            yes: "Delete the comparison".into(),
            then: Box::new(UiAction::Train(train::Action::Compare(Action::Delete(folder)))),
        }
    }

    pub fn apply(&mut self, event: &Event) {
        let is_ours = self.job == Some(event.job);
        match &event.kind {
            EventKind::Comparisons(all) => {
                self.all.clone_from(all);
                if let View::Result(folder) = &self.view
                    && self.get(folder).is_none()
                    && self.running.as_ref() != Some(folder)
                {
                    self.view = View::Form;
                }
            }
            EventKind::Compared { folder, comparison } => {
                let now = Comparison::new(folder, comparison.clone());
                match self.all.iter_mut().find(|old| old.folder == *folder) {
                    Some(old) => *old = now,
                    None => self.all.insert(0, now),
                }
                if is_ours {
                    self.turn = None;
                    self.running = Some(folder.clone());
                    if self.view == View::Starting {
                        self.view = View::Result(folder.clone());
                    }
                }
            }
            EventKind::MethodTurn { key, .. } if is_ours => {
                (self.turn, self.is_testing) = (Some(key.clone()), false);
            }
            EventKind::Progress { phase, .. } if is_ours => self.is_testing = phase == TESTING,
            EventKind::Done | EventKind::Stopped | EventKind::Failed(_) if is_ours => {
                (self.job, self.running, self.turn) = (None, None, None);
                if self.view == View::Starting {
                    self.view = View::Form;
                }
            }
            _ => {}
        }
    }

    /// A command of any place was given to the engine.
    pub fn submitted(&mut self, job: JobId, command: &Command) {
        match command {
            Command::CompareMethods { .. } => (self.job, self.running) = (Some(job), None),
            Command::ResumeComparison { folder } => {
                (self.job, self.running) = (Some(job), Some(folder.clone()));
            }
            _ => {}
        }
    }

    pub fn is_open(&self) -> bool {
        self.view != View::Closed
    }

    pub fn job(&self) -> Option<JobId> {
        self.job
    }

    /// Whether the job writes to this folder.
    pub fn is_running(&self, folder: &Path) -> bool {
        self.job.is_some() && self.running.as_deref() == Some(folder)
    }

    pub fn get(&self, folder: &Path) -> Option<&Comparison> {
        self.all.iter().find(|comparison| comparison.folder == folder)
    }

    /// Variants that are to be compared, in the order of the list.
    pub fn ticked(&self, review: &Review) -> Vec<&'static str> {
        let kinds = review.variants.iter().filter(|option| match &self.ticked {
            Some(ticked) => ticked.contains(&option.method.variant()),
            None => {
                !option.is_too_large
                    && Method::all().iter().any(|usual| usual.variant() == option.method.variant())
            }
        });
        kinds.map(|option| option.method.variant()).collect()
    }

    /// Whether orders of the rows are compared, too.
    fn compares_orders(&self, review: &Review) -> bool {
        self.also_shuffled && review.recipe.curriculum.is_on()
    }

    /// What is compared.
    pub fn contenders(&self, review: &Review) -> Vec<Contender> {
        let kinds = self.ticked(review);
        let methods = review.variants.iter().map(|option| &option.method);
        let orders = match self.compares_orders(review) {
            true => vec![Some(review.recipe.curriculum.by.clone()), Some(OrderBy::Shuffled)],
            false => vec![None],
        };
        let in_orders = |method: &Method| {
            let of = |order: &Option<OrderBy>| Contender { method: method.clone(), order: order.clone() };
            orders.iter().map(of).collect::<Vec<_>>()
        };
        methods.filter(|method| kinds.contains(&method.variant())).flat_map(in_orders).collect()
    }

    /// Options that are ticked, once for each order of the rows.
    fn options<'r>(&self, review: &'r Review) -> impl Iterator<Item = &'r MethodOption> {
        let ticked = self.ticked(review);
        let num_orders = if self.compares_orders(review) { 2 } else { 1 };
        let options = review.variants.iter().filter(move |option| ticked.contains(&option.method.variant()));
        options.flat_map(move |option| std::iter::repeat_n(option, num_orders))
    }

    /// Time of all methods that are ticked, without their tests; `None` while it is not known.
    pub fn secs(&self, review: &Review) -> Option<f64> {
        self.options(review).map(|option| self.secs_of(option, review)).sum()
    }

    /// What the runs of all methods that are ticked keep on the disk; `None` while no model is known.
    pub fn disk_bytes(&self, review: &Review) -> Option<u64> {
        self.options(review).map(|option| option.estimate.as_ref().map(|estimate| estimate.disk_bytes)).sum()
    }

    /// Time of the updates of one method.
    pub fn secs_of(&self, option: &MethodOption, review: &Review) -> Option<f64> {
        let num_updates = review.plan.as_ref()?.num_updates().max(1);
        let secs = option.estimate.as_ref()?.secs;
        (secs > 0.0).then_some(secs * self.updates as f64 / num_updates as f64)
    }

    /// Why it cannot be started; `why_not` says the same of any run.
    pub fn why_not(&self, review: &Review, why_not: Option<String>) -> Option<String> {
        let are_few = self.contenders(review).len() < 2;
        why_not.or_else(|| are_few.then(|| "Tick two or more.".to_string()))
    }

    pub fn header(&self, review: &Review, why_not: Option<String>, shared: &Shared) -> Header {
        let primary = |label: &str, action, why_not| {
            let action = UiAction::Train(train::Action::Compare(action));
            Some(Primary { label: label.into(), action, why_not })
        };
        match &self.view {
            View::Closed => Header::default(),
            View::Form => Header {
                state: "Compare methods: the same data and updates with each, one after the other".into(),
                primary: primary("Start comparing", Action::Start, self.why_not(review, why_not)),
            },
            View::Starting => Header { state: self.state_words(None, shared), primary: stop() },
            View::Result(folder) => {
                let found = self.get(folder).and_then(|c| c.found.as_ref().ok());
                let state = self.state_words(found, shared);
                if self.is_running(folder) {
                    return Header { state, primary: stop() };
                }
                let can_go_on = found.is_some_and(|c| c.missing().next().is_some());
                let busy = shared.jobs.training().map(|_| "A run is in progress.".to_string());
                let primary = match can_go_on {
                    true => primary("Go on", Action::Resume(folder.clone()), busy),
                    false => primary("Compare again…", Action::ShowForm, None),
                };
                Header { state, primary }
            }
        }
    }

    /// How far it is.
    fn state_words(&self, found: Option<&MethodComparison>, shared: &Shared) -> String {
        let is_shown_running = match &self.view {
            View::Result(folder) => self.is_running(folder),
            _ => self.job.is_some(),
        };
        let job = self.job.filter(|_| is_shown_running).and_then(|job| shared.jobs.get(job));
        if let Some(job) = job {
            return format!("Comparing methods: {}", job.detail());
        }
        let Some(found) = found else {
            let is_starting = self.view == View::Starting;
            return if is_starting { "Comparing methods" } else { "This comparison cannot be read" }.into();
        };
        let about = format!("{}, {} each", found.data, human::plural(found.updates, "update"));
        match found.missing().count() as u64 {
            0 => format!("{} compared on {about}", human::plural(found.rows.len() as u64, "method")),
            left => format!("Stopped with {} left, on {about}", human::plural(left, "method")),
        }
    }

    /// What is on disk nowhere: what was ticked and typed.
    pub fn draft(&self) -> serde_json::Value {
        serde_json::json!({ "ticked": self.ticked, "updates": self.updates, "also_shuffled": self.also_shuffled })
    }

    pub fn restore(&mut self, draft: &serde_json::Value) {
        self.updates = draft["updates"].as_u64().unwrap_or(USUAL_UPDATES).max(1);
        self.also_shuffled = draft["also_shuffled"].as_bool().unwrap_or_default();
        let kinds = draft["ticked"].as_array().map(|kinds| {
            let known = Method::variants();
            let known = known.iter().map(Method::variant);
            known.filter(|kind| kinds.iter().any(|k| k == kind)).collect()
        });
        self.ticked = kinds;
    }
}

fn stop() -> Option<Primary> {
    let action = UiAction::Frame(FrameAction::AskStop);
    Some(Primary { label: "Stop".into(), action, why_not: None })
}

/// The rows in the order of the table; what was not measured stands below.
pub fn sorted(comparison: &MethodComparison, sort: Option<(usize, bool)>) -> Vec<&MethodRow> {
    let mut rows: Vec<&MethodRow> = comparison.rows.iter().collect();
    let Some((column, is_falling)) = sort else { return rows };
    let turned = |order: Ordering| if is_falling { order.reverse() } else { order };
    rows.sort_by(|a, b| match (a.number(column), b.number(column)) {
        (Some(x), Some(y)) => turned(x.total_cmp(&y)),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) if column == 0 => turned(a.name.cmp(&b.name)),
        (None, None) => Ordering::Equal,
    });
    rows
}
