use super::example::{Step, StepState};
use super::state::{Action, Card, CardState, State};
use crate::app::action::{FrameAction, Place, UiAction};
use crate::app::panels::{data, runs};
use crate::app::shared::{Shared, last_part};
use crate::app::theme::{self, space};
use crate::app::widgets;
use crate::base::human;
use crate::project::runs::RunSummary;
use crate::project::{Outcome, samples};
use eframe::egui::{
    self, Align, Label, Layout, RichText, ScrollArea, Sense, Stroke, TextEdit, UiBuilder, vec2,
};
use egui_material_icons::icons;

/// So many of the newest runs are shown.
const NUM_RECENT: usize = 6;
const CARD_HEIGHT: f32 = 184.0;

pub fn ui(ui: &mut egui::Ui, state: &State, shared: &Shared, out: &mut Vec<UiAction>) {
    ScrollArea::vertical().auto_shrink([false, false]).show(ui, |ui| {
        path(ui, state, shared, out);
        ui.add_space(space::L);
        // Whoever has runs of their own looks at those first.
        let is_new = shared.runs.is_empty() || state.example.step.is_some();
        if is_new {
            example(ui, state, shared, out);
            ui.add_space(space::L);
        }
        recent(ui, shared, out);
        ui.add_space(space::L);
        projects(ui, state, shared, out);
        if !is_new {
            ui.add_space(space::L);
            example(ui, state, shared, out);
        }
    });
}

fn path(ui: &mut egui::Ui, state: &State, shared: &Shared, out: &mut Vec<UiAction>) {
    let cards = state.cards(shared);
    let gap = space::S;
    let num_gaps = cards.len().saturating_sub(1) as f32;
    let size = vec2((ui.available_width() - gap * num_gaps) / cards.len().max(1) as f32, CARD_HEIGHT);
    let (row, _) = ui.allocate_exact_size(vec2(ui.available_width(), CARD_HEIGHT), Sense::hover());
    for (i, card) in cards.iter().enumerate() {
        let min = row.min + vec2(i as f32 * (size.x + gap), 0.0);
        let rect = egui::Rect::from_min_size(min, size);
        one_card(ui, rect, i + 1, card, out);
    }
}

fn one_card(ui: &mut egui::Ui, rect: egui::Rect, number: usize, card: &Card, out: &mut Vec<UiAction>) {
    let t = theme::of(ui);
    let is_next = matches!(card.state, CardState::Next | CardState::Working);
    let edge = if is_next { Stroke::new(2.0, t.accent) } else { Stroke::new(1.0, t.border) };
    let (icon, ink, word) = match card.state {
        CardState::Done => (icons::ICON_CHECK_CIRCLE, t.green, "done"),
        CardState::Working => (icons::ICON_PENDING, t.accent, "working"),
        CardState::Next => (icons::ICON_ARROW_FORWARD, t.accent, "next"),
        CardState::Waiting => (icons::ICON_RADIO_BUTTON_UNCHECKED, t.weak, "waiting"),
    };
    ui.painter().rect(rect, theme::RADIUS, t.surface, edge, egui::StrokeKind::Inside);
    let inside = rect.shrink(space::M);
    let from_top = Layout::top_down(Align::Min);
    // Children of their own, because the row was allocated as a whole.
    let mut top = ui.new_child(UiBuilder::new().id_salt(number).max_rect(inside).layout(from_top));
    top.horizontal(|ui| {
        widgets::icon(ui, icon, ink);
        ui.label(RichText::new(word).small().color(ink));
    });
    top.label(RichText::new(format!("{number}  {}", card.name)).size(16.0).strong());
    let text = Label::new(RichText::new(&card.text).color(t.weak)).wrap();
    top.add(text).on_hover_text(&card.text);
    if card.state == CardState::Waiting {
        return;
    }
    let from_bottom = Layout::bottom_up(Align::Min);
    let builder = UiBuilder::new().id_salt((number, "button")).max_rect(inside).layout(from_bottom);
    let words = card.button.0;
    let button = egui::Button::new(words).min_size(vec2(0.0, 28.0));
    let response = ui.new_child(builder).add(button);
    if widgets::named(response, &format!("{}: {words}", card.name)).clicked() {
        out.push(card.button.1.clone());
    }
}

fn example(ui: &mut egui::Ui, state: &State, shared: &Shared, out: &mut Vec<UiAction>) {
    let t = theme::of(ui);
    let example = &state.example;
    widgets::card(ui, |ui| {
        ui.set_width(ui.available_width());
        ui.horizontal(|ui| {
            widgets::icon(ui, icons::ICON_AUTO_AWESOME, t.accent);
            ui.label(RichText::new("New here? See the whole job once").strong());
        });
        if example.step.is_none() {
            ui.add(
                Label::new(
                    RichText::new(
                        "A small model learns the botanical type of about 150 fruits, and you compare it with the \
                         untrained one. It fetches the model once and takes a few minutes on two cores.",
                    )
                    .color(t.weak),
                )
                .wrap(),
            );
        } else {
            steps(ui, state, shared);
        }
        ui.add_space(space::XS);
        ui.horizontal(|ui| {
            if example.is_running() {
                if ui.button("Stop the example").clicked() {
                    out.push(UiAction::Home(Action::StopFruit));
                }
                return;
            }
            let words = match (&example.failure, example.is_finished) {
                (Some(_), _) => "Try again",
                (None, true) => "Run it again",
                (None, false) => "Try it with the fruit example",
            };
            let why = shared.project.is_none().then_some("The project is still being opened.");
            if widgets::button_or_why(ui, words, why).clicked() {
                out.push(UiAction::Home(Action::TryFruit));
            }
            if let Some(project) = &shared.project {
                let captain = ui.button("Open the sea captain sample");
                if captain
                    .on_hover_text("Conversations that teach a way of speaking; look at them, then train")
                    .clicked()
                {
                    let path = samples::path_in(&project.folder, samples::CAPTAIN);
                    out.push(UiAction::Data(data::Action::Open(path)));
                }
            }
        });
    });
}

fn steps(ui: &mut egui::Ui, state: &State, shared: &Shared) {
    let t = theme::of(ui);
    for step in Step::ALL {
        let (icon, ink, word) = match state.example.state_of(step) {
            StepState::Done => (icons::ICON_CHECK_CIRCLE, t.green, "done"),
            StepState::Now => (icons::ICON_PENDING, t.accent, "now"),
            StepState::Waiting => (icons::ICON_RADIO_BUTTON_UNCHECKED, t.weak, "waiting"),
            StepState::Failed => (icons::ICON_ERROR, t.red, "failed"),
        };
        ui.horizontal(|ui| {
            widgets::icon(ui, icon, ink);
            let mut text = step.words().to_string();
            if word == "now"
                && let Some(job) = shared.jobs.foremost()
            {
                text = format!("{text}: {}", job.detail());
            }
            ui.label(text).on_hover_text(word);
        });
    }
    if let Some(failure) = &state.example.failure {
        ui.label(RichText::new(failure).color(t.red));
    }
}

fn recent(ui: &mut egui::Ui, shared: &Shared, out: &mut Vec<UiAction>) {
    let t = theme::of(ui);
    widgets::section(ui, "Recent runs");
    if shared.runs.is_empty() {
        ui.label(RichText::new("None yet. Every run you start is kept and listed here.").color(t.weak));
        return;
    }
    for run in shared.runs.iter().take(NUM_RECENT) {
        widgets::card(ui, |ui| {
            ui.set_width(ui.available_width());
            ui.horizontal(|ui| {
                widgets::sparkline(ui, &run.sparkline, vec2(96.0, 24.0));
                // What stands beside the name is of about this width.
                let room = ui.available_width() - 440.0;
                widgets::elided(ui, &run.name, ((room / 7.5) as usize).clamp(14, 48));
                ui.label(RichText::new(outcome_words(run)).small().color(t.weak));
                ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                    let open = widgets::named(ui.button("Open"), &format!("Open {}", run.name));
                    if open.clicked() {
                        out.push(UiAction::Go(Place::Runs));
                        out.push(UiAction::Runs(runs::Action::Open(run.folder.clone())));
                    }
                    if let Some(loss) = run.best_loss {
                        ui.label(format!("best validation loss {loss:.3}"));
                    }
                });
            });
        });
        ui.add_space(space::XS);
    }
}

/// The projects that were opened before, and the way to another one.
fn projects(ui: &mut egui::Ui, state: &State, shared: &Shared, out: &mut Vec<UiAction>) {
    let t = theme::of(ui);
    widgets::section(ui, "Recent projects");
    let open = shared.project.as_ref().map(|p| &p.folder);
    for folder in &shared.recent_projects {
        let whole = folder.display().to_string();
        let name = last_part(&whole);
        widgets::card(ui, |ui| {
            ui.set_width(ui.available_width());
            ui.horizontal(|ui| {
                widgets::icon(ui, icons::ICON_FOLDER, t.weak);
                widgets::elided(ui, &name, 48);
                ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                    if open == Some(folder) {
                        ui.label(RichText::new("open now").small().color(t.accent));
                    } else if widgets::named(ui.button("Open"), &format!("Open the project {name}")).clicked()
                    {
                        out.push(UiAction::Frame(FrameAction::OpenProject(folder.clone())));
                    }
                    let place = RichText::new(&whole).small().color(t.weak);
                    ui.add(Label::new(place).truncate()).on_hover_text(&whole);
                });
            });
        });
        ui.add_space(space::XS);
    }
    let words =
        "A project is a folder with your settings, runs and prompts. Everything you type is kept in it.";
    ui.label(RichText::new(words).small().color(t.weak));
    ui.horizontal(|ui| {
        let hint = "Choose a project, or an empty folder for a new one";
        if widgets::tool_button(ui, icons::ICON_FOLDER_OPEN, "Open another…").on_hover_text(hint).clicked()
        {
            out.push(UiAction::Frame(FrameAction::PickProject));
        }
        let mut path = state.project_text.clone();
        let width = (ui.available_width() - 80.0).clamp(100.0, 420.0);
        let field = TextEdit::singleline(&mut path).hint_text("or type its path").desired_width(width);
        let response = widgets::named(ui.add(field), "Path of the project");
        if response.changed() {
            out.push(UiAction::Home(Action::SetProjectText(path)));
        }
        let enter = response.lost_focus() && ui.input(|i| i.key_pressed(egui::Key::Enter));
        let why = state.project_text.trim().is_empty().then_some("Type the path of a folder first.");
        let button = widgets::button_or_why(ui, "Open", why);
        if widgets::named(button, "Open the typed project").clicked() || enter {
            out.push(UiAction::Home(Action::OpenTyped));
        }
    });
}

fn outcome_words(run: &RunSummary) -> String {
    let how = match run.outcome {
        Some(Outcome::Done) => "finished",
        Some(Outcome::StoppedEarly) => "stopped early",
        Some(Outcome::Stopped) => "stopped",
        Some(Outcome::Discarded) => "discarded",
        Some(Outcome::Failed) => "failed",
        None if run.is_running => "running",
        None => "cut off",
    };
    format!("{how} at update {}/{}", human::count(run.last_update), human::count(run.num_updates))
}
