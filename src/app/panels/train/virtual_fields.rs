//! The fields of methods with virtual tokens.

use super::fields::{check, choice, number};
use super::form::Form;
use crate::recipe::recipe::{Method, PTuning, Prefix, Prompt, PromptInit};
use eframe::egui::{self, Response, TextEdit};

/// What everybody sees of them.
pub fn simple(ui: &mut egui::Ui, form: &mut Form) {
    let help = "How many trained tokens stand before every text. They take their place of the model's context. 10 to 100 are usual.";
    if form.recipe.method.num_virtual_tokens_mut().is_some() {
        let (field, label) = ("method.num_virtual_tokens", "Strength (virtual tokens)");
        form.row(ui, field, label, help, |ui, r| match r.method.num_virtual_tokens_mut() {
            Some(num) => number(ui, num, 0.2, 0..=100_000),
            None => ui.response(),
        });
    }
    let help = "What the soft prompt is before it is trained. Words on the task are the best start.";
    prompt_row(ui, form, "method.init", "Begins as (init)", help, |ui, prompt| {
        let ways = [
            (PromptInit::Vocabulary, "tokens at random"),
            (PromptInit::Text, "a text"),
            (PromptInit::Random, "noise"),
        ];
        choice(ui, "init", &mut prompt.init, &ways)
    });
    let help = "Repeated or cut to the number of virtual tokens. It counts when the prompt begins as a text.";
    prompt_row(ui, form, "method.text", "Text to begin with", help, |ui, prompt| {
        let is_read = prompt.init == PromptInit::Text;
        ui.add_enabled(is_read, TextEdit::singleline(&mut prompt.text).desired_width(160.0))
    });
}

pub fn advanced(ui: &mut egui::Ui, form: &mut Form) {
    simple(ui, form);
    let help = "Lets a small network make the keys and values while they are trained: steadier, slower. The file is the same.";
    prefix_row(ui, form, "method.projection", "By a network (projection)", help, |ui, prefix| {
        check(ui, &mut prefix.projection)
    });
    let help = "Numbers in the middle of that network.";
    prefix_row(ui, form, "method.projection_width", "Its width", help, |ui, prefix| {
        let is_read = prefix.projection;
        let width = &mut prefix.projection_width;
        ui.add_enabled_ui(is_read, |ui| number(ui, width, 4.0, 1..=65_536)).inner
    });
    let help = "Numbers in the two inner layers of the network that makes the virtual tokens.";
    p_tuning_row(ui, form, "method.encoder_width", "Width of the encoder", help, |ui, p_tuning| {
        number(ui, &mut p_tuning.encoder_width, 4.0, 1..=65_536)
    });
}

/// Defines a function that makes a row which only one method has.
macro_rules! rows_of {
    ($name:ident, $method:ident) => {
        fn $name(
            ui: &mut egui::Ui,
            form: &mut Form,
            path: &'static str,
            label: &str,
            help: &str,
            control: impl FnOnce(&mut egui::Ui, &mut $method) -> Response,
        ) {
            if matches!(form.recipe.method, Method::$method(_)) {
                form.row(ui, path, label, help, |ui, r| match &mut r.method {
                    Method::$method(own) => control(ui, own),
                    _ => ui.response(),
                });
            }
        }
    };
}

rows_of!(prefix_row, Prefix);
rows_of!(prompt_row, Prompt);
rows_of!(p_tuning_row, PTuning);
