use super::edit::{self, Edit};
use super::rows::{Filter, Rows};
use super::sight::{Histogram, Preview};
use crate::app::action::{Effect, Place, UiAction};
use crate::app::jobs::JobSwitch;
use crate::app::shared::{Dot, Header, PaletteItem, Primary, Shared, last_part};
use crate::app::state::pick_data;
use crate::base::human;
use crate::data::Ledger;
use crate::data::import::{ImportOptions, Imported};
use crate::data::prepare::{Dataset, PrepareOptions};
use crate::engine::event::{Event, EventKind};
use crate::engine::{Command, JobId};
use crate::project::samples;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What stands at the right.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Tab {
    #[default]
    Sight,
    Lengths,
    Split,
    Options,
}

#[derive(Debug, Default)]
pub struct State {
    /// What is typed in the path field.
    pub path_text: String,
    /// The path field takes the keyboard in the next frame.
    pub wants_path_focus: bool,
    pub tab: Tab,
    pub filter: Filter,
    /// Table row that was clicked.
    pub chosen_row: Option<usize>,
    pub rows: Rows,
    pub preview: Option<Preview>,
    pub histogram: Histogram,
    /// The options changed since `Prepare` was last asked for.
    pub is_dirty: bool,
    options: Option<PrepareOptions>,
    import_options: ImportOptions,
    /// How the table that is shown was read.
    read_as: ImportOptions,
    /// The file that is open, or was when the project was closed.
    file: Option<PathBuf>,
    /// The newest of each kind: older answers count for nothing.
    import_job: Option<JobId>,
    prepare_job: Option<JobId>,
    /// Why the last preparation failed.
    pub problem: Option<String>,
}

#[derive(Debug, Clone)]
pub enum Action {
    /// Import a file.
    Open(PathBuf),
    /// Ask for a file with the system's dialog.
    Pick,
    SetPathText(String),
    /// Ctrl+L: the path field takes the keyboard.
    FocusPath(bool),
    /// Import the file whose path was typed.
    OpenTyped,
    /// Read the same file in another way.
    Reimport(ImportOptions),
    Edit(Edit),
    /// Longest example, in tokens; Train says it too.
    SetMaxTokens(usize),
    /// Ask for `Prepare` with the options as they are now.
    Refresh,
    SetFilter(Filter),
    SetTab(Tab),
    ChooseRow(usize),
    /// The next (1) or previous (-1) kept row.
    MoveRow(i64),
    Stop,
}

impl State {
    pub fn act(&mut self, action: Action, shared: &Shared) -> Vec<Effect> {
        match action {
            Action::Open(path) => return self.open(path),
            Action::Pick => return vec![pick_data()],
            Action::SetPathText(text) => self.path_text = text,
            Action::FocusPath(wanted) => self.wants_path_focus = wanted,
            Action::OpenTyped => {
                let typed = self.path_text.trim().trim_matches('"');
                if !typed.is_empty() {
                    return self.open(expand_home(typed));
                }
            }
            Action::Reimport(options) => {
                self.import_options = options;
                let path = shared.imported.as_ref().map(|i| i.path.clone());
                return path.map(|path| self.import(path)).into_iter().collect();
            }
            Action::Edit(edit) => {
                if let Some(options) = &mut self.options {
                    edit.apply(options);
                    self.is_dirty = true;
                    self.measure(shared.dataset.as_deref());
                }
            }
            Action::SetMaxTokens(n) => {
                if let Some(options) = self.options.as_mut().filter(|o| o.max_tokens != n) {
                    options.max_tokens = n;
                    return self.prepare(shared);
                }
            }
            Action::Refresh => return self.prepare(shared),
            Action::SetFilter(filter) => {
                self.filter = filter;
                self.list(shared.imported.as_deref(), shared.dataset.as_deref());
            }
            Action::SetTab(tab) => self.tab = tab,
            Action::ChooseRow(row) => {
                self.chosen_row = Some(row);
                if let Some(dataset) = &shared.dataset {
                    let index = dataset.rows.binary_search_by_key(&row, |r| r.index);
                    self.preview = index.ok().and_then(|i| Preview::new(dataset, i));
                }
            }
            Action::MoveRow(by) => self.move_row(by, shared.dataset.as_deref()),
            Action::Stop => {
                let jobs = [self.import_job, self.prepare_job];
                return jobs.into_iter().flatten().map(|j| Effect::Job(j, JobSwitch::Stop)).collect();
            }
        }
        Vec::new()
    }

    pub fn apply(&mut self, event: &Event, shared: &Shared) -> Vec<Effect> {
        match &event.kind {
            EventKind::Imported(imported) => {
                let mut options = edit::fresh(imported, self.options.as_ref());
                // The same file read in another way: what the user said about its columns still holds.
                let said = self.options.as_ref().filter(|_| self.file.as_ref() == Some(&imported.path));
                if let Some(said) = said.filter(|o| o.schema.roles.len() == options.schema.roles.len()) {
                    options.schema = said.schema.clone();
                }
                self.options = Some(options);
                self.read_as = self.import_options.clone();
                self.file = Some(imported.path.clone());
                self.path_text = imported.path.display().to_string();
                self.filter = Filter::All;
                self.chosen_row = None;
                self.preview = None;
                self.problem = None;
                self.histogram = Histogram::default();
                self.list(Some(imported), None);
                return self.prepare(shared);
            }
            EventKind::Prepared(dataset) => {
                self.problem = None;
                self.list(shared.imported.as_deref(), Some(dataset));
                self.measure(Some(dataset));
                let index = self.preview.as_ref().map_or(0, |p| p.index);
                self.preview = Preview::new(dataset, index.min(dataset.rows.len().saturating_sub(1)));
            }
            EventKind::Model(info) if info.source == shared.model_source => return self.prepare(shared),
            // The table from before is still the one that is shown.
            EventKind::Failed(_) | EventKind::Stopped
                if self.import_job == Some(event.job) && shared.imported.is_some() =>
            {
                self.import_options = self.read_as.clone();
            }
            EventKind::Failed(failure) if self.prepare_job == Some(event.job) => {
                self.problem = Some(format!("{}: {} {}", failure.title, failure.detail, failure.hint));
            }
            _ => {}
        }
        if matches!(event.kind, EventKind::Done | EventKind::Stopped | EventKind::Failed(_)) {
            self.import_job = self.import_job.filter(|j| *j != event.job);
            self.prepare_job = self.prepare_job.filter(|j| *j != event.job);
        }
        Vec::new()
    }

    /// A command of any place was given to the engine.
    pub fn submitted(&mut self, job: JobId, command: &Command) {
        match command {
            Command::Import { .. } => self.import_job = Some(job),
            Command::Prepare { .. } => self.prepare_job = Some(job),
            _ => {}
        }
    }

    fn open(&mut self, path: PathBuf) -> Vec<Effect> {
        // What was said about another file does not hold for this one.
        self.import_options = ImportOptions::default();
        vec![Effect::Act(UiAction::Go(Place::Data)), self.import(path)]
    }

    fn import(&self, path: PathBuf) -> Effect {
        Effect::submit(Command::Import { path, options: self.import_options.clone() })
    }

    /// Asks for `Prepare`; an older one that still runs is stopped.
    fn prepare(&mut self, shared: &Shared) -> Vec<Effect> {
        self.is_dirty = false;
        let (Some(imported), Some(options)) = (&shared.imported, &self.options) else { return Vec::new() };
        if !shared.is_model_ready() {
            return Vec::new();
        }
        let old = self.prepare_job.take().map(|job| Effect::Job(job, JobSwitch::Stop));
        let command = Command::Prepare {
            imported: Arc::clone(imported),
            model: shared.model_source.clone(),
            options: options.clone(),
        };
        old.into_iter().chain([Effect::submit(command)]).collect()
    }

    fn list(&mut self, imported: Option<&Imported>, dataset: Option<&Dataset>) {
        if let Some(imported) = imported {
            self.rows = Rows::new(imported, ledger_of(imported, dataset), self.filter);
        }
    }

    fn measure(&mut self, dataset: Option<&Dataset>) {
        if let (Some(dataset), Some(options)) = (dataset, &self.options) {
            self.histogram = Histogram::new(&dataset.stats, options.max_tokens);
        }
    }

    fn move_row(&mut self, by: i64, dataset: Option<&Dataset>) {
        let Some(dataset) = dataset.filter(|d| !d.rows.is_empty()) else { return };
        let now = self.preview.as_ref().map_or(0, |p| p.index as i64);
        let index = (now + by).clamp(0, dataset.rows.len() as i64 - 1) as usize;
        self.preview = Preview::new(dataset, index);
        self.chosen_row = Some(dataset.rows[index].index);
    }

    /// What is asked of `Prepare`; none before a file is open.
    pub fn options(&self) -> Option<&PrepareOptions> {
        self.options.as_ref()
    }

    pub fn file(&self) -> Option<&PathBuf> {
        self.file.as_ref()
    }

    /// What else there is to know about how the file was read.
    pub fn notes<'a>(&self, shared: &'a Shared) -> &'a [String] {
        let imported = shared.imported.as_deref();
        imported.map_or(&[], |i| ledger_of(i, shared.dataset.as_deref()).notes.as_slice())
    }

    /// How the table that is shown was read: a run reads its file the same way.
    pub fn read_as(&self) -> &ImportOptions {
        &self.read_as
    }

    pub fn is_importing(&self) -> bool {
        self.import_job.is_some()
    }

    pub fn is_preparing(&self) -> bool {
        self.prepare_job.is_some()
    }

    pub fn header(&self, shared: &Shared) -> Header {
        let Some(imported) = &shared.imported else {
            return Header {
                state: "A spreadsheet, a text file or an export: the model learns from its rows.".into(),
                primary: Some(Primary {
                    label: "Open data…".into(),
                    action: UiAction::Data(Action::Pick),
                    why_not: None,
                }),
            };
        };
        let name = last_part(&imported.path.display().to_string());
        let rows = human::plural(imported.table.num_rows() as u64, "row");
        let columns = human::plural(imported.table.columns.len() as u64, "column");
        let state = match &shared.dataset {
            Some(d) if shared.is_data_ready() => format!(
                "{name}: {} to train on, {} to check with while training, {} for the final test",
                human::count(d.split.train.len() as u64),
                human::count(d.split.valid.len() as u64),
                human::count(d.split.test.len() as u64)
            ),
            _ if self.is_preparing() => format!("{name}: {rows}, {columns}; preparing…"),
            _ => format!("{name}: {rows}, {columns}"),
        };
        let why_not = if self.problem.is_some() {
            Some("The data cannot be used as it is: see the right side.".to_string())
        } else if !shared.is_model_ready() {
            Some("Choose a model first.".to_string())
        } else if !shared.is_data_ready() {
            Some("The data is being prepared.".to_string())
        } else {
            None
        };
        let primary = Primary { label: "Next: train".into(), action: UiAction::Go(Place::Train), why_not };
        Header { state, primary: Some(primary) }
    }

    pub fn dot(&self, shared: &Shared) -> Dot {
        let needs = self.problem.is_some() || (shared.is_model_ready() && shared.imported.is_none());
        if needs { Dot::Needs } else { Dot::None }
    }

    pub fn commands(&self, shared: &Shared) -> Vec<PaletteItem> {
        let item = |label: &str, action| PaletteItem::new(label, "", UiAction::Data(action));
        let samples = shared.project.iter().flat_map(|project| {
            samples::ALL.map(|(name, words)| {
                let open = Action::Open(samples::path_in(&project.folder, name));
                item(&format!("Open the sample {words}"), open)
            })
        });
        let mut items: Vec<PaletteItem> = samples.collect();
        if shared.imported.is_none() {
            return items;
        }
        items.extend([
            item("Data: what the model sees", Action::SetTab(Tab::Sight)),
            item("Data: lengths of the rows", Action::SetTab(Tab::Lengths)),
            item("Data: split into train, validation, test", Action::SetTab(Tab::Split)),
            item("Data: template and options", Action::SetTab(Tab::Options)),
        ]);
        items
    }

    /// What was typed here and is on no disk yet.
    pub fn draft(&self) -> serde_json::Value {
        serde_json::json!({ "path": self.path_text, "import": self.import_options, "options": self.options })
    }

    pub fn restore(&mut self, draft: serde_json::Value) {
        self.path_text = draft["path"].as_str().unwrap_or_default().to_string();
        self.import_options = serde_json::from_value(draft["import"].clone()).unwrap_or_default();
        self.options = serde_json::from_value(draft["options"].clone()).unwrap_or_default();
    }

    /// Reads the file that was open when the project was closed; what was said about it holds.
    pub fn reopen(&mut self, path: &Path) -> Effect {
        self.file = Some(path.to_path_buf());
        self.import(path.to_path_buf())
    }
}

/// The whole ledger once the data is prepared; before that only what reading the file found.
fn ledger_of<'a>(imported: &'a Imported, dataset: Option<&'a Dataset>) -> &'a Ledger {
    dataset.map_or(&imported.ledger, |d| &d.ledger)
}

/// `~/data.csv` as people type it.
pub fn expand_home(typed: &str) -> PathBuf {
    match (typed.strip_prefix("~/"), std::env::var_os("HOME")) {
        (Some(rest), Some(home)) => PathBuf::from(home).join(rest),
        _ => PathBuf::from(typed),
    }
}
