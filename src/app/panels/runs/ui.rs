use super::compare;
use super::state::{MOST_TICKED, no_adapter, no_merge, state_words};
use super::{Action, State};
use crate::app::action::{Place, UiAction};
use crate::app::panels::train;
use crate::app::shared::{Shared, last_part};
use crate::app::theme::{self, space};
use crate::app::widgets;
use crate::base::human;
use crate::project::Outcome;
use crate::project::runs::RunSummary;
use eframe::egui::{self, Label, RichText, ScrollArea, Sense, vec2};
use egui_extras::{Column, TableBuilder};
use egui_material_icons::icons;

const ROW_HEIGHT: f32 = 30.0;

pub fn ui(ui: &mut egui::Ui, state: &State, shared: &Shared, out: &mut Vec<UiAction>) {
    if shared.runs.is_empty() {
        let text = "Every run you start is kept here, with its loss and its recipe.";
        if widgets::empty(ui, icons::ICON_HISTORY, "No runs yet", text, Some("Go to Train")) {
            out.push(UiAction::Go(Place::Train));
        }
        return;
    }
    if let Some(run) = state.open_run(shared) {
        details(ui, state, run, shared, out);
    } else if state.is_comparing(shared) {
        compare::compare(ui, state, shared, out);
    } else {
        table(ui, state, shared, out);
    }
}

pub(super) fn back(ui: &mut egui::Ui, out: &mut Vec<UiAction>) {
    if widgets::tool_button(ui, icons::ICON_ARROW_BACK, "All runs").on_hover_text("Esc").clicked() {
        out.push(UiAction::Runs(Action::ShowList));
    }
}

fn table(ui: &mut egui::Ui, state: &State, shared: &Shared, out: &mut Vec<UiAction>) {
    // In a narrow window model, data and method stand below the name, so that nothing is cut off.
    let is_wide = ui.available_width() > 1_000.0;
    let middle: &[(&str, f32)] =
        if is_wide { &[("Model", 112.0), ("Data", 112.0), ("Method", 90.0)] } else { &[] };
    let end = [("Started", 110.0), ("Best loss", 66.0), ("Time", 76.0), ("Course", 84.0), ("State", 92.0)];
    let columns: Vec<(&str, f32)> = middle.iter().chain(&end).copied().collect();
    let fixed: f32 = columns.iter().map(|c| c.1 + 8.0).sum();
    let row_height = if is_wide { ROW_HEIGHT } else { 46.0 };
    ScrollArea::horizontal().id_salt("columns").auto_shrink([false, false]).show(ui, |ui| {
        let name = (ui.available_width() - fixed - 60.0).clamp(150.0, 420.0);
        let mut builder = TableBuilder::new(ui)
            .id_salt("runs")
            .striped(true)
            .sense(Sense::click())
            .cell_layout(egui::Layout::left_to_right(egui::Align::Center))
            .auto_shrink([false, false]);
        for width in [28.0, name].into_iter().chain(columns.iter().map(|c| c.1)) {
            builder = builder.column(Column::exact(width).clip(true));
        }
        builder
            .header(26.0, |mut header| {
                for head in ["", "Name"].into_iter().chain(columns.iter().map(|c| c.0)) {
                    header.col(|ui| {
                        ui.label(RichText::new(head).small().color(theme::of(ui).weak));
                    });
                }
            })
            .body(|body| {
                body.rows(row_height, shared.runs.len(), |mut row| {
                    let run = &shared.runs[row.index()];
                    one(&mut row, state, run, is_wide, out);
                    if row.response().clicked() {
                        out.push(UiAction::Runs(Action::Open(run.folder.clone())));
                    }
                });
            });
    });
}

fn one(
    row: &mut egui_extras::TableRow,
    state: &State,
    run: &RunSummary,
    is_wide: bool,
    out: &mut Vec<UiAction>,
) {
    row.col(|ui| {
        let was_ticked = state.ticked.contains(&run.folder);
        let mut is_ticked = was_ticked;
        let is_full = !was_ticked && state.ticked.len() >= MOST_TICKED;
        let tick = ui.add_enabled(!is_full, egui::Checkbox::without_text(&mut is_ticked));
        let tick = widgets::named(tick, &format!("Compare {}", run.name))
            .on_hover_text("Tick two or more to compare them")
            .on_disabled_hover_text("Six runs at most can be compared at once.");
        if tick.changed() {
            out.push(UiAction::Runs(Action::Tick(run.folder.clone(), is_ticked)));
        }
    });
    let cell = |row: &mut egui_extras::TableRow, words: String, whole: &str| {
        row.col(|ui| {
            ui.add(Label::new(words).truncate().selectable(false)).on_hover_text(whole);
        });
    };
    let data = run.recipe.data.path.as_ref().map(|p| p.display().to_string()).unwrap_or_default();
    let method = run.recipe.method.describe();
    let model = last_part(&run.recipe.model.source);
    let below = (!is_wide).then(|| [model.clone(), last_part(&data), method.clone()].join(" · "));
    row.col(|ui| name(ui, run, below.as_deref()));
    if is_wide {
        cell(row, model, &run.recipe.model.source);
        cell(row, last_part(&data), &data);
        let how = run.recipe.describe();
        cell(row, method, &how);
    }
    cell(row, started(&run.started), &run.started);
    let loss = run.best_loss.or(run.last_loss);
    let what = if run.best_loss.is_some() { "Best validation loss" } else { "Last training loss" };
    let of_text = run.general_text.describe().map(|c| format!("\nPerplexity of the general text: {c}"));
    let what = format!("{what}{}", of_text.unwrap_or_default());
    cell(row, loss.map_or("–".into(), |loss| format!("{loss:.3}")), &what);
    cell(row, human::secs(run.secs), "Time spent training");
    row.col(|ui| widgets::sparkline(ui, &run.sparkline, vec2(80.0, 20.0)));
    row.col(|ui| state_label(ui, run));
}

/// The name, shortened in the middle; in a narrow window what it is made of stands below.
fn name(ui: &mut egui::Ui, run: &RunSummary, below: Option<&str>) {
    let max = (ui.available_width() / 7.6) as usize;
    ui.vertical(|ui| {
        ui.spacing_mut().item_spacing.y = 0.0;
        ui.add_space(space::XS);
        let label = Label::new(human::elide(&run.name, max.max(14))).selectable(false);
        ui.add(label.truncate()).on_hover_text(format!("{}\n{}", run.name, run.folder.display()));
        if let Some(words) = below {
            let words = RichText::new(words).small().color(theme::of(ui).weak);
            ui.add(Label::new(words).truncate().selectable(false));
        }
    });
}

/// `2026-11-21 14:30`.
fn started(time: &str) -> String {
    time.get(..16).map_or_else(|| "never began".into(), |t| t.replace('T', " "))
}

fn state_label(ui: &mut egui::Ui, run: &RunSummary) {
    let t = theme::of(ui);
    let ink = match run.outcome {
        _ if run.is_running => t.accent,
        Some(Outcome::Done | Outcome::StoppedEarly) => t.green,
        Some(Outcome::Failed) => t.red,
        Some(Outcome::Stopped) | None => t.amber,
        Some(Outcome::Discarded) => t.weak,
    };
    let words = RichText::new(state_words(run)).small().color(ink);
    let progress = format!("Update {} of {}", human::count(run.last_update), human::count(run.num_updates));
    ui.add(Label::new(words).selectable(false)).on_hover_text(progress);
}

fn details(ui: &mut egui::Ui, state: &State, run: &RunSummary, shared: &Shared, out: &mut Vec<UiAction>) {
    ui.horizontal(|ui| {
        back(ui, out);
        state_label(ui, run);
        ui.add(Label::new(RichText::new(&run.name).strong()).truncate()).on_hover_text(&run.name);
    });
    buttons(ui, run, shared, out);
    merged(ui, state, run, out);
    ui.add_space(space::XS);
    let Some(view) = state.views.get(&run.folder) else {
        ui.label(RichText::new("Reading what it reported…").color(theme::of(ui).weak));
        return;
    };
    let look = train::run(ui, "past run", view, &state.look, out);
    if look != state.look {
        out.push(UiAction::Runs(Action::SetLook(look)));
    }
}

/// What came of the last merge, until it is put away.
fn merged(ui: &mut egui::Ui, state: &State, run: &RunSummary, out: &mut Vec<UiAction>) {
    let t = theme::of(ui);
    let Some(merged) = state.merged.as_ref().filter(|merged| merged.run == run.folder) else { return };
    let (folder, words) = (&merged.to, &merged.words);
    ui.horizontal_wrapped(|ui| {
        let done = format!("Merged into {}.", human::elide(&folder.display().to_string(), 60));
        ui.label(RichText::new(done).color(t.green)).on_hover_text(folder.display().to_string());
        let hint = "Logits are the model's scores for each possible next token. Both were asked with the same few tokens; a \
                    difference this far below the scores themselves is rounding.";
        ui.label(words).on_hover_text(hint);
        if ui.small_button("Open the model's folder").clicked() {
            out.push(UiAction::Runs(Action::OpenFolder(folder.clone())));
        }
        if widgets::close_button(ui, "Put this away").clicked() {
            out.push(UiAction::Runs(Action::CloseMerged));
        }
    });
}

fn buttons(ui: &mut egui::Ui, run: &RunSummary, shared: &Shared, out: &mut Vec<UiAction>) {
    let mut push =
        |action: fn(std::path::PathBuf) -> Action| out.push(UiAction::Runs(action(run.folder.clone())));
    ui.horizontal_wrapped(|ui| {
        let busy = shared.jobs.training().map(|_| "A run is in progress: stop it or wait for it first.");
        let why = busy.or(run.resumable.as_ref().err().map(String::as_str));
        if widgets::button_or_why(ui, "Resume", why).clicked() {
            push(Action::Resume);
        }
        let hint = "Train again from the beginning with the same recipe, as a new run";
        if widgets::button_or_why(ui, "Rerun", busy).on_hover_text(hint).clicked() {
            push(Action::Rerun);
        }
        let hint = "Put its settings into the form in Train, to change some and start a new run";
        if ui.button("Use its settings").on_hover_text(hint).clicked() {
            push(Action::UseSettings);
        }
        if widgets::button_or_why(ui, "Export…", no_adapter(run)).clicked() {
            push(Action::Export);
        }
        let hint = "Work what was trained into the weights: a model folder that other programs open without an adapter";
        if widgets::button_or_why(ui, "Merge…", no_merge(run).as_deref()).on_hover_text(hint).clicked() {
            push(Action::Merge);
        }
        if ui.button("Open folder").clicked() {
            push(Action::OpenFolder);
        }
        let running = run.is_running.then_some("It is running: stop it first.");
        if widgets::button_or_why(ui, "Delete…", running).clicked() {
            push(Action::AskDelete);
        }
    });
}
