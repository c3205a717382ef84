//! What lies on disk: projects, runs, metrics, prompt sets, exports; also after a crash, and when it is not ours.

use std::fs;
use std::path::{Path, PathBuf};
use tunesmith::base::{Explain, Failure};
use tunesmith::data::shots::{Question, Shot};
use tunesmith::data::{Fate, Ledger};
use tunesmith::export;
use tunesmith::project::folder::Remembered;
use tunesmith::project::method_comparison::{MARKDOWN_FILE, MethodComparison, MethodRow};
use tunesmith::project::prompt_set::{self, PromptSet};
use tunesmith::project::{Outcome, Project, ProjectError, RunEvent, RunFolder, runs};
use tunesmith::recipe::{Recipe, load};

fn update(update: u64, loss: f64) -> RunEvent {
    RunEvent::Update {
        update,
        epoch: update as f64 / 10.0,
        loss,
        learning_rate: 1e-3,
        grad_norm: 1.0,
        num_tokens: 100,
        tokens_per_second: 50.0,
        update_secs: 2.0,
        memory_bytes: 1,
        replay_loss: None,
        divergence: None,
    }
}

fn started(from_update: u64) -> RunEvent {
    RunEvent::Started {
        time: "2026-11-21T14:30:00Z".into(),
        num_updates: 100,
        updates_per_epoch: 10.0,
        num_train: 80,
        num_valid: 10,
        num_trainable_params: 5,
        estimated_memory_bytes: 6,
        estimated_secs: 174.0,
        device: "CPU".into(),
        from_update,
    }
}

fn validation(update: u64, loss: f64) -> RunEvent {
    RunEvent::Validation {
        update,
        loss,
        beside_first: None,
        best: true,
        without_gain: 0,
        metrics: Default::default(),
    }
}

fn finished(outcome: Outcome, update: u64) -> RunEvent {
    let adapter = Some("adapter".into());
    RunEvent::Finished { outcome, update, best_update: None, best_loss: None, secs: 9.0, adapter }
}

/// A run with updates 1..=n and a checkpoint at the last one.
fn run_in(runs: &Path, name: &str, num_updates: u64) -> RunFolder {
    let folder = RunFolder::create(&runs.join(name), &Recipe::default()).unwrap();
    folder.append(&started(0)).unwrap();
    for u in 1..=num_updates {
        folder.append(&update(u, 3.0 / u as f64)).unwrap();
    }
    fs::create_dir(folder.checkpoint_dir(num_updates)).unwrap();
    folder
}

fn updates(events: &[RunEvent]) -> Vec<u64> {
    let number = |event: &RunEvent| match event {
        RunEvent::Update { update, .. } => Some(*update),
        _ => None,
    };
    events.iter().filter_map(number).collect()
}

/// Folders that cannot be written to: one made read-only, unless this user can write anywhere, and the kernel's own,
/// where nobody can make a folder.
fn read_only(home: &Path) -> Vec<PathBuf> {
    let mut folders = Vec::new();
    let folder = home.join("read-only");
    fs::create_dir(&folder).unwrap();
    let mut permissions = fs::metadata(&folder).unwrap().permissions();
    permissions.set_readonly(true);
    fs::set_permissions(&folder, permissions).unwrap();
    if fs::write(folder.join("probe"), "x").is_err() {
        folders.push(folder);
    }
    if cfg!(target_os = "linux") {
        folders.push("/sys/tunesmith".into());
    }
    folders
}

#[test]
fn a_project_remembers_and_holds_its_lock() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("deep/früchte");
    let mut project = Project::open(&folder).unwrap();
    for part in ["datasets", "runs", "adapters", "exports"] {
        assert!(folder.join(part).is_dir(), "{part}");
    }
    let drafts = [("playground".into(), serde_json::json!({ "prompt": "Zürich?", "shots": [1, null] }))];
    let memory =
        Remembered { model: Some("smollm2".into()), data: Some("/tmp/x.csv".into()), drafts: drafts.into() };
    project.remember(memory.clone()).unwrap();

    let second = Project::open(&folder).unwrap_err();
    assert!(matches!(second, ProjectError::InUse { .. }));
    assert!(Failure::from(second).to_string().contains("window"));
    drop(project);

    let view = Project::open(&folder).unwrap().view();
    assert_eq!((view.name.as_str(), view.memory), ("früchte", memory.clone()));

    // Drafts that somebody damaged cost no more than themselves.
    std::fs::write(folder.join("drafts.json"), "{\"play").unwrap();
    let view = Project::open(&folder).unwrap().view();
    assert_eq!(view.memory, Remembered { drafts: Default::default(), ..memory });
}

#[test]
fn projects_that_cannot_be_opened_say_why_and_stay_as_they_are() {
    // (project.toml, is it from a newer version)
    let cases: [(&[u8], bool); 7] = [
        (b"format = 2\nshiny = true", true),
        (b"format = 99999999999", true),
        (b"", false),
        (b"format = \"one\"", false),
        (b"\xff\xfe\x00", false),
        (b"format = 1\n[memory]\nmodel = 5", false),
        (b"name = \"someone else's file\"", false),
    ];
    for (text, is_newer) in cases {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("project.toml"), text).unwrap();
        let error = Project::open(folder.path()).unwrap_err();
        assert_eq!(matches!(error, ProjectError::Newer { .. }), is_newer, "{error}");
        assert!(error.to_string().contains("project.toml") && !error.hint().is_empty(), "{error}");
        assert_eq!(fs::read(folder.path().join("project.toml")).unwrap(), text);
        assert!(!folder.path().join("runs").exists());
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    assert!(matches!(Project::open(file.path()), Err(ProjectError::Write { .. })));
    // A draft that cannot be read is no reason not to open.
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("drafts.json"), "[[[").unwrap();
    assert_eq!(Project::open(folder.path()).unwrap().view().memory, Remembered::default());
}

#[test]
fn a_read_only_folder_is_told() {
    let home = tempfile::tempdir().unwrap();
    for folder in read_only(home.path()) {
        let project = Project::open(&folder).unwrap_err();
        let run = RunFolder::create(&folder.join("run"), &Recipe::default()).unwrap_err();
        for error in [project, run] {
            assert!(matches!(error, ProjectError::Write { .. }), "{error}");
            assert!(error.hint().contains("may write"), "{}", error.hint());
            assert!(error.to_string().contains(&folder.display().to_string()), "{error}");
        }
    }
}

#[test]
fn a_full_disk_is_told() {
    // Every write to this device fails as on a full disk.
    if !Path::new("/dev/full").exists() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let run = run_in(folder.path(), "run", 2);
    #[cfg(unix)]
    {
        fs::remove_file(run.path().join("metrics.jsonl")).unwrap();
        std::os::unix::fs::symlink("/dev/full", run.path().join("metrics.jsonl")).unwrap();
        let error = run.append(&update(3, 1.0)).unwrap_err();
        assert!(error.hint().contains("disk is full"), "{error}: {}", error.hint());
    }
    assert!(run.checkpoint_dir(*run.checkpoints().last().unwrap()).is_dir());
}

#[test]
fn a_run_folder_is_made_once_and_freezes_its_recipe() {
    let home = tempfile::tempdir().unwrap();
    let mut recipe = Recipe::default();
    load::set(&mut recipe, "method.rank=3").unwrap();
    let run = RunFolder::create_in(home.path(), "Früchte & Gemüse/../x", &recipe).unwrap();
    let name = run.path().file_name().unwrap().to_string_lossy().into_owned();
    assert!(name.ends_with("-früchte-gemüse-x"), "{name}");
    assert_eq!(run.path().parent(), Some(home.path()));
    assert_eq!(run.recipe().unwrap(), recipe);
    let again = RunFolder::create_in(home.path(), "Früchte & Gemüse/../x", &recipe).unwrap();
    assert_ne!(run.path(), again.path());

    let error = RunFolder::create(run.path(), &recipe).unwrap_err();
    assert!(error.to_string().contains("holds a run already"), "{error}");
    let in_use = RunFolder::open(run.path()).unwrap().locked().unwrap_err();
    assert!(matches!(in_use, ProjectError::InUse { .. }));
    let path = run.path().to_path_buf();
    drop(run);
    assert!(RunFolder::open(&path).unwrap().locked().is_ok());
    assert!(RunFolder::open(&home.path().join("nothing")).is_err());

    let mut ledger = Ledger { num_read: 3, ..Ledger::default() };
    ledger.add(2, Fate::Empty);
    again.save_ledger("", &ledger).unwrap();
    let read: Ledger = serde_json::from_slice(&fs::read(again.path().join("ledger.json")).unwrap()).unwrap();
    assert_eq!(read, ledger);
    again.log("first\nforged line").unwrap();
    again.log("second").unwrap();
    let log = fs::read_to_string(again.path().join("log.txt")).unwrap();
    assert!(log.lines().filter(|line| line.starts_with("20")).count() == 2, "{log}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_recipe_that_cannot_be_frozen_leaves_nothing_behind() {
    use std::os::unix::ffi::OsStrExt;
    let home = tempfile::tempdir().unwrap();
    let mut recipe = Recipe::default();
    recipe.data.path = Some(PathBuf::from(std::ffi::OsStr::from_bytes(b"/tmp/\xff.csv")));
    let path = home.path().join("run");
    let error = RunFolder::create(&path, &recipe).unwrap_err();
    assert!(error.to_string().contains("written down"), "{error}");
    assert!(!path.exists());
    assert!(recipe.check(&Default::default()).iter().any(|p| p.field == "data.path"));
    RunFolder::create(&path, &Recipe::default()).unwrap();
}

#[test]
fn a_torn_line_loses_only_itself() {
    let home = tempfile::tempdir().unwrap();
    let run = run_in(home.path(), "run", 5);
    let metrics = run.path().join("metrics.jsonl");
    let whole = fs::read(&metrics).unwrap();
    let last_line = whole[..whole.len() - 1].iter().rposition(|b| *b == b'\n').unwrap() + 1;
    // A kill can cut the last line anywhere.
    for cut in last_line..whole.len() {
        fs::write(&metrics, &whole[..cut]).unwrap();
        let before = updates(&run.events().unwrap());
        assert!(before == [1, 2, 3, 4] || before == [1, 2, 3, 4, 5], "cut at {cut}: {before:?}");
        run.append(&update(6, 1.0)).unwrap();
        let after = updates(&run.events().unwrap());
        assert_eq!(after[..before.len()], before, "cut at {cut}");
        assert_eq!(after.last(), Some(&6), "cut at {cut}");
    }
}

#[test]
fn metrics_full_of_rubbish_are_read_around() {
    let home = tempfile::tempdir().unwrap();
    let run = run_in(home.path(), "run", 2);
    let metrics = run.path().join("metrics.jsonl");
    let mut text = fs::read(&metrics).unwrap();
    text.extend(b"\n\n{\"event\":\"from the future\",\"x\":1}\n\xff\xfe\0\0\nnull\n[1]\n{}\n");
    text.extend(vec![b'x'; 9 << 20]);
    text.extend(b"\n\r\n");
    fs::write(&metrics, &text).unwrap();
    run.append(&update(3, 0.5)).unwrap();
    assert_eq!(updates(&run.events().unwrap()), [1, 2, 3]);
    run.truncate_after(2).unwrap();
    assert!(fs::metadata(&metrics).unwrap().len() < 2000);
    assert_eq!(updates(&run.events().unwrap()), [1, 2]);
}

#[test]
fn numbers_that_json_lacks_do_not_lose_their_line() {
    let home = tempfile::tempdir().unwrap();
    let run = run_in(home.path(), "run", 1);
    run.append(&update(2, f64::NAN)).unwrap();
    run.append(&validation(2, 1e6)).unwrap();
    let events = run.events().unwrap();
    assert!(matches!(events[2], RunEvent::Update { update: 2, loss, .. } if loss.is_nan()), "{events:?}");
    assert!(matches!(events[3], RunEvent::Validation { loss: 1e6, .. }), "{events:?}");
    run.append(&validation(3, f64::NAN)).unwrap();
    drop(run);
    let summary = &runs::list(home.path()).unwrap()[0];
    assert_eq!((summary.last_update, summary.last_loss, summary.best_loss), (2, Some(3.0), Some(1e6)));
    assert!(summary.sparkline.iter().all(|loss| loss.is_finite()));
}

#[test]
fn going_on_from_an_update_forgets_what_came_after() {
    let home = tempfile::tempdir().unwrap();
    let run = run_in(home.path(), "run", 6);
    run.append(&RunEvent::Notice { text: "stays".into() }).unwrap();
    run.append(&validation(6, 2.0)).unwrap();
    run.append(&finished(Outcome::Stopped, 4)).unwrap();
    run.truncate_after(4).unwrap();
    let events = run.events().unwrap();
    assert_eq!(updates(&events), [1, 2, 3, 4]);
    assert!(matches!(events.last(), Some(RunEvent::Notice { .. })), "{events:?}");
    // No metrics at all is as good as none after the update.
    fs::remove_file(run.path().join("metrics.jsonl")).unwrap();
    run.truncate_after(4).unwrap();
    assert_eq!(run.events().unwrap(), []);
}

#[test]
fn old_checkpoints_go_and_the_best_stays() {
    let home = tempfile::tempdir().unwrap();
    let run = RunFolder::create(&home.path().join("run"), &Recipe::default()).unwrap();
    for update in [10, 20, 30, 40, 1_234_567] {
        fs::create_dir(run.checkpoint_dir(update)).unwrap();
    }
    let checkpoints = run.path().join("checkpoints");
    for name in [".update-000050.99.part", "update-7", "update-x", "notes"] {
        fs::create_dir(checkpoints.join(name)).unwrap();
    }
    fs::write(checkpoints.join("update-000060"), "a file").unwrap();
    assert_eq!(run.checkpoints(), [10, 20, 30, 40, 1_234_567]);
    assert!(run.checkpoint_dir(84).ends_with("checkpoints/update-000084"));
    fs::create_dir(run.path().join(".adapter.99.part")).unwrap();
    run.prune(2, Some(20)).unwrap();
    assert!(!run.path().join(".adapter.99.part").exists(), "left by a kill while the adapter was written");
    assert_eq!(run.checkpoints(), [20, 40, 1_234_567]);
    assert_eq!(run.checkpoints().last(), Some(&1_234_567));
    assert!(!checkpoints.join(".update-000050.99.part").exists());
    assert!(checkpoints.join("notes").exists());
    run.prune(0, None).unwrap();
    assert_eq!(run.checkpoints(), [1_234_567], "the last one always stays");
}

#[test]
fn runs_are_listed_as_they_are_on_disk() {
    let home = tempfile::tempdir().unwrap();
    let runs = home.path().join("runs");
    assert_eq!(runs::list(&runs).unwrap(), []);
    let done = run_in(&runs, "2026-01-02-done", 100);
    fs::create_dir(done.adapter_dir()).unwrap();
    done.append(&validation(100, 0.25)).unwrap();
    done.append(&finished(Outcome::Done, 100)).unwrap();
    drop(done);
    drop(run_in(&runs, "2026-01-01-killed", 3));
    let _running = run_in(&runs, "2026-01-03-running", 2);
    let failed = run_in(&runs, "2025-failed", 2);
    let failure = Failure::new("No", "because", "try");
    failed.append(&RunEvent::Failed { update: 2, failure }).unwrap();
    drop(failed);
    // Damaged, foreign and empty ones.
    drop(run_in(&runs, "2024-damaged", 2));
    fs::write(runs.join("2024-damaged/recipe.toml"), "from = \"the future\"").unwrap();
    drop(run_in(&runs, "2023-no-metrics", 2));
    fs::remove_file(runs.join("2023-no-metrics/metrics.jsonl")).unwrap();
    fs::create_dir(runs.join("holiday photos")).unwrap();
    fs::write(runs.join("file.txt"), "x").unwrap();

    let list = runs::list(&runs).unwrap();
    let names: Vec<&str> = list.iter().map(|run| run.name.as_str()).collect();
    let expected = [
        "2026-01-03-running",
        "2026-01-02-done",
        "2026-01-01-killed",
        "2025-failed",
        "2024-damaged",
        "2023-no-metrics",
    ];
    assert_eq!(names, expected);
    let [running, done, killed, failed, damaged, empty] = &list[..] else { unreachable!() };
    assert!(running.is_running && running.resumable.is_err());
    assert_eq!((done.outcome, done.best_loss, done.secs), (Some(Outcome::Done), Some(0.25), 9.0));
    assert!(done.adapter.is_some() && done.resumable.is_err() && done.sparkline.len() == 64);
    assert_eq!((killed.outcome, killed.resumable.clone()), (None, Ok(3)));
    assert_eq!((killed.last_update, killed.num_updates, killed.secs), (3, 100, 6.0));
    assert_eq!(killed.last_loss, Some(1.0));
    assert!(!killed.is_running && killed.sparkline == [3.0, 1.5, 1.0]);
    assert_eq!((failed.outcome, failed.resumable.clone()), (Some(Outcome::Failed), Ok(2)));
    assert!(damaged.resumable.as_ref().unwrap_err().contains("damaged"), "{damaged:?}");
    assert_eq!((damaged.last_update, empty.last_update), (2, 0));
}

#[test]
fn only_runs_are_deleted_and_never_through_a_link() {
    let home = tempfile::tempdir().unwrap();
    let runs = home.path().join("runs");
    let run = run_in(&runs, "run", 1);
    let path = run.path().to_path_buf();
    assert!(matches!(runs::delete(&path), Err(ProjectError::InUse { .. })));
    drop(run);
    let elsewhere = home.path().join("elsewhere");
    drop(run_in(&elsewhere, "looks-like-a-run", 1));
    let documents = runs.join("documents");
    fs::create_dir(&documents).unwrap();
    fs::write(documents.join("recipe.toml"), "apple pie").unwrap();
    let refused = [
        home.path().to_path_buf(),
        runs.clone(),
        documents.clone(),
        elsewhere.join("looks-like-a-run"),
        runs.join(".."),
    ];
    for path in refused {
        let error = runs::delete(&path).unwrap_err();
        assert!(error.to_string().contains("left alone"), "{}: {error}", path.display());
        assert!(path.exists());
    }
    assert!(runs::delete(&runs.join("missing")).is_err());
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(&elsewhere, path.join("checkpoints/link")).unwrap();
        let link = runs.join("link");
        std::os::unix::fs::symlink(elsewhere.join("looks-like-a-run"), &link).unwrap();
        assert!(runs::delete(&link).is_err());
    }
    runs::delete(&path).unwrap();
    assert!(!path.exists());
    assert!(elsewhere.join("looks-like-a-run/recipe.toml").is_file() && documents.exists());
}

#[test]
fn prompt_sets_never_replace_one_another() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("prompts");
    assert_eq!(prompt_set::list(&folder).unwrap(), []);
    let set = |name: &str, input: &str| PromptSet {
        name: name.into(),
        line_format: "{input}: {output}".into(),
        shots: vec![Shot::new("苹果\n\"\\", "pome")],
        prompts: vec![Question { input: input.into(), expected: None }],
    };
    let long = "l".repeat(60);
    let names = [
        "Fruit!",
        "fruit",
        "fruit?",
        "../../../etc/passwd",
        "",
        "果物",
        "a/b\0c",
        &long,
        &format!("{long}2"),
    ];
    for name in names {
        prompt_set::save(&folder, &set(name, "old")).unwrap();
        prompt_set::save(&folder, &set(name, "new")).unwrap();
    }
    let sets = prompt_set::list(&folder).unwrap();
    assert_eq!(sets.len(), names.len());
    for name in names {
        assert!(sets.contains(&set(name, "new")), "{name:?}");
    }
    let outside = fs::read_dir(home.path()).unwrap().count();
    assert_eq!(outside, 1, "every file stays in the folder");
    // What is there and is no prompt set is neither listed nor replaced.
    fs::write(folder.join("note.toml"), "dear diary").unwrap();
    prompt_set::save(&folder, &set("note", "x")).unwrap();
    assert_eq!(fs::read_to_string(folder.join("note.toml")).unwrap(), "dear diary");
    assert_eq!(prompt_set::list(&folder).unwrap().len(), names.len() + 1);
}

/// The card said "LoRA adapter" of whatever was trained.
#[test]
fn the_card_names_the_method_and_the_library_that_opens_it() {
    let home = tempfile::tempdir().unwrap();
    let exported = |kind: &str| {
        let mut recipe = Recipe::default();
        load::set(&mut recipe, &format!("method.kind={kind}")).unwrap();
        let run = RunFolder::create(&home.path().join(kind), &recipe).unwrap();
        fs::create_dir(run.adapter_dir()).unwrap();
        for name in ["adapter_config.json", "adapter_model.safetensors"] {
            fs::write(run.adapter_dir().join(name), "{}").unwrap();
        }
        let to = home.path().join(format!("{kind} out"));
        export::adapter(run.path(), &to).unwrap();
        fs::read_to_string(to.join("README.md")).unwrap()
    };
    for (kind, parts) in [
        ("ia3", ["- ia3\n", "An IA3 adapter made with", "| Method | IA3, 3 passes", "PeftModel"]),
        (
            "bottleneck",
            [
                "library_name: adapter-transformers",
                "A bottleneck adapter made with",
                "| Method | Bottleneck adapters, width 32, 3 passes",
                "placement = ",
            ],
        ),
    ] {
        let card = exported(kind);
        for part in parts {
            assert!(card.contains(part), "{part} in {card}");
        }
        assert!(!card.to_lowercase().contains("lora"), "{card}");
    }
}

#[test]
fn what_a_run_trained_is_exported_whole_with_its_card() {
    let home = tempfile::tempdir().unwrap();
    let mut recipe = Recipe::default();
    recipe.data.path = Some("/home/ada/secret folder/fruit|`x`.csv".into());
    let run = RunFolder::create(&home.path().join("run"), &recipe).unwrap();
    let to = home.path().join("exports/new/fruit");
    let early = export::adapter(run.path(), &to).unwrap_err();
    assert!(early.to_string().contains("no adapter"), "{early}");
    assert!(!home.path().join("exports").exists());

    fs::create_dir(run.adapter_dir()).unwrap();
    fs::write(run.adapter_dir().join("adapter_config.json"), "{}").unwrap();
    fs::write(run.adapter_dir().join("adapter_model.safetensors"), "weights").unwrap();
    run.append(&started(0)).unwrap();
    run.append(&update(7, 1.0)).unwrap();
    run.append(&validation(7, 0.25)).unwrap();
    export::adapter(run.path(), &to).unwrap();
    assert_eq!(fs::read_to_string(to.join("adapter_model.safetensors")).unwrap(), "weights");
    assert_eq!(fs::read_dir(&to).unwrap().count(), 3);
    let card = fs::read_to_string(to.join("README.md")).unwrap();
    for part in [
        "smollm2-135m-instruct",
        "fruit\\|'x'.csv",
        "LoRA rank 8",
        "7 of 100",
        "0.2500",
        "80 and 10",
        "A LoRA adapter made with",
        "rank = 8, alpha = 16.0, dropout = 0.0",
    ] {
        assert!(card.contains(part), "{part} in {card}");
    }
    assert!(!card.contains("secret folder"));

    let again = export::adapter(run.path(), &to).unwrap_err();
    assert!(again.to_string().contains("there already"), "{again}");
    let empty = home.path().join("empty");
    fs::create_dir(&empty).unwrap();
    export::adapter(run.path(), &empty).unwrap();
    // What full tuning made goes out whole, too.
    let model = home.path().join("model");
    fs::remove_file(run.adapter_dir().join("adapter_config.json")).unwrap();
    for name in ["config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"] {
        fs::write(run.adapter_dir().join(name), "{}").unwrap();
    }
    assert!(export::adapter(run.path(), &model).is_err(), "without its weights");
    fs::write(run.adapter_dir().join("model.safetensors"), "weights").unwrap();
    export::adapter(run.path(), &model).unwrap();
    assert_eq!(fs::read_dir(&model).unwrap().count(), 6);
    assert!(fs::read_to_string(model.join("README.md")).unwrap().contains("AutoModelForCausalLM"));
    fs::write(run.path().join("recipe.toml"), "damaged").unwrap();
    export::adapter(run.path(), &home.path().join("third")).unwrap();
    let file = home.path().join("file");
    fs::write(&file, "x").unwrap();
    for to in [file.clone(), file.join("inside")] {
        assert!(export::adapter(run.path(), &to).is_err());
        assert_eq!(fs::read_to_string(&file).unwrap(), "x");
    }
}

fn method_row(method: &str, loss: f64, bytes: u64) -> MethodRow {
    MethodRow {
        method: method.into(),
        name: method.to_uppercase(),
        best_validation_loss: Some(loss),
        peak_bytes: Some(bytes),
        ..MethodRow::default()
    }
}

#[test]
fn the_best_method_is_found_by_each_measure_that_tells_two_apart() {
    let mut all = MethodComparison::default();
    all.push(method_row("a", 2.0, 10));
    assert!(all.best.is_empty(), "one alone is not the best");
    all.push(method_row("b", 1.0, 10));
    all.push(MethodRow { problem: Some("broke | off\nhere".into()), ..method_row("c", 0.5, 1) });
    all.push(method_row("d", f64::NAN, 10));
    assert_eq!(all.best_in_words(), ["Best by validation loss: b (1.0000)"]);
    let temp = tempfile::tempdir().unwrap();
    all.save(temp.path()).unwrap();
    let text = std::fs::read_to_string(temp.path().join(MARKDOWN_FILE)).unwrap();
    assert!(text.contains("| C (no result: broke \\| off here) |"), "{text}");
    assert_eq!(text.lines().filter(|line| line.starts_with('|')).count(), 2 + 4);
}
