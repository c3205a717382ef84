//! Carries out what the state asked of the world: engine, dialogs, clipboard, file manager.

use super::action::{Effect, Pick, PickWhat, UiAction};
use super::jobs::JobSwitch;
use super::notices::{Notice, Tone};
use crate::engine::{Command, Event, JobId};
use eframe::egui;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

/// The engine as the window sees it. Tests put their own in its place.
pub trait EngineHandle {
    fn submit(&mut self, command: Command) -> JobId;
    fn switch(&mut self, job: JobId, switch: JobSwitch);
    /// The next event, without waiting.
    fn next_event(&mut self) -> Option<Event>;
}

/// Dialogs that are open. They run on threads of their own inside rfd; here they are polled once a frame.
#[derive(Default)]
pub struct Dialogs {
    open: Vec<OpenDialog>,
}

struct OpenDialog {
    then: fn(PathBuf) -> UiAction,
    answer: Pin<Box<dyn Future<Output = Option<rfd::FileHandle>>>>,
}

/// Asks for a frame when a dialog was answered.
struct Repaint(egui::Context);

impl Wake for Repaint {
    fn wake(self: Arc<Self>) {
        self.0.request_repaint();
    }
}

impl Dialogs {
    pub fn ask(&mut self, pick: Pick) {
        let mut dialog = rfd::AsyncFileDialog::new().set_title(&pick.title);
        for (name, endings) in &pick.filters {
            dialog = dialog.add_filter(name, endings);
        }
        let answer: Pin<Box<dyn Future<Output = Option<rfd::FileHandle>>>> = match pick.what {
            PickWhat::File => Box::pin(dialog.pick_file()),
            PickWhat::Folder => Box::pin(dialog.pick_folder()),
        };
        self.open.push(OpenDialog { then: pick.then, answer });
    }

    /// What was chosen since the last call.
    pub fn poll(&mut self, ctx: &egui::Context) -> Vec<UiAction> {
        if self.open.is_empty() {
            return Vec::new();
        }
        let waker = Waker::from(Arc::new(Repaint(ctx.clone())));
        let mut context = Context::from_waker(&waker);
        let mut chosen = Vec::new();
        self.open.retain_mut(|dialog| match dialog.answer.as_mut().poll(&mut context) {
            Poll::Pending => true,
            Poll::Ready(handle) => {
                chosen.extend(handle.map(|h| (dialog.then)(h.path().to_path_buf())));
                false
            }
        });
        chosen
    }
}

/// Does one thing; returns what to tell the user if it could not be done.
pub fn carry_out(
    effect: Effect,
    ctx: &egui::Context,
    engine: &mut dyn EngineHandle,
    dialogs: &mut Dialogs,
) -> Done {
    match effect {
        Effect::Submit(command) => {
            let job = engine.submit((*command).clone());
            return Done::Submitted(job, command);
        }
        Effect::Job(job, switch) => engine.switch(job, switch),
        Effect::Pick(pick) => dialogs.ask(pick),
        Effect::CopyText(text) => ctx.copy_text(text),
        Effect::OpenFolder(folder) => {
            if let Err(error) = open::that_detached(&folder) {
                let mut notice = Notice::new(Tone::Warning, "The folder could not be opened");
                notice.detail = format!("{error} ({})", folder.display());
                notice.hint = "Open it in your file manager by its path.".into();
                return Done::Say(notice);
            }
        }
        Effect::SetTheme(theme) => ctx.set_theme(theme),
        Effect::Quit => return Done::Quit,
        Effect::Act(_) | Effect::Say(_) | Effect::Ask(_) => {}
    }
    Done::Quietly
}

/// What the window must know of an effect that was carried out.
pub enum Done {
    Quietly,
    Submitted(JobId, Box<Command>),
    Say(Notice),
    Quit,
}
