//! Many answers at once: the matrix of shots and columns, and prompt sets with their scores.

use super::answers::Answers;
use super::ask::shot_words;
use super::ui::edit;
use super::{Action, State};
use crate::app::action::UiAction;
use crate::app::shared::Shared;
use crate::app::theme::{self, space};
use crate::app::widgets;
use crate::base::human;
use crate::data::shots::Question;
use eframe::egui::{self, Label, RichText, ScrollArea, TextEdit};

/// Answers that are listed; scores count all.
const MOST_LISTED: usize = 200;
const SHOTS_WIDTH: f32 = 56.0;
const QUESTION_WIDTH: f32 = 200.0;
const EXPECTED_WIDTH: f32 = 90.0;

pub(super) fn many(ui: &mut egui::Ui, state: &State) {
    let Some(answers) = &state.answers else { return };
    scores(ui, answers);
    ui.add_space(space::S);
    widgets::section(ui, "Answers");
    let t = theme::of(ui);
    let num_columns = answers.columns.len().max(1) as f32;
    // Shots, question, expected and the gaps between all columns.
    let taken = SHOTS_WIDTH + QUESTION_WIDTH + EXPECTED_WIDTH + space::M * (2.0 + num_columns);
    let width = ((ui.available_width() - taken) / num_columns).clamp(120.0, 420.0);
    ScrollArea::horizontal().id_salt("many").show(ui, |ui| {
        egui::Grid::new("answers").striped(true).spacing([space::M, space::XS]).show(ui, |ui| {
            for head in ["Shots", "Question", "Expected"] {
                ui.label(RichText::new(head).small().color(t.weak));
            }
            for name in &answers.columns {
                ui.label(RichText::new(human::elide(name, 28)).small().color(t.weak));
            }
            ui.end_row();
            for (i, asked) in answers.asked.iter().enumerate().take(MOST_LISTED) {
                widgets::in_column(ui, SHOTS_WIDTH, RichText::new(shot_words(asked.num_shots)).small());
                widgets::in_column(ui, QUESTION_WIDTH, RichText::new(&asked.question))
                    .on_hover_text(&asked.question);
                let expected = asked.expected.as_deref().unwrap_or("–");
                widgets::in_column(ui, EXPECTED_WIDTH, RichText::new(expected)).on_hover_text(expected);
                for column in 0..answers.columns.len() {
                    one(ui, answers, i, column, width);
                }
                ui.end_row();
            }
        });
    });
    if answers.asked.len() > MOST_LISTED {
        let all = human::count(answers.asked.len() as u64);
        let words =
            format!("The first {MOST_LISTED} of {all} questions are listed; the scores count all of them.");
        ui.label(RichText::new(words).small().color(t.weak));
    }
}

fn one(ui: &mut egui::Ui, answers: &Answers, asked: usize, column: usize, width: f32) {
    let t = theme::of(ui);
    let Some(reply) = answers.reply(asked, column) else { return };
    let (mark, ink) = match reply.end.and_then(|end| end.is_match) {
        Some(true) => ("✔ ", t.green),
        Some(false) => ("✘ ", t.red),
        None => ("", t.text),
    };
    let state = reply.state_words().map_or(String::new(), |words| format!(" ({words})"));
    let shown = format!("{mark}{}{state}", reply.text.trim().replace('\n', " "));
    widgets::in_column(ui, width, RichText::new(shown).color(ink)).on_hover_text(&reply.text);
}

/// Share of exact matches for each number of shots and each column.
fn scores(ui: &mut egui::Ui, answers: &Answers) {
    let t = theme::of(ui);
    let has_scores = answers.asked.iter().any(|a| a.expected.is_some());
    if !has_scores {
        return;
    }
    widgets::section(ui, "Exact matches");
    egui::Grid::new("scores").striped(true).spacing([space::XL, space::XS]).show(ui, |ui| {
        ui.label("");
        for name in &answers.columns {
            ui.label(RichText::new(human::elide(name, 28)).small().color(t.weak));
        }
        ui.end_row();
        for num_shots in answers.shot_rows() {
            ui.label(shot_words(num_shots));
            for column in 0..answers.columns.len() {
                let (right, scored) = answers.score(column, num_shots);
                let share = if scored == 0 { 0.0 } else { 100.0 * right as f64 / scored as f64 };
                ui.label(RichText::new(format!("{share:.0} % ({right} of {scored})")).strong());
            }
            ui.end_row();
        }
    });
}

pub(super) fn sets(ui: &mut egui::Ui, state: &State, shared: &Shared, out: &mut Vec<UiAction>) {
    let t = theme::of(ui);
    widgets::section(ui, "Prompt sets");
    if state.sets.is_empty() {
        ui.label(RichText::new("None saved yet.").small().color(t.weak));
    }
    for (i, set) in state.sets.iter().enumerate() {
        let is_open = set.name == state.draft.set_name;
        let row = ui.selectable_label(is_open, human::elide(&set.name, 30)).on_hover_text(&set.name);
        if row.clicked() {
            out.push(UiAction::Playground(Action::LoadSet(i)));
        }
    }
    ui.add_space(space::S);
    let mut name = state.draft.set_name.clone();
    let field = TextEdit::singleline(&mut name).desired_width(f32::INFINITY).hint_text("name of this set");
    if widgets::named(ui.add(field), "Name of the prompt set").changed() {
        edit(state, out, |draft| draft.set_name = name);
    }
    ui.horizontal_wrapped(|ui| {
        if ui.button("Save").clicked() {
            out.push(UiAction::Playground(Action::SaveSet));
        }
        let why = shared.dataset.is_none().then_some("Open data first: its test rows become the questions.");
        if widgets::button_or_why(ui, "Use the test rows", why).clicked() {
            out.push(UiAction::Playground(Action::AskTestRows));
        }
        let none = state.draft.questions.is_empty().then(|| "Add a question first.".to_string());
        let busy = state.is_running().then(|| "It is answering already.".to_string());
        let why = busy.or(none).or_else(|| state.why_not(shared));
        if widgets::primary_button(ui, "Run all", why.as_deref()).clicked() {
            out.push(UiAction::Playground(Action::GenerateSet));
        }
    });
    widgets::section(ui, &human::plural(state.draft.questions.len() as u64, "question"));
    questions(ui, state, out);
}

fn questions(ui: &mut egui::Ui, state: &State, out: &mut Vec<UiAction>) {
    for (i, question) in state.draft.questions.iter().enumerate() {
        ui.horizontal(|ui| {
            ui.add(Label::new(RichText::new(format!("{}", i + 1)).small()).selectable(false));
            let (mut input, mut expected) =
                (question.input.clone(), question.expected.clone().unwrap_or_default());
            let input_field =
                ui.add(TextEdit::singleline(&mut input).desired_width(110.0).hint_text("question"));
            let input_field =
                widgets::named(input_field, &format!("Question {}", i + 1)).on_hover_text(&question.input);
            let expected_field =
                ui.add(TextEdit::singleline(&mut expected).desired_width(60.0).hint_text("expected"));
            let expected_field = widgets::named(expected_field, &format!("Expected answer {}", i + 1));
            if input_field.changed() || expected_field.changed() {
                edit(state, out, |draft| {
                    draft.questions[i] =
                        Question { input, expected: Some(expected).filter(|e| !e.is_empty()) };
                });
            }
            if widgets::close_button(ui, &format!("Remove question {}", i + 1)).clicked() {
                edit(state, out, |draft| {
                    draft.questions.remove(i);
                });
            }
        });
    }
    if ui.button("Add a question").clicked() {
        edit(state, out, |draft| draft.questions.push(Question { input: String::new(), expected: None }));
    }
}
