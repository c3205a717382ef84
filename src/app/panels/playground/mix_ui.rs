//! A column in which several runs answer as one: which, how much of each, and how they become one.

use super::Action;
use super::made_for::is_chosen;
use super::saved::Saved;
use super::saved_ui;
use crate::app::action::UiAction;
use crate::app::shared::{Shared, last_part};
use crate::app::theme;
use crate::app::widgets;
use crate::base::{Explain, human};
use crate::model::config::Family;
use crate::peft::Composition;
use crate::peft::blend::{Merge, Sign};
use crate::peft::compose::{How, Part, Source, check_settings};
use crate::project::runs::RunSummary;
use eframe::egui::{self, Button, ComboBox, DragValue, RichText};
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

/// What is mixed: additions to the model, or whole models.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Adapters,
    Models,
}

impl Kind {
    fn of(run: &RunSummary) -> Self {
        if run.recipe.method.makes_model() { Self::Models } else { Self::Adapters }
    }

    /// The entry of a column's list.
    fn entry(self) -> &'static str {
        match self {
            Self::Adapters => "Mix of runs…",
            Self::Models => "Add or subtract tuned models…",
        }
    }

    fn fewest(self) -> usize {
        match self {
            Self::Adapters => 2,
            Self::Models => 1,
        }
    }

    /// Why such a mix cannot be begun.
    fn lacks(self) -> &'static str {
        match self {
            Self::Adapters => "A mix needs two runs of this model with an adapter.",
            Self::Models => {
                "It needs a run of this model that trained its own weights: full tuning or freezing."
            }
        }
    }

    /// Why a run of the other kind is none of its parts.
    fn refusal(self, run: &RunSummary) -> String {
        let method = run.recipe.method.describe();
        match self {
            Self::Adapters => format!(
                "{method} made a whole model, and a mix is of adapters. For whole models choose “{}”.",
                Self::Models.entry()
            ),
            Self::Models => format!(
                "{method} made an adapter, and only whole models are added and subtracted. For adapters choose “{}”.",
                Self::Adapters.entry()
            ),
        }
    }
}

/// The runs of the chosen model that left something, with the folder of that.
fn runs(shared: &Shared) -> impl Iterator<Item = (&RunSummary, &Path)> {
    let is_meant = |run: &&RunSummary| is_chosen(&run.recipe.model.source, shared);
    shared.runs.iter().filter(is_meant).filter_map(|run| Some((run, run.adapter.as_deref()?)))
}

fn runs_of(kind: Kind, shared: &Shared) -> impl Iterator<Item = (&RunSummary, &Path)> {
    runs(shared).filter(move |(run, _)| Kind::of(run) == kind)
}

/// The entries of a column's list that begin a mix.
pub(super) fn new(ui: &mut egui::Ui, index: usize, shared: &Shared) -> Option<UiAction> {
    let mut begun = None;
    for kind in [Kind::Adapters, Kind::Models] {
        let found = begin(kind, shared);
        let why = found.is_none().then_some(kind.lacks());
        if widgets::button_or_why(ui, kind.entry(), why).clicked() {
            begun = found;
        }
    }
    begun.map(|source| changed(index, source, shared))
}

/// The newest runs that go together.
fn begin(kind: Kind, shared: &Shared) -> Option<Source> {
    let part = |folder: &Path, weight| Part { folder: folder.to_path_buf(), weight };
    let all: Vec<_> = runs_of(kind, shared).collect();
    let (first, folder) = all.first()?;
    if kind == Kind::Models {
        return Some(Source::TaskVectors { task_vectors: vec![part(folder, 1.0)] });
    }
    let is_like = |other: &&(&RunSummary, &Path)| other.0.recipe.method.kind() == first.recipe.method.kind();
    let (other, folder_of_other) = all[1..].iter().find(is_like).or(all.get(1))?;
    let parts = vec![part(folder, 0.5), part(folder_of_other, 0.5)];
    // Only LoRAs can be concatenated.
    let are_loras = [first, other].iter().all(|run| run.recipe.method.lora().is_some());
    let how = if are_loras { How::Concatenate } else { How::Linear };
    Some(Source::Composed(Composition { parts, how }))
}

fn changed(index: usize, source: Source, shared: &Shared) -> UiAction {
    let words = |part: &Part| format!("{:.2} {}", part.weight, name(&part.folder, shared));
    let title = match &source {
        Source::Folder(folder) => name(folder, shared),
        Source::Composed(mix) => mix.parts.iter().map(words).collect::<Vec<_>>().join(" + "),
        Source::TaskVectors { task_vectors } => {
            let sign = |part: &Part| if part.weight < 0.0 { "−" } else { "+" };
            let term = |part: &Part| {
                format!(" {} {:.2} {}", sign(part), part.weight.abs(), name(&part.folder, shared))
            };
            format!("Base{}", task_vectors.iter().map(term).collect::<String>())
        }
    };
    UiAction::Playground(Action::SetMix(index, Box::new(source), title))
}

fn run_of<'a>(folder: &Path, shared: &'a Shared) -> Option<&'a RunSummary> {
    shared.runs.iter().find(|run| run.adapter.as_deref() == Some(folder))
}

fn name(folder: &Path, shared: &Shared) -> String {
    run_of(folder, shared).map_or_else(|| last_part(&folder.to_string_lossy()), |run| run.name.clone())
}

/// The mix of a column, to be changed; nothing for a single run.
pub(super) fn mix(
    ui: &mut egui::Ui,
    index: usize,
    source: &Source,
    saved: &Saved,
    shared: &Shared,
    out: &mut Vec<UiAction>,
) {
    let mut new = source.clone();
    let mut refusal = None;
    match &mut new {
        Source::Folder(_) => return,
        Source::Composed(mix) => {
            parts(ui, index, &mut mix.parts, Kind::Adapters, shared);
            mix.how = how(ui, index, mix.how);
            refusal = unlike(mix, shared);
            if let Some(why) = &refusal {
                ui.label(RichText::new(why).small().color(theme::of(ui).amber));
            }
        }
        Source::TaskVectors { task_vectors } => {
            let words = "The base model, and so much of what each run changed in it (its task vector): 1 adds all that \
                         it learned, 0.5 half of it, −1 takes it away.";
            ui.label(RichText::new(words).small().color(theme::of(ui).weak));
            parts(ui, index, task_vectors, Kind::Models, shared);
        }
    }
    saved_ui::save(ui, index, saved, refusal.as_deref(), shared, out);
    if new != *source {
        out.push(changed(index, new, shared));
    }
}

/// Why the parts of a mix cannot become one adapter, as far as their recipes tell.
fn unlike(mix: &Composition, shared: &Shared) -> Option<String> {
    let method_of = |part: &Part| Some(&run_of(&part.folder, shared)?.recipe.method);
    let methods: Vec<_> = mix.parts.iter().filter_map(method_of).collect();
    let first = methods.first()?;
    if let Some(other) = methods.iter().find(|method| method.kind() != first.kind()) {
        return Some(format!(
            "{} and {} cannot be mixed: choose runs of one method.",
            first.name(),
            other.name()
        ));
    }
    let family = shared.model.as_ref().map_or(Family::Llama, |model| model.config.family);
    let settings_of = |part: &Part| {
        let run = run_of(&part.folder, shared)?;
        Some((run.name.as_str(), run.recipe.method.settings(family).ok()?, part.weight))
    };
    let settings: Vec<_> = mix.parts.iter().filter_map(settings_of).collect();
    let told: Vec<_> = settings.iter().map(|(name, settings, weight)| (*name, settings, *weight)).collect();
    let refusal = check_settings(&told, mix.how).err()?;
    Some(format!("This mix cannot be made: {refusal}. {}", refusal.hint()))
}

/// Weights and runs, each with a way to leave it out.
fn parts(ui: &mut egui::Ui, index: usize, parts: &mut Vec<Part>, kind: Kind, shared: &Shared) {
    let mut removed = None;
    let can_be_fewer = parts.len() > kind.fewest();
    for (i, part) in parts.iter_mut().enumerate() {
        ui.horizontal(|ui| {
            let place = format!("part {} of column {}", i + 1, index + 1);
            let weight = DragValue::new(&mut part.weight).range(-2.0..=2.0).speed(0.01).max_decimals(2);
            widgets::named(ui.add(weight), &format!("Weight, {place}"))
                .on_hover_text("How much of it; below 0 takes away what it learned");
            let room = (ui.available_width() - 40.0).max(60.0);
            let shown = human::elide(&name(&part.folder, shared), 24);
            let combo = ComboBox::from_id_salt(("part", index, i))
                .width(room)
                .selected_text(shown)
                .show_ui(ui, |ui| choose(ui, part, kind, shared));
            widgets::named(combo.response, &format!("Run, {place}"));
            if can_be_fewer && widgets::close_button(ui, &format!("Remove {place}")).clicked() {
                removed = Some(i);
            }
        });
    }
    if let Some(part) = removed {
        parts.remove(part);
    }
    let unused = runs_of(kind, shared).find(|(_, folder)| parts.iter().all(|part| part.folder != *folder));
    if let Some((_, folder)) = unused.filter(|_| parts.len() < MOST_PARTS)
        && ui.small_button("Add a run").clicked()
    {
        parts.push(Part { folder: folder.to_path_buf(), weight: 0.5 });
    }
}

/// The runs of a part's list; those that cannot be in it say why.
fn choose(ui: &mut egui::Ui, part: &mut Part, kind: Kind, shared: &Shared) {
    for (run, folder) in runs(shared) {
        let is_other = Kind::of(run) != kind;
        let button = Button::selectable(part.folder == folder, &run.name);
        let mut response = ui.add_enabled(!is_other, button);
        if is_other {
            response = response.on_disabled_hover_text(kind.refusal(run));
        }
        if response.clicked() {
            part.folder = folder.to_path_buf();
        }
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
