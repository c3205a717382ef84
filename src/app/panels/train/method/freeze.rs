//! The settings of freezing.

use super::super::fields::{check, number};
use super::super::form::Form;
use super::{Words, row};
use crate::peft::freeze::Kind;
use crate::recipe::recipe::{Freeze, Method};
use eframe::egui::{self, ComboBox, Response, TextEdit};

pub fn simple(ui: &mut egui::Ui, form: &mut Form) {
    let words = Words {
        path: "method.blocks",
        label: "Top blocks",
        help: "How many of the topmost blocks are trained; the way back through the model ends at the lowest of them.",
    };
    row(ui, form, Method::freeze_mut, words, |ui, freeze| {
        let is_counted = freeze.chosen.is_empty();
        let response =
            ui.add_enabled_ui(is_counted, |ui| number(ui, &mut freeze.blocks, 0.1, 0..=1024)).inner;
        response.on_disabled_hover_text("Chosen blocks are named under Advanced; they count instead.")
    });
}

pub fn advanced(ui: &mut egui::Ui, form: &mut Form) {
    simple(ui, form);
    let words = Words {
        path: "method.chosen",
        label: "Chosen blocks",
        help: "These blocks instead of the topmost, counted from 0 at the bottom, with commas between; empty for the topmost.",
    };
    row(ui, form, Method::freeze_mut, words, chosen);
    let words = Words {
        path: "method.train",
        label: "Trained parts",
        help: "What is trained of these blocks. All of it is the usual choice.",
    };
    row(ui, form, Method::freeze_mut, words, kinds);
    let words = Words {
        path: "method.embeddings",
        label: "Embeddings",
        help: "Trains the table of the tokens' meanings, too: for words that the model hardly knows.",
    };
    row(ui, form, Method::freeze_mut, words, |ui, freeze| check(ui, &mut freeze.embeddings));
    let words = Words {
        path: "method.head",
        label: "Head",
        help: "Trains what turns the last state into the next token, too; many models have one matrix for this and the \
               embeddings.",
    };
    row(ui, form, Method::freeze_mut, words, |ui, freeze| check(ui, &mut freeze.head));
    let words = Words {
        path: "method.final_norm",
        label: "Final norm",
        help: "Trains the norm between the last block and the head, too.",
    };
    row(ui, form, Method::freeze_mut, words, |ui, freeze| check(ui, &mut freeze.final_norm));
}

/// Numbers of blocks as text; what is no number is left out.
fn chosen(ui: &mut egui::Ui, freeze: &mut Freeze) -> Response {
    let id = ui.scope_id().with("chosen blocks");
    let written = freeze.chosen.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
    let numbers = |text: &str| -> Vec<usize> {
        text.split(',').filter_map(|number| number.trim().parse().ok()).collect()
    };
    // What is being typed, as long as it means what is chosen.
    let typed = ui.data(|data| data.get_temp::<String>(id));
    let mut text = typed.filter(|text| numbers(text) == freeze.chosen).unwrap_or(written);
    let response = ui.add(TextEdit::singleline(&mut text).desired_width(110.0).hint_text("the topmost"));
    if response.changed() {
        freeze.chosen = numbers(&text);
        ui.data_mut(|data| data.insert_temp(id, text));
    }
    response
}

fn kinds(ui: &mut egui::Ui, freeze: &mut Freeze) -> Response {
    let name = |kind: Kind| match kind {
        Kind::Attention => "attention",
        Kind::FeedForward => "feed-forward",
        Kind::Norms => "norms",
        Kind::Biases => "biases",
    };
    let words = format!("{} of {}", freeze.train.len(), Kind::ALL.len());
    let combo = ComboBox::from_id_salt("trained parts")
        .selected_text(words)
        .width(100.0)
        .close_behavior(egui::PopupCloseBehavior::CloseOnClickOutside)
        .show_ui(ui, |ui| {
            for kind in Kind::ALL {
                let mut is_on = freeze.train.contains(&kind);
                if ui.checkbox(&mut is_on, name(kind)).changed() {
                    let on = |k: &Kind| if *k == kind { is_on } else { freeze.train.contains(k) };
                    freeze.train = Kind::ALL.into_iter().filter(on).collect();
                }
            }
        });
    combo.response
}
