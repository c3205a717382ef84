//! The box in which the chosen model is tried at once, as it is.

use super::Action;
use crate::app::action::{Effect, Place, UiAction};
use crate::app::notices::Notice;
use crate::app::panels::playground::{Answers, ColumnState, Draft, figures, request};
use crate::app::shared::Shared;
use crate::app::theme::{self, space};
use crate::app::widgets;
use crate::engine::Command;
use crate::model::info::ModelInfo;
use eframe::egui::{self, Key, RichText, ScrollArea, TextEdit};
use egui_material_icons::icons;

const ANSWER_HEIGHT: f32 = 140.0;

#[derive(Debug, Default)]
pub struct Trial {
    pub text: String,
    pub answers: Option<Answers>,
}

impl Trial {
    pub fn ask(&mut self, shared: &Shared) -> Vec<Effect> {
        if let Some(why) = self.why_not(shared) {
            return vec![Effect::Say(Notice::info(why))];
        }
        let draft = Draft { prompt: self.text.clone(), ..Draft::default() };
        match request(&draft, &[ColumnState::base()], false, shared) {
            Ok((request, answers)) => {
                self.answers = Some(answers);
                vec![Effect::submit(Command::Generate(request))]
            }
            Err(why) => vec![Effect::Say(Notice::info(why))],
        }
    }

    pub fn stop(&self) -> Option<Effect> {
        self.answers.as_ref().and_then(Answers::stop)
    }

    fn is_running(&self) -> bool {
        self.answers.as_ref().is_some_and(|a| a.job.is_running)
    }

    fn why_not(&self, shared: &Shared) -> Option<&'static str> {
        if shared.tokeniser.is_none() {
            return Some("Its tokenizer is still being read.");
        }
        if shared.jobs.training().is_some() {
            return Some("A run is training: the model answers when it has ended or was stopped.");
        }
        self.text.trim().is_empty().then_some("Type something first.")
    }
}

pub fn ui(ui: &mut egui::Ui, trial: &Trial, info: &ModelInfo, shared: &Shared, out: &mut Vec<UiAction>) {
    let t = theme::of(ui);
    widgets::section(ui, "Try it");
    let mut text = trial.text.clone();
    let hint = if info.has_chat_template { "Ask something…" } else { "Begin a text; the model goes on…" };
    let field = TextEdit::singleline(&mut text).hint_text(hint).desired_width(f32::INFINITY);
    let response = widgets::named(ui.add(field), "Prompt to try");
    if response.changed() {
        out.push(UiAction::Model(Action::SetTrialText(text)));
    }
    let enter = response.lost_focus() && ui.input(|i| i.key_pressed(Key::Enter));
    ui.add_space(space::XS);
    ui.horizontal(|ui| {
        if trial.is_running() {
            if ui.button("Stop").on_hover_text("Esc").clicked() {
                out.push(UiAction::Model(Action::StopTrial));
            }
            widgets::progress(ui, "Answering", None, 100.0);
        } else {
            let why = trial.why_not(shared);
            if widgets::button_or_why(ui, "Ask", why).clicked() || (enter && why.is_none()) {
                out.push(UiAction::Model(Action::Ask));
            }
        }
        if widgets::icon_button(ui, icons::ICON_FORUM, "More in Playground")
            .on_hover_text("Longer prompts, examples before the question, several columns")
            .clicked()
        {
            out.push(UiAction::Go(Place::Playground));
        }
    });
    let Some(reply) = trial.answers.as_ref().and_then(|a| a.reply(0, 0)) else { return };
    ui.add_space(space::XS);
    egui::Frame::new().fill(t.raised).corner_radius(theme::RADIUS).inner_margin(space::S).show(ui, |ui| {
        ui.set_min_width(ui.available_width());
        ScrollArea::vertical().id_salt("trial").max_height(ANSWER_HEIGHT).stick_to_bottom(true).show(
            ui,
            |ui| {
                if reply.prompt_tokens == 0 && reply.text.is_empty() && trial.is_running() {
                    ui.label(RichText::new("Loading the model, the first time…").color(t.weak));
                }
                widgets::shown(ui, &reply.text);
            },
        );
        figures(ui, reply);
    });
}
