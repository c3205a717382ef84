//! What came of the rows that nobody trained on: figures of the kind of task, in words and pictures.

mod calibration_ui;
mod classes_ui;
mod confusion_ui;
mod scores_ui;
mod threshold_ui;

pub use classes_ui::ClassColumn;

use crate::app::theme::{self, space};
use crate::app::widgets::{self, chart};
use crate::base::human;
use crate::eval::classification::ClassReport;
use crate::eval::multi_label::MultiReport;
use crate::eval::reports::{OfTask, RunReport};
use crate::eval::tasks::{AlikeReport, TaskReport};
use eframe::egui::{self, Color32, Frame, Margin, RichText, ScrollArea, Stroke, TextStyle};

/// From this width on, two things stand side by side.
const TWO: f32 = 860.0;
/// Beside the words of a card.
const CARD_MARGIN: f32 = 10.0;

/// How results are looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ResultsLook {
    /// Which of several tasks, by its place among their names.
    pub task: usize,
    /// From which probability up a class is said; the best one where nobody chose.
    pub threshold: Option<f64>,
    /// The chosen pair of a right and a predicted class.
    pub cell: Option<(usize, usize)>,
    /// What the table of classes is sorted by, and whether from the greatest down.
    pub sort: (ClassColumn, bool),
}

/// The report, or why there is none.
pub(super) fn results(ui: &mut egui::Ui, report: Option<&RunReport>, is_over: bool, look: &mut ResultsLook) {
    let Some(report) = report else {
        let words = match is_over {
            true => {
                "This run has measured no test rows: it was stopped before, Data keeps none (Split), or it learnt to write, and answers are compared in Playground."
            }
            false => {
                "When the run has ended, it is measured on the test rows, which nobody trained on; what comes of that stands here."
            }
        };
        ui.label(RichText::new(words).color(theme::of(ui).weak));
        return;
    };
    let shown = match report {
        RunReport::One(report) => Ok(report),
        RunReport::Together { tasks } => {
            ui.horizontal_wrapped(|ui| {
                ui.label("Task");
                for (place, name) in tasks.keys().enumerate() {
                    if ui.selectable_label(place == look.task, name).clicked() {
                        *look = ResultsLook { task: place, ..ResultsLook::default() };
                    }
                }
            });
            let Some(of) = tasks.values().nth(look.task).or_else(|| tasks.values().next()) else { return };
            of.report.as_ref().ok_or(of)
        }
    };
    ScrollArea::vertical().id_salt(("results", look.task)).auto_shrink([false, false]).show(ui, |ui| {
        match shown {
            Ok(report) => one(ui, report, look),
            Err(of) => loss_alone(ui, of),
        }
        ui.add_space(space::M);
    });
}

fn one(ui: &mut egui::Ui, report: &TaskReport, look: &mut ResultsLook) {
    match report {
        TaskReport::Classes(of) => classes(ui, of, look),
        TaskReport::SeveralClasses(of) => several(ui, of, look),
        TaskReport::Scores(of) => scores_ui::scores(ui, of),
        TaskReport::Alike(of) => alike(ui, of),
    }
}

/// Of a task of tokens the loss says all.
fn loss_alone(ui: &mut egui::Ui, of: &OfTask) {
    let help = match of.perplexity {
        Some(_) => "How surprised the model is by each right token, on average, in nats; 0 is perfect.",
        None => "What training makes small, on average; lower is better.",
    };
    let mut all = vec![rows(of.rows), figure("Loss", of.loss.map(chart::value), help)];
    if let Some(perplexity) = of.perplexity {
        let help = "Among how many equally likely tokens the model would be as unsure: 1 is perfect.";
        all.push(figure("Perplexity", Some(chart::value(perplexity)), help));
    }
    figures(ui, &all);
}

fn classes(ui: &mut egui::Ui, of: &ClassReport, look: &mut ResultsLook) {
    if is_broken(ui, of.num_not_finite, of.num) {
        return;
    }
    figures(
        ui,
        &[
            rows(of.num),
            figure("Right (accuracy)", of.accuracy.map(share), &accuracy_help(of)),
            figure("Mean of the classes (macro F1)", of.macro_f1.map(chart::value), MACRO),
            figure("All rows (micro F1)", of.micro_f1.map(chart::value), MICRO),
            figure("By size (weighted F1)", of.weighted_f1.map(chart::value), WEIGHTED),
            figure("Off when sure (log loss)", of.log_loss.map(chart::value), LOG_LOSS),
        ],
    );
    in_two(
        ui,
        look,
        |ui, look| confusion_ui::confusion(ui, of, look),
        |ui, look| classes_ui::table(ui, &of.classes, look),
    );
    confusion_ui::rows_of_cell(ui, of, look);
    let Some(binary) = &of.binary else {
        widgets::section(ui, "Does it know how sure it may be? (calibration)");
        calibration_ui::calibration(ui, of);
        return;
    };
    in_two(
        ui,
        look,
        |ui, look| {
            let name = of.classes.get(1).map_or("the second class", |c| &c.label);
            let support = of.classes.get(1).map_or(0, |c| c.support);
            let kind = threshold_ui::Decisions { name: Some(name), support, num: of.num };
            threshold_ui::threshold(ui, &binary.thresholds, binary.best, kind, look);
            let auc = format!("{}. {AUC}", auc_words(binary.roc_auc, binary.average_precision));
            ui.label(RichText::new(auc).small().color(theme::of(ui).weak));
        },
        |ui, _| {
            widgets::section(ui, "Does it know how sure it may be? (calibration)");
            calibration_ui::calibration(ui, of);
        },
    );
}

fn several(ui: &mut egui::Ui, of: &MultiReport, look: &mut ResultsLook) {
    if is_broken(ui, of.num_not_finite, of.num) {
        return;
    }
    let at = of.at(look.threshold.unwrap_or(of.threshold));
    figures(
        ui,
        &[
            rows(of.num),
            figure("Whole sets right", at.subset_accuracy.map(share), SUBSET),
            figure("Wrong decisions (Hamming loss)", at.hamming_loss.map(share), HAMMING),
            figure("Mean of the classes (macro F1)", at.macro_f1.map(chart::value), MACRO),
            figure("All decisions (micro F1)", at.micro_f1.map(chart::value), MICRO),
        ],
    );
    let support = of.classes.iter().map(|c| c.support).sum();
    let kind = threshold_ui::Decisions { name: None, support, num: of.num * of.classes.len() };
    in_two(
        ui,
        look,
        |ui, look| threshold_ui::threshold(ui, &of.thresholds, of.best, kind, look),
        |ui, look| {
            classes_ui::table(ui, &at.classes, look);
            let words = format!("The table and the figures above are at the threshold {:.2}.", at.threshold);
            ui.label(RichText::new(words).small().color(theme::of(ui).weak));
        },
    );
}

fn alike(ui: &mut egui::Ui, of: &AlikeReport) {
    let found = &of.retrieval;
    if is_broken(ui, found.num_not_finite, found.num) {
        return;
    }
    let at = |(k, share): &(usize, f64)| Figure {
        name: if *k == 1 {
            "Found first (accuracy@1)".into()
        } else {
            format!("Among the first {k} (accuracy@{k})")
        },
        value: Some(self::share(*share)),
        help: format!(
            "How often the text that belongs to another is among the {k} nearest to it, of all second texts."
        ),
    };
    let mut all = vec![rows(found.num)];
    all.extend(found.accuracy_at.iter().map(at));
    all.push(figure("Mean place, as 1/place (MRR)", found.mrr.map(chart::value), MRR));
    if of.spearman.is_some() {
        all.push(figure(
            "Order like the scores (Spearman)",
            of.spearman.map(chart::value),
            scores_ui::SPEARMAN,
        ));
    }
    figures(ui, &all);
    let words = format!(
        "Each first text was held against {} second and unlike ones. Try it on texts of your own in Playground: Likeness.",
        human::count(found.num_candidates as u64)
    );
    ui.label(RichText::new(words).color(theme::of(ui).weak));
}

/// One number with its name.
struct Figure {
    name: String,
    value: Option<String>,
    help: String,
}

fn figure(name: &str, value: Option<String>, help: &str) -> Figure {
    Figure { name: name.into(), value, help: help.into() }
}

/// `91.7 %`.
fn share(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

fn rows(num: usize) -> Figure {
    figure(
        "Test rows",
        Some(human::count(num as u64)),
        "Rows that nobody trained on, nor chose a checkpoint by.",
    )
}

/// Numbers side by side, as many in a row as fit; what each means on hover.
fn figures(ui: &mut egui::Ui, all: &[Figure]) {
    let room = ui.available_width();
    let mut rest = all;
    while !rest.is_empty() {
        let mut taken = 0.0;
        let fits = |figure: &&Figure| {
            taken += width(ui, figure) + space::S;
            taken <= room
        };
        let (row, after) = rest.split_at(rest.iter().take_while(fits).count().max(1));
        ui.horizontal(|ui| row.iter().for_each(|figure| card(ui, figure)));
        rest = after;
    }
    ui.add_space(space::S);
}

/// Of a card, with what stands around its words.
fn width(ui: &egui::Ui, figure: &Figure) -> f32 {
    let font = TextStyle::Small.resolve(ui.style());
    let name = ui.painter().layout_no_wrap(figure.name.clone(), font, Color32::PLACEHOLDER);
    name.size().x.max(64.0) + 2.0 * CARD_MARGIN + 2.0
}

fn card(ui: &mut egui::Ui, figure: &Figure) {
    let t = theme::of(ui);
    let frame = Frame::new()
        .fill(t.surface)
        .stroke(Stroke::new(1.0, t.border))
        .corner_radius(theme::RADIUS)
        .inner_margin(Margin::symmetric(CARD_MARGIN as i8, 6));
    let card = frame.show(ui, |ui| {
        ui.vertical(|ui| {
            ui.spacing_mut().item_spacing.y = 0.0;
            ui.label(RichText::new(&figure.name).small().color(t.weak));
            ui.label(RichText::new(figure.value.as_deref().unwrap_or("not defined")).size(17.0).strong());
        });
    });
    card.response.on_hover_text(&figure.help);
}

/// Two things side by side where there is room, or else under one another.
fn in_two(
    ui: &mut egui::Ui,
    look: &mut ResultsLook,
    first: impl FnOnce(&mut egui::Ui, &mut ResultsLook),
    second: impl FnOnce(&mut egui::Ui, &mut ResultsLook),
) {
    if ui.available_width() < TWO {
        first(ui, look);
        ui.add_space(space::S);
        second(ui, look);
        return;
    }
    ui.columns(2, |uis| {
        first(&mut uis[0], look);
        second(&mut uis[1], look);
    });
}

/// Numbers that are none: the model is broken, and nothing was measured.
fn is_broken(ui: &mut egui::Ui, num_not_finite: usize, num: usize) -> bool {
    if num_not_finite > 0 {
        let words = format!(
            "Nothing was measured: for {} of {} the model said something that is no finite number. It is broken; train again, with a lower learning rate.",
            human::count(num_not_finite as u64),
            human::plural(num as u64, "row")
        );
        ui.label(RichText::new(words).color(theme::of(ui).red));
    }
    num_not_finite > 0
}

fn accuracy_help(of: &ClassReport) -> String {
    let likely = match (of.accuracy_low, of.accuracy_high) {
        (Some(low), Some(high)) => format!(
            " With so many rows, the true share lies between {} and {} (95 % likely).",
            human::percent(low),
            human::percent(high)
        ),
        _ => String::new(),
    };
    format!("Share of the rows whose likeliest class is the right one.{likely}")
}

fn auc_words(auc: Option<f64>, precision: Option<f64>) -> String {
    let number = |x: Option<f64>| x.map_or("not defined".into(), chart::value);
    format!("Over all thresholds: ROC AUC {}, average precision {}", number(auc), number(precision))
}

const AUC: &str = "Both are 1 for a perfect order; an AUC of 0.5 is chance.";
const MACRO: &str = "F1 is high where a class is found (recall) and what is called so is so (precision); 1 is perfect. This is the mean over the classes: rare ones count as much as common ones.";
const MICRO: &str = "F1 of all decisions together. With one class a row it is the accuracy.";
const WEIGHTED: &str = "The mean of the classes' F1, by how many rows each has.";
const LOG_LOSS: &str = "How surprised the model is by the right class (in nats); 0 is perfect, and being sure and wrong costs most.";
const SUBSET: &str = "Share of the rows of which every class is right, and none is said besides.";
const HAMMING: &str = "Share of all yes-or-no decisions (rows times classes) that are wrong.";
const MRR: &str = "1 where the right text is the nearest, 1/2 where it is the second, and so on; the mean of that (mean reciprocal rank).";
