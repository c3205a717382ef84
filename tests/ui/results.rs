//! Results of a run: figures, confusion matrix, calibration, threshold, scatter plot.

use crate::{actors, runs, stage};
use eframe::egui::{Key, accesskit::Role};
use egui_kittest::kittest::{NodeT, Queryable};
use std::sync::Arc;
use tunesmith::app::panels::runs::Action;
use tunesmith::app::panels::train::{Look, Tab};
use tunesmith::app::{AppState, Place, UiAction};
use tunesmith::base::rng::Rng;
use tunesmith::data::Goal;
use tunesmith::engine::event::EventKind;
use tunesmith::eval::reports::{OfTask, RunReport};
use tunesmith::eval::seen_rows::SeenText;
use tunesmith::eval::tasks::TaskReport;
use tunesmith::project::RunEvent;

type Outputs = Vec<(Goal, Vec<f32>)>;

/// A report out of what a model said, with texts.
fn report(outputs: &Outputs, labels: &[&str], width: usize) -> TaskReport {
    let labels: Vec<String> = labels.iter().map(|l| l.to_string()).collect();
    let texts = [
        "The queue was long, but the people at the counter were kind.",
        "Never again.",
        "I have no strong feelings about this one way or the other; it is a table, and it stands on four legs as tables do.",
        "şehir verisi: harika!",
    ];
    let text_of = |row: usize| {
        Some(SeenText { line: row as u64 + 2, text: format!("{} (no. {row})", texts[row % texts.len()]) })
    };
    TaskReport::of(outputs, &labels, width).unwrap().with_rows(outputs, &text_of)
}

/// Rows of `num` classes that are mostly right.
fn classes(num: usize, labels: &[&str]) -> TaskReport {
    let mut rng = Rng::new(3, &[num as u64]);
    let one = |i: usize, rng: &mut Rng| {
        let right = i % num;
        let seen = if rng.uniform() < 0.8 { right } else { rng.below(num) };
        let mut row: Vec<f32> = (0..num).map(|_| rng.uniform() as f32).collect();
        row[seen] += (1.5 + 2.0 * rng.uniform() as f32) * (num as f32).sqrt();
        let sum: f32 = row.iter().sum();
        (Goal::Class(right as u32), row.into_iter().map(|x| x / sum).collect())
    };
    let outputs: Outputs = (0..40 * num).map(|i| one(i, &mut rng)).collect();
    report(&outputs, labels, 0)
}

fn with(report: TaskReport) -> AppState {
    shown(RunReport::One(report))
}

fn shown(report: RunReport) -> AppState {
    let mut state = runs::opened();
    actors::feed(&mut state, EventKind::Report { folder: runs::first(), report: Arc::new(report) });
    state.act(UiAction::Runs(Action::SetLook(Look { tab: Tab::Results, ..Look::default() })));
    state
}

/// Three moods, a cell chosen; also a scene of the screenshots.
pub fn three() -> AppState {
    let mut state = with(classes(3, &["negative", "neutral", "positive"]));
    let mut look = Look { tab: Tab::Results, ..Look::default() };
    look.results.cell = Some((0, 1));
    state.act(UiAction::Runs(Action::SetLook(look)));
    state
}

/// More classes than are in sight; also a scene of the screenshots.
pub fn many() -> AppState {
    let labels: Vec<String> = (1..=26).map(|i| format!("topic {i} with a long name")).collect();
    with(classes(26, &labels.iter().map(String::as_str).collect::<Vec<_>>()))
}

pub fn two() -> AppState {
    with(classes(2, &["fine", "toxic"]))
}

pub fn several() -> AppState {
    with(several_classes())
}

/// The same with the threshold moved; also a scene of the screenshots.
pub fn several_at() -> AppState {
    let mut state = several();
    let mut look = Look { tab: Tab::Results, ..Look::default() };
    look.results.threshold = Some(0.7);
    state.act(UiAction::Runs(Action::SetLook(look)));
    state
}

fn several_classes() -> TaskReport {
    let mut rng = Rng::new(5, &[]);
    let mut one = |i: usize| {
        let right: Vec<u32> = (0..4).filter(|c| (i >> c) & 1 == 1).collect();
        let said = (0..4).map(|c| {
            (0.3 + 0.4 * f32::from(right.contains(&c)) + 0.8 * (rng.uniform() as f32 - 0.5)).clamp(0.0, 1.0)
        });
        (Goal::Classes(right.clone()), said.collect())
    };
    let outputs: Outputs = (0..128).map(&mut one).collect();
    report(&outputs, &["anger", "joy", "fear", "surprise"], 0)
}

pub fn scores() -> AppState {
    let mut rng = Rng::new(6, &[]);
    let mut one = |_| {
        let right = (rng.normal() * 1.6).clamp(-4.0, 4.0) as f32;
        (Goal::Score(right), vec![0.7 * right + 0.6 * rng.normal() as f32])
    };
    let outputs: Outputs = (0..900).map(&mut one).collect();
    with(report(&outputs, &[], 0))
}

pub fn alike() -> AppState {
    let mut rng = Rng::new(8, &[]);
    let mut one = |_| {
        let a: Vec<f32> = (0..8).map(|_| rng.normal() as f32).collect();
        let b: Vec<f32> = a.iter().map(|x| x + rng.normal() as f32).collect();
        let normed = |v: Vec<f32>| {
            let length = v.iter().map(|x| x * x).sum::<f32>().sqrt();
            v.into_iter().map(move |x| x / length)
        };
        (Goal::Score(rng.uniform() as f32), normed(a).chain(normed(b)).collect())
    };
    let outputs: Outputs = (0..60).map(&mut one).collect();
    with(report(&outputs, &[], 8))
}

#[test]
fn a_cell_is_reached_by_keyboard_and_shows_its_rows() {
    let mut h = stage::window(with(classes(3, &["negative", "neutral", "positive"])));
    stage::act(&mut h, UiAction::Go(Place::Runs));
    let matrix = h.get_by_label("Confusion matrix of 3 classes");
    matrix.focus();
    h.run_steps(stage::SETTLE);
    for key in [Key::ArrowDown, Key::ArrowRight] {
        h.key_press(key);
        h.run_steps(stage::SETTLE);
    }
    h.get_by_label_contains("that are negative were said to be neutral");
    h.get_by_label_contains("surest first");
    let before = h.query_all_by_label_contains("(no. ").count();
    assert!((1..=5).contains(&before), "{before}");
    h.get_by_label("Close the rows of this cell").click();
    h.run_steps(stage::SETTLE);
    assert_eq!(h.query_all_by_label_contains("(no. ").count(), 0);
}

#[test]
fn a_click_chooses_the_cell_under_the_pointer() {
    let mut h = stage::window(with(classes(3, &["negative", "neutral", "positive"])));
    stage::act(&mut h, UiAction::Go(Place::Runs));
    // Its middle lies in the second row and the second column.
    h.get_by_label("Confusion matrix of 3 classes").click();
    h.run_steps(stage::SETTLE);
    h.get_by_label("Confusion matrix of 3 classes; right neutral, said neutral");
    h.get_by_label_contains("that are neutral were said to be so");
}

#[test]
fn the_threshold_moves_what_is_found_and_missed() {
    let mut h = stage::window(two());
    stage::act(&mut h, UiAction::Go(Place::Runs));
    let words = |h: &egui_kittest::Harness<'static, tunesmith::app::App>| {
        h.get_by_label_contains("false alarms").accesskit_node().value().unwrap()
    };
    let before = words(&h);
    let mut look = Look { tab: Tab::Results, ..Look::default() };
    look.results.threshold = Some(1.0);
    stage::act(&mut h, UiAction::Runs(Action::SetLook(look)));
    let after = words(&h);
    assert_ne!(before, after);
    assert!(
        after.starts_with("0 found, 40 missed, 0 false alarms, 40 rightly passed over, of 80 rows"),
        "{after}"
    );
    h.get_by_role_and_label(Role::Button, "Best F1").click();
    h.run_steps(stage::SETTLE);
    assert!(!words(&h).starts_with("0 found"), "{}", words(&h));
}

/// The table of the classes and the figures above are at the threshold that was chosen.
#[test]
fn the_table_of_several_classes_follows_the_threshold() {
    let TaskReport::SeveralClasses(of) = several_classes() else { panic!("one class a row") };
    let told = |state: AppState, threshold: f64| {
        let mut h = stage::window(state);
        stage::act(&mut h, UiAction::Go(Place::Runs));
        h.get_by_label_contains(&format!("are at the threshold {threshold:.2}."));
        let at = of.at(threshold);
        for class in &at.classes {
            for figure in [class.precision, class.recall, class.f1] {
                assert!(h.query_all_by_label(&format!("{figure:.3}")).count() > 0, "{threshold} {class:?}");
            }
        }
        h.get_by_label(&format!("{:.1} %", 100.0 * at.hamming_loss.unwrap()));
        at
    };
    let (first, then) = (told(several(), 0.5), told(several_at(), 0.7));
    assert!(
        first
            .classes
            .iter()
            .zip(&then.classes)
            .all(|(a, b)| a.predicted > b.predicted && a.recall > b.recall)
    );
}

#[test]
fn classes_are_sorted_by_a_press() {
    let mut h = stage::window(three());
    stage::act(&mut h, UiAction::Go(Place::Runs));
    let order = |h: &egui_kittest::Harness<'static, tunesmith::app::App>| {
        let mut at: Vec<(f32, &str)> = ["negative", "neutral", "positive"]
            .map(|name| (h.get_by_label(name).rect().top(), name))
            .to_vec();
        at.sort_by(|a, b| a.0.total_cmp(&b.0));
        at.into_iter().map(|(_, name)| name).collect::<Vec<_>>()
    };
    assert_eq!(order(&h), ["negative", "neutral", "positive"]);
    h.get_by_label("Sort by F1").click();
    h.run_steps(stage::SETTLE);
    let falling = order(&h);
    h.get_by_label("Sort by F1").click();
    h.run_steps(stage::SETTLE);
    let rising = order(&h);
    assert_eq!(falling.into_iter().rev().collect::<Vec<_>>(), rising);
}

/// Three tasks that were learnt together, of which one is of tokens; also a scene of the screenshots.
pub fn together() -> AppState {
    let of = |report: Option<TaskReport>| {
        let perplexity = report.is_none().then(|| 1.25_f64.exp());
        OfTask { loss: Some(1.25), perplexity, rows: 40, report }
    };
    let moods = classes(3, &["negative", "neutral", "positive"]);
    let tasks = [
        ("moods", of(Some(moods))),
        ("toxic", of(Some(classes(2, &["fine", "toxic"])))),
        ("words", of(None)),
    ];
    shown(RunReport::Together { tasks: tasks.map(|(name, of)| (name.to_string(), of)).into() })
}

#[test]
fn each_of_several_tasks_has_its_results() {
    let mut h = stage::window(together());
    stage::act(&mut h, UiAction::Go(Place::Runs));
    h.get_by_label("Confusion matrix of 3 classes");
    h.get_by_label("toxic").click();
    h.run_steps(stage::SETTLE);
    h.get_by_label("Confusion matrix of 2 classes");
    h.get_by_label("words").click();
    h.run_steps(stage::SETTLE);
    h.get_by_label("Perplexity");
}

#[test]
fn every_kind_of_report_has_its_figures() {
    for (state, words) in [
        (several(), "Whole sets right"),
        (scores(), "Explained (R²)"),
        (alike(), "Found first (accuracy@1)"),
        (many(), "All rows (micro F1)"),
    ] {
        let mut h = stage::window(state);
        stage::act(&mut h, UiAction::Go(Place::Runs));
        h.get_by_label(words);
    }
}

/// A run that is measured as it ends; also a scene of the screenshots.
pub fn just_ended() -> AppState {
    let mut state = crate::train::running();
    let folder = crate::train::folder();
    let metrics =
        std::collections::BTreeMap::from([("accuracy".to_string(), 0.9), ("macro F1".to_string(), 0.89)]);
    let event =
        RunEvent::Tested { update: 84, is_base: false, loss: 0.3, num_rows: 120, metrics, task: None };
    actors::feed(&mut state, EventKind::Run { folder: folder.clone(), event });
    let report = Arc::new(RunReport::One(classes(3, &["negative", "neutral", "positive"])));
    actors::feed(&mut state, EventKind::Report { folder, report });
    state
}

/// What is measured when the run in progress ends is there at once.
#[test]
fn a_run_that_has_just_ended_shows_its_results() {
    let mut h = stage::window(just_ended());
    stage::act(&mut h, UiAction::Go(Place::Train));
    h.get_by_label_contains("accuracy 0.9000");
    h.get_by_label("See the results").click();
    h.run_steps(stage::SETTLE);
    h.get_by_label("Confusion matrix of 3 classes");
}
