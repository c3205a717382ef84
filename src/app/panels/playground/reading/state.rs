use super::Mode;
use super::ask::{self, Answers};
use super::rows::Rows;
use crate::app::action::Effect;
use crate::app::notices::Notice;
use crate::app::panels::playground::ColumnState;
use crate::app::shared::Shared;
use crate::data::prepare::Dataset;
use crate::engine::{Command, Event, JobId};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Words of a hidden place, and rows that are near, that are shown.
pub(super) const TOP: usize = 5;

/// What was typed; kept from one start to the next.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Draft {
    /// What somebody chose, and for which model.
    pub chosen: Option<(String, Mode)>,
    /// To be judged, one a line.
    pub texts: String,
    /// Where two are judged together.
    pub second: String,
    /// With hidden words.
    pub hidden: String,
    /// What rows are to be like.
    pub query: String,
    /// Rows to look through.
    pub num_rows: usize,
}

impl Default for Draft {
    fn default() -> Self {
        Self {
            chosen: None,
            texts: String::new(),
            second: String::new(),
            hidden: String::new(),
            query: String::new(),
            num_rows: 2_000,
        }
    }
}

#[derive(Debug, Clone)]
pub enum Action {
    Choose(Mode),
    Edit(Box<Draft>),
    Ask,
    Stop,
    /// Show a row of the map in full.
    Pick(Option<usize>),
}

#[derive(Debug, Default)]
pub struct State {
    pub draft: Draft,
    pub(super) answers: Option<Answers>,
    pub(super) picked: Option<usize>,
    /// Rows of this data set.
    rows: Option<(Arc<Dataset>, usize, Arc<Rows>)>,
}

impl State {
    /// What is done with texts now: what somebody chose for this model, or what it is made for.
    pub fn mode(&self, columns: &[ColumnState], shared: &Shared) -> Mode {
        let chosen = self.draft.chosen.as_ref().filter(|(model, _)| *model == shared.model_source);
        chosen.map_or_else(|| Mode::suited(columns, shared), |(_, mode)| *mode)
    }

    pub fn act(&mut self, action: Action, columns: &[ColumnState], shared: &Shared) -> Vec<Effect> {
        match action {
            Action::Choose(mode) => self.draft.chosen = Some((shared.model_source.clone(), mode)),
            Action::Edit(draft) => self.draft = *draft,
            Action::Stop => return self.answers.as_ref().and_then(Answers::stop).into_iter().collect(),
            Action::Pick(row) => self.picked = row,
            Action::Ask => {
                let rows = self.rows(shared);
                let mode = self.mode(columns, shared);
                match ask::request(mode, &self.draft, columns, rows.as_ref(), shared) {
                    Ok((request, answers)) => {
                        (self.answers, self.picked) = (Some(answers), None);
                        return vec![Effect::submit(Command::Ask(request))];
                    }
                    Err(why) => return vec![Effect::Say(Notice::info(why))],
                }
            }
        }
        Vec::new()
    }

    /// They are of other columns than there are now.
    pub fn forget_answers(&mut self) -> Vec<Effect> {
        self.answers.take().and_then(|answers| answers.stop()).into_iter().collect()
    }

    /// A command of any place was given to the engine.
    pub fn submitted(&mut self, job: JobId, command: &Command) {
        if let Some(answers) = &mut self.answers {
            answers.submitted(job, command);
        }
    }

    pub fn apply(&mut self, event: &Event) {
        if let Some(answers) = &mut self.answers {
            answers.apply(event);
        }
    }

    /// The rows that are looked through, made anew only where the data or their number changed.
    fn rows(&mut self, shared: &Shared) -> Option<Arc<Rows>> {
        let dataset = shared.dataset.as_ref()?;
        let most = self.draft.num_rows;
        let held = self.rows.as_ref().filter(|(of, num, _)| Arc::ptr_eq(of, dataset) && *num == most);
        if let Some((_, _, rows)) = held {
            return Some(Arc::clone(rows));
        }
        let rows = Arc::new(Rows::of(dataset, most));
        self.rows = Some((Arc::clone(dataset), most, Arc::clone(&rows)));
        Some(rows)
    }

    /// What the button says.
    pub(in super::super) fn verb(&self, mode: Mode) -> &'static str {
        match mode {
            Mode::Write => "Generate",
            Mode::Judge => "Judge the texts",
            Mode::FillMask => "Guess the words",
            Mode::Like if self.draft.query.trim().is_empty() => "Draw the map",
            Mode::Like => "Find the nearest",
        }
    }

    pub fn is_running(&self) -> bool {
        self.answers.as_ref().is_some_and(|answers| answers.job.is_running)
    }

    /// Why this cannot be asked now.
    pub(in super::super) fn why_not(
        &self,
        mode: Mode,
        columns: &[ColumnState],
        shared: &Shared,
    ) -> Option<String> {
        if shared.model.is_none() {
            return Some("Choose a model first, and download it if it is not on this machine.".into());
        }
        if shared.jobs.training().is_some() {
            return Some("A run is training: its answers come when it has ended or was stopped.".into());
        }
        if let Some(why) = mode.why_not(columns, shared) {
            return Some(why.into());
        }
        if mode == Mode::Like {
            // The rows themselves are made when they are asked for.
            return shared.dataset.is_none().then(|| "Open data first: its rows are looked through.".into());
        }
        ask::request(mode, &self.draft, columns, None, shared).err()
    }
}
