//! Text from outside: ordered for display, elided, whole on hover.

use crate::app::bidi;
use crate::base::human;
use eframe::egui::{self, Response, RichText};

/// Text from a file or a model as a label, right-to-left words in order.
pub fn shown(ui: &mut egui::Ui, text: &str) -> Response {
    if bidi::begins_right(text) {
        let layout = egui::Layout::top_down(egui::Align::Max);
        return ui.with_layout(layout, |ui| ui.label(bidi::display(text).into_owned())).inner;
    }
    ui.label(bidi::display(text).into_owned())
}

/// A name of at most `max` characters; the whole on hover.
pub fn elided(ui: &mut egui::Ui, name: &str, max: usize) -> Response {
    let short = human::elide(name, max);
    let response = ui.label(bidi::display(&short).into_owned());
    if short == name { response } else { response.on_hover_text(name) }
}

/// Text of data in the fixed-width face.
pub fn mono_data(text: &str) -> RichText {
    RichText::new(bidi::display(text).into_owned()).monospace()
}
