//! What is asked above, and below it who answers, side by side.

use super::mode::{learnt, runs_for};
use super::{Action, Mode, fill_ui, judge_ui, like_ui, map_ui};
use crate::app::action::UiAction;
use crate::app::panels::playground::{self, columns_ui};
use crate::app::shared::Shared;
use crate::app::theme::{self, space};
use crate::app::widgets;
use crate::engine::event::Told;
use eframe::egui::{self, RichText, TextEdit};

/// Runs that are offered where none of the columns can answer.
const MOST_OFFERED: usize = 3;

fn push(out: &mut Vec<UiAction>, action: Action) {
    out.push(UiAction::Playground(playground::Action::Reading(action)));
}

/// What is done with a text.
pub(in super::super) fn modes(
    ui: &mut egui::Ui,
    state: &playground::State,
    shared: &Shared,
    out: &mut Vec<UiAction>,
) {
    let now = state.mode(shared);
    ui.horizontal_wrapped(|ui| {
        for mode in Mode::ALL {
            let response = ui.selectable_label(mode == now, mode.title()).on_hover_text(mode.explain());
            if response.clicked() && mode != now {
                push(out, Action::Choose(mode));
            }
        }
    });
    ui.add_space(space::XS);
}

pub(in super::super) fn ui(
    ui: &mut egui::Ui,
    state: &playground::State,
    shared: &Shared,
    out: &mut Vec<UiAction>,
) {
    let mode = state.mode(shared);
    let t = theme::of(ui);
    ui.label(RichText::new(mode.explain()).small().color(t.weak));
    ui.add_space(space::XS);
    match mode {
        Mode::FillMask => fill_ui::text(ui, &state.reading, shared, out),
        Mode::Like => like_ui::text(ui, &state.reading, out),
        _ => texts(ui, state, out),
    }
    ask(ui, state, mode, shared, out);
    offer(ui, state, mode, shared, out);
    ui.add_space(space::S);
    let answers = state.reading.answers.as_ref().filter(|answers| answers.mode == mode);
    let rows = answers.and_then(|answers| answers.rows.as_deref());
    if let Some(rows) = rows {
        like_ui::picked(ui, rows, &state.reading, out);
        map_ui::legend(ui, rows);
    }
    ui.columns(state.columns.len(), |uis| {
        for (index, (ui, column)) in uis.iter_mut().zip(&state.columns).enumerate() {
            widgets::card(ui, |ui| {
                ui.set_min_width(ui.available_width());
                columns_ui::head(ui, index, column, state, shared, out);
                ui.separator();
                answer(ui, index, state, mode, out);
            });
        }
    });
    columns_ui::add(ui, state, out);
}

/// The texts that are judged.
fn texts(ui: &mut egui::Ui, state: &playground::State, out: &mut Vec<UiAction>) {
    let mut draft = state.reading.draft.clone();
    let hint = "Texts to judge, one a line";
    let field =
        TextEdit::multiline(&mut draft.texts).desired_rows(4).desired_width(f32::INFINITY).hint_text(hint);
    let mut is_changed = widgets::named(ui.add(field), "Texts to judge, one a line").changed();
    let fold = egui::CollapsingHeader::new("For models that judge two texts together").id_salt("second");
    fold.show(ui, |ui| {
        let hint = "The second text; each of the first ones is judged with it";
        let field = TextEdit::singleline(&mut draft.second).desired_width(f32::INFINITY).hint_text(hint);
        is_changed |= widgets::named(ui.add(field), "Second text").changed();
    });
    if is_changed {
        push(out, Action::Edit(Box::new(draft)));
    }
}

/// The button, how far it is, and what stops it.
fn ask(ui: &mut egui::Ui, state: &playground::State, mode: Mode, shared: &Shared, out: &mut Vec<UiAction>) {
    let t = theme::of(ui);
    ui.add_space(space::XS);
    ui.horizontal_wrapped(|ui| {
        let answers = state.reading.answers.as_ref();
        if let Some(answers) = answers.filter(|answers| answers.job.is_running) {
            if ui.button("Stop").clicked() {
                push(out, Action::Stop);
            }
            let job = answers.job.id.and_then(|job| shared.jobs.get(job));
            widgets::progress(ui, "Reading", job.and_then(|job| job.fraction()), 160.0);
            let words = job.map(|job| format!("{} {}", job.phase, job.detail())).unwrap_or_default();
            ui.label(RichText::new(words).small().color(t.weak));
            return;
        }
        let why = state.reading.why_not(mode, &state.columns, shared);
        if widgets::primary_button(ui, state.reading.verb(mode), why.as_deref()).clicked() {
            push(out, Action::Ask);
        }
        if mode == Mode::Like {
            like_ui::num_rows(ui, &state.reading, shared, out);
        }
        if let Some(why) = why {
            ui.label(RichText::new(why).color(t.weak));
        } else if answers.is_some_and(|answers| answers.is_stopped) {
            ui.label(RichText::new("Stopped.").color(t.weak));
        }
    });
}

/// Where none of the columns has learnt this: which runs have.
fn offer(ui: &mut egui::Ui, state: &playground::State, mode: Mode, shared: &Shared, out: &mut Vec<UiAction>) {
    let has_head = shared.model.as_ref().is_some_and(|info| info.config.native_head().is_some());
    if mode != Mode::Judge || has_head || learnt(&state.columns, shared, mode) {
        return;
    }
    let t = theme::of(ui);
    let mut runs = runs_for(shared, mode).peekable();
    ui.add_space(space::XS);
    if runs.peek().is_none() {
        let words = "No run of this model has learnt classes or scores yet. Train one: in Train, choose it under What is learnt.";
        ui.label(RichText::new(words).color(t.amber));
        return;
    }
    ui.horizontal_wrapped(|ui| {
        ui.label(
            RichText::new("None of the columns has learnt classes or scores. These runs have:")
                .color(t.amber),
        );
        for run in runs.take(MOST_OFFERED) {
            let words = format!("Ask {}", crate::base::human::elide(&run.name, 36));
            let adapter = run.adapter.clone().unwrap_or_default();
            if ui.button(words).on_hover_text(&run.name).clicked() {
                let (name, model) = (run.name.clone(), run.recipe.model.source.clone());
                out.push(UiAction::Playground(playground::Action::CompareWith { adapter, name, model }));
            }
        }
    });
}

fn answer(ui: &mut egui::Ui, index: usize, state: &playground::State, mode: Mode, out: &mut Vec<UiAction>) {
    let t = theme::of(ui);
    let weak = |words: &str| RichText::new(words).color(t.weak);
    let ink =
        if state.columns.get(index).is_some_and(|c| c.adapter.is_none()) { t.base } else { t.accent_fill };
    let Some(answers) = state.reading.answers.as_ref().filter(|answers| answers.mode == mode) else {
        ui.label(weak("The answer comes here."));
        return;
    };
    if !answers.is_asked(index) {
        let words = "Not asked: the part that says classes or scores is made by a run, so that the base model has nothing to set beside it.";
        ui.label(weak(words));
        return;
    }
    let told = answers.of(index);
    if told.is_empty() {
        let words = match (&answers.failed, answers.job.is_running) {
            (_, true) => "Reading…".to_string(),
            (Some(what), false) => format!("failed: {what}"),
            (None, false) => "Stopped before it answered.".into(),
        };
        ui.label(weak(&words));
        return;
    }
    for told in told {
        match told {
            Told::Refused(failure) => {
                ui.label(RichText::new(format!("{}: {}", failure.title, failure.detail)).color(t.amber));
                ui.label(weak(&failure.hint));
            }
            Told::Filled(places) => fill_ui::filled(ui, places, ink),
            Told::Classes { .. } | Told::Scores { .. } => judge_ui::judged(ui, &answers.texts, told, ink),
            Told::Nearest(_) | Told::Map(_) => {}
        }
    }
    if let Some(rows) = &answers.rows {
        like_ui::told(ui, index, told, rows, &state.reading, out);
    }
}
