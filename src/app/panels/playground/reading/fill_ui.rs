//! The likeliest words of each hidden place.

use super::ask::mask;
use super::bars;
use super::state::{Action, Draft, State};
use crate::app::action::UiAction;
use crate::app::panels::playground;
use crate::app::shared::Shared;
use crate::app::theme::{self, space};
use crate::app::widgets;
use crate::infer::fill_mask::Guess;
use eframe::egui::{self, Color32, RichText, TextEdit};

/// The text, and a button that hides what is marked in it.
pub(super) fn text(ui: &mut egui::Ui, state: &State, shared: &Shared, out: &mut Vec<UiAction>) {
    let mut text = state.draft.hidden.clone();
    let mask = mask(shared);
    let word = mask.as_deref().unwrap_or("[MASK]");
    let hint = format!("A text in which {word} stands for a word: The capital of France is {word}.");
    let id = ui.make_persistent_id("hidden words");
    let field =
        TextEdit::multiline(&mut text).id(id).desired_rows(3).desired_width(f32::INFINITY).hint_text(hint);
    let response = widgets::named(ui.add(field), "Text with hidden words");
    let mut is_changed = response.changed();
    ui.add_space(space::XS);
    ui.horizontal_wrapped(|ui| {
        let help = format!("Puts {word} where the cursor stands, or in the place of the word that is marked");
        let why = mask.is_none().then_some("This model's vocabulary has nothing that hides a word.");
        if widgets::button_or_why(ui, "Hide a word", why).on_hover_text(help).clicked() {
            hide(ui, id, &mut text, word);
            is_changed = true;
        }
        let words =
            format!("Several {word} are guessed at once. Words may be pieces of words: ##ing ends one.");
        ui.label(RichText::new(words).small().color(theme::of(ui).weak));
    });
    if is_changed {
        let draft = Draft { hidden: text, ..state.draft.clone() };
        out.push(UiAction::Playground(playground::Action::Reading(Action::Edit(Box::new(draft)))));
    }
}

/// In the place of what is marked, or where the cursor stands, or at the end.
fn hide(ui: &egui::Ui, field: egui::Id, text: &mut String, mask: &str) {
    let mut editing = egui::text_edit::TextEditState::load(ui.ctx(), field).unwrap_or_default();
    let num = text.chars().count();
    let marked = editing.cursor.char_range().map_or([num, num], |range| {
        let [a, b] = [range.primary.index, range.secondary.index].map(|at| usize::from(at).min(num));
        [a.min(b), a.max(b)]
    });
    let [from, to] = marked.map(|at| text.char_indices().nth(at).map_or(text.len(), |(byte, _)| byte));
    text.replace_range(from..to, mask);
    let end = egui::text::CCursor::new(marked[0] + mask.chars().count());
    editing.cursor.set_char_range(Some(egui::text::CCursorRange::one(end)));
    editing.store(ui.ctx(), field);
    ui.memory_mut(|memory| memory.request_focus(field));
}

pub(super) fn filled(ui: &mut egui::Ui, places: &[Vec<Guess>], ink: Color32) {
    let t = theme::of(ui);
    for (number, guesses) in places.iter().enumerate() {
        if places.len() > 1 {
            ui.label(RichText::new(format!("Hidden word {}", number + 1)).small().color(t.weak));
        }
        for (place, guess) in guesses.iter().enumerate() {
            let word = if guess.token.trim().is_empty() { "(a space)" } else { guess.token.trim() };
            bars::share(ui, word, guess.probability, ink, place == 0);
        }
        ui.add_space(space::S);
    }
}
