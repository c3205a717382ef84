//! Which methods are compared, with how many updates and at what cost, and the earlier comparisons.

use super::super::{State, method};
use super::Action;
use super::ui::push;
use crate::app::action::UiAction;
use crate::app::shared::Shared;
use crate::app::theme::{self, space};
use crate::app::widgets;
use crate::base::human;
use crate::project::comparisons::Comparison;
use crate::recipe::MethodOption;
use eframe::egui::{self, Align, CollapsingHeader, DragValue, Frame, Layout, Margin, RichText, ScrollArea};

const MOST_UPDATES: u64 = 100_000;

pub(super) fn form(ui: &mut egui::Ui, state: &State, shared: &Shared, out: &mut Vec<UiAction>) {
    let t = theme::of(ui);
    ui.horizontal(|ui| {
        ui.label(RichText::new("Which method suits this data?").size(16.0).strong());
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            if widgets::close_button(ui, "Close the comparison").on_hover_text("Esc").clicked() {
                push(out, Action::Close);
            }
        });
    });
    ScrollArea::vertical().id_salt("compare").auto_shrink([false, false]).show(ui, |ui| {
        ui.label(
            "Each method that is ticked trains the same model on the same rows, with as many updates, one after the \
             other. A table and a chart then say what each one needed and how well it did.",
        );
        let words = "What else a run needs is as the recipe says, whose own method keeps its settings; the others have their \
                     usual settings and learning rates. Nothing stops early.";
        ui.label(RichText::new(words).small().color(t.weak));
        ui.add_space(space::S);
        let is_variant = |option: &&MethodOption| option.method.variant() != option.method.kind();
        let (variants, usual): (Vec<_>, Vec<_>) = state.review.variants.iter().partition(is_variant);
        for option in usual {
            ui.scope(|ui| one(ui, state, option, out));
        }
        let hint = "Settings of a method that have a name of their own, beside its usual ones";
        let header = CollapsingHeader::new("Variants of these").id_salt("variants").show(ui, |ui| {
            for option in variants {
                ui.scope(|ui| one(ui, state, option, out));
            }
        });
        header.header_response.on_hover_text(hint);
        ui.add_space(space::S);
        orders(ui, state, out);
        updates(ui, state, out);
        cost(ui, state, shared);
        ui.add_space(space::M);
        earlier(ui, state, out);
    });
}

fn one(ui: &mut egui::Ui, state: &State, option: &MethodOption, out: &mut Vec<UiAction>) {
    let t = theme::of(ui);
    let (compare, review) = (&state.compare, &state.review);
    let (name, is_variant) = (option.method.variant(), option.method.variant() != option.method.kind());
    let title = if is_variant { option.method.describe() } else { option.method.title().into() };
    let mut is_ticked = compare.ticked(review).contains(&name);
    ui.spacing_mut().item_spacing.y = 0.0;
    ui.spacing_mut().interact_size.y = 22.0;
    ui.horizontal(|ui| {
        let hint = option.method.explain_variant().unwrap_or(option.method.explain());
        let box_ = ui.checkbox(&mut is_ticked, &title).on_hover_text(hint);
        if widgets::named(box_, &format!("Compare {title}")).changed() {
            push(out, Action::Tick(name, is_ticked));
        }
        if option.is_too_large {
            let why = "It needs more memory than a run may take. Ticked all the same, it may have no result.";
            widgets::chip(ui, "too large", t.red, t.red_soft).on_hover_text(why);
        }
    });
    let margin = Margin { left: space::XL as i8, bottom: space::XS as i8, ..Margin::ZERO };
    Frame::new().inner_margin(margin).show(ui, |ui| {
        method::cost_of(ui, option, review.num_params, compare.secs_of(option, review));
    });
}

/// Where the recipe orders its rows: whether that helps.
fn orders(ui: &mut egui::Ui, state: &State, out: &mut Vec<UiAction>) {
    if !state.review.recipe.curriculum.is_on() {
        return;
    }
    let mut is_on = state.compare.also_shuffled;
    let hint = "The recipe's rows come from easy to hard. Beside each method so, the same one with its rows shuffled tells whether that helps.";
    if ui.checkbox(&mut is_on, "Each also with its rows shuffled").on_hover_text(hint).changed() {
        push(out, Action::AlsoShuffled(is_on));
    }
}

fn updates(ui: &mut egui::Ui, state: &State, out: &mut Vec<UiAction>) {
    ui.horizontal(|ui| {
        let mut updates = state.compare.updates;
        let hint = "Few tell which methods learn at all and what they need; more tell which learns best. The run that you \
                    want in the end can have many more.";
        ui.label("Updates of each method").on_hover_text(hint);
        let field = DragValue::new(&mut updates).range(1..=MOST_UPDATES).speed(1.0);
        if widgets::named(ui.add(field), "Updates of each method").on_hover_text(hint).changed() {
            push(out, Action::SetUpdates(updates));
        }
    });
}

/// Time of all together, and what the data lacks for a test.
fn cost(ui: &mut egui::Ui, state: &State, shared: &Shared) {
    let t = theme::of(ui);
    let num = state.compare.contenders(&state.review).len() as u64;
    let methods = human::plural(
        num,
        if state.compare.ticked(&state.review).len() as u64 == num { "method" } else { "run" },
    );
    let words = match state.compare.secs(&state.review).filter(|_| num > 0) {
        Some(secs) => {
            format!("About {} for the updates of {methods}; the tests come on top.", human::secs(secs))
        }
        None => format!(
            "{methods}. The time stands here once model and data are chosen and nothing is marked in red."
        ),
    };
    ui.label(words);
    let disk = state.compare.disk_bytes(&state.review).filter(|_| num > 0);
    if let Some(bytes) = disk {
        let free = shared.facts.free_disk_bytes;
        let of_free = free.map_or(String::new(), |free| format!(" of {} free", human::bytes(free)));
        let ink = if free.is_some_and(|free| bytes > free) { t.red } else { t.weak };
        let words =
            format!("Disk about {}{of_free} for what they train and their checkpoints.", human::bytes(bytes));
        ui.label(RichText::new(words).small().color(ink));
    }
    let Some(data) = &shared.dataset else { return };
    let (words, ink) = match data.split.test.len() as u64 {
        0 => (
            "No rows are kept for a test, so nothing will be said on exact match and test loss: Data, Split keeps some."
                .to_string(),
            t.amber,
        ),
        num => (format!("Tested on {}, which no method learns from.", human::plural(num, "row")), t.weak),
    };
    ui.label(RichText::new(words).small().color(ink));
}

fn earlier(ui: &mut egui::Ui, state: &State, out: &mut Vec<UiAction>) {
    let t = theme::of(ui);
    widgets::section(ui, "Comparisons of this project");
    if state.compare.all.is_empty() {
        let words = "None yet. Each is kept here, to be looked at again or to go on with.";
        ui.label(RichText::new(words).color(t.weak));
        return;
    }
    for comparison in &state.compare.all {
        ui.horizontal(|ui| {
            let name = &comparison.name;
            if widgets::named(ui.button("Open"), &format!("Open the comparison {name}")).clicked() {
                push(out, Action::Show(comparison.folder.clone()));
            }
            ui.vertical(|ui| {
                ui.spacing_mut().item_spacing.y = 0.0;
                widgets::elided(ui, name, 44);
                let (words, ink) = match &comparison.found {
                    Ok(_) => (about(comparison), t.weak),
                    Err(_) => ("It cannot be read: open it for the reason.".to_string(), t.red),
                };
                ui.label(RichText::new(words).small().color(ink));
            });
        });
        ui.add_space(space::XS);
    }
}

/// "5 methods, 60 updates each, fruit.csv; 2 left".
fn about(comparison: &Comparison) -> String {
    let Ok(found) = &comparison.found else { return String::new() };
    let left = match found.missing().count() {
        0 => String::new(),
        left => format!("; {left} left to do"),
    };
    let methods = human::plural(found.rows.len() as u64, "method");
    format!("{methods}, {} each, {}{left}", human::plural(found.updates, "update"), found.data)
}
