//! Several tasks in one run, and the order of rows.

use super::fields::{check, choice, number};
use super::form::Form;
use crate::app::shared::Shared;
use crate::app::theme;
use crate::recipe::recipe::{BestBy, OrderBy, Pacing, Recipe, TaskSection};
use eframe::egui::{self, ComboBox, RichText};

/// The tasks that a recipe file names, instead of the one objective that the form has a row for. False where it has none.
pub fn tasks(ui: &mut egui::Ui, form: &mut Form) -> bool {
    if !form.recipe.has_tasks() {
        return false;
    }
    let t = theme::of(ui);
    let words =
        "Several tasks, as the recipe file names them, on one shared body. The open data is not used.";
    ui.label(RichText::new(words).small().color(t.weak));
    let help = "What is learnt together. To change them, edit the recipe file and load it again.";
    form.row(ui, "tasks", "Tasks", help, |ui, r| {
        let lines = ui.vertical(|ui| r.tasks.iter().for_each(|task| drop(ui.label(line(task)))));
        let button = ui.button("One task instead").on_hover_text("Forgets these, and learns the open data");
        if button.clicked() {
            r.tasks.clear();
        }
        lines.response
    });
    let help = "How alike the tasks come up: 1 by their size, higher more evenly (temperature).";
    form.row(ui, "mixing.temperature", "Evenness (temperature)", help, |ui, r| {
        number(ui, &mut r.mixing.temperature, 0.05, 0.1..=1000.0)
    });
    let help = "What the best state is known by, and when to stop early: mean: of all tasks' losses, each beside what it was \
                at the first check; weighted: their mean by the tasks' weights; or one task's loss.";
    form.row(ui, "mixing.best_by", "Best by", help, |ui, r| {
        let now = String::from(r.mixing.best_by.clone());
        let names = r.tasks.iter().map(|task| BestBy::Task(task.name.clone()));
        let all: Vec<BestBy> = [BestBy::Mean, BestBy::Weighted].into_iter().chain(names).collect();
        let combo = ComboBox::from_id_salt("best by").selected_text(now).show_ui(ui, |ui| {
            for one in all {
                let name = String::from(one.clone());
                ui.selectable_value(&mut r.mixing.best_by, one, name);
            }
        });
        combo.response
    });
    true
}

/// "taste: classification of kinds.csv, weight 2"
fn line(task: &TaskSection) -> String {
    let file = task.data.path.as_deref().and_then(|path| path.file_name());
    let file = file.map_or_else(|| "no file".into(), |name| name.to_string_lossy());
    format!("{}: {} of {file}, weight {}", task.name, task.objective.name(), task.weight)
}

pub fn curriculum(ui: &mut egui::Ui, form: &mut Form, shared: &Shared) {
    let help = "Rows come into play from easy to hard (curriculum): by how long they are, by how badly the model knows them before the run, or \
                by the numbers of a column.";
    form.row(ui, "curriculum.by", "Easy is", help, |ui, r| {
        let columns = shared.imported.iter().flat_map(|imported| &imported.table.columns);
        let columns = columns.map(|column| OrderBy::Column(column.name.clone()));
        let all: Vec<OrderBy> =
            [OrderBy::Shuffled, OrderBy::Length, OrderBy::Loss].into_iter().chain(columns).collect();
        let combo =
            ComboBox::from_id_salt("order").selected_text(words(&r.curriculum.by)).width(110.0).truncate();
        let shown = combo.show_ui(ui, |ui| {
            for one in all {
                let name = words(&one);
                ui.selectable_value(&mut r.curriculum.by, one, name);
            }
        });
        shown.response
    });
    let is_on = form.recipe.curriculum.is_on();
    let enabled =
        |ui: &mut egui::Ui, r: &mut Recipe, control: fn(&mut egui::Ui, &mut Recipe) -> egui::Response| {
            let shown = ui.add_enabled_ui(is_on, |ui| control(ui, r)).inner;
            shown.on_disabled_hover_text("Rows are shuffled: all are in play from the first update on.")
        };
    let help = "How fast harder rows come: as many in each update, fast at first, or in five steps (pacing).";
    form.row(ui, "curriculum.pacing", "Harder rows come", help, |ui, r| {
        enabled(ui, r, |ui, r| {
            let all =
                [(Pacing::Linear, "evenly"), (Pacing::Root, "fast at first"), (Pacing::Step, "in steps")];
            choice(ui, "pacing", &mut r.curriculum.pacing, &all)
        })
    });
    let help = "Share of the run after which all rows are in play.";
    form.row(ui, "curriculum.until", "All are in play after", help, |ui, r| {
        enabled(ui, r, |ui, r| number(ui, &mut r.curriculum.until, 0.01, 0.0..=1.0))
    });
    form.row(ui, "curriculum.descending", "Hardest first", "The other way round.", |ui, r| {
        enabled(ui, r, |ui, r| check(ui, &mut r.curriculum.descending))
    });
}

fn words(by: &OrderBy) -> String {
    match by {
        OrderBy::Shuffled => "shuffled".into(),
        OrderBy::Length => "short".into(),
        OrderBy::Loss => "known well (loss)".into(),
        OrderBy::Column(name) => format!("low in {name}"),
    }
}
