//! A choice among the linear layers of the model's blocks, in people's words.

use crate::base::human;
use crate::model::config::Family;
use crate::model::families::{ALL_LINEAR, Names};
use crate::model::hooks::Linear;
use crate::model::info::ModelInfo;
use eframe::egui::{self, ComboBox, Response};

/// Of the chosen model; the usual ones while none is.
pub fn family(model: Option<&ModelInfo>) -> Family {
    model.map_or(Family::Llama, |model| model.config.family)
}

/// The layers that can be chosen, as PEFT calls them.
pub fn names(model: Option<&ModelInfo>) -> Vec<&'static str> {
    family(model).table().target_names()
}

/// A list to tick; `chosen` changes only where a tick did, and then names every layer. `said` stands for how many are chosen.
pub fn modules(
    ui: &mut egui::Ui,
    id: &str,
    said: Option<&str>,
    chosen: &mut Vec<String>,
    names: &[&str],
) -> Response {
    let is_on = |chosen: &[String], name: &str| chosen.iter().any(|m| m == name || m == ALL_LINEAR);
    let num_on = names.iter().filter(|name| is_on(chosen, name)).count();
    let combo = ComboBox::from_id_salt(id)
        .selected_text(said.map_or_else(|| format!("{num_on} of {}", names.len()), String::from))
        .width(100.0)
        .close_behavior(egui::PopupCloseBehavior::CloseOnClickOutside)
        .show_ui(ui, |ui| {
            for name in names {
                let mut is_ticked = is_on(chosen, name);
                if ui.checkbox(&mut is_ticked, label(name)).changed() {
                    // In the order of the list, so that the same choice is the same recipe.
                    let stays = |m: &&&str| if *m == name { is_ticked } else { is_on(chosen, m) };
                    *chosen = names.iter().filter(stays).map(|m| m.to_string()).collect();
                }
            }
        });
    combo.response
}

/// The name in people's words, and as PEFT has it.
fn label(name: &str) -> String {
    let linears = parts(name);
    if !linears.is_empty() {
        return format!("{linears} ({name})");
    }
    let ends = |of: fn(&Names) -> &'static str| {
        Family::ALL.into_iter().any(|family| of(&family.table().names).ends_with(name))
    };
    let is_of_task = |family: Family| {
        let scores = &family.table().scores;
        let dense = scores.dense.map(|(name, _)| name);
        let mut own = [Some(scores.out), dense, scores.pooler].into_iter().flatten();
        own.any(|own| own == name || own.split('.').next() == Some(name))
    };
    let what = match () {
        () if Family::ALL.into_iter().any(is_of_task) => "task head",
        () if ends(|names| names.embedding) => "embeddings",
        () if ends(|names| names.head) => "head",
        () if ends(|names| names.positions.unwrap_or_default()) => "positions",
        () => "norm",
    };
    format!("{what} ({name})")
}

/// What people call a linear layer.
fn part(linear: Linear) -> &'static str {
    match linear {
        Linear::Q => "queries",
        Linear::K => "keys",
        Linear::V => "values",
        Linear::Qkv => "queries, keys and values",
        Linear::O => "attention out",
        Linear::Gate => "gate",
        Linear::Up => "up",
        Linear::GateUp => "gate and up",
        Linear::Down => "down",
        Linear::CrossQ => "queries to what is read",
        Linear::CrossK => "keys of what is read",
        Linear::CrossV => "values of what is read",
        Linear::CrossO => "out of what is read",
    }
}

/// What people call the linear layers of a name; more than one may have it.
fn parts(name: &str) -> String {
    let namesakes = |family: Family| {
        let named = family.table().all_modules().filter(|module| module.name() == name);
        named.map(|module| part(module.linear)).collect::<Vec<_>>()
    };
    let found = Family::ALL.into_iter().map(namesakes).find(|words| !words.is_empty());
    human::listed(&found.unwrap_or_default())
}
