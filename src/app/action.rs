//! What a person did, and what follows from it in the world.

use super::jobs::JobSwitch;
use super::notices::Notice;
use super::panels::{data, home, model, playground, runs, train};
use crate::engine::{Command, JobId};
use eframe::egui;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The six places of the left bar.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    #[default]
    Home,
    Model,
    Data,
    Train,
    Runs,
    Playground,
}

impl Place {
    pub const ALL: [Self; 6] =
        [Self::Home, Self::Model, Self::Data, Self::Train, Self::Runs, Self::Playground];

    pub fn name(self) -> &'static str {
        match self {
            Self::Home => "Home",
            Self::Model => "Model",
            Self::Data => "Data",
            Self::Train => "Train",
            Self::Runs => "Runs",
            Self::Playground => "Playground",
        }
    }
}

/// Something a person did in the window.
#[derive(Debug, Clone)]
pub enum UiAction {
    Go(Place),
    Frame(FrameAction),
    Home(home::Action),
    Model(model::Action),
    Data(data::Action),
    Train(train::Action),
    Runs(runs::Action),
    Playground(playground::Action),
}

/// What belongs to no place: the palette, notices, jobs, the theme, leaving.
#[derive(Debug, Clone)]
pub enum FrameAction {
    /// Open the project in this folder, or begin one there.
    OpenProject(PathBuf),
    /// Ask for the folder with the system's dialog.
    PickProject,
    /// Ctrl+O: choose a data file.
    OpenData,
    /// Ctrl+L: type the path of a model (in Model) or of a data file.
    TypePath,
    /// A file that was dropped on the window.
    Dropped(PathBuf),
    /// A folder that was dropped on the window: a model.
    DroppedFolder(PathBuf),
    /// Ctrl+Enter: the primary action of the place.
    Primary,
    /// Esc: closes what is open, or else stops what runs.
    Escape,
    TogglePalette,
    SetPaletteText(String),
    MovePalette(i32),
    RunPaletteItem(usize),
    Job(JobId, JobSwitch),
    DismissNotice(u64),
    ToggleNoticeDetails(u64),
    Copy(String),
    SetTheme(egui::ThemePreference),
    /// The window's close button.
    CloseRequested,
    /// Asks what to do with the run in progress.
    AskStop,
    /// The answer.
    EndRun(Ending),
    /// Asks before something is lost.
    Ask(Question),
    /// Yes or no to the question that is open.
    Answer(bool),
    ShowShortcuts(bool),
}

/// What to do with a run that is asked to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    Save,
    Discard,
    Keep,
}

/// A file or folder to ask for with the system's dialog.
#[derive(Debug, Clone)]
pub struct Pick {
    pub title: String,
    pub what: PickWhat,
    /// Name and endings (without dot) of the files to show; empty shows all.
    pub filters: Vec<(String, Vec<String>)>,
    /// What to do with the path.
    pub then: fn(PathBuf) -> UiAction,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PickWhat {
    File,
    Folder,
}

/// A question before something is destroyed. "No" is the default.
#[derive(Debug, Clone)]
pub struct Question {
    pub title: String,
    /// What will be lost.
    pub text: String,
    /// The button that does it: "Delete the run".
    pub yes: String,
    pub then: Box<UiAction>,
}

/// What an action asks of the world. `AppState` answers the first three itself; the rest reaches `effects`.
#[derive(Debug, Clone)]
pub enum Effect {
    /// Another action that follows.
    Act(UiAction),
    /// A notice at the lower right.
    Say(Notice),
    /// A question before something is destroyed.
    Ask(Question),
    Submit(Box<Command>),
    Job(JobId, JobSwitch),
    Pick(Pick),
    CopyText(String),
    OpenFolder(PathBuf),
    SetTheme(egui::ThemePreference),
    /// Close the window now.
    Quit,
}

impl Effect {
    pub fn submit(command: Command) -> Self {
        Self::Submit(Box::new(command))
    }
}
