//! The settings of methods with virtual tokens: prefix, prompt and P-tuning.

use super::super::fields::{check, choice, number};
use super::super::form::Form;
use super::{Words, row};
use crate::recipe::recipe::{Method, PTuning, Prefix, Prompt, PromptInit};
use eframe::egui::{self, TextEdit};

fn prefix(method: &mut Method) -> Option<&mut Prefix> {
    match method {
        Method::Prefix(prefix) => Some(prefix),
        _ => None,
    }
}

fn prompt(method: &mut Method) -> Option<&mut Prompt> {
    match method {
        Method::Prompt(prompt) => Some(prompt),
        _ => None,
    }
}

fn p_tuning(method: &mut Method) -> Option<&mut PTuning> {
    match method {
        Method::PTuning(p_tuning) => Some(p_tuning),
        _ => None,
    }
}

pub fn simple(ui: &mut egui::Ui, form: &mut Form) {
    let words = Words {
        path: "method.num_virtual_tokens",
        label: "Strength (virtual tokens)",
        help: "How many trained tokens stand before every text. They take their place of the model's context. 10 to 100 \
               are usual.",
    };
    row(ui, form, Method::num_virtual_tokens_mut, words, |ui, num| number(ui, num, 0.2, 0..=100_000));
    let words = Words {
        path: "method.init",
        label: "Begins as (init)",
        help: "What the soft prompt is before it is trained. Words on the task are the best start.",
    };
    row(ui, form, prompt, words, |ui, prompt| {
        let ways = [
            (PromptInit::Vocabulary, "tokens at random"),
            (PromptInit::Text, "a text"),
            (PromptInit::Random, "noise"),
        ];
        choice(ui, "init", &mut prompt.init, &ways)
    });
    let words = Words {
        path: "method.text",
        label: "Text to begin with",
        help: "Repeated or cut to the number of virtual tokens. It counts when the prompt begins as a text.",
    };
    row(ui, form, prompt, words, |ui, prompt| {
        let is_read = prompt.init == PromptInit::Text;
        let edit = TextEdit::singleline(&mut prompt.text).desired_width(160.0);
        ui.add_enabled(is_read, edit).on_disabled_hover_text("The prompt does not begin as a text.")
    });
}

pub fn advanced(ui: &mut egui::Ui, form: &mut Form) {
    simple(ui, form);
    let words = Words {
        path: "method.projection",
        label: "By a network (projection)",
        help: "Lets a small network make the keys and values while they are trained: steadier, slower. The file is the \
               same.",
    };
    row(ui, form, prefix, words, |ui, prefix| check(ui, &mut prefix.projection));
    let words = Words {
        path: "method.projection_width",
        label: "Its width",
        help: "Numbers in the middle of that network.",
    };
    row(ui, form, prefix, words, |ui, prefix| {
        let is_read = prefix.projection;
        let width = &mut prefix.projection_width;
        let response = ui.add_enabled_ui(is_read, |ui| number(ui, width, 4.0, 1..=65_536)).inner;
        response.on_disabled_hover_text("There is no network: the projection is off.")
    });
    let words = Words {
        path: "method.encoder_width",
        label: "Width of the encoder",
        help: "Numbers in the two inner layers of the network that makes the virtual tokens.",
    };
    row(ui, form, p_tuning, words, |ui, p| number(ui, &mut p.encoder_width, 4.0, 1..=65_536));
}
