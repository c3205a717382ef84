//! The recipe form: preset, the six controls of Simple, problems, and the estimate at the foot.

use super::fields;
use super::review::Review;
use super::{Action, State};
use crate::app::action::{Place, UiAction};
use crate::app::shared::Shared;
use crate::app::theme::{self, space};
use crate::app::widgets::{self, Field};
use crate::base::human;
use crate::recipe::{Fix, Problem, Recipe, Severity, preset};
use eframe::egui::{
    self, Align, ComboBox, Frame, Layout, Margin, Panel, Response, RichText, ScrollArea, vec2,
};
use egui_material_icons::icons;

/// The form while it is drawn: what was changed and which fix was pressed.
pub(super) struct Form<'a> {
    pub recipe: Recipe,
    edited: Option<&'static str>,
    fix: Option<Fix>,
    /// What rows asked for besides.
    pub asked: Vec<Action>,
    pub review: &'a Review,
    /// Fields that have a row, so that the others' problems are not lost.
    pub(super) shown: Vec<&'static str>,
}

impl<'a> Form<'a> {
    pub fn of(review: &'a Review) -> Self {
        let recipe = review.recipe.clone();
        Self { recipe, edited: None, fix: None, asked: Vec::new(), review, shown: Vec::new() }
    }

    /// One row; `control` changes the recipe.
    pub fn row(
        &mut self,
        ui: &mut egui::Ui,
        path: &'static str,
        label: &str,
        help: &str,
        control: impl FnOnce(&mut egui::Ui, &mut Recipe) -> Response,
    ) {
        self.shown.push(path);
        let problems: Vec<&Problem> = self.review.problems.iter().filter(|p| p.field == path).collect();
        let before = self.recipe.clone();
        let row = Field { label, help, problems: &problems };
        let fix = widgets::field(ui, row, |ui| control(ui, &mut self.recipe));
        self.fix = self.fix.take().or(fix);
        if self.recipe != before {
            self.edited = Some(path);
        }
    }
}

pub fn form(ui: &mut egui::Ui, state: &State, shared: &Shared, out: &mut Vec<UiAction>) {
    let t = theme::of(ui);
    Panel::bottom("estimate")
        .resizable(false)
        .frame(Frame::new().inner_margin(Margin { top: space::S as i8, ..Margin::ZERO }))
        .show(ui, |ui| estimate(ui, state, shared));
    presets(ui, state, out);
    ui.add_space(space::XS);
    ui.horizontal(|ui| {
        for (is_advanced, name) in [(false, "Simple"), (true, "Advanced")] {
            if ui.selectable_label(state.is_advanced == is_advanced, name).clicked() {
                out.push(UiAction::Train(Action::SetAdvanced(is_advanced)));
            }
        }
        let changed = state.changed();
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            if !changed.is_empty() && ui.small_button("Reset").on_hover_text("Back to the preset").clicked() {
                out.push(UiAction::Train(Action::Reset));
            }
            if state.can_undo()
                && ui.small_button("Undo").on_hover_text("Take the last change back").clicked()
            {
                out.push(UiAction::Train(Action::Undo));
            }
            if !changed.is_empty() {
                let lines: Vec<String> =
                    changed.iter().map(|(f, a, b)| format!("{f}: {a}, now {b}")).collect();
                widgets::chip(ui, &format!("{} changed", changed.len()), t.text, t.accent_soft)
                    .on_hover_text(lines.join("\n"));
            }
        });
    });
    ui.separator();
    if state.job().is_some() {
        let words = "For the next run: the one in progress keeps its own settings.";
        ui.label(RichText::new(words).small().color(t.weak));
    }
    let mut form = Form::of(&state.review);
    ScrollArea::vertical().auto_shrink([false, false]).show(ui, |ui| {
        ui.spacing_mut().slider_width = 80.0;
        if state.is_advanced {
            fields::advanced(ui, &mut form, shared);
        } else {
            fields::simple(ui, &mut form);
        }
        others(ui, &mut form);
        if !shared.is_data_ready() && shared.imported.is_none() {
            ui.add_space(space::S);
            if ui.button("Open data first").clicked() {
                out.push(UiAction::Go(Place::Data));
            }
        }
    });
    out.extend(form.asked.drain(..).map(UiAction::Train));
    if let Some(fix) = form.fix {
        out.push(UiAction::Train(Action::Fix(fix)));
    } else if let Some(field) = form.edited {
        out.push(UiAction::Train(Action::Edit(field, Box::new(form.recipe))));
    }
}

fn presets(ui: &mut egui::Ui, state: &State, out: &mut Vec<UiAction>) {
    let t = theme::of(ui);
    let all = preset::all();
    let now = state.preset.as_ref().and_then(|name| all.iter().find(|p| p.name == name));
    let title = now.map_or("From a run or a file", |p| p.title);
    ui.horizontal(|ui| {
        ui.label("Preset");
        let width = ui.available_width() - space::S - 72.0;
        let combo = ComboBox::from_id_salt("preset").width(width).height(420.0).selected_text(title).show_ui(
            ui,
            |ui| {
                ui.set_max_width(width.max(280.0));
                for preset in &all {
                    let is_chosen = now.is_some_and(|p| p.name == preset.name);
                    let words = format!("{}\n{}", preset.title, preset.recipe.about);
                    let button = egui::Button::selectable(is_chosen, words).wrap();
                    let response = ui.add_sized(vec2(ui.available_width(), 0.0), button);
                    if widgets::named(response, &format!("Preset {}", preset.title)).clicked() {
                        out.push(UiAction::Train(Action::LoadPreset(preset.name.into())));
                    }
                }
            },
        );
        widgets::named(combo.response, &format!("Preset: {title}"));
        let hint = "Open a recipe file (.toml); it can be dropped on the window as well";
        if widgets::named(ui.button("Open…"), "Open a recipe file").on_hover_text(hint).clicked() {
            out.push(UiAction::Train(Action::PickRecipe));
        }
    });
    if let Some(preset) = now {
        ui.label(RichText::new(&preset.recipe.about).small().color(t.weak));
    }
}

/// Problems whose field has no row here.
fn others(ui: &mut egui::Ui, form: &mut Form) {
    let t = theme::of(ui);
    let left: Vec<Problem> =
        form.review.problems.iter().filter(|p| !form.shown.contains(&p.field.as_str())).cloned().collect();
    if left.is_empty() {
        return;
    }
    widgets::section(ui, "Elsewhere");
    for problem in left {
        let ink = if problem.severity == Severity::Error { t.red } else { t.amber };
        ui.horizontal_wrapped(|ui| {
            let place = field_name(&problem.field);
            ui.label(RichText::new(format!("{place}: {}", problem.text)).small().color(ink));
            if let Some(fix) = &problem.fix
                && ui.small_button(&fix.label).clicked()
            {
                form.fix = Some(fix.clone());
            }
        });
    }
}

/// What people call a field.
pub fn field_name(path: &str) -> String {
    let found = fields::NAMES.iter().find(|(p, _)| *p == path);
    found.map_or_else(|| path.replace(['.', '_'], " "), |(_, name)| (*name).to_string())
}

/// Memory against what the run may take, time and disk.
fn estimate(ui: &mut egui::Ui, state: &State, shared: &Shared) {
    let t = theme::of(ui);
    let Some(plan) = &state.review.plan else {
        let words = if shared.is_model_ready() && shared.is_data_ready() {
            "An estimate of memory and time stands here once nothing is marked in red."
        } else {
            "An estimate of memory and time stands here once a model and data are chosen."
        };
        ui.label(RichText::new(words).small().color(t.weak));
        return;
    };
    let estimate = plan.estimate();
    let limit = plan.memory_limit_bytes();
    let share = limit.map_or(0.0, |limit| estimate.memory_bytes as f32 / limit.max(1) as f32);
    ui.horizontal(|ui| {
        widgets::icon(ui, icons::ICON_MEMORY, t.weak);
        let of_limit = limit.map_or(String::new(), |limit| format!(" of {} allowed", human::bytes(limit)));
        let words = format!("Memory about {}{of_limit}", human::bytes(estimate.memory_bytes));
        let ink = if share > 1.0 { t.red } else { t.text };
        ui.label(RichText::new(words).small().color(ink)).on_hover_text(format!(
            "Weights {}, what is trained {}, optimizer {}, activations {}.\nAllowed is what Tunesmith has now and the share of \
             the free memory that is set under Advanced, Machine.",
            human::bytes(estimate.weights_bytes),
            human::bytes(estimate.trainable_bytes),
            human::bytes(estimate.optimizer_bytes),
            human::bytes(estimate.activation_bytes)
        ));
    });
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), 6.0), egui::Sense::hover());
    widgets::named(response, "Estimated memory against what the run may take");
    ui.painter().rect_filled(rect, 3.0, t.border);
    let filled =
        egui::Rect::from_min_size(rect.min, vec2(rect.width() * share.clamp(0.0, 1.0), rect.height()));
    let ink = if share > 1.0 {
        t.red
    } else if share > 0.9 {
        t.amber
    } else {
        t.accent_fill
    };
    ui.painter().rect_filled(filled, 3.0, ink);
    disk(ui, estimate.disk_bytes, shared.facts.free_disk_bytes);
    if let Some(stop) = estimate.backward_stop {
        ui.label(RichText::new(stop.describe()).small().color(t.weak));
    }
    ui.horizontal_wrapped(|ui| {
        let words = format!(
            "About {} for {}; {} trained parameters",
            human::secs(estimate.secs),
            human::plural(plan.num_updates(), "update"),
            human::count(estimate.num_trainable_params)
        );
        ui.label(RichText::new(words).small().color(t.weak)).on_hover_text(
            match state.review.flops_per_second {
                Some(flops) => format!(
                    "From the sizes, and the {:.0} GFLOP/s that this machine's matrix products reached.",
                    flops * 1e-9
                ),
                None => "From the sizes, and a usual machine's speed; this one was not measured.".to_string(),
            },
        );
    });
}

/// What the checkpoints take of the disk, against what is free there.
fn disk(ui: &mut egui::Ui, needed: u64, free: Option<u64>) {
    let t = theme::of(ui);
    ui.horizontal(|ui| {
        widgets::icon(ui, icons::ICON_SAVE, t.weak);
        let of_free = free.map_or(String::new(), |free| format!(" of {} free", human::bytes(free)));
        let words = format!("Disk about {}{of_free}", human::bytes(needed));
        ui.label(RichText::new(words).small()).on_hover_text(
            "The checkpoints that are kept, and what the run makes in the end, in the project's folder",
        );
    });
}
