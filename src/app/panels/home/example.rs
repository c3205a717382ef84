//! "Try it with the fruit example": one click does the whole job, each step as the user would do it.

use crate::app::action::{Effect, Place, UiAction};
use crate::app::panels::{data, model, playground, train};
use crate::app::shared::Shared;
use crate::engine::event::{Event, EventKind};
use crate::engine::{Command, JobId};
use crate::project::samples;
use crate::recipe::Recipe;
use std::path::PathBuf;

/// The steps, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    Model,
    Sample,
    Prepare,
    Train,
    Compare,
}

impl Step {
    pub const ALL: [Self; 5] = [Self::Model, Self::Sample, Self::Prepare, Self::Train, Self::Compare];

    pub fn words(self) -> &'static str {
        match self {
            Self::Model => "Get the starter model",
            Self::Sample => "Open the fruit example: names of fruits and their botanical type",
            Self::Prepare => "Cut it into tokens and split it into train, validation and test",
            Self::Train => "Train with the quickstart preset",
            Self::Compare => "Ask the base model and yours the same question",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepState {
    Done,
    Now,
    Waiting,
    Failed,
}

/// How far the example is.
#[derive(Debug, Clone, Default)]
pub struct Example {
    pub step: Option<Step>,
    /// Why it stopped.
    pub failure: Option<String>,
    pub is_finished: bool,
    /// The newest job that belongs to the step.
    job: Option<JobId>,
    /// Whether that job prepares data, which another one may overtake.
    is_preparing: bool,
    run_folder: Option<PathBuf>,
}

impl Example {
    pub fn is_running(&self) -> bool {
        self.step.is_some() && self.failure.is_none() && !self.is_finished
    }

    pub fn state_of(&self, step: Step) -> StepState {
        match self.step {
            _ if self.is_finished => StepState::Done,
            Some(now) if step < now => StepState::Done,
            Some(now) if step == now && self.failure.is_some() => StepState::Failed,
            Some(now) if step == now => StepState::Now,
            _ => StepState::Waiting,
        }
    }

    /// Begins, or goes on from the step that failed.
    pub fn start(&mut self, shared: &Shared) -> Vec<Effect> {
        if self.is_running() {
            return Vec::new();
        }
        let from = self.step.filter(|_| self.failure.is_some()).unwrap_or(Step::Model);
        *self = Self { run_folder: self.run_folder.take(), ..Self::default() };
        self.enter(from, shared)
    }

    pub fn stop(&mut self) {
        self.failure = Some("You stopped it.".into());
    }

    /// Skips what is there already.
    fn enter(&mut self, step: Step, shared: &Shared) -> Vec<Effect> {
        self.step = Some(step);
        self.job = None;
        match step {
            Step::Model => {
                let name = Recipe::default().model.source;
                let is_here = shared.models.iter().any(|m| m.name == name && m.path.is_some());
                if shared.model_source == name && shared.is_model_ready() {
                    return self.enter(Step::Sample, shared);
                }
                let action =
                    if is_here { model::Action::Choose(name) } else { model::Action::Download(name) };
                vec![Effect::Act(UiAction::Model(action))]
            }
            Step::Sample => match &shared.project {
                Some(project) => {
                    let path = samples::path_in(&project.folder, samples::FRUIT);
                    vec![Effect::Act(UiAction::Data(data::Action::Open(path)))]
                }
                None => {
                    self.failure = Some("No project is open.".into());
                    Vec::new()
                }
            },
            Step::Prepare => Vec::new(), // Data asks for it by itself once the file was read
            Step::Train => vec![
                Effect::Act(UiAction::Train(train::Action::LoadPreset("quickstart".into()))),
                Effect::Act(UiAction::Go(Place::Train)),
                Effect::Act(UiAction::Train(train::Action::Start)),
            ],
            Step::Compare => self.compare(shared),
        }
    }

    /// Asks both models. The example is finished when both have answered.
    fn compare(&mut self, shared: &Shared) -> Vec<Effect> {
        let Some(folder) = &self.run_folder else {
            self.failure = Some("The run left no folder.".into());
            return Vec::new();
        };
        let run = shared.runs.iter().find(|r| r.folder == *folder);
        let model = Recipe::default().model.source;
        let is_ready = shared.model_source == model && shared.is_model_ready();
        let compare = playground::Action::CompareWith {
            adapter: run.and_then(|r| r.adapter.clone()).unwrap_or_else(|| folder.join("adapter")),
            name: "fruit example".into(),
            model,
        };
        let mut effects =
            vec![Effect::Act(UiAction::Go(Place::Playground)), Effect::Act(UiAction::Playground(compare))];
        if is_ready {
            effects.push(Effect::Act(UiAction::Playground(playground::Action::Generate)));
        } else {
            self.failure =
                Some("Another model had been chosen; the starter model is chosen again now.".into());
        }
        effects
    }

    pub fn submitted(&mut self, job: JobId, command: &Command) {
        let belongs = matches!(
            (self.step, command),
            (Some(Step::Model), Command::DownloadModel { .. } | Command::InspectModel { .. })
                | (Some(Step::Sample), Command::Import { .. })
                | (Some(Step::Sample | Step::Prepare | Step::Train), Command::Prepare { .. })
                | (Some(Step::Train), Command::Train { .. })
        ) || (self.step == Some(Step::Compare)
            && self.job.is_none()
            && matches!(command, Command::Generate(_)));
        if belongs && self.is_running() {
            self.job = Some(job);
            self.is_preparing = matches!(command, Command::Prepare { .. });
        }
    }

    /// Goes on when a step is done.
    pub fn apply(&mut self, event: &Event, shared: &Shared) -> Vec<Effect> {
        if !self.is_running() {
            return Vec::new();
        }
        let is_ours = self.job == Some(event.job);
        match (self.step, &event.kind) {
            (_, EventKind::Failed(failure)) if is_ours => {
                self.failure = Some(format!("{}. {}", failure.title, failure.hint));
            }
            (_, EventKind::Stopped) if is_ours && !self.is_preparing => self.stop(),
            (Some(Step::Compare), EventKind::Done) if is_ours => self.is_finished = true,
            (Some(Step::Model), EventKind::Model(info)) if info.source == shared.model_source => {
                return self.enter(Step::Sample, shared);
            }
            (Some(Step::Sample), EventKind::Imported(_)) => return self.enter(Step::Prepare, shared),
            (Some(Step::Prepare), EventKind::Prepared(_)) => return self.enter(Step::Train, shared),
            (Some(Step::Train), EventKind::Run { folder, .. }) if is_ours => {
                self.run_folder = Some(folder.clone());
            }
            (Some(Step::Train), EventKind::Done) if is_ours && !self.is_preparing => {
                return self.enter(Step::Compare, shared);
            }
            _ => {}
        }
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::command::GenerateRequest;
    use crate::model::info::ModelInfo;
    use std::sync::Arc;

    const TRAIN: JobId = JobId(7);
    const ASK: JobId = JobId(8);

    fn shared() -> Shared {
        let source = Recipe::default().model.source;
        Shared { model_source: source, model: Some(Arc::new(ModelInfo::default())), ..Shared::default() }
    }

    /// An example whose run has just ended, and what it does then.
    fn trained(shared: &Shared) -> (Example, Vec<Effect>) {
        let run_folder = Some(PathBuf::from("/runs/fruit"));
        let mut example =
            Example { step: Some(Step::Train), job: Some(TRAIN), run_folder, ..Example::default() };
        let effects = say(&mut example, TRAIN, EventKind::Done, shared);
        (example, effects)
    }

    fn say(example: &mut Example, job: JobId, kind: EventKind, shared: &Shared) -> Vec<Effect> {
        example.apply(&Event { job, kind }, shared)
    }

    fn ask(example: &mut Example) {
        let (model, columns, prompts, stop) = (String::new(), Vec::new(), Vec::new(), Vec::new());
        let request = GenerateRequest { model, columns, prompts, max_tokens: 1, stop };
        example.submitted(ASK, &Command::Generate(request));
    }

    fn generates(effects: &[Effect]) -> bool {
        let generates =
            |e: &Effect| matches!(e, Effect::Act(UiAction::Playground(playground::Action::Generate)));
        effects.iter().any(generates)
    }

    #[test]
    fn it_is_finished_when_the_comparison_is_answered() {
        let shared = shared();
        let (mut example, effects) = trained(&shared);
        assert!(generates(&effects) && example.is_running());
        ask(&mut example);
        say(&mut example, TRAIN, EventKind::Done, &shared);
        assert_eq!((example.state_of(Step::Compare), example.is_finished), (StepState::Now, false));
        say(&mut example, ASK, EventKind::Done, &shared);
        assert!(example.is_finished && !example.is_running());
    }

    #[test]
    fn a_comparison_that_was_stopped_is_asked_again() {
        let shared = shared();
        let (mut example, _) = trained(&shared);
        ask(&mut example);
        say(&mut example, ASK, EventKind::Stopped, &shared);
        assert_eq!((example.state_of(Step::Compare), example.is_finished), (StepState::Failed, false));
        assert!(generates(&example.start(&shared)), "the run is not trained again");
        ask(&mut example);
        say(&mut example, ASK, EventKind::Done, &shared);
        assert!(example.is_finished);
    }

    #[test]
    fn another_model_that_was_chosen_meanwhile_is_not_asked() {
        let (example, effects) = trained(&Shared { model_source: "other".into(), ..shared() });
        assert!(!generates(&effects) && example.failure.is_some());
    }
}
