//! From what was typed to what the engine is asked, and what it told.

use super::Mode;
use super::rows::Rows;
use super::state::{Draft, TOP};
use crate::app::action::Effect;
use crate::app::panels::playground::ColumnState;
use crate::app::panels::playground::answer_job::AnswerJob;
use crate::app::shared::Shared;
use crate::engine::command::{Ask, AskRequest, ReadText};
use crate::engine::event::{EventKind, Told};
use crate::engine::{Command, Event, JobId};
use crate::peft::compose::Source;
use std::path::PathBuf;
use std::sync::Arc;

/// All that was told of one question.
#[derive(Debug, Clone)]
pub struct Answers {
    pub mode: Mode,
    /// The texts that were asked about.
    pub texts: Vec<String>,
    /// By column of the playground; nothing for those that were not asked.
    told: Vec<Vec<Told>>,
    /// Which column each of the engine's is.
    columns: Vec<usize>,
    /// What was looked through.
    pub rows: Option<Arc<Rows>>,
    pub job: AnswerJob,
    pub is_stopped: bool,
    pub failed: Option<String>,
}

impl Answers {
    /// What a column told.
    pub fn of(&self, column: usize) -> &[Told] {
        self.told.get(column).map_or(&[], Vec::as_slice)
    }

    pub fn is_asked(&self, column: usize) -> bool {
        self.columns.contains(&column)
    }

    pub fn submitted(&mut self, job: JobId, command: &Command) {
        if matches!(command, Command::Ask(_)) {
            self.job.taken(job);
        }
    }

    /// What stops it, while it runs.
    pub fn stop(&self) -> Option<Effect> {
        self.job.stop()
    }

    pub fn apply(&mut self, event: &Event) {
        if !self.job.is_of(event) {
            return;
        }
        match &event.kind {
            EventKind::Told { column, told } => {
                let place = self.columns.get(*column).and_then(|column| self.told.get_mut(*column));
                place.into_iter().for_each(|place| place.push(told.clone()));
            }
            EventKind::Done => self.job.is_running = false,
            EventKind::Stopped => (self.job.is_running, self.is_stopped) = (false, true),
            EventKind::Failed(failure) => {
                (self.job.is_running, self.failed) = (false, Some(failure.title.clone()));
            }
            _ => {}
        }
    }
}

/// What to ask of the engine, and where its answers will stand; or what is missing.
pub fn request(
    mode: Mode,
    draft: &Draft,
    columns: &[ColumnState],
    rows: Option<&Arc<Rows>>,
    shared: &Shared,
) -> Result<(AskRequest, Answers), String> {
    let (ask, texts) = match mode {
        Mode::Write => return Err("Choose above what to do with the text.".into()),
        Mode::Judge => {
            let texts: Vec<String> = draft
                .texts
                .lines()
                .map(str::trim)
                .filter(|line| !line.is_empty())
                .map(String::from)
                .collect();
            if texts.is_empty() {
                return Err("Type a text first.".into());
            }
            let second = Some(draft.second.trim()).filter(|text| !text.is_empty()).map(String::from);
            let one = |first: &String| ReadText { first: first.clone(), second: second.clone() };
            (Ask::Judge { texts: texts.iter().map(one).collect() }, texts)
        }
        Mode::FillMask => {
            hidden(&draft.hidden, shared)?;
            (Ask::FillMask { text: draft.hidden.clone(), top: TOP }, vec![draft.hidden.clone()])
        }
        Mode::Like => {
            let Some(rows) = rows.filter(|rows| !rows.all.is_empty()) else {
                return Err("Open data whose rows have texts first: they are looked through.".into());
            };
            let text = draft.query.trim().to_string();
            (Ask::Nearest { text: text.clone(), rows: Arc::clone(&rows.texts), top: TOP }, vec![text])
        }
    };
    let has_own_head = shared.model.as_ref().is_some_and(|info| info.config.native_head().is_some());
    let asked = asked(mode, columns, has_own_head)?;
    let request = AskRequest {
        model: shared.model_source.clone(),
        columns: asked.iter().map(|(_, folder)| folder.clone()).collect(),
        ask,
    };
    let answers = Answers {
        mode,
        texts,
        told: vec![Vec::new(); columns.len()],
        columns: asked.iter().map(|(column, _)| *column).collect(),
        rows: rows.filter(|_| mode == Mode::Like).cloned(),
        job: AnswerJob::asked(),
        is_stopped: false,
        failed: None,
    };
    Ok((request, answers))
}

/// The columns that are asked. A head is made by a run, unless the model has one: beside one, the base has nothing to say of classes.
fn asked(
    mode: Mode,
    columns: &[ColumnState],
    has_own_head: bool,
) -> Result<Vec<(usize, Option<PathBuf>)>, String> {
    let has_tuned = columns.iter().any(|column| column.adapter.is_some());
    let mut asked = Vec::new();
    for (index, column) in columns.iter().enumerate() {
        match &column.adapter {
            None if mode == Mode::Judge && has_tuned && !has_own_head => {}
            None => asked.push((index, None)),
            Some(Source::Folder(folder)) => asked.push((index, Some(folder.clone()))),
            Some(_) => {
                return Err(format!(
                    "{} is a mix of runs, which is asked to write only: choose a run.",
                    column.name
                ));
            }
        }
    }
    Ok(asked)
}

/// How the model spells what hides a word.
pub fn mask(shared: &Shared) -> Option<String> {
    let (tokeniser, _) = shared.tokeniser.as_ref()?;
    tokeniser.token_text(tokeniser.mask()?)
}

/// How many words are hidden in a text, or why it cannot be asked about.
fn hidden(text: &str, shared: &Shared) -> Result<usize, String> {
    let Some((tokeniser, _)) = &shared.tokeniser else { return Err("Choose a model first.".into()) };
    let Some(mask) = mask(shared) else {
        return Err("This model's vocabulary has nothing that hides a word.".into());
    };
    if text.trim().is_empty() {
        return Err("Type a text first.".into());
    }
    let num = text.matches(&mask).count();
    if num == 0 {
        return Err(format!("Nothing is hidden: put {mask} in the place of a word, or press Hide a word."));
    }
    let most = shared.model.as_ref().map_or(usize::MAX, |info| info.context_tokens);
    match tokeniser.with_marks(text) {
        Ok(ids) if ids.len() > most => {
            Err(format!("The text has {} tokens, and the model reads at most {most}: shorten it.", ids.len()))
        }
        _ => Ok(num),
    }
}
