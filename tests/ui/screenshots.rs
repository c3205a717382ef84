//! Pictures of every place, light and dark, for people to look at: `screenshots/*.png`.

use crate::{
    actors, comparisons, forgetting, methods, mixes, places, playground, reading, results, runs, stage, train,
};
use eframe::egui::{Theme, Vec2, vec2};
use tunesmith::app::action::FrameAction;
use tunesmith::app::panels::data;
use tunesmith::app::panels::train::{Action, Look, Tab};
use tunesmith::app::{AppState, Place, UiAction};
use tunesmith::base::Failure;
use tunesmith::engine::event::EventKind;

/// One picture: a name, what the window holds, and what is done in it first.
struct Scene {
    name: &'static str,
    size: Vec2,
    state: fn() -> AppState,
    actions: Vec<UiAction>,
}

fn scene(name: &'static str, state: fn() -> AppState, actions: Vec<UiAction>) -> Scene {
    Scene { name, size: stage::WINDOW, state, actions }
}

fn full() -> AppState {
    actors::furnished(156)
}

fn first_start() -> AppState {
    let mut state = stage::empty();
    actors::feed(&mut state, actors::project());
    actors::feed(&mut state, actors::models(false));
    state
}

fn failed() -> AppState {
    let mut state = full();
    let failure = Failure::new(
        "Cannot read the data file",
        "row 12 has 9 cells where the header has 4 (/home/ada/Documents/survey.csv)",
        "Open it in a spreadsheet, check row 12 and save it as CSV again.",
    );
    actors::feed(&mut state, EventKind::Failed(failure));
    state
}

fn train_with(action: Action) -> Vec<UiAction> {
    vec![UiAction::Go(Place::Train), UiAction::Train(action)]
}

fn ask_stop() -> UiAction {
    UiAction::Frame(FrameAction::AskStop)
}

fn scenes() -> Vec<Scene> {
    let go = |place| vec![UiAction::Go(place)];
    let tab = |tab| vec![UiAction::Go(Place::Data), UiAction::Data(data::Action::SetTab(tab))];
    let look = |tab| train_with(Action::SetLook(Look { tab, ..Look::default() }));
    let mut scenes = vec![
        scene("first-start", first_start, go(Place::Home)),
        scene("home", full, go(Place::Home)),
        scene("model", full, go(Place::Model)),
        scene("model-trial", places::trying, go(Place::Model)),
        scene("data", full, go(Place::Data)),
        scene("data-lengths", full, tab(data::Tab::Lengths)),
        scene("data-split", full, tab(data::Tab::Split)),
        scene("data-options", full, tab(data::Tab::Options)),
        scene("data-empty", first_start, go(Place::Data)),
        scene("train", full, go(Place::Train)),
        scene("train-running", train::running, go(Place::Train)),
        scene("train-problems", train::with_problems, go(Place::Train)),
        scene("train-advanced", full, train_with(Action::SetAdvanced(true))),
        Scene {
            size: vec2(1280.0, 1500.0),
            ..scene("train-forgetting", forgetting::running, train_with(Action::SetAdvanced(true)))
        },
        scene("train-ia3", || methods::with_method("ia3"), train_with(Action::SetAdvanced(true))),
        scene(
            "train-bottleneck",
            || methods::with_method("bottleneck"),
            train_with(Action::SetAdvanced(true)),
        ),
        Scene { size: stage::LARGE, ..scene("train-methods", full, train_with(Action::ShowMethods(true))) },
        scene("train-compare-form", comparisons::form, go(Place::Train)),
        scene("train-compare-running", comparisons::running, go(Place::Train)),
        scene("train-compare", comparisons::result, go(Place::Train)),
        scene("train-compare-tasks", comparisons::table_of_tasks, go(Place::Train)),
        Scene {
            size: stage::SMALLEST,
            ..scene("small-train-compare", comparisons::result, go(Place::Train))
        },
        Scene {
            size: stage::SMALLEST,
            ..scene("small-train-compare-form", comparisons::form, go(Place::Train))
        },
        Scene {
            size: stage::NARROW,
            ..scene("narrow-train-compare", comparisons::stopped, go(Place::Train))
        },
        scene("runs-merged", runs::merged, go(Place::Runs)),
        scene("playground-mix-save", mixes::naming, go(Place::Playground)),
        scene("playground-task-vectors", mixes::task_vectors, go(Place::Playground)),
        Scene { size: stage::LARGE, ..scene("large-train", full, go(Place::Train)) },
        scene("train-answers", train::running, look(Tab::Answers)),
        scene("train-profile", train::running, look(Tab::Profile)),
        scene("train-stop", train::running, vec![UiAction::Go(Place::Train), ask_stop()]),
        scene("runs", full, go(Place::Runs)),
        scene("runs-compare", runs::compared, go(Place::Runs)),
        scene("runs-open", runs::opened, go(Place::Runs)),
        scene("runs-results", results::three, go(Place::Runs)),
        scene("runs-results-tasks", results::together, go(Place::Runs)),
        scene("train-results", results::just_ended, look(Tab::Results)),
        scene("runs-results-many", results::many, go(Place::Runs)),
        scene("runs-results-two", results::two, go(Place::Runs)),
        scene("runs-results-several", results::several, go(Place::Runs)),
        scene("runs-results-several-at", results::several_at, go(Place::Runs)),
        scene("runs-results-scores", results::scores, go(Place::Runs)),
        scene("runs-results-alike", results::alike, go(Place::Runs)),
        Scene { size: stage::SMALLEST, ..scene("small-runs-results-many", results::many, go(Place::Runs)) },
        Scene { size: stage::NARROW, ..scene("narrow-runs-results", results::three, go(Place::Runs)) },
        scene("playground", playground::answered, go(Place::Playground)),
        scene("playground-fill-mask", reading::filled, go(Place::Playground)),
        scene("playground-likeness", reading::alike, go(Place::Playground)),
        scene("playground-likeness-reading", reading::reading, go(Place::Playground)),
        scene("playground-classes", reading::classified, go(Place::Playground)),
        scene("playground-scores", reading::scored, go(Place::Playground)),
        scene("playground-no-head", reading::headless, go(Place::Playground)),
        Scene {
            size: stage::SMALLEST,
            ..scene("small-playground-likeness", reading::alike, go(Place::Playground))
        },
        Scene {
            size: stage::NARROW,
            ..scene("narrow-playground-fill-mask", reading::filled, go(Place::Playground))
        },
        Scene {
            size: stage::NARROW,
            ..scene("narrow-playground-classes", reading::classified, go(Place::Playground))
        },
        scene("playground-matrix", playground::matrix, go(Place::Playground)),
        scene("palette", full, vec![UiAction::Frame(FrameAction::TogglePalette)]),
        scene("failure", failed, go(Place::Data)),
    ];
    for (name, place) in [
        ("small-home", Place::Home),
        ("small-model", Place::Model),
        ("small-data", Place::Data),
        ("small-train", Place::Train),
        ("small-runs", Place::Runs),
    ] {
        scenes.push(Scene { size: stage::SMALLEST, ..scene(name, full, go(place)) });
    }
    scenes.push(Scene {
        size: stage::SMALLEST,
        ..scene("small-playground", playground::answered, go(Place::Playground))
    });
    scenes.push(Scene {
        size: stage::SMALLEST,
        ..scene("small-runs-compare", runs::compared, go(Place::Runs))
    });
    scenes.push(Scene { size: stage::SMALLEST, ..scene("small-runs-open", runs::opened, go(Place::Runs)) });
    scenes.push(Scene {
        size: stage::SMALLEST,
        ..scene("small-train-running", train::running, go(Place::Train))
    });
    scenes.push(Scene {
        size: stage::SMALLEST,
        ..scene("small-train-methods", full, train_with(Action::ShowMethods(true)))
    });
    scenes.push(Scene {
        size: stage::SMALLEST,
        ..scene("small-train-profile", train::running, look(Tab::Profile))
    });
    scenes.push(Scene { size: stage::NARROW, ..scene("narrow-runs", full, go(Place::Runs)) });
    scenes.push(Scene {
        size: stage::NARROW,
        ..scene("narrow-runs-compare", runs::compared_many, go(Place::Runs))
    });
    scenes
}

#[test]
fn screenshots() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("screenshots");
    std::fs::create_dir_all(&folder).unwrap();
    // SCENES=runs draws only those whose name has it.
    let wanted = std::env::var("SCENES").unwrap_or_default();
    for scene in scenes().into_iter().filter(|scene| scene.name.contains(&wanted)) {
        for (theme, tone) in [(Theme::Light, "light"), (Theme::Dark, "dark")] {
            let mut harness = stage::window_of((scene.state)(), scene.size, theme);
            for action in scene.actions.clone() {
                stage::act(&mut harness, action);
            }
            harness.run_steps(stage::SETTLE);
            let image = harness.render().unwrap();
            let colours: std::collections::HashSet<_> = image.pixels().map(|p| p.0).collect();
            assert!(colours.len() > 20, "{} is blank", scene.name);
            image.save(folder.join(format!("{}-{tone}.png", scene.name))).unwrap();
        }
    }
}
