//! The engine as the window has it: what each command answers with.

use crate::cli::{rows_file, tiny_model};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tunesmith::base::{Failure, Unit};
use tunesmith::data::import::ImportOptions;
use tunesmith::data::prepare::PrepareOptions;
use tunesmith::data::template::Rendered;
use tunesmith::engine::command::{ColumnRequest, GenerateRequest, Prompt};
use tunesmith::engine::event::{EventKind, GenerationEvent};
use tunesmith::engine::jobs::compose::Way;
use tunesmith::engine::{Command, Engine, Events};
use tunesmith::infer::sampler::Sampling;
use tunesmith::peft::Composition;
use tunesmith::peft::compose::{How, Part, Source};
use tunesmith::project::adapters;
use tunesmith::project::event::Outcome;
use tunesmith::project::prompt_set::PromptSet;
use tunesmith::project::{Project, RunEvent};
use tunesmith::recipe::{Recipe, load};

const PATIENCE: Duration = Duration::from_secs(20);

/// The engine as the window has it.
pub struct Real {
    engine: Engine,
    events: Events,
}

impl Real {
    pub fn new() -> Self {
        let (engine, events) = Engine::new(Arc::new(|_| {}));
        Self { engine, events }
    }

    /// What a command sends between its start and its end, and how it ended.
    pub fn carry_out(&self, command: Command) -> (Vec<EventKind>, EventKind) {
        self.carry_out_until(command, |_| false)
    }

    /// The same; it is stopped at the event that `is_enough`.
    pub fn carry_out_until(
        &self,
        command: Command,
        is_enough: impl Fn(&EventKind) -> bool,
    ) -> (Vec<EventKind>, EventKind) {
        let job = self.engine.submit(command);
        let mut seen = Vec::new();
        loop {
            let event = self.events.recv_timeout(PATIENCE).unwrap();
            assert_eq!(event.job, job);
            if is_enough(&event.kind) {
                self.engine.stop(job);
            }
            match event.kind {
                EventKind::Started => assert!(seen.is_empty()),
                EventKind::Progress { .. } => {}
                last @ (EventKind::Done | EventKind::Stopped | EventKind::Failed(_)) => return (seen, last),
                other => seen.push(other),
            }
        }
    }

    /// A command that must end well.
    pub fn done(&self, command: Command) -> Vec<EventKind> {
        let (seen, last) = self.carry_out(command);
        assert!(matches!(last, EventKind::Done), "{last:?}");
        seen
    }

    pub fn failed(&self, command: Command) -> Failure {
        match self.carry_out(command).1 {
            EventKind::Failed(failure) => failure,
            other => panic!("{other:?}"),
        }
    }
}

pub fn recipe(model: &str, rows: &str) -> Box<Recipe> {
    let mut recipe = Recipe::default();
    recipe.model.source = model.into();
    recipe.data.path = Some(rows.into());
    for setting in ["length.updates=3", "batch.max_tokens=128", "run.device=cpu"] {
        load::set(&mut recipe, setting).unwrap();
    }
    Box::new(recipe)
}

/// Trains three updates; the folder of the run.
pub fn trained(real: &Real, project: &Path, recipe: Box<Recipe>) -> PathBuf {
    let seen = real.done(Command::Train { project: project.into(), recipe });
    let mut runs = seen.iter().filter_map(|kind| match kind {
        EventKind::Run { folder, event } => Some((folder, event)),
        _ => None,
    });
    let updates = runs.clone().filter(|(_, e)| matches!(e, RunEvent::Update { .. })).count();
    assert_eq!(updates, 3);
    let (folder, last) = runs.next_back().unwrap();
    assert!(matches!(last, RunEvent::Finished { outcome: Outcome::Done, .. }), "{last:?}");
    folder.clone()
}

/// A path that was typed in the window is taken from the folder it was started in, also when the run is resumed from another.
#[test]
fn the_frozen_recipe_has_whole_paths() {
    let place = tempfile::tempdir().unwrap();
    let mut recipe = recipe(&tiny_model(place.path()), &rows_file(place.path()));
    // Tests are started in the folder of the manifest.
    load::set(&mut recipe, "forgetting.text=LICENSE-MIT").unwrap();
    let run = trained(&Real::new(), &place.path().join("project"), recipe);
    let frozen = load::from_file(&run.join("recipe.toml")).unwrap();
    let whole = Path::new(env!("CARGO_MANIFEST_DIR")).join("LICENSE-MIT");
    assert_eq!(frozen.forgetting.text, Some(whole));
}

/// The ledger lies beside the data, one file for each data file, however often it is prepared.
#[test]
fn the_project_keeps_the_ledger_of_its_data() {
    let place = tempfile::tempdir().unwrap();
    let (model, project) = (tiny_model(place.path()), place.path().join("project"));
    let rows = place.path().join("My rows.csv");
    std::fs::write(&rows, "question,answer\na,b\nA,b\n,\nc,\nd,e,f\ng,h\ni,j\n").unwrap();
    let real = Real::new();
    real.done(Command::OpenProject { folder: project.clone() });
    let seen = real.done(Command::Import { path: rows.clone(), options: ImportOptions::default() });
    let [EventKind::Imported(imported)] = &seen[..] else { panic!("{seen:?}") };
    let prepared = |keep_duplicates: bool| -> serde_json::Value {
        let options = PrepareOptions { keep_duplicates, ..PrepareOptions::new(imported.schema.clone()) };
        let imported = imported.clone();
        real.done(Command::Prepare { imported, model: model.clone(), options });
        let files: Vec<_> = std::fs::read_dir(project.join("datasets/ledgers")).unwrap().flatten().collect();
        assert!(files.len() == 1 && files[0].file_name().to_string_lossy().starts_with("my-rows-"));
        serde_json::from_slice(&std::fs::read(files[0].path()).unwrap()).unwrap()
    };
    let first = prepared(false);
    assert_eq!(first["source"], rows.to_str().unwrap());
    assert_eq!((&first["num_read"], &first["num_kept"]), (&7.into(), &3.into()));
    let line =
        |line: u64| first["entries"].as_array().unwrap().iter().find(|entry| entry["line"] == line).unwrap();
    assert_eq!((&line(3)["fate"], &line(3)["of_line"]), (&"duplicate".into(), &2.into()));
    assert_eq!(line(4)["fate"], "empty");
    assert!(line(5)["reason"].as_str().unwrap().contains("answer"));
    assert!(line(6)["reason"].as_str().unwrap().contains("found 3"));
    assert_eq!(first, prepared(false));
    let second = prepared(true);
    assert_eq!(second["num_kept"], 4);
    assert_eq!(second["options"]["keep_duplicates"], true);
    assert_ne!(second["kept_rows"], first["kept_rows"]);
}

/// While the window shows a file, a run on it has no second table in memory.
#[test]
fn a_file_that_is_in_memory_is_not_read_again() {
    let place = tempfile::tempdir().unwrap();
    let (model, rows) = (tiny_model(place.path()), rows_file(place.path()));
    let real = Real::new();
    let import = || {
        let command = Command::Import { path: rows.clone().into(), options: ImportOptions::default() };
        let [EventKind::Imported(imported)] = &real.done(command)[..] else { panic!() };
        imported.clone()
    };
    let first = import();
    assert!(Arc::ptr_eq(&first, &import()));
    let command = Command::Train { project: place.path().join("project"), recipe: recipe(&model, &rows) };
    let job = real.engine.submit(command);
    loop {
        let event = real.events.recv_timeout(PATIENCE).unwrap();
        match event.kind {
            EventKind::Progress { unit, .. } => assert_ne!(unit, Unit::Bytes, "the file is read again"),
            EventKind::Done if event.job == job => break,
            EventKind::Failed(failure) => panic!("{failure:?}"),
            _ => {}
        }
    }
    let text = std::fs::read_to_string(&rows).unwrap();
    std::fs::write(&rows, format!("{text}one more fruit,pome\n")).unwrap();
    assert_eq!(import().table.num_rows(), first.table.num_rows() + 1);
}

#[test]
fn the_main_job_goes_through_the_engine() {
    let place = tempfile::tempdir().unwrap();
    let (model, rows) = (tiny_model(place.path()), rows_file(place.path()));
    let project = place.path().join("project");
    let real = Real::new();
    let seen = real.done(Command::OpenProject { folder: project.clone() });
    assert!(matches!(&seen[..], [EventKind::Project(view)] if view.folder == project));
    let seen = real.done(Command::InspectModel { source: model.clone() });
    assert!(matches!(&seen[0], EventKind::Model(info) if info.num_layers == 2));

    let seen = real.done(Command::Import { path: rows.clone().into(), options: ImportOptions::default() });
    let [EventKind::Imported(imported)] = &seen[..] else { panic!("{seen:?}") };
    assert_eq!(imported.table.num_rows(), 36);
    let options = PrepareOptions::new(imported.schema.clone());
    let seen = real.done(Command::Prepare { imported: imported.clone(), model: model.clone(), options });
    let [EventKind::Prepared(dataset)] = &seen[..] else { panic!("{seen:?}") };
    assert_eq!(dataset.rows.len(), 36);

    let run = trained(&real, &project, recipe(&model, &rows));
    let seen = real.done(Command::ListRuns { project: project.clone() });
    let [EventKind::Runs(runs)] = &seen[..] else { panic!("{seen:?}") };
    assert_eq!((runs.len(), runs[0].last_update, runs[0].outcome), (1, 3, Some(Outcome::Done)));
    let seen = real.done(Command::ReadRun { folder: run.clone() });
    assert!(matches!(&seen[..], [EventKind::RunRead { events, .. }] if events.len() > 5));

    let path = place.path().join("my.toml");
    std::fs::write(&path, "[optimizer]\nlearning_rate = 7e-4\n").unwrap();
    let seen = real.done(Command::ReadRecipe { path: path.clone() });
    assert!(
        matches!(&seen[..], [EventKind::Recipe { recipe, .. }] if recipe.optimizer.learning_rate == 7e-4)
    );
    std::fs::write(&path, "[optimizer]\nlerning_rate = 7e-4\n").unwrap();
    assert!(real.failed(Command::ReadRecipe { path }).detail.contains("optimizer.learning_rate"));

    let to = place.path().join("exported");
    real.done(Command::ExportAdapter { run: run.clone(), to: to.clone() });
    assert!(to.join("adapter_model.safetensors").is_file());
    assert!(real.failed(Command::ExportAdapter { run: run.clone(), to }).detail.contains("there already"));

    real.done(Command::DeleteRun { folder: run.clone() });
    assert!(!run.exists());
    let set = PromptSet { name: "Fruit".into(), ..PromptSet::default() };
    let seen = real.done(Command::SavePromptSet { project, set: set.clone() });
    assert!(matches!(&seen[..], [EventKind::PromptSets(sets)] if *sets == [set]));
}

fn plain(text: &str) -> Rendered {
    Rendered { text: text.into(), ..Rendered::default() }
}

#[test]
fn columns_of_base_and_tuned_answer_each_prompt() {
    let place = tempfile::tempdir().unwrap();
    let (model, rows) = (tiny_model(place.path()), rows_file(place.path()));
    let real = Real::new();
    let run = trained(&real, &place.path().join("project"), recipe(&model, &rows));
    let column = |source| ColumnRequest { adapter: source, sampling: Sampling::default() };
    let tuned = Source::Folder(run.join("adapter"));
    let prompt = |text: &str| Prompt { rendered: plain(text), expected: Some("peach".into()) };
    let mut request = GenerateRequest {
        model: model.clone(),
        columns: vec![column(None), column(Some(tuned.clone())), column(None)],
        prompts: vec![prompt("a peach is a"), prompt("no")],
        max_tokens: 5,
        stop: Vec::new(),
    };
    let seen = real.done(Command::Generate(request.clone()));
    let mut texts = vec![String::new(); 6];
    let mut ended = Vec::new();
    let mut turns = Vec::new();
    for kind in &seen {
        let EventKind::Generation { column, prompt, event } = kind else { panic!("{kind:?}") };
        let text = &mut texts[prompt * 3 + column];
        match event {
            GenerationEvent::Began { .. } => assert!(text.is_empty()),
            GenerationEvent::Text(piece) => {
                text.push_str(piece);
                turns.push((*prompt, *column));
            }
            GenerationEvent::Ended { text: whole, num_tokens, is_match, .. } => {
                assert_eq!(whole, text, "pieces end to end are the answer");
                assert!(*num_tokens <= 5 && is_match.is_some());
                ended.push((*prompt, *column));
            }
            GenerationEvent::Refused { why } => panic!("{why}"),
        }
    }
    ended.sort_unstable();
    assert_eq!(ended, [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]);
    assert_eq!(texts[0], texts[2], "the adapter of one column leaves the others as they are");
    let last_of_first = turns.iter().rposition(|turn| *turn == (0, 0)).unwrap();
    let first_of_last = turns.iter().position(|turn| *turn == (0, 2)).unwrap();
    assert!(first_of_last < last_of_first, "the columns take turns: {turns:?}");

    // A prompt of the set that is longer than the context says so, and the others are answered.
    request.prompts.insert(1, prompt(&"too long ".repeat(200)));
    let seen = real.done(Command::Generate(request.clone()));
    let (mut refused, mut ended) = (Vec::new(), Vec::new());
    for kind in &seen {
        let EventKind::Generation { prompt, event, .. } = kind else { panic!("{kind:?}") };
        match event {
            GenerationEvent::Refused { why } if why.contains("tokens") => refused.push(*prompt),
            GenerationEvent::Ended { .. } => ended.push(*prompt),
            _ => {}
        }
    }
    ended.sort_unstable();
    assert_eq!((refused, ended), (vec![1; 3], vec![0, 0, 0, 2, 2, 2]));

    // A composition answers as what it comes to.
    let mix = |folder: PathBuf| {
        let parts = [(run.join("adapter"), 1.0), (folder, 0.0)];
        let parts = parts.map(|(folder, weight)| Part { folder, weight }).to_vec();
        Some(Source::Composed(Composition { parts, how: How::Linear }))
    };
    request.prompts.truncate(1);
    let Some(Source::Composed(Composition { parts, how })) = mix(run.join("adapter")) else { panic!() };
    let (project, name) = (place.path().join("project"), "kept".to_string());
    let way = Way::Adapters(how);
    real.done(Command::SaveMix { project: project.clone(), name, model: request.model.clone(), parts, way });
    let saved = Some(Source::Folder(adapters::path(&project, "kept")));
    request.columns = [Some(tuned), mix(run.join("adapter")), saved].map(column).to_vec();
    let answered = real.done(Command::Generate(request.clone())).into_iter().filter_map(|kind| match kind {
        EventKind::Generation { event: GenerationEvent::Ended { text, .. }, .. } => Some(text),
        _ => None,
    });
    let answered: Vec<String> = answered.collect();
    assert!(answered.len() == 3 && answered[1..].iter().all(|text| *text == answered[0]), "{answered:?}");

    for missing in [Some(Source::Folder(place.path().join("missing"))), mix(place.path().join("missing"))] {
        request.columns[1].adapter = missing;
        let (seen, last) = real.carry_out(Command::Generate(request.clone()));
        assert!(seen.is_empty(), "nothing is answered before everything is loaded");
        assert!(matches!(last, EventKind::Failed(_)));
    }
}

/// Whole models are added to the base and taken from it; adapters are not, and the reason is told.
#[test]
fn a_column_answers_with_task_vectors() {
    let place = tempfile::tempdir().unwrap();
    let (model, rows) = (tiny_model(place.path()), rows_file(place.path()));
    let (real, project) = (Real::new(), place.path().join("project"));
    let adapter = trained(&real, &project, recipe(&model, &rows)).join("adapter");
    let mut full = recipe(&model, &rows);
    for setting in ["method.kind=full", "optimizer.learning_rate=0.01"] {
        load::set(&mut full, setting).unwrap();
    }
    let tuned = trained(&real, &project, full).join("adapter");
    let vectors = |parts: &[(&PathBuf, f64)]| {
        let part = |&(folder, weight): &(&PathBuf, f64)| Part { folder: folder.clone(), weight };
        Some(Source::TaskVectors { task_vectors: parts.iter().map(part).collect() })
    };
    let once = vectors(&[(&tuned, 1.0)]);
    let nothing = vectors(&[(&tuned, 1.0), (&tuned, -1.0)]);
    let column = |adapter| ColumnRequest { adapter, sampling: Sampling::default() };
    let mut request = GenerateRequest {
        model,
        columns: [None, Some(Source::Folder(tuned.clone())), once, nothing].map(column).to_vec(),
        prompts: vec![Prompt { rendered: plain("a peach is a"), expected: None }],
        max_tokens: 8,
        stop: Vec::new(),
    };
    let mut answers = vec![String::new(); 4];
    for kind in real.done(Command::Generate(request.clone())) {
        if let EventKind::Generation { column, event: GenerationEvent::Ended { text, .. }, .. } = kind {
            answers[column] = text;
        }
    }
    assert_ne!(answers[0], answers[1], "what was trained shows");
    assert_eq!((&answers[2], &answers[3]), (&answers[1], &answers[0]));

    request.columns[2] = column(vectors(&[(&tuned, 1.0), (&adapter, 1.0)]));
    let failure = real.failed(Command::Generate(request));
    assert!(failure.detail.contains("no whole model") && failure.hint.contains("mix"), "{failure}");
}

#[test]
fn a_stopped_run_is_saved_and_can_be_resumed() {
    let place = tempfile::tempdir().unwrap();
    let (model, rows) = (tiny_model(place.path()), rows_file(place.path()));
    let real = Real::new();
    let mut recipe = recipe(&model, &rows);
    load::set(&mut recipe, "length.updates=100000").unwrap();
    load::set(&mut recipe, "validation.every_updates=100000").unwrap();
    let job = real.engine.submit(Command::Train { project: place.path().join("project"), recipe });
    let mut folder = None;
    let last = loop {
        let event = real.events.recv_timeout(PATIENCE).unwrap();
        match event.kind {
            EventKind::Run { folder: at, event: RunEvent::Update { .. } } if folder.is_none() => {
                folder = Some(at);
                real.engine.stop(job);
            }
            EventKind::Run { .. }
            | EventKind::Rows { .. }
            | EventKind::Started
            | EventKind::Progress { .. } => {}
            last => break last,
        }
    };
    assert!(matches!(last, EventKind::Stopped), "{last:?}");
    let folder = folder.unwrap();
    let summary = tunesmith::project::runs::summary(&folder).unwrap();
    assert_eq!(summary.outcome, Some(Outcome::Stopped));
    let update = summary.resumable.unwrap();
    let job = real.engine.submit(Command::ResumeRun { folder });
    let mut from = None;
    loop {
        let event = real.events.recv_timeout(PATIENCE).unwrap();
        match event.kind {
            EventKind::Run { event: RunEvent::Started { from_update, .. }, .. } => {
                from = Some(from_update);
                real.engine.control(job).unwrap().discard();
            }
            EventKind::Run { .. }
            | EventKind::Rows { .. }
            | EventKind::Started
            | EventKind::Progress { .. } => {}
            last => {
                assert!(matches!(last, EventKind::Stopped), "{last:?}");
                break;
            }
        }
    }
    assert_eq!(from, Some(update));
}

#[test]
fn a_project_opens_in_one_place_only() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("project");
    let elsewhere = Project::open(&folder).unwrap();
    let real = Real::new();
    let failure = real.failed(Command::OpenProject { folder: folder.clone() });
    assert!(failure.detail.contains("another window"), "{failure}");
    drop(elsewhere);
    // A program that another test starts at this moment may hold the lock a little longer, until it is under way.
    let opens =
        |_| matches!(real.carry_out(Command::OpenProject { folder: folder.clone() }).1, EventKind::Done);
    assert!((0..100).inspect(|_| std::thread::sleep(Duration::from_millis(20))).any(opens));
    real.done(Command::OpenProject { folder: folder.clone() });
    std::fs::write(place.path().join("file"), "").unwrap();
    real.failed(Command::OpenProject { folder: place.path().join("file") });
    let newer = place.path().join("newer");
    std::fs::create_dir(&newer).unwrap();
    std::fs::write(newer.join("project.toml"), "format = 999\n").unwrap();
    assert!(real.failed(Command::OpenProject { folder: newer }).detail.contains("newer"));
}
