//! Saving the mix of a column, and the saved ones in a column's list.

use super::made_for::is_chosen;
use super::saved::{Action, Saved};
use super::state::ColumnState;
use crate::app::action::UiAction;
use crate::app::panels::playground;
use crate::app::shared::Shared;
use crate::app::theme;
use crate::app::widgets;
use crate::peft::compose::Source;
use crate::project::adapters::SavedAdapter;
use eframe::egui::{self, Key, RichText, TextEdit};

/// Under the mix of a column: the way to keep it, then its name. `unlike` says why it cannot be made.
pub(super) fn save(
    ui: &mut egui::Ui,
    index: usize,
    saved: &Saved,
    unlike: Option<&str>,
    shared: &Shared,
    out: &mut Vec<UiAction>,
) {
    let mut push = |action| out.push(UiAction::Playground(playground::Action::Saved(action)));
    let Some((_, name)) = saved.naming.as_ref().filter(|(column, _)| *column == index) else {
        let button = ui.horizontal(|ui| widgets::button_or_why(ui, "Save…", unlike)).inner;
        if button.on_hover_text("Keeps this mix in the project, as one adapter or model").clicked() {
            push(Action::Begin(index));
        }
        return;
    };
    ui.horizontal_wrapped(|ui| {
        let mut new = name.clone();
        let field = ui.add(TextEdit::singleline(&mut new).desired_width(140.0).hint_text("Name"));
        let field = widgets::named(field, &format!("Name of the mix of column {}", index + 1));
        if new != *name {
            push(Action::Name(new));
        }
        let is_entered = field.lost_focus() && ui.input(|input| input.key_pressed(Key::Enter));
        let why = saved.why_not(shared);
        let why = why.as_deref().or(unlike);
        if widgets::button_or_why(ui, "Save the mix", why).clicked() || (is_entered && why.is_none()) {
            push(Action::Save);
        }
        if saved.is_saving() {
            ui.label(RichText::new("Saving…").small().color(theme::of(ui).weak));
        } else if ui.button("Cancel").clicked() {
            push(Action::Cancel);
        }
    });
}

/// The saved ones in the list of a column, those of other models greyed; the one that was clicked.
pub(super) fn choose<'a>(
    ui: &mut egui::Ui,
    column: &ColumnState,
    saved: &'a Saved,
    shared: &Shared,
) -> Option<&'a SavedAdapter> {
    if saved.all.is_empty() {
        return None;
    }
    let t = theme::of(ui);
    ui.separator();
    ui.label(RichText::new("Saved mixes").small().color(t.weak));
    let mut clicked = None;
    for one in &saved.all {
        let other = one.model.as_ref().filter(|model| !is_chosen(model, shared));
        let name = RichText::new(&one.name).color(if other.is_some() { t.weak } else { t.text });
        let is_shown = matches!(&column.adapter, Some(Source::Folder(folder)) if *folder == one.folder);
        let mut response = ui.selectable_label(is_shown, name);
        if let Some(model) = other {
            response = response.on_hover_text(format!("Made for {model}"));
        }
        if response.clicked() {
            clicked = Some(one);
        }
    }
    clicked
}

/// Under a column that answers with a saved mix: the way to be rid of it.
pub(super) fn delete(ui: &mut egui::Ui, column: &ColumnState, saved: &Saved, out: &mut Vec<UiAction>) {
    let Some(Source::Folder(folder)) = &column.adapter else { return };
    if saved.get(folder).is_some()
        && ui.small_button("Delete this mix…").on_hover_text("The runs that it was made of stay").clicked()
    {
        let ask = Action::AskDelete(folder.clone());
        out.push(UiAction::Playground(playground::Action::Saved(ask)));
    }
}
