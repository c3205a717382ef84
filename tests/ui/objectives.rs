//! Train: what is learnt, what data and model allow of it, and how Data follows.

use crate::train::at_train;
use crate::{actors, stage};
use egui_kittest::kittest::{NodeT, Queryable};
use std::sync::Arc;
use tunesmith::app::UiAction;
use tunesmith::app::panels::{data, train};
use tunesmith::data::schema::Role;
use tunesmith::data::{Reading, mask::TrainOn};
use tunesmith::engine::Command;
use tunesmith::engine::event::EventKind;
use tunesmith::project::RunEvent;
use tunesmith::recipe::recipe::{Classification, DataSection, Objective, TaskSection};

/// Every objective is in the list; of those that cannot be chosen, none can be pressed.
#[test]
fn the_list_has_every_objective_and_only_what_goes_can_be_chosen() {
    let mut h = at_train();
    h.get_by_value("Answers (supervised)").click();
    h.run_steps(stage::SETTLE);
    for objective in Objective::all() {
        let mut found = h.query_all_by_label(objective.title());
        let item = found.next().unwrap_or_else(|| panic!("{} is not in the list", objective.title()));
        // The data has prompts and answers, and no text of its own.
        let can_be = matches!(objective, Objective::Supervised { .. });
        assert_eq!(!item.accesskit_node().is_disabled(), can_be, "{}", objective.title());
    }
}

#[test]
fn data_is_prepared_for_what_is_chosen_and_back_again() {
    let mut h = at_train();
    for (column, role) in [(0, Role::Text), (1, Role::Label)] {
        stage::act(&mut h, UiAction::Data(data::Action::Edit(data::Edit::Role { column, role })));
    }
    stage::commands(&mut h);
    let mut recipe = h.state().state.train.recipe().clone();
    recipe.objective = Objective::Classification(Classification::default());
    stage::act(&mut h, UiAction::Train(train::Action::Edit("objective.kind", Box::new(recipe.clone()))));
    let commands = stage::commands(&mut h);
    let Some(prepare @ Command::Prepare { options, .. }) = commands.last() else { panic!("{commands:?}") };
    assert_eq!(options.reading, Reading::Labelled { has_several: false, labels: None });
    let file = Arc::clone(h.state().state.shared.imported.as_ref().unwrap());
    stage::accept(&mut h, 5, prepare);
    stage::say(&mut h, 5, EventKind::Prepared(actors::dataset(&file, options)));
    let objective = &h.state().state.train.recipe().objective;
    assert_eq!(*objective, Objective::Classification(Classification::default()));
    h.get_by_label_contains("Learns the class of each text");
    // Another preset leaves it as it is.
    stage::act(&mut h, UiAction::Train(train::Action::LoadPreset("balanced".into())));
    assert!(matches!(h.state().state.train.recipe().objective, Objective::Classification(_)));
    stage::commands(&mut h);
    let everything = Reading::Written { train_on: TrainOn::Everything };
    stage::act(&mut h, UiAction::Data(data::Action::Edit(data::Edit::Reading(everything))));
    let now = &h.state().state.train.recipe().objective;
    assert_eq!(*now, Objective::Supervised { train_on: TrainOn::Everything }, "Data was asked last");
}

/// Several tasks, which only a recipe file can name, are shown, stay when another preset is taken, begin a run without any open data's
/// path, and have a curve each.
#[test]
fn several_tasks_are_shown_and_not_lost() {
    let mut h = at_train();
    let mut recipe = h.state().state.train.recipe().clone();
    let task = |name: &str, weight: f64, objective: Objective| TaskSection {
        name: name.into(),
        weight,
        data: DataSection { path: Some("kinds.csv".into()), ..DataSection::default() },
        objective,
    };
    recipe.objective = Objective::default();
    recipe.data = DataSection::default();
    recipe.tasks = vec![
        task("answers", 1.0, Objective::default()),
        task("taste", 2.0, Objective::Classification(Classification::default())),
    ];
    let tasks = recipe.tasks.clone();
    stage::act(&mut h, UiAction::Train(train::Action::Edit("tasks", Box::new(recipe))));
    h.get_by_label("taste: classification of kinds.csv, weight 2");
    h.get_by_label("answers: supervised tuning of kinds.csv, weight 1");
    stage::act(&mut h, UiAction::Train(train::Action::LoadPreset("balanced".into())));
    h.get_by_label("taste: classification of kinds.csv, weight 2");
    stage::commands(&mut h);
    stage::act(&mut h, UiAction::Train(train::Action::Start));
    let commands = stage::commands(&mut h);
    let [Command::Train { recipe, .. }] = &commands[..] else { panic!("{commands:?}") };
    assert_eq!((&recipe.tasks, &recipe.data.path), (&tasks, &None));

    let losses = |of: &[(&str, f64)]| of.iter().map(|(name, loss)| (name.to_string(), *loss)).collect();
    let check = |update, loss| RunEvent::TaskValidation {
        update,
        task: "taste".into(),
        loss,
        metrics: Default::default(),
    };
    let events = [
        RunEvent::TaskLosses { update: 1, losses: losses(&[("answers", 3.0), ("taste", 1.0)]) },
        RunEvent::TaskLosses { update: 2, losses: losses(&[("taste", 0.5)]) },
        RunEvent::TaskLosses { update: 2, losses: losses(&[("taste", 0.5)]) },
        check(2, 0.7),
        check(2, 0.7),
        check(4, f64::NAN),
    ];
    let view = train::RunView::from_events("run".into(), None, &events, 0.9);
    let last = |name: &str| view.tasks[name].losses.last().map(|point| (point.x, point.y));
    assert_eq!((last("answers"), last("taste")), (Some((1.0, 3.0)), Some((2.0, 0.5))));
    assert_eq!(view.tasks["taste"].losses.all().len(), 2);
    let checks: Vec<_> = view.tasks["taste"].checks.iter().map(|point| (point.x, point.y)).collect();
    assert_eq!(checks, [(2.0, 0.7)]);
}
