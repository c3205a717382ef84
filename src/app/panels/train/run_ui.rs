//! A run, live or from disk: charts, sample answers, log, profile, numbers.

use super::live::RunView;
use super::look::{Look, Tab};
use super::{profile_ui, results};
use crate::app::action::{FrameAction, UiAction};
use crate::app::theme::{self, space};
use crate::app::widgets::chart::{self, LossChart, SmallChart};
use crate::app::{bidi, widgets};
use crate::base::human;
use crate::eval::compare::{diff, is_same};
use crate::project::event::{Answer, Phase};
use crate::recipe::Recipe;
use eframe::egui::{self, ComboBox, RichText, ScrollArea, Slider, TextFormat, text::LayoutJob};
use egui_material_icons::icons;

/// Height of a small chart's title, with the room around it.
const TITLE: f32 = 34.0;
/// Small charts side by side.
const MOST_IN_A_ROW: usize = 5;

/// What a run reported, in tabs. Returns how it is looked at now.
pub fn run(ui: &mut egui::Ui, id: &str, run: &RunView, look: &Look, out: &mut Vec<UiAction>) -> Look {
    let mut look = *look;
    if let Some(failure) = &run.failure {
        let t = theme::of(ui);
        ui.label(RichText::new(format!("{}: {}", failure.title, failure.detail)).color(t.red));
        if !failure.hint.is_empty() {
            ui.label(&failure.hint);
        }
    }
    for (place, tested) in run.tested.iter().enumerate() {
        ui.horizontal_wrapped(|ui| {
            ui.label(RichText::new(tested).color(theme::of(ui).weak));
            if place == 0
                && run.report.is_some()
                && look.tab != Tab::Results
                && ui.small_button("See the results").clicked()
            {
                look.tab = Tab::Results;
            }
        });
    }
    ui.horizontal(|ui| {
        let tabs = [
            (Tab::Charts, "Charts"),
            (Tab::Results, "Results"),
            (Tab::Answers, "Sample answers"),
            (Tab::Log, "Log"),
            (Tab::Profile, "Profile"),
            (Tab::Numbers, "Numbers"),
        ];
        for (tab, name) in tabs {
            if ui.selectable_label(look.tab == tab, name).clicked() {
                look.tab = tab;
            }
        }
    });
    ui.separator();
    match look.tab {
        Tab::Charts => charts(ui, id, run, &mut look),
        Tab::Results => {
            results::results(ui, run.report.as_deref(), run.phase == Some(Phase::Ended), &mut look.results);
        }
        Tab::Answers => answers(ui, run, &mut look),
        Tab::Log => log(ui, run, out),
        Tab::Profile => profile_ui::profile(ui, run),
        Tab::Numbers => numbers(ui, run),
    }
    look
}

/// How the loss is drawn. `true` when the whole picture is wanted back.
pub fn chart_switches(ui: &mut egui::Ui, look: &mut Look) -> bool {
    let row = ui.horizontal_wrapped(|ui| {
        ui.spacing_mut().slider_width = 90.0;
        ui.label("Smoothing");
        let slider = Slider::new(&mut look.smoothing, 0.0..=0.99).fixed_decimals(2);
        let help = "How many updates the thick line is the mean of (exponential moving average).";
        widgets::named(ui.add(slider), "Smoothing of the loss").on_hover_text(help);
        ui.checkbox(&mut look.is_log, "Log axis").on_hover_text("Powers of ten on the loss axis (logarithmic)");
        let help = "The whole run again. Drag to move, Ctrl+wheel to zoom, drag with the right button to zoom into a box.";
        ui.button("Reset view").on_hover_text(help).clicked()
    });
    row.inner
}

/// The loss above, the small ones below.
fn charts(ui: &mut egui::Ui, id: &str, run: &RunView, look: &mut Look) {
    let is_reset = chart_switches(ui, look);
    let height = ui.available_height();
    let count = |y: f64| human::count(y.max(0.0).round() as u64);
    let small = |title, points, show| SmallChart { title, points, checks: &[], show };
    let mut small_ones = vec![
        small("Learning rate", &run.learning_rate, chart::rate),
        small("Gradient norm", &run.grad_norm, chart::value),
        small("Tokens per second", &run.speed, count),
        small("Memory", &run.memory, |y| human::bytes(y.max(0.0) as u64)),
    ];
    if run.fill.last().is_some() {
        small_ones.push(small("Filled", &run.fill, |y| format!("{:.0} %", 100.0 * y)));
    }
    for (title, points) in [("Replay loss", &run.replay), ("KL to the base", &run.divergence)] {
        if points.last().is_some() {
            small_ones.push(small(title, points, chart::value));
        }
    }
    for (title, task) in &run.tasks {
        small_ones.push(SmallChart { title, points: &task.losses, checks: &task.checks, show: chart::value });
    }
    let is_wide = ui.available_width() > 720.0;
    let num_rows = if is_wide && small_ones.len() <= MOST_IN_A_ROW { 1 } else { 2 };
    let num_columns = small_ones.len().div_ceil(num_rows);
    let small = ((height * 0.4) / num_rows as f32 - TITLE).clamp(40.0, 120.0);
    let large = (height - num_rows as f32 * (small + TITLE) - space::S).max(120.0);
    let empty = match run.phase {
        Some(Phase::LoadingModel | Phase::PreparingData) | None => {
            "The loss is drawn from the first update on. The model and the data are being made ready."
        }
        _ => "The loss is drawn from the first update on.",
    };
    let loss = LossChart {
        loss: &run.loss,
        valid: &run.valid,
        patience: run.patience_span(),
        is_log: look.is_log,
        is_reset,
        empty,
    };
    chart::loss_chart(ui, id, large, loss);
    for row in small_ones.chunks(num_columns) {
        ui.columns(num_columns, |columns| {
            for (ui, one) in columns.iter_mut().zip(row) {
                ui.push_id(id, |ui| chart::small_chart(ui, *one, small));
            }
        });
    }
}

fn answers(ui: &mut egui::Ui, run: &RunView, look: &mut Look) {
    let t = theme::of(ui);
    let wanted = look.answers_at.and_then(|u| run.answers.iter().find(|a| a.0 == u));
    let Some((update, answers)) = wanted.or(run.answers.last()) else {
        let words =
            "A few validation rows are answered at each check; their answers stand here, base beside tuned.";
        ui.label(RichText::new(words).color(t.weak));
        return;
    };
    ui.horizontal(|ui| {
        ui.label("At update");
        let words = human::count(*update);
        let combo = ComboBox::from_id_salt("answers").selected_text(&words).show_ui(ui, |ui| {
            for (u, _) in run.answers.iter().rev() {
                if ui.selectable_label(u == update, human::count(*u)).clicked() {
                    look.answers_at = Some(*u);
                }
            }
        });
        widgets::named(combo.response, &format!("Sample answers at update {words}"));
        if look.answers_at.is_some() && ui.button("Newest").clicked() {
            look.answers_at = None;
        }
    });
    ScrollArea::vertical().auto_shrink([false, false]).show(ui, |ui| {
        for answer in answers {
            ui.add_space(space::XS);
            widgets::card(ui, |ui| {
                ui.set_min_width(ui.available_width());
                one_answer(ui, answer);
            });
        }
    });
}

fn one_answer(ui: &mut egui::Ui, answer: &Answer) {
    let t = theme::of(ui);
    let line = |ui: &mut egui::Ui, name: &str, ink, text: &dyn Fn(&mut egui::Ui)| {
        ui.horizontal_top(|ui| {
            widgets::in_column(ui, 80.0, RichText::new(name).small().color(ink));
            ui.vertical(|ui| text(ui));
        });
    };
    line(ui, "Prompt", t.weak, &|ui| drop(widgets::shown(ui, &short(&answer.prompt))));
    line(ui, "Expected", t.weak, &|ui| drop(widgets::shown(ui, &short(&answer.expected))));
    line(ui, "Base", t.base, &|ui| drop(widgets::shown(ui, &short(&answer.base))));
    line(ui, "Now (tuned)", t.accent, &|ui| answer_diff(ui, &answer.base, &short(&answer.tuned)));
}

/// Long answers are for the playground.
fn short(text: &str) -> String {
    match text.char_indices().nth(600) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_string(),
    }
}

/// A tuned answer with the words tinted that the base did not say.
fn answer_diff(ui: &mut egui::Ui, base: &str, tuned: &str) {
    let t = theme::of(ui);
    if tuned.trim().is_empty() {
        ui.label(RichText::new("(no answer)").color(t.weak));
        return;
    }
    if is_same(base, tuned) || bidi::has_right_to_left(tuned) {
        widgets::shown(ui, tuned);
        return;
    }
    let font = egui::TextStyle::Body.resolve(ui.style());
    let mut job = LayoutJob::default();
    for (text, differs) in diff(base, tuned) {
        let mut format = TextFormat::simple(font.clone(), t.text);
        if differs {
            format.background = t.accent_soft;
            format.underline = egui::Stroke::new(1.0, t.accent);
        }
        job.append(&bidi::display(&text), 0.0, format);
    }
    job.wrap.max_width = ui.available_width();
    ui.label(job);
}

fn log(ui: &mut egui::Ui, run: &RunView, out: &mut Vec<UiAction>) {
    let t = theme::of(ui);
    if run.log.is_empty() {
        ui.label(RichText::new("Nothing was reported yet.").color(t.weak));
        return;
    }
    if widgets::tool_button(ui, icons::ICON_CONTENT_COPY, "Copy the log").clicked() {
        out.push(UiAction::Frame(FrameAction::Copy(run.log.join("\n"))));
    }
    let height = ui.text_style_height(&egui::TextStyle::Monospace);
    ScrollArea::both().auto_shrink([false, false]).stick_to_bottom(true).show_rows(
        ui,
        height,
        run.log.len(),
        |ui, range| {
            for line in &run.log[range] {
                let text = line.replace('\n', " ");
                ui.add(egui::Label::new(widgets::mono_data(&text)).extend());
            }
        },
    );
}

/// What it was made of, and what it came to, in numbers.
fn numbers(ui: &mut egui::Ui, run: &RunView) {
    ScrollArea::vertical().id_salt("numbers").auto_shrink([false, false]).show(ui, |ui| {
        if let Some(recipe) = &run.recipe {
            recipe_facts(ui, recipe);
        }
        run_facts(ui, run);
    });
}

fn recipe_facts(ui: &mut egui::Ui, recipe: &Recipe) {
    widgets::fact(ui, "Model", &recipe.model.source);
    let data = recipe.data.path.as_ref().map(|p| p.display().to_string()).unwrap_or_default();
    widgets::fact(ui, "Data", &data);
    widgets::fact(ui, "Method", &recipe.method.describe());
    widgets::fact(ui, "Learning rate", &chart::rate(recipe.optimizer.learning_rate));
}

fn run_facts(ui: &mut egui::Ui, run: &RunView) {
    if let Some(start) = &run.start {
        widgets::fact(ui, "Started", &start.time);
        widgets::fact(ui, "Device", &start.device);
        widgets::fact(ui, "Trained parameters", &human::count(start.num_trainable_params));
        widgets::fact(ui, "Training examples", &human::count(start.num_train as u64));
        widgets::fact(ui, "Validation examples", &human::count(start.num_valid as u64));
        widgets::fact(ui, "Updates in a pass", &format!("{:.1}", start.updates_per_epoch));
        widgets::fact(ui, "Memory, estimated", &human::bytes(start.estimated_memory_bytes));
        if start.estimated_secs > 0.0 {
            widgets::fact(ui, "Time in updates, estimated", &human::secs(start.estimated_secs));
        }
    }
    widgets::fact(ui, "Memory, most", &human::bytes(run.peak_memory_bytes));
    widgets::fact(ui, "Tokens seen", &human::count(run.num_tokens));
    if run.update_secs > 0.0 {
        let done = run.last.update.max(1) as f64;
        widgets::fact(ui, "Time in updates", &human::secs(run.update_secs));
        widgets::fact(ui, "Time of one update", &human::secs(run.update_secs / done));
        let speed = run.num_tokens as f64 / run.update_secs;
        widgets::fact(ui, "Mean speed", &format!("{} tokens/s", human::count(speed as u64)));
    }
    if let Some(best) = run.best() {
        let words = format!("{} at update {}", chart::value(best.loss), human::count(best.update));
        widgets::fact(ui, "Best validation loss", &words);
    }
    if let Some(course) = run.general_text.describe() {
        widgets::fact(ui, "Perplexity of the general text", &course);
    }
    if let Some(end) = &run.end {
        widgets::fact(ui, "Whole time", &human::secs(end.secs));
    }
    if let Some(folder) = &run.folder {
        widgets::fact(ui, "Folder", &folder.display().to_string());
    }
}
