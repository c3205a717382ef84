//! What is done against forgetting: general text, and the weights of what holds the model near what it was.

use super::Action;
use super::fields::number;
use super::form::Form;
use crate::app::widgets;
use eframe::egui::{self, Response, TextEdit};
use std::path::PathBuf;

const MOST: f64 = 1000.0;

pub fn advanced(ui: &mut egui::Ui, form: &mut Form) {
    text(ui, form);
    let help = "Learns the general text again beside the data (replay): at 1 both count alike. Each update has one more \
                micro-batch, of that text.";
    form.row(ui, "forgetting.replay_weight", "Learn it again (replay)", help, |ui, r| {
        let is_on = r.forgetting.text.is_some() || r.forgetting.replay_weight > 0.0;
        let response = weight(ui, is_on, &mut r.forgetting.replay_weight);
        response.on_disabled_hover_text("Choose a general text first.")
    });
    let help = "Holds what the model predicts near what it predicted before (KL divergence from the base): on the general text where \
                there is one, else on the answers of the data. 0 is off, 1 is a start. Costs another way forward through the model.";
    form.row(ui, "forgetting.kl_weight", "Stay near the base (KL)", help, |ui, r| {
        weight(ui, true, &mut r.forgetting.kl_weight)
    });
    let help = "Pulls every trained weight to where it began (L2-SP). For methods that train the model's own weights: full tuning \
                and freezing. 0 is off.";
    form.row(ui, "forgetting.l2_weight", "Pull to the start (L2)", help, |ui, r| {
        let is_on = r.method.makes_model() || r.forgetting.l2_weight > 0.0;
        let response = weight(ui, is_on, &mut r.forgetting.l2_weight);
        response.on_disabled_hover_text("It is for full tuning and freezing.")
    });
}

fn text(ui: &mut egui::Ui, form: &mut Form) {
    let help = "A plain text file of what the model shall still be good at: articles, stories, a conversation. Part of it is held out, \
                and how well that is known (perplexity; lower is better) is shown before, during and after the run.";
    let mut is_asked = false;
    form.row(ui, "forgetting.text", "General text", help, |ui, r| {
        let text = &mut r.forgetting.text;
        let mut typed = text.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
        let response = ui.add(TextEdit::singleline(&mut typed).desired_width(96.0).hint_text("none"));
        if response.changed() {
            *text = Some(PathBuf::from(typed)).filter(|path| !path.as_os_str().is_empty());
        }
        let response = match text {
            Some(path) => response.on_hover_text(path.display().to_string()),
            None => response,
        };
        is_asked = widgets::named(ui.small_button("…"), "Choose a general text")
            .on_hover_text("Choose the text file")
            .clicked();
        response
    });
    if is_asked {
        form.asked.push(Action::PickText);
    }
}

fn weight(ui: &mut egui::Ui, is_on: bool, value: &mut f64) -> Response {
    ui.add_enabled_ui(is_on, |ui| number(ui, value, 0.01, 0.0..=MOST)).inner
}
