//! The columns: who answers, how, and the answer as it comes.

use super::answers::{Answers, Cut, Reply, finish_words};
use super::made_for::is_chosen;
use super::mix_ui;
use super::saved_ui;
use super::state::{ColumnState, MOST_COLUMNS};
use super::{Action, State};
use crate::app::action::{FrameAction, UiAction};
use crate::app::bidi;
use crate::app::shared::Shared;
use crate::app::theme::{self, space};
use crate::app::widgets;
use crate::base::human;
use crate::eval::compare::{diff, is_same};
use crate::peft::compose::Source;
use crate::project::runs::RunSummary;
use eframe::egui::{self, ComboBox, DragValue, RichText, ScrollArea};

const ANSWER_HEIGHT: f32 = 220.0;
/// Runs that the list of a column offers.
const MOST_RUNS: usize = 50;

pub(super) fn columns(ui: &mut egui::Ui, state: &State, shared: &Shared, out: &mut Vec<UiAction>) {
    ui.columns(state.columns.len(), |uis| {
        for (index, (ui, column)) in uis.iter_mut().zip(&state.columns).enumerate() {
            widgets::card(ui, |ui| {
                ui.set_min_width(ui.available_width());
                head(ui, index, column, state, shared, out);
                // Many answers stand in the table below.
                if state.answers.as_ref().is_none_or(|a| a.asked.len() == 1) {
                    ui.separator();
                    answer(ui, index, state.answers.as_ref(), out);
                }
            });
        }
    });
    let why = (state.columns.len() >= MOST_COLUMNS).then_some("No more columns fit.");
    ui.add_space(space::XS);
    if widgets::button_or_why(ui, "Add a column", why).clicked() {
        out.push(UiAction::Playground(Action::AddColumn));
    }
}

fn head(
    ui: &mut egui::Ui,
    index: usize,
    column: &ColumnState,
    state: &State,
    shared: &Shared,
    out: &mut Vec<UiAction>,
) {
    let t = theme::of(ui);
    let ink = if column.adapter.is_none() { t.base } else { t.accent };
    let choose =
        |adapter, name: &str| UiAction::Playground(Action::SetColumn(index, adapter, name.to_string()));
    let mut wants_folder = false;
    ui.horizontal(|ui| {
        let room = (ui.available_width() - 40.0).max(80.0);
        let shown = RichText::new(human::elide(&column.name, 30)).color(ink).strong();
        let combo =
            ComboBox::from_id_salt(("column", index)).width(room).selected_text(shown).show_ui(ui, |ui| {
                if ui.selectable_label(column.adapter.is_none(), "Base").clicked() {
                    out.push(choose(None, "Base"));
                }
                if let Some(run) = runs(ui, column, shared) {
                    out.push(choose(run.adapter.clone(), &run.name));
                }
                if let Some(saved) = saved_ui::choose(ui, column, &state.saved, shared) {
                    out.push(choose(Some(saved.folder.clone()), &saved.name));
                }
                wants_folder = ui.button("Adapter in a folder…").clicked();
                out.extend(mix_ui::new(ui, index, shared));
            });
        widgets::named(combo.response, &format!("Column {}: {}", index + 1, column.name))
            .on_hover_text("Who answers here: the base model, or what was trained from it");
        if state.columns.len() > 1
            && widgets::close_button(ui, &format!("Remove column {}", index + 1)).clicked()
        {
            out.push(UiAction::Playground(Action::RemoveColumn(index)));
        }
    });
    if wants_folder {
        out.push(UiAction::Playground(Action::PickAdapter(index)));
    }
    if let Some(other) = state.made_for.other(column, shared) {
        let words = format!("Made for another model: {}", human::elide(other.model, 40));
        ui.label(RichText::new(words).small().color(t.amber)).on_hover_text(format!(
            "It was trained on {}. On {} its answers would be nonsense, unless both names mean one model.",
            other.model,
            shared.model_title()
        ));
        if !other.is_run {
            let adopt = ui.small_button("It is for this model").on_hover_text(format!(
                "Both names mean one model: note beside the adapter, once and for all, that it was trained on {}.",
                shared.model_title()
            ));
            if adopt.clicked() {
                out.push(UiAction::Playground(Action::Adopt(other.folder.to_path_buf())));
            }
        }
    }
    saved_ui::delete(ui, column, &state.saved, out);
    if let Some(source) = &column.adapter {
        mix_ui::mix(ui, index, source, &state.saved, shared, out);
    }
    sampling(ui, index, column, out);
}

fn answers_in(run: &RunSummary, column: &ColumnState) -> bool {
    matches!(&column.adapter, Some(Source::Folder(folder)) if run.adapter.as_ref() == Some(folder))
}

/// The runs with an adapter, those of the chosen model first; the one that was clicked.
fn runs<'a>(ui: &mut egui::Ui, column: &ColumnState, shared: &'a Shared) -> Option<&'a RunSummary> {
    let t = theme::of(ui);
    let all: Vec<&RunSummary> = shared.runs.iter().filter(|run| run.adapter.is_some()).collect();
    let (of_model, others): (Vec<&RunSummary>, Vec<&RunSummary>) =
        all.iter().copied().partition(|run| is_chosen(&run.recipe.model.source, shared));
    let num_of_model = of_model.len();
    let mut clicked = None;
    for (i, run) in of_model.into_iter().chain(others).enumerate().take(MOST_RUNS) {
        if i == num_of_model {
            ui.separator();
            ui.label(RichText::new("Made for another model").small().color(t.weak));
        }
        let is_other = i >= num_of_model;
        let name = RichText::new(&run.name).color(if is_other { t.weak } else { t.text });
        let mut response = ui.selectable_label(answers_in(run, column), name);
        if is_other {
            response = response.on_hover_text(format!("Made for {}", run.recipe.model.source));
        }
        if response.clicked() {
            clicked = Some(run);
        }
    }
    if all.len() > MOST_RUNS {
        let words =
            format!("{MOST_RUNS} of {} runs; the others: Compare in Runs", human::count(all.len() as u64));
        ui.label(RichText::new(words).small().color(t.weak));
    }
    clicked
}

fn sampling(ui: &mut egui::Ui, index: usize, column: &ColumnState, out: &mut Vec<UiAction>) {
    let t = theme::of(ui);
    let s = &column.sampling;
    let summary = if s.temperature <= 0.0 {
        "always the likeliest word (greedy)".to_string()
    } else {
        format!("temperature {}, seed {}", s.temperature, s.seed)
    };
    egui::CollapsingHeader::new(RichText::new(summary).small().color(t.weak))
        .id_salt(("sampling", index))
        .show(ui, |ui| {
            let mut new = s.clone();
            let row = |ui: &mut egui::Ui, name: &str, hint: &str, field: DragValue<'_>| {
                ui.label(name).on_hover_text(hint);
                widgets::named(ui.add(field), &format!("{name}, column {}", index + 1)).on_hover_text(hint);
                ui.end_row();
            };
            egui::Grid::new(("sampling grid", index)).num_columns(2).show(ui, |ui| {
                let temperature = DragValue::new(&mut new.temperature).range(0.0..=2.0).speed(0.02);
                row(
                    ui,
                    "Variety (temperature)",
                    "0 always takes the likeliest word; 1 draws by likelihood",
                    temperature,
                );
                let top_k = DragValue::new(&mut new.top_k).range(0..=1000);
                row(ui, "Best words only (top-k)", "Only the k likeliest words; 0 means all", top_k);
                let top_p = DragValue::new(&mut new.top_p).range(0.01..=1.0).speed(0.01);
                row(
                    ui,
                    "Likely words only (top-p)",
                    "The fewest words that make up this share; 1 means all",
                    top_p,
                );
                let min_p = DragValue::new(&mut new.min_p).range(0.0..=1.0).speed(0.01);
                row(
                    ui,
                    "Not too unlikely (min-p)",
                    "At least this share of the likeliest word's chance; 0 means all",
                    min_p,
                );
                let penalty = DragValue::new(&mut new.repetition_penalty).range(0.5..=2.0).speed(0.01);
                row(
                    ui,
                    "Against repeating (repetition penalty)",
                    "Above 1 makes words seen before less likely",
                    penalty,
                );
                let seed = DragValue::new(&mut new.seed);
                row(ui, "Seed", "The same seed draws the same words", seed);
            });
            if new != *s {
                out.push(UiAction::Playground(Action::SetSampling(index, Box::new(new))));
            }
        });
}

fn answer(ui: &mut egui::Ui, index: usize, answers: Option<&Answers>, out: &mut Vec<UiAction>) {
    let t = theme::of(ui);
    ScrollArea::vertical()
        .id_salt(("answer", index))
        .max_height(ANSWER_HEIGHT)
        .auto_shrink([false, false])
        .show(ui, |ui| {
            ui.set_min_height(60.0);
            let Some(reply) = answers.and_then(|a| a.reply(0, index)) else {
                ui.label(RichText::new("The answer comes here.").color(t.weak));
                return;
            };
            let base = answers.filter(|_| index > 0).and_then(|a| a.reply(0, 0));
            text(ui, reply, base);
        });
    let Some(reply) = answers.and_then(|a| a.reply(0, index)) else { return };
    ui.horizontal_wrapped(|ui| {
        figures(ui, reply);
        if let (true, Some(base)) = (index > 0, answers.and_then(|a| a.reply(0, 0)))
            && base.end.is_some()
            && reply.end.is_some()
        {
            let same = is_same(&base.text, &reply.text);
            let words = if same { "same as base" } else { "differs from base" };
            widgets::chip(
                ui,
                words,
                if same { t.weak } else { t.text },
                if same { t.bar } else { t.accent_soft },
            );
        }
        if !reply.text.is_empty() && ui.small_button("Copy").clicked() {
            out.push(UiAction::Frame(FrameAction::Copy(reply.text.clone())));
        }
    });
}

/// The answer; words that the first column did not say are tinted.
fn text(ui: &mut egui::Ui, reply: &Reply, base: Option<&Reply>) {
    let t = theme::of(ui);
    // Words from right to left keep their order only when they are laid out together.
    let can_be_tinted =
        reply.end.is_some() && reply.text.len() < 20_000 && !bidi::has_right_to_left(&reply.text);
    match base.filter(|base| base.end.is_some() && can_be_tinted) {
        Some(base) => {
            let mut job = egui::text::LayoutJob::default();
            for (piece, differs) in diff(&base.text, &reply.text) {
                let background = if differs { t.accent_soft } else { egui::Color32::TRANSPARENT };
                let format = egui::TextFormat {
                    font_id: egui::TextStyle::Body.resolve(ui.style()),
                    color: t.text,
                    background,
                    ..Default::default()
                };
                job.append(&bidi::display(&piece), 0.0, format);
            }
            ui.add(egui::Label::new(job).wrap().selectable(true));
        }
        None => {
            widgets::shown(ui, &reply.text);
        }
    }
}

/// How long it took, once it has ended.
pub fn figures(ui: &mut egui::Ui, reply: &Reply) {
    let t = theme::of(ui);
    let weak = |text: String| RichText::new(text).small().color(t.weak);
    match reply.end {
        None => {
            let ink = if matches!(reply.cut, Some(Cut::Failed(_))) { t.red } else { t.weak };
            if let Some(words) = reply.state_words() {
                ui.label(RichText::new(words).small().color(ink));
            }
        }
        Some(end) => {
            let words = format!(
                "{}, {:.1} tokens/s, first after {}",
                human::plural(end.num_tokens as u64, "token"),
                end.tokens_per_second,
                human::secs(end.time_to_first_token_secs)
            );
            ui.label(weak(words)).on_hover_text(finish_words(end.finish));
        }
    }
}
