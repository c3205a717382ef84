//! Texts that models read: hidden words and likeness held to transformers and numpy, classes and scores, and what is wrong to ask.
//! `tests/fixtures/encoders/make_words.py` made the numbers.

use crate::cli::{Stage, code, stderr};
use crate::commands::Real;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tunesmith::engine::Command;
use tunesmith::engine::command::{Ask, AskRequest, ReadText};
use tunesmith::engine::event::{EventKind, Told};
use tunesmith::eval::reports::RunReport;
use tunesmith::eval::tasks::TaskReport;
use tunesmith::project::RunFolder;
use tunesmith::recipe::recipe::Method;

const BOUND: f64 = 1e-5;

/// The tiny BERT of the parity fixtures with a tokenizer of its own, copied into `folder`.
pub fn tiny_bert(folder: &Path) -> String {
    copied(folder, "masked")
}

fn copied(folder: &Path, kind: &str) -> String {
    let folder = folder.join(format!("tiny-bert-{kind}"));
    std::fs::create_dir_all(&folder).unwrap();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    for file in ["config.json", "model.safetensors"] {
        std::fs::copy(fixtures.join("parity/encoders/bert").join(kind).join(file), folder.join(file))
            .unwrap();
    }
    for file in ["tokenizer.json", "tokenizer_config.json"] {
        std::fs::copy(fixtures.join("encoders/words").join(file), folder.join(file)).unwrap();
    }
    folder.to_str().unwrap().to_string()
}

fn expected() -> Value {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/encoders/words/expected.json");
    serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
}

/// Rows of two moods, or with a number.
fn rows(stage: &Stage, label: &str) -> String {
    let good =
        ["the cat eats bread", "we like the garden today", "the small dog sleeps", "tea and bread are good"];
    let bad = ["rain is bad", "it was not very good", "the old house was bad", "we are not in the garden"];
    let mut text = format!("text,{label}\n");
    for i in 0..60 {
        let (words, says) = if i % 2 == 0 { (good[i / 2 % 4], "good") } else { (bad[i / 2 % 4], "bad") };
        let value = if label == "label" { says.to_string() } else { (i % 2 * 2).to_string() };
        text += &format!("{words} {i},{value}\n");
    }
    stage.file(&format!("{label}s.csv"), text)
}

/// A run of a few updates; returns its folder.
fn trained(stage: &Stage, model: &str, data: &str, kind: &str) -> PathBuf {
    let out = stage.path(kind);
    let recipe = stage.file("recipe.toml", "");
    let sets = [
        format!("model.source={model}"),
        format!("data.path={data}"),
        format!("objective.kind={kind}"),
        "data.split.test=0.2".into(),
        "length.updates=6".into(),
        "optimizer.learning_rate=0.01".into(),
        "batch.max_tokens=32".into(),
        "method.kind=lora".into(),
    ];
    let mut args = vec!["train", "--recipe", &recipe, "--out", out.to_str().unwrap()];
    sets.iter().for_each(|set| args.extend(["--set", set]));
    let output = stage.run(&args);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    out
}

fn near(found: &Value, wanted: &Value) {
    let (found, wanted) = (found.as_f64().unwrap(), wanted.as_f64().unwrap());
    assert!((found - wanted).abs() < BOUND, "{found} instead of {wanted}");
}

#[test]
fn hidden_words_are_guessed_as_transformers_does() {
    let stage = Stage::new();
    let model = tiny_bert(stage.folder.path());
    for case in expected()["fill"].as_array().unwrap() {
        let text = case["text"].as_str().unwrap();
        let (exit, found) = stage.json(&["fill-mask", "--model", &model, "--text", text]);
        assert_eq!(exit, 0, "{found}");
        let (found, wanted) = (found["places"].as_array().unwrap(), case["masks"].as_array().unwrap());
        assert_eq!(found.len(), wanted.len(), "{text}");
        for (found, wanted) in found.iter().zip(wanted) {
            let (found, wanted) = (found.as_array().unwrap(), wanted.as_array().unwrap());
            assert_eq!(found.len(), wanted.len());
            for (found, wanted) in found.iter().zip(wanted) {
                assert_eq!((&found["id"], &found["token"]), (&wanted["id"], &wanted["token"]), "{text}");
                near(&found["probability"], &wanted["probability"]);
            }
        }
    }
}

/// Without any run: the head lies in the model's own files.
#[test]
fn a_model_with_a_head_of_its_own_says_the_classes_that_transformers_says() {
    let stage = Stage::new();
    let model = copied(stage.folder.path(), "scores");
    for case in expected()["classes"].as_array().unwrap() {
        let (exit, found) =
            stage.json(&["predict", "--model", &model, "--text", case["text"].as_str().unwrap()]);
        assert_eq!(exit, 0, "{found}");
        let (found, wanted) = (&found["texts"][0]["classes"], case["classes"].as_array().unwrap());
        assert_eq!(found.as_array().unwrap().len(), wanted.len());
        for (found, wanted) in found.as_array().unwrap().iter().zip(wanted) {
            assert_eq!(found["label"], wanted["label"]);
            near(&found["probability"], &wanted["score"]);
        }
    }
}

/// A head of other classes is left for a new one, and that is said before the run; of as many others it is gone on with.
#[test]
fn a_head_of_other_classes_is_told() {
    let stage = Stage::new();
    let model = copied(stage.folder.path(), "scores");
    let own = expected()["classes"][0]["classes"].as_array().unwrap().len();
    for (num, words) in [(own + 1, "a new one begins"), (own, "begins with that head")] {
        let rows: String = (0..60).map(|i| format!("the cat eats bread no {i},mood {}\n", i % num)).collect();
        let data = stage.file("moods.csv", format!("text,label\n{rows}"));
        let text = format!(
            "[model]\nsource = {model:?}\n[data]\npath = {data:?}\n[objective]\nkind = \"classification\"\n"
        );
        let recipe = stage.file("recipe.toml", text + "[length]\nupdates = 1\n[batch]\nmax_tokens = 32\n");
        let output = stage.run(&["train", "--recipe", &recipe, "--out", &format!("of-{num}")]);
        let said = stderr(&output);
        assert_eq!(code(&output), 0, "{said}");
        let told = said.lines().find(|line| line.contains("The head of")).unwrap_or_else(|| panic!("{said}"));
        for needle in
            [format!("for {own} classes"), format!("the data has {num} classes (mood 0"), words.to_string()]
        {
            assert!(told.contains(&needle), "no {needle} in {told}");
        }
    }
}

#[test]
fn the_nearest_rows_are_numpys() {
    let stage = Stage::new();
    let (model, expected) = (tiny_bert(stage.folder.path()), expected());
    // A file has no empty rows.
    let rows: Vec<&str> = expected["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| r.as_str().unwrap())
        .filter(|r| !r.is_empty())
        .collect();
    let lines: Vec<String> =
        rows.iter().map(|text| serde_json::json!({ "text": text }).to_string()).collect();
    let data = stage.file("rows.jsonl", lines.join("\n"));
    let query = expected["query"].as_str().unwrap();
    let (exit, found) =
        stage.json(&["nearest", "--model", &model, "--data", &data, "--text", query, "--top", "100"]);
    assert_eq!(exit, 0, "{found}");
    let found = found["texts"][0]["nearest"].as_array().unwrap();
    assert_eq!(found.len(), rows.len());
    let order: Vec<usize> =
        expected["order"].as_array().unwrap().iter().map(|i| i.as_u64().unwrap() as usize).collect();
    let order: Vec<usize> = order.into_iter().filter(|row| *row < rows.len()).collect();
    for (found, row) in found.iter().zip(order) {
        assert_eq!(found["text"], rows[row]);
        near(&found["cosine"], &expected["cosines"][row]);
    }
    assert!((found[0]["cosine"].as_f64().unwrap() - 1.0).abs() < 1e-6, "it is one of the rows");
}

fn ask(model: &str, columns: &[Option<&Path>], ask: Ask) -> Command {
    let columns = columns.iter().map(|folder| folder.map(Path::to_path_buf)).collect();
    Command::Ask(AskRequest { model: model.into(), columns, ask })
}

fn told(seen: Vec<EventKind>) -> Vec<(usize, Told)> {
    let of = |kind| if let EventKind::Told { column, told } = kind { Some((column, told)) } else { None };
    seen.into_iter().filter_map(of).collect()
}

fn texts(all: &[&str]) -> Ask {
    let one = |text: &&str| ReadText { first: text.to_string(), second: None };
    Ask::Judge { texts: all.iter().map(one).collect() }
}

/// Base beside tuned: the base has no head for classes and says so, which takes nothing from the run.
#[test]
fn a_run_that_learnt_classes_is_asked_and_its_results_are_read() {
    let stage = Stage::new();
    let model = tiny_bert(stage.folder.path());
    let run = trained(&stage, &model, &rows(&stage, "label"), "classification");
    let real = Real::new();
    let long = "the cat eats bread and tea ".repeat(20);
    let seen = real.done(ask(&model, &[None, Some(&run)], texts(&["the cat eats", "rain is bad", &long])));
    let told = told(seen);
    assert!(matches!(&told[0], (0, Told::Refused(why)) if why.detail.contains("no head")), "{told:?}");
    let (1, Told::Classes { labels, has_several, said, is_cut, .. }) = &told[1] else { panic!("{told:?}") };
    assert_eq!((labels.len(), *has_several, said.len()), (2, false, 3));
    assert_eq!(*is_cut, [false, false, true]);
    assert!(said.iter().all(|row| (row.iter().sum::<f32>() - 1.0).abs() < 1e-5), "{said:?}");
    // The command line says the same.
    let adapter = run.to_str().unwrap();
    let (exit, found) =
        stage.json(&["predict", "--model", &model, "--adapter", adapter, "--text", "rain is bad"]);
    assert_eq!(exit, 0, "{found}");
    let most = said[1].iter().copied().fold(0.0, f32::max);
    near(&found["texts"][0]["classes"][0]["probability"], &serde_json::json!(most));

    let events = real.done(Command::ReadRun { folder: run.clone() });
    let report = events.iter().find_map(|kind| match kind {
        EventKind::Report { report, .. } => Some(Arc::clone(report)),
        _ => None,
    });
    let Some(RunReport::One(TaskReport::Classes(report))) = report.as_deref() else { panic!("{events:?}") };
    let num: usize = report.confusion.iter().flatten().sum();
    assert!(num > 0 && num == report.num && !report.rows.is_empty());
    let row = &report.rows[0];
    assert!(report.confusion[row.right][row.predicted] > 0 && row.row.line > 1 && row.row.text.contains(' '));
    std::fs::write(run.join("report.json"), "{").unwrap();
    let events = real.done(Command::ReadRun { folder: run.clone() });
    assert!(matches!(&events[..], [EventKind::RunRead { .. }, EventKind::Notice(_)]), "{events:?}");
    assert!(RunFolder::open(&run).unwrap().report::<RunReport>().is_err());
}

#[test]
fn a_run_that_learnt_scores_is_asked() {
    let stage = Stage::new();
    let model = tiny_bert(stage.folder.path());
    let run = trained(&stage, &model, &rows(&stage, "score"), "regression");
    let real = Real::new();
    let seen = told(real.done(ask(&model, &[Some(&run)], texts(&["the cat eats", "rain is bad"]))));
    let [(0, Told::Scores { range, said, .. })] = &seen[..] else { panic!("{seen:?}") };
    assert_eq!((*range, said.len()), ([0.0, 2.0], 2));
    let report: RunReport = RunFolder::open(&run).unwrap().report().unwrap().unwrap();
    let RunReport::One(TaskReport::Scores(report)) = report else { panic!("{report:?}") };
    assert!(report.points.len() == report.num && !report.rows.is_empty());
    let off = |row: &tunesmith::eval::seen_rows::SeenScore| (row.right - row.predicted).abs();
    assert!(report.rows.windows(2).all(|w| off(&w[0]) >= off(&w[1])));
    // It learnt no words, and the base did.
    let hidden = Ask::FillMask { text: "the [MASK] sleeps".into(), top: 3 };
    let seen = told(real.done(ask(&model, &[None, Some(&run)], hidden)));
    assert!(
        matches!(&seen[0], (0, Told::Filled(places)) if places.len() == 1 && places[0].len() == 3),
        "{seen:?}"
    );
    assert!(matches!(&seen[1], (1, Told::Refused(why)) if why.detail.contains("regression")), "{seen:?}");
}

/// Every task that judges says its own, by its name.
#[test]
fn a_run_of_several_tasks_is_asked_and_read_task_by_task() {
    let stage = Stage::new();
    let model = tiny_bert(stage.folder.path());
    let (recipe, out) = (two_tasks(&stage, &model), stage.path("together"));
    let output = stage.run(&["train", "--recipe", &recipe, "--out", out.to_str().unwrap()]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let real = Real::new();
    let seen = told(real.done(ask(&model, &[Some(&out)], texts(&["the cat eats", "rain is bad"]))));
    let [(0, Told::Classes { task: mood, said, .. }), (0, Told::Scores { task: grade, .. })] = &seen[..]
    else {
        panic!("{seen:?}")
    };
    assert_eq!((mood.as_str(), grade.as_str(), said.len()), ("mood", "grade", 2));
    let report: RunReport = RunFolder::open(&out).unwrap().report().unwrap().unwrap();
    let RunReport::Together { tasks } = report else { panic!("{report:?}") };
    assert_eq!(tasks.keys().collect::<Vec<_>>(), ["grade", "mood"]);
    assert!(matches!(&tasks["mood"].report, Some(TaskReport::Classes(of)) if !of.rows.is_empty()));
}

#[test]
fn rows_are_read_once_and_laid_out_in_a_plane() {
    let stage = Stage::new();
    let model = tiny_bert(stage.folder.path());
    let run = trained(&stage, &model, &rows(&stage, "label"), "contrastive");
    let rows: Arc<Vec<String>> =
        Arc::new((0..40).map(|i| format!("the cat eats bread {}", "very ".repeat(i % 7))).collect());
    let real = Real::new();
    let like = |text: &str| Ask::Nearest { text: text.into(), rows: Arc::clone(&rows), top: 4 };
    let columns = [None, Some(run.as_path())];
    let reads = |command: Command| {
        let num = std::cell::Cell::new(0);
        let (seen, last) = real.carry_out_until(command, |kind| {
            let reads = matches!(kind, EventKind::Progress { phase, .. } if phase == "Reading the rows");
            num.set(num.get() + usize::from(reads));
            false
        });
        assert!(matches!(last, EventKind::Done), "{last:?}");
        (told(seen), num.get())
    };
    let (seen, first) = reads(ask(&model, &columns, like("the cat eats bread")));
    assert_eq!(seen.len(), 4, "{seen:?}");
    let mut maps = Vec::new();
    for (column, told) in &seen {
        match told {
            Told::Map(points) => {
                assert!(points.len() == 40 && points.iter().flatten().all(|x| x.is_finite()));
                maps.push(Arc::clone(points));
            }
            Told::Nearest(found) => {
                assert_eq!((found.len(), found[0].0), (4, 0), "{column}");
                assert!((found[0].1 - 1.0).abs() < 1e-5 && found.windows(2).all(|w| w[0].1 >= w[1].1));
            }
            other => panic!("{other:?}"),
        }
    }
    assert_ne!(maps[0], maps[1], "the tuned model lays them out in its own way");
    let (again, second) = reads(ask(&model, &columns, like("bread")));
    assert!(first > 0 && second == 0, "rows that were read are read again: {first} {second}");
    assert_eq!(again.len(), 4);
    // Stopped while rows are read: the job ends, and nothing half-made is held.
    let other: Arc<Vec<String>> =
        Arc::new((0..4000).map(|i| format!("the dog runs {i} {}", "very ".repeat(8))).collect());
    let command = ask(&model, &[None], Ask::Nearest { text: String::new(), rows: other, top: 1 });
    let (seen, last) = real.carry_out_until(command, |kind| matches!(kind, EventKind::Progress { .. }));
    assert!(matches!(last, EventKind::Stopped) && told(seen).is_empty(), "{last:?}");
}

#[test]
fn what_cannot_be_asked_is_said_with_what_can_be_done() {
    let stage = Stage::new();
    let (bert, llama) = (tiny_bert(stage.folder.path()), stage.model());
    let long = format!("the [MASK] {}", "cat ".repeat(40));
    for (model, text, words) in [
        (&bert, "the cat sleeps", "it has no [MASK]"),
        (&bert, "  ", "the text is empty"),
        (&bert, &long, "tokens, but the model reads at most 32"),
        (&llama, "the [MASK] sleeps", "no head for it"),
    ] {
        let output = stage.run(&["fill-mask", "--model", model, "--text", text]);
        assert_eq!(code(&output), 1);
        assert!(stderr(&output).contains(words), "{text}: {}", stderr(&output));
    }
    let numbers = stage.file("numbers.csv", "a,b\n,\n,\n");
    let output = stage.run(&["nearest", "--model", &bert, "--data", &numbers, "--text", "cat"]);
    assert_eq!(code(&output), 1, "{}", stderr(&output));
    let data = rows(&stage, "label");
    let output = stage.run(&["nearest", "--model", &bert, "--data", &data, "--text", "cat", "--top", "0"]);
    assert_eq!(code(&output), 2);
    let empty = ["nearest", "--model", &bert, "--data", &data, "--text", "cat", "--text", " "];
    let output = stage.run(&empty);
    assert!(code(&output) == 1 && stderr(&output).contains("empty"), "{}", stderr(&output));
    // Numbers without end are no guesses.
    let broken = stage.path("tiny-bert-masked");
    let mut all = crate::weights::tensors("parity/encoders/bert/masked");
    for (name, tensor) in &mut all {
        if name.contains("predictions") || name.contains("word_embeddings") {
            *tensor = (&*tensor * 1e30).unwrap();
        }
    }
    crate::weights::save(&broken, &all);
    let output = stage.run(&["fill-mask", "--model", &bert, "--text", "the [MASK] sleeps"]);
    assert!(code(&output) == 1 && stderr(&output).contains("finite"), "{}", stderr(&output));
    let bert = tiny_bert(stage.folder.path());

    let real = Real::new();
    let (seen, last) = real.carry_out(ask(&bert, &[None], texts(&["a"])));
    assert!(matches!(&last, EventKind::Failed(why) if why.title.contains("judges no texts")), "{last:?}");
    assert!(matches!(&told(seen)[..], [(0, Told::Refused(_))]), "a column that cannot says so in its place");
}

/// What another program trained is refused in its own column; said to be for this model, it answers with the head that it has.
#[test]
fn a_column_that_is_refused_takes_nothing_from_the_others() {
    let stage = Stage::new();
    let model = tiny_bert(stage.folder.path());
    let run = trained(&stage, &model, &rows(&stage, "label"), "classification");
    let adapter = run.join("adapter");
    std::fs::remove_file(adapter.join("base_model.json")).unwrap();
    let config = adapter.join("adapter_config.json");
    let mut value: Value = serde_json::from_slice(&std::fs::read(&config).unwrap()).unwrap();
    value["base_model_name_or_path"] = "org/another-bert".into();
    std::fs::write(&config, value.to_string()).unwrap();
    let real = Real::new();
    let hidden = Ask::FillMask { text: "the [MASK] sleeps".into(), top: 3 };
    let seen = told(real.done(ask(&model, &[Some(&adapter), None], hidden)));
    assert!(
        matches!(&seen[..], [(0, Told::Refused(why)), (1, Told::Filled(_))] if why.detail.contains("another-bert")),
        "{seen:?}"
    );
    let command = Command::AdoptAdapter { folder: adapter.clone(), model: model.clone() };
    assert!(
        matches!(&real.done(command)[..], [EventKind::AdapterModel { model: Some(name), .. }] if *name == model)
    );
    let seen = told(real.done(ask(&model, &[Some(&adapter)], texts(&["rain is bad"]))));
    assert!(matches!(&seen[..], [(0, Told::Classes { .. })]), "{seen:?}");
}

/// Methods that learn classes are compared by the test rows that their runs measure.
#[test]
fn methods_that_judge_are_compared_by_what_they_judge() {
    let stage = Stage::new();
    let model = tiny_bert(stage.folder.path());
    let data = rows(&stage, "label");
    // All kinds; the recipe's own is narrow enough for such a model.
    let args = ["methods", &data, "--model", &model, "--updates", "4", "--out", "all"];
    let sets = [
        "objective.kind=classification",
        "data.split.test=0.2",
        "batch.max_tokens=12",
        "method.kind=bottleneck",
        "method.width=4",
    ];
    let sets: Vec<&str> = sets.iter().flat_map(|set| ["--set", *set]).collect();
    let (exit, found) = stage.json(&[&args[..], &sets].concat());
    assert_eq!(exit, 0, "{found}");
    assert_eq!(found["rows"].as_array().unwrap().len(), Method::all().len());
    for row in found["rows"].as_array().unwrap() {
        assert!(row["problem"].is_null() && row["test_loss"].as_f64().unwrap() > 0.0, "{row}");
        let run = stage.path("all/runs").join(row["method"].as_str().unwrap());
        let report: RunReport = RunFolder::open(&run).unwrap().report().unwrap().unwrap();
        let RunReport::One(TaskReport::Classes(report)) = report else { panic!("{report:?}") };
        assert!((row["exact_match"].as_f64().unwrap() - report.accuracy.unwrap()).abs() < 1e-9, "{row}");
        assert_eq!(row["num_tested"], report.num);
    }
}

/// Several tasks: a figure for each stands in the row of each method, as its run measured it, and in the file for people.
#[test]
fn methods_are_compared_on_several_tasks() {
    let stage = Stage::new();
    let model = tiny_bert(stage.folder.path());
    let recipe = two_tasks(&stage, &model);
    let args = ["methods", "--recipe", &recipe, "--updates", "4", "--methods", "lora,ia3", "--out", "all"];
    let (exit, found) = stage.json(&args);
    assert_eq!(exit, 0, "{found}");
    assert_eq!(found["data"], "labels.csv, scores.csv");
    for row in found["rows"].as_array().unwrap() {
        assert!(row["problem"].is_null(), "{row}");
        let run = stage.path("all/runs").join(row["method"].as_str().unwrap());
        let report: RunReport = RunFolder::open(&run).unwrap().report().unwrap().unwrap();
        let RunReport::Together { tasks } = report else { panic!("{report:?}") };
        let figures = row["tasks"].as_array().unwrap();
        let num_tested = tasks.values().map(|of| of.rows as u64).sum();
        assert_eq!((figures.len(), row["num_tested"].as_u64().unwrap()), (2, num_tested), "{row}");
        for (figure, (task, name)) in figures.iter().zip([("mood", "accuracy"), ("grade", "R²")]) {
            assert_eq!((&figure["task"], &figure["figure"]), (&Value::from(task), &Value::from(name)));
            let measured = tasks[task].report.as_ref().unwrap().metrics()[name];
            near(&figure["value"], &Value::from(measured));
        }
    }
    let table = std::fs::read_to_string(stage.path("all/comparison.md")).unwrap();
    assert!(table.contains("| mood: accuracy | grade: R² |"), "{table}");
    let width = |line: &str| line.matches(" | ").count();
    let rows: Vec<usize> = table.lines().filter(|line| line.starts_with('|')).map(width).collect();
    assert!(rows.len() == 4 && rows.iter().all(|row| *row == rows[0]), "{table}");
    // Without data, and without tasks that name theirs.
    let output = stage.run(&["methods", "--model", &model, "--out", "none"]);
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("no data file is named"), "{}", stderr(&output));
}

/// A mood and a grade on one encoder.
fn two_tasks(stage: &Stage, model: &str) -> String {
    let task = |name: &str, path: &str, kind: &str| {
        format!(
            "[[tasks]]\nname = \"{name}\"\n[tasks.data]\npath = \"{path}\"\n[tasks.data.split]\ntest = 0.2\n[tasks.objective]\nkind = \"{kind}\"\n"
        )
    };
    let head = format!("[model]\nsource = \"{model}\"\n[length]\nupdates = 6\n[batch]\nmax_tokens = 32\n");
    let mood = task("mood", &rows(stage, "label"), "classification");
    stage.file("tasks.toml", [head, mood, task("grade", &rows(stage, "score"), "regression")].concat())
}

/// What an adapter and its head say, a model of transformers' own class says alone; so do the heads of several tasks.
#[test]
fn what_judges_is_merged_into_a_model_that_judges() {
    let stage = Stage::new();
    let model = tiny_bert(stage.folder.path());
    let run = trained(&stage, &model, &rows(&stage, "label"), "classification");
    let merged = stage.path("merged");
    let (run, into) = (run.to_str().unwrap(), merged.to_str().unwrap());
    let (exit, told) = stage.json(&["merge", run, "--out", into]);
    assert_eq!(exit, 0, "{told}");
    let [difference, largest] =
        ["largest_difference", "largest_logit"].map(|key| told["merged"][key].as_f64().unwrap());
    assert!(difference < 1e-4 && largest > 1e-3, "{told}");
    let config: Value =
        serde_json::from_str(&std::fs::read_to_string(merged.join("config.json")).unwrap()).unwrap();
    assert_eq!(config["architectures"][0], "BertForSequenceClassification");
    let card = std::fs::read_to_string(merged.join("README.md")).unwrap();
    assert!(card.contains("AutoModelForSequenceClassification"), "{card}");
    assert!(card.contains("pipeline_tag: text-classification"), "{card}");
    let said = |of: &[&str]| {
        let (exit, said) = stage.json(&[&["predict", "--text", "rain is bad"], of].concat());
        assert_eq!(exit, 0, "{said}");
        said["texts"][0].clone()
    };
    let (one, other) = (said(&["--model", &model, "--adapter", run]), said(&["--model", into]));
    for (a, b) in one["classes"].as_array().unwrap().iter().zip(other["classes"].as_array().unwrap()) {
        assert_eq!(a["label"], b["label"]);
        near(&a["probability"], &b["probability"]);
    }

    let out = stage.path("together");
    let recipe = two_tasks(&stage, &model);
    let output = stage.run(&["train", "--recipe", &recipe, "--out", out.to_str().unwrap()]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let (exit, told) = stage.json(&["merge", out.to_str().unwrap(), "--out", "both"]);
    assert_eq!(exit, 0, "{told}");
    assert!(told["merged"]["largest_difference"].as_f64().unwrap() < 1e-4, "{told}");
    let both = stage.path("both");
    let grade = |of: &[&str]| said(&[of, &["--task", "grade"]].concat())["score"].clone();
    let of_run = grade(&["--model", &model, "--adapter", out.to_str().unwrap()]);
    near(&grade(&["--model", both.to_str().unwrap()]), &of_run);
}

/// `tests/fixtures/encoders/make_sentences.py` made the numbers: a folder of sentence-transformers says what stands for a text.
#[test]
fn a_folder_of_sentence_transformers_says_how_texts_are_pooled() {
    let stage = Stage::new();
    let model = tiny_bert(stage.folder.path());
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/encoders/words/sentences.json");
    let expected: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    std::fs::create_dir(Path::new(&model).join("1_Pooling")).unwrap();
    std::fs::write(Path::new(&model).join("1_Pooling/config.json"), expected["pooling"].to_string()).unwrap();
    let texts: Vec<&str> =
        expected["rows"].as_array().unwrap().iter().map(|row| row.as_str().unwrap()).collect();
    let lines: Vec<String> =
        texts.iter().map(|text| serde_json::json!({ "text": text }).to_string()).collect();
    let data = stage.file("rows.jsonl", lines.join("\n"));
    let query = expected["query"].as_str().unwrap();
    let (exit, found) =
        stage.json(&["nearest", "--model", &model, "--data", &data, "--text", query, "--top", "100"]);
    assert_eq!(exit, 0, "{found}");
    for found in found["texts"][0]["nearest"].as_array().unwrap() {
        let row = texts.iter().position(|text| found["text"] == *text).unwrap();
        near(&found["cosine"], &expected["cosines"][row]);
    }
    // A recipe that pools otherwise is told so, and goes on.
    let plain = stage.file("plain.jsonl", lines.join("\n").repeat(4));
    let text = format!(
        "[model]\nsource = {model:?}\n[data]\npath = {plain:?}\n[objective]\nkind = \"contrastive\"\n"
    );
    let output = stage.run(&["recipe", "check", &stage.file("r.toml", text)]);
    let told = String::from_utf8_lossy(&output.stdout).into_owned() + &stderr(&output);
    assert!(told.contains("by its first token, and the recipe says the mean of its tokens"), "{told}");
}

/// A model that learnt to compare texts leaves as a folder that `SentenceTransformer` opens, merged or as full tuning made it.
#[test]
fn a_model_that_compares_texts_is_exported_for_sentence_transformers() {
    let stage = Stage::new();
    let model = tiny_bert(stage.folder.path());
    let data = rows(&stage, "label");
    let run = trained(&stage, &model, &data, "contrastive");
    let merged = stage.path("merged");
    let output = stage.run(&["merge", run.to_str().unwrap(), "--out", merged.to_str().unwrap()]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let full = stage.path("full");
    let sets =
        ["objective.kind=contrastive", "objective.pooling=first", "method.kind=full", "length.updates=2"];
    let sets: Vec<&str> = sets.iter().flat_map(|set| ["--set", *set]).collect();
    let more = [format!("model.source={model}"), format!("data.path={data}")];
    let recipe = stage.file("r.toml", "");
    let mut args = vec!["train", "--recipe", &recipe, "--out", full.to_str().unwrap()];
    args.extend(sets);
    more.iter().for_each(|set| args.extend(["--set", set]));
    args.extend(["--set", "batch.max_tokens=32"]);
    let output = stage.run(&args);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let exported = stage.path("exported");
    tunesmith::export::adapter(&full, &exported).unwrap();
    for (folder, key) in [(&merged, "pooling_mode_mean_tokens"), (&exported, "pooling_mode_cls_token")] {
        let read = |name: &str| -> Value {
            serde_json::from_str(&std::fs::read_to_string(folder.join(name)).unwrap()).unwrap()
        };
        let kinds: Vec<String> = read("modules.json")
            .as_array()
            .unwrap()
            .iter()
            .map(|module| module["type"].as_str().unwrap().rsplit('.').next().unwrap().to_string())
            .collect();
        assert_eq!(kinds, ["Transformer", "Pooling", "Normalize"]);
        let pooling = read("1_Pooling/config.json");
        let set: Vec<&String> = pooling
            .as_object()
            .unwrap()
            .iter()
            .filter(|(k, v)| **v == true && *k != "include_prompt")
            .map(|(k, _)| k)
            .collect();
        assert_eq!(set, [key]);
        assert_eq!(read("sentence_bert_config.json")["max_seq_length"], 32);
        let card = std::fs::read_to_string(folder.join("README.md")).unwrap();
        assert!(card.contains("SentenceTransformer(folder)"), "{card}");
    }
}
