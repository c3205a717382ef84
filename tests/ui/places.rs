//! Home, Model and Data, clicked through by name.

use crate::{actors, stage};
use eframe::egui::{self, accesskit::Role};
use egui_kittest::kittest::Queryable;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tunesmith::app::jobs::JobSwitch;
use tunesmith::app::panels::{data, home, model};
use tunesmith::app::shared::Dot;
use tunesmith::app::{AppState, Effect, Place, UiAction};
use tunesmith::base::Failure;
use tunesmith::data::schema::Role as ColumnRole;
use tunesmith::engine::event::{EventKind, GenerationEvent};
use tunesmith::engine::{Command, Event, JobId};
use tunesmith::recipe::Recipe;

#[test]
fn the_first_start_reads_the_chosen_model_only_if_it_is_here() {
    let mut h = stage::window(stage::empty());
    stage::say(&mut h, 1, actors::models(false));
    assert!(stage::commands(&mut h).is_empty());
    stage::say(&mut h, 2, actors::models(true));
    let commands = stage::commands(&mut h);
    assert!(matches!(&commands[..], [Command::InspectModel { source }] if source == actors::STARTER));
}

#[test]
fn a_model_is_downloaded_with_progress_and_cancel() {
    let mut h = stage::window(stage::empty());
    stage::say(&mut h, 1, actors::models(false));
    stage::act(&mut h, UiAction::Go(Place::Model));
    h.get_by_label("Download SmolLM2 135M Instruct").click();
    h.run_steps(stage::SETTLE);
    let commands = stage::commands(&mut h);
    let [download @ Command::DownloadModel { name }] = &commands[..] else { panic!("{commands:?}") };
    assert_eq!(name, actors::STARTER);
    stage::accept(&mut h, 9, download);
    let unit = tunesmith::base::Unit::Bytes;
    let progress =
        EventKind::Progress { phase: "Downloading".into(), done: 31_000_000, total: Some(93_000_000), unit };
    stage::say(&mut h, 9, progress);
    h.get_by_label("31.0 MB of 93.0 MB");
    h.get_by_label("Cancel").click();
    h.run_steps(stage::SETTLE);
    let effects = stage::effects(&mut h);
    assert!(matches!(effects[..], [Effect::Job(JobId(9), JobSwitch::Stop)]), "{effects:?}");
    stage::say(&mut h, 9, EventKind::Done);
    assert!(matches!(stage::commands(&mut h)[..], [Command::ListModels]));
}

#[test]
fn a_model_is_chosen_by_its_path() {
    let mut h = stage::window(stage::empty());
    stage::say(&mut h, 1, actors::models(true));
    stage::effects(&mut h);
    stage::act(&mut h, UiAction::Go(Place::Model));
    h.get_by_label("Path of the model").focus();
    h.run_steps(stage::SETTLE);
    h.get_by_label("Path of the model").type_text("/models/şehir-llama");
    h.run_steps(stage::SETTLE);
    h.get_by_label("Use").click();
    h.run_steps(stage::SETTLE);
    assert_eq!(h.state().state.shared.model_source, "/models/şehir-llama");
    let commands = stage::commands(&mut h);
    assert!(matches!(&commands[..], [Command::InspectModel { source }] if source == "/models/şehir-llama"));
    stage::accept(&mut h, 4, &commands[0]);
    let failure = Failure::new("Cannot load the model", "config.json is missing", "Choose another folder.");
    stage::say(&mut h, 4, EventKind::Failed(failure));
    h.get_by_label("Cannot load the model: config.json is missing Choose another folder.");
}

/// A question was asked in Model and is being answered; also a scene of the screenshots.
pub fn trying() -> AppState {
    let mut state = actors::furnished(40);
    state.act(UiAction::Model(model::Action::SetTrialText("What type of fruit is a peach?".into())));
    for effect in state.act(UiAction::Model(model::Action::Ask)) {
        if let Effect::Submit(command) = effect {
            state.submitted(JobId(21), &command);
        }
    }
    state.apply(Event { job: JobId(21), kind: EventKind::Started });
    for event in [
        GenerationEvent::Began { prompt_tokens: 21 },
        GenerationEvent::Text("A peach is a".into()),
        GenerationEvent::Text(" type of stone fruit".into()),
    ] {
        let kind = EventKind::Generation { column: 0, prompt: 0, event };
        state.apply(Event { job: JobId(21), kind });
    }
    state
}

#[test]
fn the_chosen_model_is_tried_at_once_and_can_be_stopped() {
    let mut h = stage::window(actors::furnished(40));
    stage::act(&mut h, UiAction::Go(Place::Model));
    stage::effects(&mut h);
    h.get_by_label("Prompt to try").focus();
    h.run_steps(stage::SETTLE);
    h.get_by_label("Prompt to try").type_text("What is a şeftali?");
    h.run_steps(stage::SETTLE);
    h.key_press(egui::Key::Enter);
    h.run_steps(stage::SETTLE);
    let commands = stage::commands(&mut h);
    let [ask @ Command::Generate(request)] = &commands[..] else { panic!("{commands:?}") };
    assert_eq!(request.model, actors::STARTER);
    assert_eq!(request.columns.len(), 1);
    assert_eq!(request.columns[0].adapter, None, "the model as it is");
    let [prompt] = &request.prompts[..] else { panic!("{:?}", request.prompts) };
    assert!(
        prompt.rendered.text.contains("What is a şeftali?") && prompt.rendered.text.contains("<|im_start|>"),
        "{}",
        prompt.rendered.text
    );
    stage::accept(&mut h, 21, ask);

    let mut h = stage::window(trying());
    stage::act(&mut h, UiAction::Go(Place::Model));
    h.get_by_label("A peach is a type of stone fruit");
    assert_eq!(h.state().state.dot(Place::Model), Dot::Working);
    assert_eq!(h.state().state.dot(Place::Playground), Dot::None, "it belongs to Model");
    stage::effects(&mut h);
    h.key_press(egui::Key::Escape);
    h.run_steps(stage::SETTLE);
    let effects = stage::effects(&mut h);
    assert!(matches!(effects[..], [Effect::Job(JobId(21), JobSwitch::Stop)]), "{effects:?}");
    stage::say(&mut h, 21, EventKind::Stopped);
    h.get_by_label("Ask");
    h.get_by_label("A peach is a type of stone fruit");
    // Another model has said nothing yet.
    stage::act(&mut h, UiAction::Model(model::Action::Choose("qwen2.5-7b-instruct".into())));
    assert!(h.query_by_label("A peach is a type of stone fruit").is_none());
}

/// As the window hands over what was dropped on it.
#[derive(Debug)]
struct Dropped(PathBuf);

impl egui::DroppedFile for Dropped {
    fn path(&self) -> &Path {
        &self.0
    }

    fn bytes(&self) -> Result<Vec<u8>, String> {
        Err("the window reads no files".into())
    }
}

#[test]
fn a_dropped_file_is_imported_wherever_it_falls() {
    let mut h = stage::window(stage::empty());
    let file = PathBuf::from("/home/ada/şehir verisi.csv");
    h.input_mut().dropped_files.push(Arc::new(Dropped(file.clone())));
    h.run_steps(stage::SETTLE);
    let commands = stage::commands(&mut h);
    assert!(matches!(&commands[..], [Command::Import { path, .. }] if *path == file), "{commands:?}");
    assert_eq!(h.state().state.place, Place::Data);
}

#[test]
fn a_recipe_file_that_is_dropped_or_chosen_goes_into_the_form() {
    let mut h = stage::window(actors::furnished(40));
    stage::effects(&mut h);
    let file = PathBuf::from("/home/ada/My Recipe.TOML");
    h.input_mut().dropped_files.push(Arc::new(Dropped(file.clone())));
    h.run_steps(stage::SETTLE);
    assert_eq!(h.state().state.place, Place::Train);
    let commands = stage::commands(&mut h);
    assert!(matches!(&commands[..], [Command::ReadRecipe { path }] if *path == file), "{commands:?}");
    let mut recipe = Recipe::default();
    recipe.optimizer.learning_rate = 7e-4;
    stage::say(&mut h, 3, EventKind::Recipe { path: file, recipe: Box::new(recipe) });
    assert!((h.state().state.train.recipe().optimizer.learning_rate - 7e-4).abs() < 1e-12);
    h.get_by_label("Preset: From a run or a file");
    let notices = h.state().state.notices.all();
    assert!(notices.iter().any(|n| n.title.contains("My Recipe.TOML are in the form")), "{notices:?}");
    h.get_by_label("Undo").click();
    h.run_steps(stage::SETTLE);
    assert!((h.state().state.train.recipe().optimizer.learning_rate - 7e-4).abs() > 1e-12);

    stage::effects(&mut h);
    h.get_by_label("Open a recipe file").click();
    h.run_steps(stage::SETTLE);
    let effects = stage::effects(&mut h);
    assert!(matches!(&effects[..], [Effect::Pick(pick)] if pick.title == "Open a recipe"), "{effects:?}");
}

#[test]
fn a_file_is_imported_then_prepared_for_the_model() {
    let mut h = stage::window(stage::empty());
    for kind in [actors::models(true), actors::model()] {
        stage::say(&mut h, 1, kind);
    }
    stage::effects(&mut h);
    let file = actors::imported(40);
    stage::say(&mut h, 2, EventKind::Imported(Arc::clone(&file)));
    let commands = stage::commands(&mut h);
    let [Command::Prepare { model, options, .. }] = &commands[..] else { panic!("{commands:?}") };
    assert_eq!(model, actors::STARTER);
    assert_eq!(options.schema.roles, [ColumnRole::Question, ColumnRole::Answer]);
    stage::say(&mut h, 3, EventKind::Prepared(actors::dataset(&file, options)));
    assert!(h.state().state.shared.is_data_ready());
}

#[test]
fn the_ledger_filters_the_table() {
    let mut h = stage::window(actors::furnished(40));
    stage::act(&mut h, UiAction::Go(Place::Data));
    h.get_by_label("42 read");
    h.get_by_label("38 kept");
    h.get_by_label("2 duplicate").click();
    h.run_steps(stage::SETTLE);
    assert_eq!(h.state().state.data.rows.len(), 2);
    h.get_by_label("2 malformed").click();
    h.run_steps(stage::SETTLE);
    h.get_all_by_label("malformed: 3 cells where the header has 2").next().expect("the reason");
    assert!(h.query_by_label("3 empty").is_none());
}

#[test]
fn a_role_is_changed_in_the_column_header_and_the_data_prepared_again() {
    let mut h = stage::window(actors::furnished(40));
    stage::act(&mut h, UiAction::Go(Place::Data));
    h.get_by_label("Role of fruit: Question").click();
    h.run_steps(stage::SETTLE);
    h.get_by_label("Text").click();
    h.run_steps(stage::SETTLE);
    let commands = stage::commands(&mut h);
    let [Command::Prepare { options, .. }] = &commands[..] else { panic!("{commands:?}") };
    assert_eq!(options.schema.roles, [ColumnRole::Text, ColumnRole::Answer]);
    assert!(!h.state().state.shared.is_data_ready());
}

#[test]
fn the_encoding_can_be_changed_and_reads_the_file_again() {
    let mut h = stage::window(actors::furnished(40));
    stage::act(&mut h, UiAction::Go(Place::Data));
    h.get_by_label("Encoding: UTF-8").click();
    h.run_steps(stage::SETTLE);
    h.get_by_label("windows-1254").click();
    h.run_steps(stage::SETTLE);
    let commands = stage::commands(&mut h);
    let [Command::Import { options, .. }] = &commands[..] else { panic!("{commands:?}") };
    assert_eq!(options.encoding.as_deref(), Some("windows-1254"));
}

#[test]
fn the_rows_can_be_leafed_through_token_by_token() {
    let mut h = stage::window(actors::furnished(40));
    stage::act(&mut h, UiAction::Go(Place::Data));
    let shown = |h: &egui_kittest::Harness<'_, tunesmith::app::App>| {
        let preview = h.state().state.data.preview.clone().expect("a row is shown");
        assert_eq!(preview.pieces.iter().filter(|p| p.is_trained).count(), preview.num_trained);
        preview.index
    };
    assert_eq!(shown(&h), 0);
    h.get_by_label("Next").click();
    h.run_steps(stage::SETTLE);
    assert_eq!(shown(&h), 1);
    h.get_by_label("Previous").click();
    h.run_steps(stage::SETTLE);
    assert_eq!(shown(&h), 0);
}

#[test]
fn a_split_setting_prepares_again_and_a_failed_preparation_says_why() {
    let mut h = stage::window(actors::furnished(40));
    stage::act(&mut h, UiAction::Go(Place::Data));
    stage::act(&mut h, UiAction::Data(data::Action::SetTab(data::Tab::Split)));
    h.get_by_role_and_label(Role::CheckBox, "Keep labels in balance (stratify)").click();
    h.run_steps(stage::SETTLE);
    let commands = stage::commands(&mut h);
    let [prepare @ Command::Prepare { options, .. }] = &commands[..] else { panic!("{commands:?}") };
    assert!(!options.split.stratify);
    stage::accept(&mut h, 8, prepare);
    let failure =
        Failure::new("Nothing to train on", "every token is masked", "Give a column the role Answer.");
    stage::say(&mut h, 8, EventKind::Failed(failure));
    assert!(h.state().state.data.problem.as_ref().is_some_and(|p| p.contains("every token is masked")));
}

#[test]
fn home_leads_from_one_card_to_the_next() {
    let mut h = stage::window(stage::empty());
    let states = |h: &egui_kittest::Harness<'_, tunesmith::app::App>| {
        let app = &h.state().state;
        app.home.cards(&app.shared).into_iter().map(|c| c.state).collect::<Vec<_>>()
    };
    use home::CardState::{Done, Next, Waiting};
    assert_eq!(states(&h), [Next, Waiting, Waiting, Waiting, Waiting]);
    h.get_by_label("Model: Choose a model").click();
    h.run_steps(stage::SETTLE);
    assert_eq!(h.state().state.place, Place::Model);
    let mut h = stage::window(actors::furnished(20));
    assert_eq!(states(&h), [Done, Done, Done, Next, Waiting]);
    h.get_by_label("Compare: Compare").click();
    h.run_steps(stage::SETTLE);
    assert_eq!(h.state().state.place, Place::Playground);
}

#[test]
fn the_fruit_example_goes_step_by_step_and_says_where_it_failed() {
    let mut h = stage::window(stage::empty());
    stage::say(&mut h, 1, actors::project());
    stage::say(&mut h, 1, actors::models(false));
    stage::effects(&mut h);
    h.get_by_label("Try it with the fruit example").click();
    h.run_steps(stage::SETTLE);
    let commands = stage::commands(&mut h);
    let [download @ Command::DownloadModel { .. }] = &commands[..] else { panic!("{commands:?}") };
    stage::accept(&mut h, 2, download);
    let failure = Failure::new("No network", "connection refused", "Connect and try again.");
    stage::say(&mut h, 2, EventKind::Failed(failure));
    stage::act(&mut h, UiAction::Go(Place::Home));
    h.get_by_label("No network. Connect and try again.");
    h.get_by_label("Try again").click();
    h.run_steps(stage::SETTLE);
    let commands = stage::commands(&mut h);
    stage::accept(&mut h, 3, &commands[0]);
    stage::say(&mut h, 3, EventKind::Done);
    stage::say(&mut h, 4, actors::models(true));
    let commands = stage::commands(&mut h);
    assert!(matches!(&commands[..], [Command::ListModels, Command::InspectModel { .. }]), "{commands:?}");
    stage::say(&mut h, 5, actors::model());
    let commands = stage::commands(&mut h);
    let [Command::Import { path, .. }] = &commands[..] else { panic!("{commands:?}") };
    assert!(path.ends_with("fruit-families.csv"));
    let file = actors::imported(40);
    stage::say(&mut h, 6, EventKind::Imported(Arc::clone(&file)));
    let commands = stage::commands(&mut h);
    let [Command::Prepare { options, .. }] = &commands[..] else { panic!("{commands:?}") };
    stage::say(&mut h, 7, EventKind::Prepared(actors::dataset(&file, options)));
    assert_eq!(h.state().state.home.example.step, Some(home::Step::Train));
    assert_eq!(h.state().state.place, Place::Train);
}

/// A hub id that was not here ended in words about the command line.
#[test]
fn a_hub_id_that_was_typed_is_offered_for_download() {
    let mut h = stage::window(stage::empty());
    stage::say(&mut h, 1, actors::models(true));
    stage::act(&mut h, UiAction::Model(model::Action::SetPathText("org/small-llama".into())));
    stage::act(&mut h, UiAction::Model(model::Action::UseTyped));
    let commands = stage::commands(&mut h);
    let inspect = commands.last().expect("it is looked for");
    stage::accept(&mut h, 7, inspect);
    let absent = tunesmith::hub::HubError::NotDownloaded { name: "org/small-llama".into() };
    stage::say(&mut h, 7, EventKind::Failed(absent.into()));
    h.get_by_label_contains("org/small-llama is not on this machine yet");
    h.get_by_label("Download org/small-llama").click();
    h.run_steps(stage::SETTLE);
    let commands = stage::commands(&mut h);
    let [download @ Command::DownloadModel { name }] = &commands[..] else { panic!("{commands:?}") };
    assert_eq!(name, "org/small-llama");
    stage::accept(&mut h, 8, download);
    h.get_by_label("Download of org/small-llama");
    h.get_by_label("Cancel");
    // What came is read at once.
    stage::say(&mut h, 8, actors::models(true));
    let commands = stage::commands(&mut h);
    assert!(
        matches!(&commands[..], [Command::InspectModel { source }] if source == "org/small-llama"),
        "{commands:?}"
    );
}

/// A folder has no ending, so it was read as data.
#[test]
fn a_dropped_folder_is_a_model() {
    let mut h = stage::window(stage::empty());
    let folder = std::env::temp_dir();
    h.input_mut().dropped_files.push(Arc::new(Dropped(folder.clone())));
    h.run_steps(stage::SETTLE);
    let commands = stage::commands(&mut h);
    let [Command::InspectModel { source }] = &commands[..] else { panic!("{commands:?}") };
    assert_eq!(*source, folder.display().to_string());
}

#[test]
fn both_samples_are_offered_where_data_is_missing() {
    let mut h = stage::window(stage::empty());
    stage::say(&mut h, 1, actors::project());
    for (place, label) in [
        (Place::Data, "Sea captain: answers in a style of their own (Arr!)"),
        (Place::Home, "Open the sea captain sample"),
    ] {
        stage::act(&mut h, UiAction::Go(place));
        stage::effects(&mut h);
        h.get_by_label(label).click();
        h.run_steps(stage::SETTLE);
        let commands = stage::commands(&mut h);
        let [Command::Import { path, .. }] = &commands[..] else { panic!("{commands:?}") };
        assert!(path.ends_with("datasets/samples/sea-captain.jsonl"), "{}", path.display());
    }
}

/// Words were drawn token by token from the left, so that a Hebrew row could not be read.
#[test]
fn a_row_from_right_to_left_keeps_the_order_of_its_words_in_the_preview() {
    let mut state = actors::furnished(12);
    let preview = state.data.preview.as_mut().expect("the first row is shown");
    let mut piece = preview.pieces[0].clone();
    (piece.is_trained, preview.pieces) = (true, Vec::new());
    for text in ["שלום", " עולם", " טוב"] {
        piece.text = text.into();
        preview.pieces.push(piece.clone());
    }
    let mut h = stage::window(state);
    // The order counts here; no font of the tests has the letters.
    h.ctx.set_missing_glyph_policy(eframe::egui::MissingGlyphPolicy::Tofu);
    stage::act(&mut h, UiAction::Go(Place::Data));
    h.get_by_label_contains(&tunesmith::app::bidi::display("שלום עולם טוב"));
}

/// The narrow picture of the lengths had no number but 0.
#[test]
fn the_lengths_have_numbers_below_them() {
    let mut h = stage::window(actors::furnished(156));
    stage::act(&mut h, UiAction::Go(Place::Data));
    stage::act(&mut h, UiAction::Data(data::Action::SetTab(data::Tab::Lengths)));
    let plot = h.get_by_label("Lengths of the rows in tokens").rect();
    let image = h.render().unwrap();
    let is_ink = |x: u32, y: u32| image.get_pixel(x, y).0[..3].iter().all(|c| *c < 0x90);
    let below = plot.bottom() as u32 + 3..plot.bottom() as u32 + 14;
    let has_ink = |x: u32| below.clone().any(|y| is_ink(x, y));
    let right = (plot.center().x as u32..plot.right() as u32).filter(|x| has_ink(*x)).count();
    assert!(right > 6, "{right} columns of ink");
}

#[test]
fn model_says_what_each_method_would_train_and_under_which_licence() {
    let mut h = stage::window(actors::furnished(60));
    stage::act(&mut h, UiAction::Go(Place::Model));
    for (name, numbers) in [
        ("LoRA", "2,442,240 (1.8 %)"),
        ("Full tuning", "134,515,008 (100 %)"),
        ("IA3", "57,600 (0.04 %)"),
        ("Bottleneck adapters", "2,248,320 (1.7 %)"),
    ] {
        h.get_by_label(name);
        h.get_by_label(numbers);
    }
    assert!(h.query_by_label("not said").is_none());
    // Not of the list, and silent about itself.
    stage::say(&mut h, 3, EventKind::Models(Vec::new()));
    h.get_by_label("not said");
}
