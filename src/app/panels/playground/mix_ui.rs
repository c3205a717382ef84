//! A column in which several runs' adapters answer as one: which, how much of each, and how they become one.

use super::Action;
use super::made_for::is_chosen;
use crate::app::action::UiAction;
use crate::app::shared::{Shared, last_part};
use crate::app::theme;
use crate::app::widgets;
use crate::base::human;
use crate::peft::Composition;
use crate::peft::blend::{Merge, Sign};
use crate::peft::compose::{How, Part};
use crate::project::runs::RunSummary;
use eframe::egui::{self, ComboBox, DragValue, RichText};
use std::path::Path;

/// Parts of one mix; more do not fit under a column's head.
const MOST_PARTS: usize = 6;

/// The ways, with their names and what to know of each.
const WAYS: [(How, &str, &str); 5] = [
    (
        How::Concatenate,
        "Added up (concatenated)",
        "The weighted sum of what the adapters change, exactly; for LoRA",
    ),
    (
        How::Linear,
        "Blended (linear)",
        "Weighted sums of the adapters' matrices; for LoRA of one rank a rough approximation, for IA3 and bottlenecks the only way",
    ),
    (
        How::Ties { density: 0.5, sign: Sign::Total },
        "Agreed (TIES)",
        "The largest values, where most agree on the direction; for LoRA of one rank",
    ),
    (
        How::Dare { density: 0.5, seed: 42, with: Merge::Linear },
        "Thinned (DARE)",
        "Values at random, scaled up for those left out; for LoRA of one rank",
    ),
    (
        How::Dare { density: 0.5, seed: 42, with: Merge::Ties(Sign::Total) },
        "Thinned and agreed (DARE with TIES)",
        "Values at random, where most agree on the direction; for LoRA of one rank",
    ),
];

/// The runs that a mix can be made of.
fn runs(shared: &Shared) -> impl Iterator<Item = (&RunSummary, &Path)> {
    let is_meant =
        |run: &&RunSummary| is_chosen(&run.recipe.model.source, shared) && run.recipe.method.kind() != "full";
    shared.runs.iter().filter(is_meant).filter_map(|run| Some((run, run.adapter.as_deref()?)))
}

/// The entry of a column's list that begins a mix of the two newest runs.
pub(super) fn new(ui: &mut egui::Ui, index: usize, shared: &Shared) -> Option<UiAction> {
    let newest: Vec<_> = runs(shared).take(2).collect();
    let why = (newest.len() < 2).then_some("A mix needs two runs of this model with an adapter.");
    if !widgets::button_or_why(ui, "Mix of runs…", why).clicked() {
        return None;
    }
    let part = |(_, folder): (&RunSummary, &Path)| Part { folder: folder.to_path_buf(), weight: 0.5 };
    let mix = Composition { parts: newest.into_iter().map(part).collect(), how: How::Concatenate };
    Some(changed(index, mix, shared))
}

fn changed(index: usize, mix: Composition, shared: &Shared) -> UiAction {
    let words = |part: &Part| format!("{:.2} {}", part.weight, name(&part.folder, shared));
    let title = mix.parts.iter().map(words).collect::<Vec<_>>().join(" + ");
    UiAction::Playground(Action::SetMix(index, Box::new(mix), title))
}

fn name(folder: &Path, shared: &Shared) -> String {
    let run = shared.runs.iter().find(|run| run.adapter.as_deref() == Some(folder));
    run.map_or_else(|| last_part(&folder.to_string_lossy()), |run| run.name.clone())
}

/// The mix of a column, to be changed.
pub(super) fn mix(
    ui: &mut egui::Ui,
    index: usize,
    mix: &Composition,
    shared: &Shared,
    out: &mut Vec<UiAction>,
) {
    let mut new = mix.clone();
    let mut removed = None;
    for (i, part) in new.parts.iter_mut().enumerate() {
        ui.horizontal(|ui| {
            let place = format!("part {} of column {}", i + 1, index + 1);
            let weight = DragValue::new(&mut part.weight).range(-2.0..=2.0).speed(0.01).max_decimals(2);
            widgets::named(ui.add(weight), &format!("Weight, {place}"))
                .on_hover_text("How much of it; below 0 takes away what it learned");
            let room = (ui.available_width() - 40.0).max(60.0);
            let shown = human::elide(&name(&part.folder, shared), 24);
            let combo = ComboBox::from_id_salt(("part", index, i)).width(room).selected_text(shown).show_ui(
                ui,
                |ui| {
                    for (run, folder) in runs(shared) {
                        if ui.selectable_label(part.folder == folder, &run.name).clicked() {
                            part.folder = folder.to_path_buf();
                        }
                    }
                },
            );
            widgets::named(combo.response, &format!("Run, {place}"));
            if mix.parts.len() > 2 && widgets::close_button(ui, &format!("Remove {place}")).clicked() {
                removed = Some(i);
            }
        });
    }
    if let Some(part) = removed {
        new.parts.remove(part);
    }
    ui.horizontal_wrapped(|ui| {
        let unused = runs(shared).find(|(_, folder)| mix.parts.iter().all(|part| part.folder != *folder));
        if let Some((_, folder)) = unused.filter(|_| mix.parts.len() < MOST_PARTS)
            && ui.small_button("Add a run").clicked()
        {
            new.parts.push(Part { folder: folder.to_path_buf(), weight: 0.5 });
        }
        new.how = how(ui, index, mix.how);
    });
    if new != *mix {
        out.push(changed(index, new, shared));
    }
}

fn how(ui: &mut egui::Ui, index: usize, old: How) -> How {
    let mut new = old;
    let is_same = |way: &How| with_density(*way, 0.5) == with_density(old, 0.5);
    let known = WAYS.iter().find(|(way, _, _)| is_same(way));
    let shown = known.map_or("Another way", |(_, name, _)| name);
    let combo = ComboBox::from_id_salt(("way", index)).selected_text(shown).show_ui(ui, |ui| {
        for (way, name, hint) in WAYS {
            if ui.selectable_label(is_same(&way), name).on_hover_text(hint).clicked() {
                new = way;
            }
        }
    });
    let response = widgets::named(combo.response, &format!("How they become one, column {}", index + 1));
    if let Some((_, _, hint)) = known {
        response.on_hover_text(*hint);
    }
    if let How::Ties { density, .. } | How::Dare { density, .. } = &mut new {
        ui.label(RichText::new("keeps").small().color(theme::of(ui).weak));
        let field = DragValue::new(density).range(0.01..=1.0).speed(0.01).max_decimals(2);
        widgets::named(ui.add(field), &format!("Share that is kept, column {}", index + 1))
            .on_hover_text("The share of values that are kept; 1 keeps all");
    }
    new
}

fn with_density(mut how: How, share: f64) -> How {
    if let How::Ties { density, .. } | How::Dare { density, .. } = &mut how {
        *density = share;
    }
    how
}
