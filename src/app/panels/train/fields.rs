//! Every field of the recipe: its name, what it does in plain words, and its control.

use super::form::Form;
use super::{forgetting, method, objective, several};
use crate::app::shared::Shared;
use crate::app::widgets::{self, chart};
use crate::recipe::recipe::{Checkpointing, DeviceChoice, OptimizerKind, Precision, ScheduleShape};
use crate::recipe::{MemoryLimit, Recipe};
use eframe::egui::{
    self, Checkbox, CollapsingHeader, ComboBox, DragValue, Response, Slider, SliderClamping, emath::Numeric,
};
use std::ops::RangeInclusive;

/// What people call the fields; the term of the field in brackets.
pub const NAMES: [(&str, &str); 25] = [
    ("objective.kind", "What is learnt"),
    ("method.kind", "Method"),
    ("method.target_modules", "Tuned parts (modules)"),
    ("method.num_virtual_tokens", "Strength (virtual tokens)"),
    ("method.init", "Begins as (init)"),
    ("method.text", "Text to begin with"),
    ("method.rank", "Strength (rank)"),
    ("method.width", "Strength (width)"),
    ("length.epochs", "Passes (epochs)"),
    ("optimizer.learning_rate", "Learning rate"),
    ("batch.max_tokens", "Longest example (tokens)"),
    ("early_stop.enabled", "Stop early"),
    ("batch.micro_batch_tokens", "Tokens at once (micro-batch)"),
    ("data.path", "Data"),
    ("data.split.valid", "Validation share"),
    ("model.source", "Model"),
    ("run.device", "Device"),
    ("run.checkpointing", "Save memory"),
    ("run.memory_limit", "Memory limit"),
    ("model.precision", "Model kept in"),
    ("model.dropout", "Model's own dropout"),
    ("forgetting.text", "General text"),
    ("forgetting.replay_weight", "Learn it again (replay)"),
    ("forgetting.kl_weight", "Stay near the base (KL)"),
    ("forgetting.l2_weight", "Pull to the start (L2)"),
];

pub fn simple(ui: &mut egui::Ui, form: &mut Form) {
    objective::chosen(ui, form);
    method::chosen(ui, form);
    method::simple(ui, form);
    epochs(ui, form);
    learning_rate(ui, form);
    max_tokens(ui, form);
    stop_early(ui, form);
}

pub fn advanced(ui: &mut egui::Ui, form: &mut Form, shared: &Shared) {
    group(ui, "What is learnt (objective)", |ui| {
        objective::chosen(ui, form);
        objective::advanced(ui, form);
    });
    group(ui, "How it is tuned", |ui| {
        method::chosen(ui, form);
        method::advanced(ui, form, shared.model.as_deref());
    });
    group(ui, "How it learns (optimizer)", |ui| {
        optimizer(ui, form);
        learning_rate(ui, form);
        let help = "How the rate moves over the run: up, then down along this curve.";
        form.row(ui, "schedule.shape", "Course (schedule)", help, |ui, r| {
            let shapes = [
                (ScheduleShape::Cosine, "cosine"),
                (ScheduleShape::Linear, "linear"),
                (ScheduleShape::Constant, "constant"),
            ];
            choice(ui, "schedule", &mut r.schedule.shape, &shapes)
        });
        let help = "Share of the updates in which the rate rises from zero.";
        form.row(ui, "schedule.warmup", "Gentle start (warm-up)", help, |ui, r| {
            number(ui, &mut r.schedule.warmup, 0.005, 0.0..=1.0)
        });
        let help = "Pulls the trained numbers towards zero a little at each update.";
        form.row(ui, "optimizer.weight_decay", "Pull to zero (weight decay)", help, |ui, r| {
            number(ui, &mut r.optimizer.weight_decay, 0.001, 0.0..=1.0)
        });
        let help = "A larger change than this is scaled down, so that one odd row cannot spoil the run.";
        form.row(ui, "optimizer.clip_norm", "Largest change (clip norm)", help, |ui, r| {
            optional(ui, &mut r.optimizer.clip_norm, 1.0, 0.01, 0.0..=100.0)
        });
        let help = "Moves each weight as soon as its gradient is known, which saves four bytes of memory for each that is trained. On the CPU, without \
                    clipping, one round an update.";
        form.row(ui, "optimizer.in_backward", "Move at once (in backward)", help, |ui, r| {
            check(ui, &mut r.optimizer.in_backward)
        });
        let help = "While it learns, drop at random what the model's makers dropped, so that it leans on no single number: the shares \
                    of hidden states and of attention that its config names. Encoders and T5 name some, mostly 10 %. Helps where rows \
                    are few; learning takes a little longer.";
        form.row(ui, "model.dropout", "Model's own dropout", help, |ui, r| check(ui, &mut r.model.dropout));
        let help = "How long the mean of the gradients remembers; with Lion, how much of it an update follows. Counts for \
                    nothing with SGD.";
        form.row(ui, "optimizer.beta1", "Memory (beta 1)", help, |ui, r| {
            let o = &mut r.optimizer;
            if_read(ui, o.kind, "beta1", |ui| number(ui, &mut o.beta1, 0.001, 0.0..=0.9999))
        });
        let help = "How long the mean of their squares remembers; with Lion, how long the mean of the gradients does, and \
                    0.99 is usual. Counts for nothing with SGD.";
        form.row(ui, "optimizer.beta2", "Steadiness (beta 2)", help, |ui, r| {
            let o = &mut r.optimizer;
            if_read(ui, o.kind, "beta2", |ui| number(ui, &mut o.beta2, 0.0001, 0.0..=0.99999))
        });
        let help = "Keeps AdamW from dividing by zero; the others do not divide.";
        form.row(ui, "optimizer.epsilon", "Floor (epsilon)", help, |ui, r| {
            let o = &mut r.optimizer;
            let drag = DragValue::new(&mut o.epsilon).speed(1e-9).range(0.0..=1.0);
            if_read(ui, o.kind, "epsilon", |ui| ui.add(drag.custom_formatter(|n, _| format!("{n:.0e}"))))
        });
        let help = "SGD only: the share of the last move that goes on in the next one.";
        form.row(ui, "optimizer.momentum", "Momentum", help, |ui, r| {
            let o = &mut r.optimizer;
            if_read(ui, o.kind, "momentum", |ui| number(ui, &mut o.momentum, 0.001, 0.0..=0.9999))
        });
    });
    group(ui, "Order of the rows (curriculum)", |ui| several::curriculum(ui, form, shared));
    group(ui, "Against forgetting", |ui| forgetting::advanced(ui, form));
    group(ui, "What goes in at once (batch)", |ui| {
        max_tokens(ui, form);
        let help = "Examples are packed together up to so many tokens. Fewer need less memory.";
        form.row(ui, "batch.micro_batch_tokens", "Tokens at once (micro-batch)", help, |ui, r| {
            number(ui, &mut r.batch.micro_batch_tokens, 8.0, 1..=1_048_576)
        });
        let help = "So many of these make one update. Raises the batch without more memory.";
        form.row(ui, "batch.accumulation", "Rounds per update (accumulation)", help, |ui, r| {
            number(ui, &mut r.batch.accumulation, 0.1, 0..=1024)
        });
        let help = "Several examples share a micro-batch; each still sees only itself. Off, every micro-batch is one example. Either \
                    way nothing is padded: how full the micro-batches are is drawn during the run (Filled).";
        form.row(ui, "batch.packing", "Pack examples (packing)", help, |ui, r| {
            check(ui, &mut r.batch.packing)
        });
    });
    group(ui, "How long", |ui| {
        epochs(ui, form);
        let help = "A fixed number of updates instead of passes over the data.";
        form.row(ui, "length.updates", "Updates instead of passes", help, |ui, r| {
            optional(ui, &mut r.length.updates, 100, 1.0, 0..=1_000_000)
        });
    });
    group(ui, "Checking while it trains (validation)", |ui| {
        let help = "Updates between two checks on the validation rows; 0 is once a pass.";
        form.row(ui, "validation.every_updates", "Check every (updates)", help, |ui, r| {
            number(ui, &mut r.validation.every_updates, 1.0, 0..=1_000_000)
        });
        let help = "At most so many validation rows are measured, spread evenly.";
        form.row(ui, "validation.max_examples", "Rows to check", help, |ui, r| {
            number(ui, &mut r.validation.max_examples, 1.0, 0..=100_000)
        });
        let help = "So many validation rows are answered at each check, to look at.";
        form.row(ui, "validation.num_answers", "Sample answers", help, |ui, r| {
            number(ui, &mut r.validation.num_answers, 0.1, 0..=20)
        });
        stop_early(ui, form);
        let help = "So many checks in a row may bring no gain before the run stops.";
        form.row(ui, "early_stop.patience", "Checks without gain (patience)", help, |ui, r| {
            number(ui, &mut r.early_stop.patience, 0.1, 0..=100)
        });
        let help = "A fall in loss smaller than this counts for nothing.";
        form.row(ui, "early_stop.min_gain", "Smallest gain", help, |ui, r| {
            number(ui, &mut r.early_stop.min_gain, 0.0005, 0.0..=1.0)
        });
    });
    group(ui, "Saving (checkpoints)", |ui| {
        let help = "Updates between two saves to go on from; 0 is at each check.";
        form.row(ui, "checkpoint.every_updates", "Save every (updates)", help, |ui, r| {
            number(ui, &mut r.checkpoint.every_updates, 1.0, 0..=1_000_000)
        });
        let help = "The last so many are kept, and the best one besides.";
        form.row(ui, "checkpoint.keep_last", "Saves to keep", help, |ui, r| {
            number(ui, &mut r.checkpoint.keep_last, 0.1, 0..=100)
        });
    });
    group(ui, "Machine", |ui| {
        let help =
            "Where the numbers are worked out. Automatic takes a graphics card when this build knows one.";
        form.row(ui, "run.device", "Device", help, |ui, r| {
            let devices = [
                (DeviceChoice::Auto, "automatic"),
                (DeviceChoice::Cpu, "processor (CPU)"),
                (DeviceChoice::Cuda, "NVIDIA (CUDA)"),
                (DeviceChoice::Metal, "Apple (Metal)"),
            ];
            choice(ui, "device", &mut r.run.device, &devices)
        });
        let help = "How the model's own weights are kept while it is tuned. Fewer bits need less memory and a little more \
                    time; what is trained beside them can then be used on the full model, too (QLoRA, Dettmers et al. 2023).";
        form.row(ui, "model.precision", "Model kept in", help, |ui, r| {
            let ways = [
                (Precision::F32, "full precision (f32)"),
                (Precision::Stored, "as in its file"),
                (Precision::Bf16, "16 bits (bf16)"),
                (Precision::Q8_0, "8 bits (q8_0)"),
                (Precision::Q5_0, "5 bits (q5_0)"),
                (Precision::Q4_0, "4 bits (q4_0)"),
            ];
            choice(ui, "precision", &mut r.model.precision, &ways)
        });
        let help = "Running each block of the model a second time on the way back, instead of keeping what it worked out, \
                    needs far less memory and a third more time. The result is the same, bit for bit.";
        form.row(ui, "run.checkpointing", "Save memory", help, |ui, r| {
            let ways = [
                (Checkpointing::Auto, "if memory is short"),
                (Checkpointing::None, "never"),
                (Checkpointing::All, "always"),
            ];
            choice(ui, "checkpointing", &mut r.run.checkpointing, &ways)
        });
        let help = "How much memory the run may take: a share of what is free at the start, such as 80 %, or a size for the whole \
                    program, such as 6 GB. When it would take more, micro-batches are dealt in halves; when that is not enough, it \
                    stops with what it has, before the system ends the program.";
        form.row(ui, "run.memory_limit", "Memory limit (80 % of what is free, or 6 GB)", help, |ui, r| {
            memory_limit(ui, &mut r.run.memory_limit)
        });
        let help = "The same seed on the same machine gives the same run, bit for bit on the CPU.";
        form.row(ui, "run.seed", "Seed", help, |ui, r| ui.add(DragValue::new(&mut r.run.seed)));
        let threads = shared.machine.num_threads;
        if threads > 0 {
            widgets::fact(ui, "Threads", &threads.to_string());
        }
    });
}

/// A share or a size. Dragging keeps the one that it is; typing can make it the other.
fn memory_limit(ui: &mut egui::Ui, limit: &mut MemoryLimit) -> Response {
    // Shares are up to 1 and sizes are bytes, so that one number says both.
    let of_number = |n: f64| if n <= 1.0 { MemoryLimit::Share(n) } else { MemoryLimit::Size(n as u64) };
    let (mut number, speed) = match *limit {
        MemoryLimit::Share(share) => (share, 0.005),
        MemoryLimit::Size(bytes) => (bytes as f64, 1e7),
    };
    let field = DragValue::new(&mut number)
        .speed(speed)
        .custom_formatter(move |n, _| match of_number(n) {
            MemoryLimit::Share(share) => format!("{:.0} %", share * 100.0),
            size => size.to_string(),
        })
        .custom_parser(|text| match text.parse().ok()? {
            // A bare number is a percentage, as it is shown.
            MemoryLimit::Share(n) => Some(if text.contains('%') || n <= 1.0 { n } else { n / 100.0 }),
            MemoryLimit::Size(bytes) => Some(bytes.max(2) as f64),
        });
    let response = ui.add(field);
    if response.changed() {
        *limit = match (response.dragged(), *limit) {
            (true, MemoryLimit::Share(_)) => MemoryLimit::Share(number.clamp(0.05, 1.0)),
            (true, MemoryLimit::Size(_)) => MemoryLimit::Size(number.max(1e8) as u64),
            (false, _) if number <= 1.0 => MemoryLimit::Share(number.clamp(0.05, 1.0)),
            (false, _) => of_number(number),
        };
    }
    response
}

fn group(ui: &mut egui::Ui, title: &str, rows: impl FnOnce(&mut egui::Ui)) {
    CollapsingHeader::new(egui::RichText::new(title).strong())
        .id_salt(title)
        .default_open(true)
        .show_unindented(ui, rows);
}

fn epochs(ui: &mut egui::Ui, form: &mut Form) {
    let help = "How often every training row is seen. Few rows need more passes; stopping early guards against too many.";
    let is_by_updates = form.recipe.length.updates.is_some();
    form.row(ui, "length.epochs", "Passes (epochs)", help, |ui, r| {
        let drag = DragValue::new(&mut r.length.epochs).speed(0.05).range(0.0..=10_000.0).max_decimals(2);
        let response = ui.add_enabled(!is_by_updates, drag);
        response.on_disabled_hover_text("A fixed number of updates is set under Advanced; it counts instead.")
    });
}

fn optimizer(ui: &mut egui::Ui, form: &mut Form) {
    let help = "How each update follows from the gradients. AdamW suits nearly everything. In 8 bits it remembers nearly \
                the same in a quarter of the memory. Lion moves every number equally far and remembers half; it wants a learning rate three \
                to ten times lower. SGD is plain descent with momentum; it wants a far higher one.";
    form.row(ui, "optimizer.kind", "Optimizer", help, |ui, r| {
        let kinds = [
            (OptimizerKind::AdamW, "AdamW"),
            (OptimizerKind::AdamW8Bit, "AdamW in 8 bits"),
            (OptimizerKind::Lion, "Lion"),
            (OptimizerKind::Sgd, "SGD with momentum"),
        ];
        let before = r.clone();
        let response = choice(ui, "optimizer", &mut r.optimizer.kind, &kinds);
        follow_kind(r, &before);
        response
    });
}

/// Numbers that were the usual ones of the kind before become those of the kind now; chosen ones stay.
fn follow_kind(recipe: &mut Recipe, before: &Recipe) {
    if recipe.optimizer.learning_rate == before.usual_learning_rate() {
        recipe.optimizer.learning_rate = recipe.usual_learning_rate();
    }
    if recipe.optimizer.beta2 == before.optimizer.kind.usual_beta2() {
        recipe.optimizer.beta2 = recipe.optimizer.kind.usual_beta2();
    }
}

/// A control that is off where the optimizer does not read its key.
fn if_read(
    ui: &mut egui::Ui,
    kind: OptimizerKind,
    key: &str,
    control: impl FnOnce(&mut egui::Ui) -> Response,
) -> Response {
    let response = ui.add_enabled_ui(kind.reads(key), control).inner;
    response.on_disabled_hover_text("The chosen optimizer does not use it.")
}

fn learning_rate(ui: &mut egui::Ui, form: &mut Form) {
    let help = format!(
        "How far each update moves. Too low learns nothing, too high makes the loss jump. {} is usual for this method and \
         optimizer; twice or half of it is worth a try.",
        chart::rate(form.recipe.usual_learning_rate())
    );
    form.row(ui, "optimizer.learning_rate", "Learning rate", &help, |ui, r| {
        let slider = Slider::new(&mut r.optimizer.learning_rate, 1e-6..=1e-1)
            .logarithmic(true)
            .clamping(SliderClamping::Never)
            .custom_formatter(|n, _| chart::rate(n))
            .custom_parser(|text| text.trim().replace(',', ".").parse().ok());
        ui.add(slider)
    });
}

fn max_tokens(ui: &mut egui::Ui, form: &mut Form) {
    let help = "Longer rows are cut or left out, as Data says. Longer examples cost memory and time. A word is one or \
                two tokens.";
    form.row(ui, "batch.max_tokens", "Longest example (tokens)", help, |ui, r| {
        number(ui, &mut r.batch.max_tokens, 2.0, 1..=1_048_576)
    });
}

fn stop_early(ui: &mut egui::Ui, form: &mut Form) {
    let help = "Stops when the validation loss no longer falls, and keeps the best state (early stopping).";
    form.row(ui, "early_stop.enabled", "Stop early", help, |ui, r| check(ui, &mut r.early_stop.enabled));
}

pub(super) fn number<T: Numeric>(
    ui: &mut egui::Ui,
    value: &mut T,
    speed: f64,
    range: RangeInclusive<T>,
) -> Response {
    let max_decimals = if T::INTEGRAL { 0 } else { 6 };
    ui.add(DragValue::new(value).speed(speed).range(range).max_decimals(max_decimals))
}

pub(super) fn check(ui: &mut egui::Ui, value: &mut bool) -> Response {
    let words = if *value { "on" } else { "off" };
    ui.add(Checkbox::new(value, words))
}

/// A number that may be absent.
fn optional<T: Numeric>(
    ui: &mut egui::Ui,
    value: &mut Option<T>,
    usual: T,
    speed: f64,
    range: RangeInclusive<T>,
) -> Response {
    let mut is_on = value.is_some();
    let words = if is_on { "" } else { "off" };
    let response = ui.checkbox(&mut is_on, words);
    if is_on != value.is_some() {
        *value = is_on.then_some(usual);
    }
    match value {
        Some(number_) => number(ui, number_, speed, range),
        None => response,
    }
}

pub(super) fn choice<T: Copy + PartialEq>(
    ui: &mut egui::Ui,
    id: &str,
    value: &mut T,
    all: &[(T, &str)],
) -> Response {
    let now = all.iter().find(|c| c.0 == *value).map_or("", |c| c.1);
    let combo = ComboBox::from_id_salt(id).selected_text(now).width(110.0).truncate().show_ui(ui, |ui| {
        for (one, name) in all {
            ui.selectable_value(value, *one, *name);
        }
    });
    combo.response
}

#[cfg(test)]
mod tests {
    use super::super::review::Review;
    use super::*;
    use crate::recipe::load;
    use crate::recipe::recipe::{Method, Objective};

    /// Settings that are made in another place, or not by hand, and where.
    const ELSEWHERE: [(&str, &str); 5] = [
        ("about", "a recipe file's words on itself"),
        ("model.source", "Model"),
        ("data.", "Data"),
        ("mixing.", "rows that a recipe with several tasks has"),
        ("method.feedforward_modules", "a recipe file, where IA3 is to have other layers than the paper's"),
    ];

    /// The list of fields was written by hand, so that two new settings could not be made in the window.
    #[test]
    fn the_advanced_form_has_every_setting_of_the_recipe() {
        let mut shown = Vec::new();
        let methods = Method::all().map(|method| Recipe { method, ..Recipe::default() });
        let objectives = Objective::all().map(|objective| Recipe { objective, ..Recipe::default() });
        for recipe in methods.into_iter().chain(objectives) {
            let review = Review { recipe, ..Review::default() };
            egui::__run_test_ui(|ui| {
                let mut form = Form::of(&review);
                advanced(ui, &mut form, &Shared::default());
                shown.extend_from_slice(&form.shown);
            });
        }
        let is_elsewhere = |field: &str| {
            ELSEWHERE.iter().any(|(e, _)| field == *e || (e.ends_with('.') && field.starts_with(e)))
        };
        for field in load::all() {
            assert!(
                shown.contains(&field.as_str()) || is_elsewhere(&field),
                "{field} cannot be set in the window"
            );
        }
        let all = load::all();
        assert!(shown.iter().all(|field| all.iter().any(|f| f == field)), "a row of no setting: {shown:?}");
    }
}
