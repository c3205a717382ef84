//! The settings of IA3.

use super::super::form::Form;
use super::modules::{self, modules};
use super::{Words, row};
use crate::model::config::Family;
use crate::model::info::ModelInfo;
use crate::peft::ia3;
use crate::recipe::recipe::{Ia3, Method};
use eframe::egui::{self, Response};

fn settings(method: &mut Method) -> Option<&mut Ia3> {
    match method {
        Method::Ia3(ia3) => Some(ia3),
        _ => None,
    }
}

pub fn advanced(ui: &mut egui::Ui, form: &mut Form, model: Option<&ModelInfo>) {
    let family = modules::family(model);
    let words = Words {
        path: "method.target_modules",
        label: "Tuned parts (modules)",
        help: "The parts of each layer that get factors. The usual ones are keys, values, and the last part of the \
               feed-forward; none ticked means these, too.",
    };
    row(ui, form, settings, words, |ui, ia3| parts(ui, ia3, family));
    let words = Words {
        path: "method.feedforward_modules",
        label: "Scaled where they read",
        help: "Those of the tuned parts whose inputs get the factors, instead of what they give out.",
    };
    row(ui, form, settings, words, |ui, ia3| by_input(ui, ia3, family));
}

/// What is chosen, with the usual choice by its names.
fn named(ia3: &Ia3, family: Family) -> Ia3 {
    if !ia3.target_modules.is_empty() {
        return ia3.clone();
    }
    let (targets, by_input) = ia3::usual_names(family);
    let owned = |names: Vec<&str>| names.into_iter().map(String::from).collect();
    Ia3 { target_modules: owned(targets), feedforward_modules: owned(by_input) }
}

fn parts(ui: &mut egui::Ui, ia3: &mut Ia3, family: Family) -> Response {
    let before = named(ia3, family);
    let mut now = before.clone();
    let names = family.table().target_names();
    let said = ia3.target_modules.is_empty().then_some("the usual ones");
    let response = modules(ui, "ia3 modules", said, &mut now.target_modules, &names);
    if now != before {
        now.feedforward_modules.retain(|name| now.target_modules.contains(name));
        // The usual choice, made by hand, is the usual choice.
        let is_usual = now == named(&Ia3::default(), family) || now.target_modules.is_empty();
        *ia3 = if is_usual { Ia3::default() } else { now };
    }
    response
}

fn by_input(ui: &mut egui::Ui, ia3: &mut Ia3, family: Family) -> Response {
    let is_usual = ia3.target_modules.is_empty();
    let mut now = named(ia3, family);
    let can =
        |name: &&str| ia3::can_be_by_input(family, name) && now.target_modules.iter().any(|m| m == name);
    let names: Vec<&str> = family.table().target_names().into_iter().filter(can).collect();
    let why = match is_usual {
        true => {
            "With the usual parts it is the last one of the feed-forward. Choose parts of your own to change it."
        }
        false => "None of the tuned parts has an input of its own.",
    };
    let is_on = !is_usual && !names.is_empty();
    let control = |ui: &mut egui::Ui| modules(ui, "ia3 inputs", None, &mut now.feedforward_modules, &names);
    let response = ui.add_enabled_ui(is_on, control).inner;
    if is_on {
        ia3.feedforward_modules = now.feedforward_modules;
    }
    response.on_disabled_hover_text(why)
}
