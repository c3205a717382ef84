use super::example::Example;
use crate::app::action::{Effect, FrameAction, Place, UiAction};
use crate::app::panels::{data, model};
use crate::app::shared::{Header, PaletteItem, Primary, Shared, last_part};
use crate::base::human;
use crate::engine::event::{Event, EventKind, GenerationEvent};
use crate::engine::{Command, JobId};
use std::path::PathBuf;

#[derive(Debug, Default)]
pub struct State {
    pub example: Example,
    /// Base and tuned answered side by side.
    has_compared: bool,
    /// Where an adapter was exported to.
    exported: Option<PathBuf>,
    /// What is typed in the field for a project's folder.
    pub(super) project_text: String,
}

#[derive(Debug, Clone)]
pub enum Action {
    SetProjectText(String),
    /// Open the project whose folder was typed.
    OpenTyped,
    /// Everything with the fruit example.
    TryFruit,
    /// End the example where it is.
    StopFruit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CardState {
    Done,
    Working,
    /// What to do now.
    Next,
    Waiting,
}

/// One card of the path.
#[derive(Debug, Clone)]
pub struct Card {
    pub name: &'static str,
    pub state: CardState,
    /// One sentence.
    pub text: String,
    /// What the button says and does.
    pub button: (&'static str, UiAction),
}

impl State {
    pub fn act(&mut self, action: Action, shared: &Shared) -> Vec<Effect> {
        match action {
            Action::TryFruit => self.example.start(shared),
            Action::StopFruit => {
                self.example.stop();
                Vec::new()
            }
            Action::SetProjectText(text) => {
                self.project_text = text;
                Vec::new()
            }
            Action::OpenTyped => {
                let typed = self.project_text.trim().trim_matches('"');
                let open = || FrameAction::OpenProject(data::expand_home(typed));
                (!typed.is_empty()).then(|| Effect::Act(UiAction::Frame(open()))).into_iter().collect()
            }
        }
    }

    pub fn apply(&mut self, event: &Event, shared: &Shared) -> Vec<Effect> {
        match &event.kind {
            EventKind::Generation { column, event: GenerationEvent::Ended { .. }, .. } if *column > 0 => {
                self.has_compared = true;
            }
            EventKind::Exported { to } => self.exported = Some(to.clone()),
            _ => {}
        }
        self.example.apply(event, shared)
    }

    /// A command of any place was given to the engine.
    pub fn submitted(&mut self, job: JobId, command: &Command) {
        self.example.submitted(job, command);
    }

    /// Model, Data, Train, Compare, Export. The first that is not done is the next one.
    pub fn cards(&self, shared: &Shared) -> Vec<Card> {
        let mut cards = vec![
            self.model_card(shared),
            self.data_card(shared),
            self.train_card(shared),
            self.compare_card(shared),
            self.export_card(),
        ];
        if let Some(next) = cards.iter_mut().find(|c| c.state != CardState::Done)
            && next.state == CardState::Waiting
        {
            next.state = CardState::Next;
        }
        cards
    }

    fn model_card(&self, shared: &Shared) -> Card {
        let title = shared.model_title();
        let job = shared.jobs.all().iter().find(|j| j.title.starts_with("Downloading"));
        let (state, text) = match (&shared.model, job) {
            (Some(info), _) => {
                (CardState::Done, format!("{title}, {} parameters, ready", model::params(info.num_params)))
            }
            (None, Some(job)) => (CardState::Working, format!("Downloading: {}", job.detail())),
            (None, None) => (CardState::Waiting, "Choose the model to start from".to_string()),
        };
        let words = if state == CardState::Done { "Change" } else { "Choose a model" };
        Card { name: "Model", state, text, button: (words, UiAction::Go(Place::Model)) }
    }

    fn data_card(&self, shared: &Shared) -> Card {
        let working = shared.jobs.any_in(Place::Data);
        let (state, text) = match (&shared.imported, &shared.dataset) {
            _ if working => (CardState::Working, "Reading your data".to_string()),
            (Some(imported), Some(dataset)) => {
                let name = last_part(&imported.path.display().to_string());
                let rows = human::plural(dataset.rows.len() as u64, "row");
                (CardState::Done, format!("{name}, {rows} to learn from and check with"))
            }
            (Some(_), None) => {
                (CardState::Waiting, "The file is open, but not ready for the model".to_string())
            }
            (None, _) => (CardState::Waiting, "Open the rows the model is to learn from".to_string()),
        };
        match &shared.imported {
            Some(_) => Card { name: "Data", state, text, button: ("Look at it", UiAction::Go(Place::Data)) },
            None => {
                Card { name: "Data", state, text, button: ("Open data", UiAction::Data(data::Action::Pick)) }
            }
        }
    }

    fn train_card(&self, shared: &Shared) -> Card {
        let tuned = shared.runs.iter().filter(|r| r.adapter.is_some()).count();
        let (state, text) = match shared.jobs.training() {
            Some(job) => (CardState::Working, job.detail()),
            None if tuned > 0 => {
                (CardState::Done, format!("{} finished", human::plural(tuned as u64, "run")))
            }
            None => (CardState::Waiting, "Let the model learn from your rows".to_string()),
        };
        let words = if state == CardState::Working { "Watch" } else { "Train" };
        Card { name: "Train", state, text, button: (words, UiAction::Go(Place::Train)) }
    }

    fn compare_card(&self, shared: &Shared) -> Card {
        let working = shared.jobs.any_in(Place::Playground);
        let (state, text) = match self.has_compared {
            _ if working => (CardState::Working, "Answering".to_string()),
            true => (CardState::Done, "Base and tuned answered side by side".to_string()),
            false => (CardState::Waiting, "Ask both models the same and see the difference".to_string()),
        };
        Card { name: "Compare", state, text, button: ("Compare", UiAction::Go(Place::Playground)) }
    }

    fn export_card(&self) -> Card {
        let (state, text) = match &self.exported {
            Some(to) => (CardState::Done, format!("Saved in {}", to.display())),
            None => (
                CardState::Waiting,
                "Take what you trained with you, as files that other programs open".to_string(),
            ),
        };
        Card { name: "Export", state, text, button: ("Export", UiAction::Go(Place::Runs)) }
    }

    pub fn header(&self, shared: &Shared) -> Header {
        let cards = self.cards(shared);
        let done = cards.iter().filter(|c| c.state == CardState::Done).count();
        let state = match cards.iter().find(|c| c.state != CardState::Done) {
            _ if self.example.is_running() => "The fruit example is running".to_string(),
            Some(_) if done == 0 => {
                "Five steps: choose a model, open your data, train, compare, take it with you".to_string()
            }
            Some(card) => format!("{done} of 5 done. Next: {}", card.name.to_lowercase()),
            None => "All done".to_string(),
        };
        let next = cards.into_iter().find(|c| c.state == CardState::Next);
        let primary = next.map(|c| Primary { label: c.button.0.into(), action: c.button.1, why_not: None });
        Header { state, primary: primary.filter(|_| !self.example.is_running()) }
    }

    /// How far the user came, where nothing else on disk tells it.
    pub fn draft(&self) -> serde_json::Value {
        serde_json::json!({ "has_compared": self.has_compared, "exported": self.exported })
    }

    pub fn restore(&mut self, draft: serde_json::Value) {
        self.has_compared = draft["has_compared"].as_bool().unwrap_or_default();
        self.exported = serde_json::from_value(draft["exported"].clone()).unwrap_or_default();
    }

    pub fn commands(&self, _shared: &Shared) -> Vec<PaletteItem> {
        let action = UiAction::Home(Action::TryFruit);
        vec![PaletteItem::new("Try it with the fruit example", "", action)]
    }
}
