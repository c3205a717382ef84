//! What lies over the window: the palette, a question, stopping a run, the shortcuts, a file held over it.

use super::{keys, palette};
use crate::app::action::{Ending, FrameAction, Question, UiAction};
use crate::app::state::{AppState, Overlay};
use crate::app::theme::{self, space};
use crate::app::widgets;
use eframe::egui::{
    self, Align, Align2, Area, Button, FontId, Id, Layout, Modal, Order, RichText, ScrollArea, TextEdit, vec2,
};

pub fn ui(ctx: &egui::Context, state: &AppState, out: &mut Vec<UiAction>) {
    match &state.overlay {
        Overlay::None => {}
        Overlay::Palette { text, chosen } => palette_ui(ctx, state, text, *chosen, out),
        Overlay::Ask(question) => ask(ctx, question, out),
        Overlay::Stop { closes } => {
            let is_comparison = state.shared.jobs.training().is_some_and(|job| job.is_comparison);
            let words = if is_comparison { &OF_COMPARISON } else { &OF_RUN };
            stop(ctx, *closes, words, out);
        }
        Overlay::Shortcuts => shortcuts(ctx, out),
    }
}

fn palette_ui(ctx: &egui::Context, state: &AppState, text: &str, chosen: usize, out: &mut Vec<UiAction>) {
    let modal = Modal::new(Id::unique("palette")).show(ctx, |ui| {
        let t = theme::of(ui);
        ui.set_width(520.0);
        let mut typed = text.to_string();
        let field = TextEdit::singleline(&mut typed)
            .hint_text("What do you want to do?")
            .desired_width(f32::INFINITY)
            .margin(vec2(8.0, 8.0));
        let field = widgets::named_field(ui.add(field), "Find an action", &typed);
        field.request_focus();
        if field.changed() {
            out.push(UiAction::Frame(FrameAction::SetPaletteText(typed)));
        }
        ui.add_space(space::S);
        let found = palette::found(state);
        if found.is_empty() {
            ui.label(RichText::new("No action has these letters. Try fewer.").color(t.weak));
        }
        ScrollArea::vertical().max_height(340.0).auto_shrink([false, true]).show(ui, |ui| {
            for (i, item) in found.iter().enumerate() {
                let button = Button::selectable(i == chosen, &item.label)
                    .right_text(RichText::new(item.keys).small().color(t.weak))
                    .min_size(vec2(ui.available_width(), 28.0));
                let response = widgets::named(ui.add(button), &item.label);
                if i == chosen {
                    response.scroll_to_me(None);
                }
                if response.clicked() {
                    out.push(UiAction::Frame(FrameAction::RunPaletteItem(i)));
                }
            }
        });
    });
    if modal.backdrop_response.clicked() {
        out.push(UiAction::Frame(FrameAction::Escape));
    }
}

fn ask(ctx: &egui::Context, question: &Question, out: &mut Vec<UiAction>) {
    Modal::new(Id::unique("question")).show(ctx, |ui| {
        ui.set_width(420.0);
        ui.heading(&question.title);
        ui.add_space(space::S);
        ui.label(&question.text);
        ui.add_space(space::M);
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            let keep = ui.button("Cancel");
            if ui.memory(|m| m.focused().is_none()) {
                keep.request_focus(); // Enter keeps
            }
            if keep.clicked() {
                out.push(UiAction::Frame(FrameAction::Answer(false)));
            }
            if widgets::danger_button(ui, &question.yes).clicked() {
                out.push(UiAction::Frame(FrameAction::Answer(true)));
            }
        });
    });
}

/// What is asked before something that trains is stopped.
struct Stopping {
    title: &'static str,
    text: &'static str,
    keep: &'static str,
    save: &'static str,
    /// None where there is nothing to throw away.
    discard: Option<&'static str>,
}

const OF_RUN: Stopping = Stopping {
    title: "Stop the run?",
    text: "Stop and save keeps what it has learnt: you can use it, and resume the run later in Runs. Discard throws \
           the run away with everything it has learnt.",
    keep: "Keep training",
    save: "Stop and save",
    discard: Some("Discard the run"),
};

const OF_COMPARISON: Stopping = Stopping {
    title: "Stop comparing the methods?",
    text: "The methods that are done keep their rows, and the one in progress is saved where it is: the comparison can go \
           on later in Train.",
    keep: "Keep comparing",
    save: "Stop",
    discard: None,
};

/// Save or discard what trains; keeping on is the default. The same when it is stopped and when the window closes.
fn stop(ctx: &egui::Context, closes: bool, words: &Stopping, out: &mut Vec<UiAction>) {
    let modal = Modal::new(Id::unique("stop the run")).show(ctx, |ui| {
        ui.set_width(480.0);
        ui.heading(words.title);
        ui.add_space(space::S);
        if closes {
            ui.label("It is in progress. The window closes once it has ended.");
            ui.add_space(space::S);
        }
        ui.label(words.text);
        ui.add_space(space::M);
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            let mut choice = |clicked: bool, how| {
                if clicked {
                    out.push(UiAction::Frame(FrameAction::EndRun(how)));
                }
            };
            let keep = ui.button(words.keep);
            if ui.memory(|m| m.focused().is_none()) {
                keep.request_focus(); // Enter keeps
            }
            choice(keep.clicked(), Ending::Keep);
            choice(widgets::primary_button(ui, words.save, None).clicked(), Ending::Save);
            if let Some(discard) = words.discard {
                choice(widgets::danger_button(ui, discard).clicked(), Ending::Discard);
            }
        });
    });
    if modal.backdrop_response.clicked() {
        out.push(UiAction::Frame(FrameAction::EndRun(Ending::Keep)));
    }
}

fn shortcuts(ctx: &egui::Context, out: &mut Vec<UiAction>) {
    let modal = Modal::new(Id::unique("shortcuts")).show(ctx, |ui| {
        ui.set_width(520.0);
        ui.heading("Keyboard");
        ui.add_space(space::S);
        egui::Grid::new("keys").num_columns(2).spacing(vec2(space::L, space::S)).show(ui, |ui| {
            for (key, what) in keys::LIST {
                ui.label(RichText::new(key).monospace());
                ui.add(egui::Label::new(what).wrap());
                ui.end_row();
            }
        });
        ui.add_space(space::M);
        if ui.button("Close").clicked() {
            out.push(UiAction::Frame(FrameAction::ShowShortcuts(false)));
        }
    });
    if modal.backdrop_response.clicked() {
        out.push(UiAction::Frame(FrameAction::ShowShortcuts(false)));
    }
}

/// Shown while a file is held over the window.
pub fn drop_hint(ctx: &egui::Context) {
    if ctx.input(|i| i.raw.hovered_files.is_empty()) {
        return;
    }
    let screen = ctx.content_rect();
    Area::new(Id::unique("drop")).order(Order::Foreground).fixed_pos(screen.min).show(ctx, |ui| {
        let t = theme::of(ui);
        let painter = ui.painter();
        painter.rect_filled(screen, 0.0, t.ground.gamma_multiply(0.9));
        painter.text(
            screen.center(),
            Align2::CENTER_CENTER,
            "Drop the file to open it",
            FontId::proportional(20.0),
            t.accent,
        );
    });
}
