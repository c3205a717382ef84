//! The methods: what each would cost here, and the settings of the chosen one, a file each.

mod bottleneck;
mod cost;
mod freeze;
mod ia3;
mod lora;
mod modules;
mod picker;
mod virtual_tokens;

pub use cost::of_comparison as cost_of;
pub use picker::picker;

use super::Action;
use super::form::Form;
use crate::app::theme;
use crate::model::info::ModelInfo;
use crate::recipe::recipe::Method;
use eframe::egui::{self, Button, Response, RichText};

/// What everybody sees of the chosen method.
pub fn simple(ui: &mut egui::Ui, form: &mut Form) {
    lora::simple(ui, form);
    bottleneck::simple(ui, form);
    freeze::simple(ui, form);
    virtual_tokens::simple(ui, form);
}

/// All settings of the chosen method; `model` says which parts it has.
pub fn advanced(ui: &mut egui::Ui, form: &mut Form, model: Option<&ModelInfo>) {
    lora::advanced(ui, form, model);
    ia3::advanced(ui, form, model);
    bottleneck::advanced(ui, form);
    freeze::advanced(ui, form);
    virtual_tokens::advanced(ui, form);
}

/// The words of a row.
struct Words {
    path: &'static str,
    label: &'static str,
    help: &'static str,
}

/// A row that only the method has whose settings `of` finds.
fn row<S>(
    ui: &mut egui::Ui,
    form: &mut Form,
    of: fn(&mut Method) -> Option<&mut S>,
    words: Words,
    control: impl FnOnce(&mut egui::Ui, &mut S) -> Response,
) {
    if of(&mut form.recipe.method).is_none() {
        return;
    }
    form.row(ui, words.path, words.label, words.help, |ui, r| match of(&mut r.method) {
        Some(settings) => control(ui, settings),
        None => ui.response(),
    });
}

/// The chosen method: a button that shows them all, what it is and costs, and what is recommended instead.
pub fn chosen(ui: &mut egui::Ui, form: &mut Form) {
    let help = "How the model is changed. Each way has its price in memory, time and the size of its file: press to see \
                all of them side by side, with a recommendation for the data at hand.";
    let title = form.recipe.method.title();
    let mut is_asked = false;
    form.row(ui, "method.kind", "Method", help, |ui, _| {
        let response = ui.add(Button::new(title).truncate());
        is_asked = response.clicked();
        ui.ctx().accesskit_node_builder(response.id, |node| node.set_value(title));
        response
    });
    if is_asked {
        form.asked.push(Action::ShowMethods(true));
    }
    let t = theme::of(ui);
    let review = form.review;
    ui.label(RichText::new(form.recipe.method.explain()).small().color(t.weak));
    if let Some(option) = review.options.iter().find(|o| o.method.kind() == form.recipe.method.kind()) {
        cost::short(ui, option, review.num_params);
    }
    let Some(recommended) = &review.recommendation else { return };
    if review.is_recommended(&form.recipe) {
        let words = RichText::new("Recommended for this data").small().color(t.green);
        ui.label(words).on_hover_text(&recommended.reason);
        return;
    }
    ui.horizontal_wrapped(|ui| {
        let words = format!("Recommended for this data: {}.", recommended.describe());
        ui.label(RichText::new(words).small()).on_hover_text(&recommended.reason);
        if ui.small_button("Use it").on_hover_text(&recommended.reason).clicked() {
            form.asked.push(Action::TakeRecommendation);
        }
    });
}
