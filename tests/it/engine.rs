//! Lanes: order of events, stopping, panics, full channels, shutting down.

use crate::cli::{rows_file, tiny_model};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tunesmith::base::{Control, Failure, Unit};
use tunesmith::data::import::ImportOptions;
use tunesmith::data::prepare::PrepareOptions;
use tunesmith::data::template::Rendered;
use tunesmith::engine::command::{ColumnRequest, GenerateRequest, Prompt};
use tunesmith::engine::event::{EventKind, GenerationEvent};
use tunesmith::engine::lane::{Carrier, MakeCarrier, Sink, on_compute_stack};
use tunesmith::engine::{Command, Engine, Event, Events, Halt, JobId};
use tunesmith::infer::sampler::Sampling;
use tunesmith::project::event::Outcome;
use tunesmith::project::prompt_set::PromptSet;
use tunesmith::project::{Project, RunEvent};
use tunesmith::recipe::{Recipe, load};

const PATIENCE: Duration = Duration::from_secs(20);

/// Does what the name in the command says.
#[derive(Default)]
struct Script {
    recovered: Arc<AtomicUsize>,
    release: Arc<AtomicBool>,
    done: Arc<Mutex<Vec<String>>>,
}

impl Carrier for Script {
    fn carry_out(&mut self, command: Command, control: &Control, sink: &mut Sink<'_>) -> Result<(), Halt> {
        let name = match command {
            Command::InspectModel { source } => source,
            Command::ResumeRun { folder } => folder.to_string_lossy().into_owned(),
            other => panic!("unexpected {other:?}"),
        };
        match name.as_str() {
            "panic" => panic!("it broke"),
            "fail" => return Err(Failure::new("No", "because", "try").into()),
            "wait" => {
                while !control.is_stopped() && !self.release.load(Ordering::Relaxed) {
                    std::thread::sleep(Duration::from_millis(2));
                }
                if control.is_stopped() {
                    return Err(Halt::Stopped);
                }
            }
            "flood" => {
                for _ in 0..5000 {
                    sink(EventKind::Exported { to: PathBuf::new() });
                }
            }
            "progress" => {
                while !self.release.load(Ordering::Relaxed) {
                    std::thread::sleep(Duration::from_millis(2));
                }
                for done in 0..5000 {
                    sink(EventKind::Progress { phase: "x".into(), done, total: None, unit: Unit::Rows });
                }
            }
            _ => {}
        }
        self.done.lock().unwrap().push(name);
        Ok(())
    }

    fn recover(&mut self) {
        self.recovered.fetch_add(1, Ordering::Relaxed);
    }
}

struct Stage {
    engine: Engine,
    events: Events,
    wakes: Arc<AtomicUsize>,
    recovered: Arc<AtomicUsize>,
    release: Arc<AtomicBool>,
    done: Arc<Mutex<Vec<String>>>,
}

impl Stage {
    fn new() -> Self {
        let wakes = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&wakes);
        let waker = Arc::new(move |_| {
            count.fetch_add(1, Ordering::Relaxed);
        });
        let (recovered, release, done) =
            <(Arc<AtomicUsize>, Arc<AtomicBool>, Arc<Mutex<Vec<String>>>)>::default();
        let make = || -> MakeCarrier {
            let script =
                Script { recovered: recovered.clone(), release: release.clone(), done: done.clone() };
            Box::new(move || Box::new(script))
        };
        let (engine, events) = Engine::with_carriers(waker, make(), make());
        Self { engine, events, wakes, recovered, release, done }
    }

    fn io(&self, name: &str) -> JobId {
        self.engine.submit(Command::InspectModel { source: name.into() })
    }

    fn compute(&self, name: &str) -> JobId {
        self.engine.submit(Command::ResumeRun { folder: name.into() })
    }

    /// Events of `job` up to its last one, as short words.
    fn until_end(&self, job: JobId) -> Vec<String> {
        let mut seen = Vec::new();
        loop {
            let event = self.events.recv_timeout(PATIENCE).unwrap();
            if event.job == job {
                let word = word(&event);
                seen.push(word.clone());
                if ["Done", "Stopped"].contains(&word.as_str()) || word.starts_with("Failed") {
                    return seen;
                }
            }
        }
    }
}

fn word(event: &Event) -> String {
    match &event.kind {
        EventKind::Failed(failure) => format!("Failed {}", failure.detail),
        other => format!("{other:?}").split([' ', '(']).next().unwrap().to_string(),
    }
}

#[test]
fn a_job_starts_and_ends_once() {
    let stage = Stage::new();
    let job = stage.io("fine");
    assert_eq!(stage.until_end(job), ["Started", "Done"]);
    assert!(stage.wakes.load(Ordering::Relaxed) >= 2);
    assert!(stage.engine.control(job).is_none(), "the job is over");
    let job = stage.compute("fail");
    assert_eq!(stage.until_end(job), ["Started", "Failed because"]);
}

#[test]
fn a_panic_fails_the_job_and_the_lane_goes_on() {
    let stage = Stage::new();
    let first = stage.compute("panic");
    assert_eq!(stage.until_end(first), ["Started", "Failed it broke"]);
    assert_eq!(stage.recovered.load(Ordering::Relaxed), 1);
    let second = stage.compute("fine");
    assert_eq!(stage.until_end(second), ["Started", "Done"]);
}

#[test]
fn lanes_do_not_wait_for_each_other() {
    let stage = Stage::new();
    let long = stage.compute("wait");
    let short = stage.io("fine");
    assert_eq!(stage.until_end(short), ["Started", "Done"]);
    stage.release.store(true, Ordering::Relaxed);
    assert_eq!(stage.until_end(long).last().unwrap(), "Done");
}

#[test]
fn a_running_job_is_stopped_and_a_waiting_one_never_runs() {
    let stage = Stage::new();
    let running = stage.io("wait");
    assert_eq!(word(&stage.events.recv_timeout(PATIENCE).unwrap()), "Started");
    let waiting = stage.io("never");
    stage.engine.stop(waiting);
    assert_eq!(stage.until_end(waiting), ["Stopped"]);
    stage.engine.stop(running);
    assert_eq!(stage.until_end(running), ["Stopped"]);
    let last = stage.io("last");
    stage.until_end(last);
    assert_eq!(*stage.done.lock().unwrap(), ["last"]);
}

#[test]
fn jobs_of_a_lane_run_in_order() {
    let stage = Stage::new();
    let names: Vec<String> = (0..20).map(|i| format!("job {i}")).collect();
    let jobs: Vec<JobId> = names.iter().map(|n| stage.io(n)).collect();
    stage.until_end(jobs[19]);
    assert_eq!(*stage.done.lock().unwrap(), names);
}

#[test]
fn state_changes_wait_for_room_and_progress_does_not() {
    let stage = Stage::new();
    let progress = stage.compute("progress");
    assert_eq!(stage.events.recv_timeout(PATIENCE).unwrap().job, progress);
    let flood = stage.io("flood");
    while !stage.events.is_full() {
        std::thread::sleep(Duration::from_millis(2));
    }
    // Nobody reads: the flood stands still, but progress is dropped and the job comes to its end.
    stage.release.store(true, Ordering::Relaxed);
    let began = Instant::now();
    while !stage.done.lock().unwrap().contains(&"progress".to_string()) {
        assert!(began.elapsed() < PATIENCE, "progress waited for a reader");
        std::thread::sleep(Duration::from_millis(2));
    }
    assert!(!stage.done.lock().unwrap().contains(&"flood".to_string()));
    let seen = stage.until_end(flood);
    assert_eq!(seen.iter().filter(|w| *w == "Exported").count(), 5000, "no state change is lost");
}

#[test]
fn too_many_waiting_jobs_are_refused_with_a_message() {
    let stage = Stage::new();
    let running = stage.io("wait");
    let jobs: Vec<JobId> = (0..400).map(|i| stage.io(&format!("{i}"))).collect();
    let last = *jobs.last().unwrap();
    let seen = stage.until_end(last);
    assert!(seen[0].starts_with("Failed too many jobs"), "{seen:?}");
    stage.engine.stop(running);
}

#[test]
fn shutting_down_does_not_hang() {
    // With a full channel that nobody reads, a waiting job, and jobs in the queue.
    let stage = Stage::new();
    stage.io("flood");
    stage.compute("wait");
    stage.compute("fine");
    std::thread::sleep(Duration::from_millis(100));
    let began = Instant::now();
    stage.engine.shutdown();
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert!(stage.done.lock().unwrap().iter().all(|name| name == "flood"));
    drop(stage.events);
}

#[test]
fn shutting_down_without_a_reader_does_not_hang() {
    let stage = Stage::new();
    drop(stage.events);
    stage.engine.submit(Command::InspectModel { source: "flood".into() });
    std::thread::sleep(Duration::from_millis(20));
    stage.engine.shutdown();
}

#[test]
fn a_paused_job_ends_when_the_engine_is_dropped() {
    let stage = Stage::new();
    let job = stage.compute("wait");
    assert_eq!(word(&stage.events.recv_timeout(PATIENCE).unwrap()), "Started");
    stage.engine.control(job).unwrap().pause();
    drop(stage.engine);
    assert!(stage.events.iter().any(|e| e.job == job && matches!(e.kind, EventKind::Stopped)));
}

#[test]
fn the_compute_stack_is_deep_and_survives_a_panic() {
    fn deep(n: usize) -> usize {
        let block = std::hint::black_box([n; 1024]);
        if n == 0 { block[0] } else { deep(n - 1) + block[1] - n + 1 }
    }
    // About 16 MB of frames: far more than the 2 MB of a usual thread.
    assert_eq!(on_compute_stack(|| deep(2000)).unwrap(), 2000);
    let failure = on_compute_stack(|| -> () { panic!("too deep") }).unwrap_err();
    assert_eq!(failure.detail, "too deep");
}

/// The engine as the window has it.
struct Real {
    engine: Engine,
    events: Events,
}

impl Real {
    fn new() -> Self {
        let (engine, events) = Engine::new(Arc::new(|_| {}));
        Self { engine, events }
    }

    /// What a command sends between its start and its end, and how it ended.
    fn carry_out(&self, command: Command) -> (Vec<EventKind>, EventKind) {
        let job = self.engine.submit(command);
        let mut seen = Vec::new();
        loop {
            let event = self.events.recv_timeout(PATIENCE).unwrap();
            assert_eq!(event.job, job);
            match event.kind {
                EventKind::Started => assert!(seen.is_empty()),
                EventKind::Progress { .. } => {}
                last @ (EventKind::Done | EventKind::Stopped | EventKind::Failed(_)) => return (seen, last),
                other => seen.push(other),
            }
        }
    }

    /// A command that must end well.
    fn done(&self, command: Command) -> Vec<EventKind> {
        let (seen, last) = self.carry_out(command);
        assert!(matches!(last, EventKind::Done), "{last:?}");
        seen
    }

    fn failed(&self, command: Command) -> Failure {
        match self.carry_out(command).1 {
            EventKind::Failed(failure) => failure,
            other => panic!("{other:?}"),
        }
    }
}

fn recipe(model: &str, rows: &str) -> Box<Recipe> {
    let mut recipe = Recipe::default();
    recipe.model.source = model.into();
    recipe.data.path = Some(rows.into());
    for setting in ["length.updates=3", "batch.max_tokens=128", "run.device=cpu"] {
        load::set(&mut recipe, setting).unwrap();
    }
    Box::new(recipe)
}

/// Trains three updates; the folder of the run.
fn trained(real: &Real, project: &Path, model: &str, rows: &str) -> PathBuf {
    let seen = real.done(Command::Train { project: project.into(), recipe: recipe(model, rows) });
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

    let run = trained(&real, &project, &model, &rows);
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
    let run = trained(&real, &place.path().join("project"), &model, &rows);
    let column = |adapter| ColumnRequest { adapter, sampling: Sampling::default() };
    let prompt = |text: &str| Prompt { rendered: plain(text), expected: Some("peach".into()) };
    let mut request = GenerateRequest {
        model: model.clone(),
        columns: vec![column(None), column(Some(run.join("adapter"))), column(None)],
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

    request.columns[1].adapter = Some(place.path().join("missing"));
    let (seen, last) = real.carry_out(Command::Generate(request));
    assert!(seen.is_empty(), "nothing is answered before everything is loaded");
    assert!(matches!(last, EventKind::Failed(_)));
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
