//! A row of a form: name, what it does, the control, and what is wrong with it.

use crate::app::theme::{self, space};
use crate::recipe::{Fix, Problem, Severity};
use eframe::egui::{self, Response, RichText};

/// What a form row says about itself.
#[derive(Debug, Clone, Copy)]
pub struct Field<'a> {
    /// "Strength (rank)".
    pub label: &'a str,
    /// What it does, in plain words.
    pub help: &'a str,
    /// Problems of this field.
    pub problems: &'a [&'a Problem],
}

/// Draws the row; `control` draws the control and returns its response, which gets the label as its name.
/// Returns the fix whose button was clicked.
pub fn field(
    ui: &mut egui::Ui,
    field: Field,
    control: impl FnOnce(&mut egui::Ui) -> Response,
) -> Option<Fix> {
    let t = theme::of(ui);
    ui.horizontal(|ui| {
        let label_width = (ui.available_width() * 0.5).min(180.0);
        let label = super::in_column(ui, label_width, RichText::new(field.label));
        label.on_hover_text(field.help);
        let response = control(ui);
        super::named(response, field.label).on_hover_text(field.help);
    });
    let mut fix = None;
    for problem in field.problems {
        let (ink, word) = match problem.severity {
            Severity::Error => (t.red, "Must be changed"),
            Severity::Warning => (t.amber, "Worth a look"),
        };
        ui.horizontal_top(|ui| {
            ui.add_space(space::S);
            ui.vertical(|ui| {
                ui.label(RichText::new(format!("{word}: {}", problem.text)).small().color(ink));
                if let Some(offered) = &problem.fix
                    && ui.small_button(&offered.label).clicked()
                {
                    fix = Some(offered.clone());
                }
            });
        });
    }
    fix
}
