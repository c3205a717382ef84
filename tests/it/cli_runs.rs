//! Runs of the built program: trained, stopped, killed, resumed, measured.

use crate::cli::{PROGRAM, Stage, code, stderr};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

#[test]
fn a_run_is_trained_evaluated_compared_and_resumed() {
    let stage = Stage::new();
    let (rows, model) = (stage.rows(), stage.model());
    let recipe = stage.file(
        "r.toml",
        format!(
            "[model]\nsource = {model:?}\n[data]\npath = {rows:?}\n[method]\nkind = \"lora\"\nrank = 4\n\
             [data.split]\ntest = 0.5\n[batch]\nmax_tokens = 128\nmicro_batch_tokens = 256\n[run]\ndevice = \"cpu\"\n"
        ),
    );
    let out = stage.path("run");
    let out = out.to_str().unwrap();
    let output =
        stage.run(&["train", "--recipe", &recipe, "--out", out, "--set", "length.updates=4", "--json"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let events: Vec<Value> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let named = |name: &str| events.iter().filter(|e| e["event"] == name).collect::<Vec<_>>();
    assert_eq!(named("update").len(), 4);
    for key in ["update", "loss", "learning_rate", "grad_norm", "tokens_per_second"] {
        assert!(named("update")[3][key].is_number(), "{key}");
    }
    assert!(!named("checkpoint").is_empty());
    assert_eq!(named("finished")[0]["outcome"], "done");

    // The same folder again is refused before anything is read, with the two ways on.
    let again = ["train", "--recipe", &recipe, "--out", out, "--set", "data.path=missing.csv"];
    let output = stage.run(&again);
    assert_eq!(code(&output), 1, "{}", stderr(&output));
    for needle in ["holds a run already", "--resume", "another folder"] {
        assert!(stderr(&output).contains(needle), "{needle}: {}", stderr(&output));
    }

    let adapter = stage.path("run/adapter");
    let adapter = adapter.to_str().unwrap();
    let eval = [
        "eval",
        "--model",
        &model,
        "--adapter",
        adapter,
        "--data",
        &rows,
        "--limit",
        "5",
        "--max-tokens",
        "4",
    ];
    let (code, value) = stage.json(&eval);
    assert_eq!(code, 0);
    for key in ["loss", "perplexity", "exact_match", "num_examples"] {
        assert!(value[key].is_number(), "{key}: {value}");
    }
    assert_eq!(value["num_examples"], 5);

    // Test rows are those of the run, whose split the recipe says.
    let count = |part: &str, adapter: &[&str]| {
        let args = ["eval", "--model", &model, "--data", &rows, "--part", part, "--max-tokens", "1"];
        let (code, value) = stage.json(&[&args[..], adapter].concat());
        assert_eq!(code, 0);
        value["num_examples"].as_u64().unwrap()
    };
    let [own, usual] = [&["--adapter", adapter][..], &[]].map(|adapter| count("test", adapter));
    assert!(own > 10 && usual < 10, "{own} {usual}");

    let prompts = stage.file("prompts.txt", "What is a peach?\nWhat is a date?\n");
    let compare =
        ["compare", "--model", &model, "--adapter", adapter, "--prompts", &prompts, "--max-tokens", "4"];
    let (code, value) = stage.json(&compare);
    assert_eq!(code, 0);
    assert_eq!(value["pairs"].as_array().unwrap().len(), 2);
    assert_eq!(value["num_without_question"], 0);

    // Rows that ask nothing are said and counted.
    let holes = stage.file("prompts.csv", "question,answer\nWhat is a peach?,a\n,b\nWhat is a date?,c\n,d\n");
    let compare = compare.map(|word| if word == prompts { holes.as_str() } else { word });
    let output = stage.run(&[&compare[..], &["--json"]].concat());
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&value["num_without_question"], value["pairs"].as_array().unwrap().len()), (&2.into(), 2));
    assert!(stderr(&output).contains("2 rows of the prompts left out: line 3"), "{}", stderr(&output));

    // A run that is over has nothing left to do and stays as it is; one that was thrown away does not go on.
    for (outcome, code, needle) in [
        ("done", 0, "nothing left to do"),
        ("stopped_early", 0, "nothing left to do"),
        ("discarded", 1, "thrown away"),
    ] {
        let metrics = std::fs::read_to_string(stage.path("run/metrics.jsonl")).unwrap();
        let metrics = metrics.replace("\"outcome\":\"done\"", &format!("\"outcome\":\"{outcome}\""));
        let metrics = metrics.replace("stopped_early", outcome);
        stage.file("run/metrics.jsonl", metrics);
        let before = contents(Path::new(out));
        let output = stage.run(&["train", "--resume", "--out", out]);
        assert_eq!(self::code(&output), code, "{outcome}: {}", stderr(&output));
        assert!(stderr(&output).contains(needle), "{outcome}: {}", stderr(&output));
        assert!(contents(Path::new(out)) == before, "{outcome}: something changed");
    }
}

/// Every file below `folder` with what is in it.
fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            files.extend(contents(&path));
        } else {
            files.push((path.clone(), std::fs::read(path).unwrap()));
        }
    }
    files.sort();
    files
}

/// As if the run had been killed just before it said that it had ended.
fn forget_the_end(run: &Path) {
    let path = run.join("metrics.jsonl");
    let metrics = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = metrics.lines().filter(|l| !l.contains("\"event\":\"finished\"")).collect();
    std::fs::write(path, lines.join("\n")).unwrap();
}

/// Rows, roles, prompts and places are those of the run, also where a guess about the file would be wrong.
#[test]
fn eval_measures_the_rows_of_the_run() {
    let stage = Stage::new();
    let model = stage.model();
    let kinds = ["peach", "apple", "lemon", "tomato", "melon", "date"];
    let row = |i: usize| format!("no. {i}; a {0}|{0}; fine\n", kinds[i % 6]);
    let rows = stage.file("rows.csv", (0..48).map(row).collect::<String>());
    let recipe = stage.file(
        "r.toml",
        format!(
            "[model]\nsource = {model:?}\n[data]\npath = {rows:?}\nseparator = \"|\"\nhas_header = false\n\
             [data.schema]\nroles = [\"question\", \"answer\"]\nprompt_template = \"Name it: {{column_1}}!\"\n\
             [data.split]\nvalid = 0.2\ntest = 0.3\nstratify = false\n[batch]\nmax_tokens = 128\n\
             [length]\nupdates = 2\n[objective]\nkind = \"supervised\"\ntrain_on = \"everything\"\n\
             [run]\ndevice = \"cpu\"\n"
        ),
    );
    let output = stage.run(&["train", "--recipe", &recipe, "--out", "run", "--json"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    let events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let named = |name: &str| events.iter().find(|e| e["event"] == name).unwrap();
    let data = named("data");
    let parts = ["num_train", "num_valid", "num_test"].map(|part| data[part].as_u64().unwrap());
    assert_eq!(parts.iter().sum::<u64>(), 48, "every row, and the first one is a row as well: {data}");
    let measured = |part: &str| {
        let args = ["eval", "--model", &model, "--adapter", "run/adapter", "--data", &rows, "--part", part];
        let (code, value) = stage.json(&[&args[..], &["--max-tokens", "1"]].concat());
        assert_eq!(code, 0, "{value}");
        (value["num_examples"].as_u64().unwrap(), value["loss"].as_f64().unwrap())
    };
    assert_eq!(measured("test").0, parts[2]);
    // The same rows with the same prompts and masks have the same loss.
    let (num_valid, loss) = measured("valid");
    let in_run = named("finished")["best_loss"].as_f64().unwrap();
    assert_eq!(num_valid, parts[1]);
    assert!((loss - in_run).abs() < 1e-4, "{loss} {in_run}");
}

/// Killed twice without a warning, the run ends with the bytes of one that never was.
#[cfg(unix)]
#[test]
fn a_killed_run_goes_on_as_if_nothing_had_happened() {
    let stage = Stage::new();
    let (rows, model) = (stage.rows(), stage.model());
    let recipe = stage.file(
        "r.toml",
        format!(
            "[model]\nsource = {model:?}\n[data]\npath = {rows:?}\n[method]\nkind = \"lora\"\ndropout = 0.1\n\
             [batch]\nmax_tokens = 128\nmicro_batch_tokens = 128\n[length]\nupdates = 60\n\
             [validation]\nevery_updates = 9\nnum_answers = 0\n[early_stop]\nenabled = false\n\
             [checkpoint]\nevery_updates = 4\n[run]\ndevice = \"cpu\"\n"
        ),
    );
    let output = stage.run(&["train", "--recipe", &recipe, "--out", "whole"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let begin = ["train", "--recipe", &recipe, "--out", "cut", "--json"];
    let go_on = ["train", "--resume", "--out", "cut", "--json"];
    for (args, update) in [(&begin[..], 14), (&go_on[..], 31)] {
        let mut child = Command::new(PROGRAM)
            .args(args)
            .current_dir(stage.folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
        let wanted = format!("\"event\":\"update\",\"update\":{update},");
        assert!(lines.any(|l| l.unwrap().contains(&wanted)), "{update}");
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().code(), None, "it was killed");
    }
    let metrics = std::fs::read_to_string(stage.path("cut/metrics.jsonl")).unwrap();
    assert!(!metrics.contains("\"event\":\"finished\""), "the kill came in the middle");
    let output = stage.run(&["train", "--resume", "--out", "cut"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let adapter =
        |run: &str| std::fs::read(stage.path(run).join("adapter/adapter_model.safetensors")).unwrap();
    assert!(adapter("cut") == adapter("whole"), "another adapter than that of the unbroken run");
}

/// Some chat templates write the date: a run that is resumed on another day shall see the rows it began with.
#[test]
fn a_resumed_run_keeps_the_date_it_began_on_and_refuses_other_data() {
    let stage = Stage::new();
    let (rows, model) = (stage.rows(), stage.model());
    let source = "{{ '<|im_start|>' + strftime_now('%Y-%m-%d') + '\n' }}{% for m in messages %}{{ m.content + '<|im_end|>' }}{% endfor %}";
    let settings = serde_json::json!({ "eos_token": "<|im_end|>", "chat_template": source });
    stage.file("tiny-llama/tokenizer_config.json", settings.to_string());
    let recipe = stage.file(
        "r.toml",
        format!(
            "[model]\nsource = {model:?}\n[data]\npath = {rows:?}\n[batch]\nmax_tokens = 128\n[length]\nupdates = 4\n\
             [validation]\nevery_updates = 2\nnum_answers = 1\n[checkpoint]\nevery_updates = 2\n[run]\ndevice = \"cpu\"\n"
        ),
    );
    let days = |args: &[&str]| {
        let output = stage.run(args);
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        let metrics = std::fs::read_to_string(stage.path("run/metrics.jsonl")).unwrap();
        let events = metrics.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let prompts = events.filter(|e| e["event"] == "answers").map(|e| e["answers"][0]["prompt"].clone());
        prompts.map(|p| p.as_str().unwrap()["<|im_start|>".len()..][..10].to_string()).collect::<Vec<_>>()
    };
    let file = stage.path("run/beginning.json");
    let first = days(&["train", "--recipe", &recipe, "--out", "run"]);
    let mut beginning: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!(first, vec![beginning["time"].as_str().unwrap()[..10].to_string(); 2]);
    forget_the_end(&stage.path("run"));
    assert_eq!(days(&["train", "--resume", "--out", "run"]), first);
    forget_the_end(&stage.path("run"));
    // What is learnt from holds the date, so its hash is not that of another day.
    beginning["time"] = "2001-02-03T04:05:06".into();
    std::fs::write(&file, beginning.to_string()).unwrap();
    let refused = stage.run(&["train", "--resume", "--out", "run"]);
    assert_eq!(code(&refused), 1);
    assert!(stderr(&refused).contains("the data is not what the run began with"), "{}", stderr(&refused));
}

/// The frozen recipe is read again from anywhere.
#[test]
fn a_run_resumes_from_another_folder_and_refuses_another_model() {
    let stage = Stage::new();
    stage.rows();
    stage.model();
    let recipe = stage.file(
        "r.toml",
        "[model]\nsource = \"./tiny-llama\"\n[data]\npath = \"rows.csv\"\n[batch]\nmax_tokens = 128\n\
         [length]\nupdates = 2\n[run]\ndevice = \"cpu\"\n",
    );
    let output = stage.run(&["train", "--recipe", &recipe, "--out", "run"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let run = stage.path("run");
    let resume = |command: &mut Command| {
        stage.output(command.args(["train", "--resume", "--out", run.to_str().unwrap()]))
    };
    let elsewhere = tempfile::tempdir().unwrap();
    forget_the_end(&run);
    let mut command = Command::new("env");
    command.args(["-C", elsewhere.path().to_str().unwrap(), PROGRAM]);
    let output = resume(&mut command);
    assert_eq!(code(&output), 0, "{}", stderr(&output));

    forget_the_end(&run);
    let weights = stage.path("tiny-llama/model.safetensors");
    let mut bytes = std::fs::read(&weights).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&weights, bytes).unwrap();
    let refused = resume(&mut Command::new(PROGRAM));
    assert_eq!(code(&refused), 1);
    assert!(stderr(&refused).contains("the model is not the one the run began with"), "{}", stderr(&refused));
}

/// The disk is full when the second checkpoint is written: the run ends with a reason, the first checkpoint is as it
/// was, and going on from it gives what an unbroken run gives.
#[cfg(unix)]
#[test]
fn a_full_disk_ends_a_run_that_can_go_on_later() {
    let stage = Stage::new();
    let (rows, model) = (stage.rows(), stage.model());
    let recipe = stage.file(
        "r.toml",
        format!(
            "[model]\nsource = {model:?}\n[data]\npath = {rows:?}\n[method]\nkind = \"lora\"\nrank = 32\n\
             [batch]\nmax_tokens = 128\nmicro_batch_tokens = 256\n[length]\nupdates = 4\n\
             [checkpoint]\nevery_updates = 2\nkeep_last = 9\n[run]\ndevice = \"cpu\"\n"
        ),
    );
    let output = stage.run(&["train", "--recipe", &recipe, "--out", "run"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let adapter = || std::fs::read(stage.path("run/adapter/adapter_model.safetensors")).unwrap();
    let checkpoint = |update: usize| stage.path("run/checkpoints").join(format!("update-{update:06}"));
    let files = |folder: &Path| {
        let names =
            ["adapter_config.json", "adapter_model.safetensors", "optimizer.safetensors", "position.json"];
        names.map(|name| std::fs::read(folder.join(name)).unwrap())
    };
    let (unbroken, kept) = (adapter(), files(&checkpoint(2)));
    // Back to where only the first checkpoint was written.
    std::fs::remove_dir_all(checkpoint(4)).unwrap();
    std::fs::remove_dir_all(stage.path("run/adapter")).unwrap();
    forget_the_end(&stage.path("run"));

    // The adapter fits, the optimizer's two moments do not.
    let room = kept[2].len() * 3 / 4;
    assert!(kept[1].len() < room && room > 64 << 10);
    let output = stage.run_with_files_up_to(room, &["train", "--resume", "--out", "run", "--json"]);
    assert_eq!(code(&output), 1, "{}", stderr(&output));
    let told = stderr(&output);
    assert!(told.contains("optimizer.safetensors") && told.contains("Make room on the disk"), "{told}");
    assert!(!told.contains("panicked"), "{told}");
    let events = String::from_utf8(output.stdout).unwrap();
    assert!(events.lines().last().unwrap().contains("\"event\":\"failed\""), "{events}");
    let left: Vec<_> =
        std::fs::read_dir(stage.path("run/checkpoints")).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(left, [checkpoint(2)], "no half-written checkpoint is left");
    assert!(files(&checkpoint(2)) == kept, "the last good checkpoint is as it was");

    let output = stage.run(&["train", "--resume", "--out", "run"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(adapter() == unbroken, "as if the disk had never been full");
}

#[cfg(unix)]
#[test]
fn an_interrupt_stops_and_saves() {
    let stage = Stage::new();
    let (rows, model) = (stage.rows(), stage.model());
    let recipe = stage.file(
        "r.toml",
        format!(
            "[model]\nsource = {model:?}\n[data]\npath = {rows:?}\n[batch]\nmax_tokens = 128\n\
             [length]\nupdates = 1000000\n[validation]\nevery_updates = 100000\n"
        ),
    );
    let mut child = Command::new(PROGRAM)
        .args(["train", "--recipe", &recipe, "--out", "run", "--json"])
        .current_dir(stage.folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    assert!(lines.by_ref().any(|l| l.unwrap().contains("\"event\":\"update\"")));
    // SAFETY: the process is our own child and still runs.
    unsafe { libc::kill(child.id() as i32, libc::SIGINT) };
    let rest: Vec<String> = lines.map(Result::unwrap).collect();
    assert_eq!(child.wait().unwrap().code(), Some(1), "it was not done");
    assert!(rest.iter().any(|l| l.contains("\"outcome\":\"stopped\"")), "{:?}", rest.last());
    assert!(stage.path("run/adapter/adapter_model.safetensors").is_file());
    assert!(std::fs::read_dir(stage.path("run/checkpoints")).unwrap().count() > 0);
}

#[test]
fn a_run_that_cannot_be_sound_is_refused_before_it_begins() {
    let stage = Stage::new();
    let (rows, model) = (stage.rows(), stage.model());
    let none = stage.file("none.csv", "question,answer\n");
    let text = format!("[model]\nsource = {model:?}\n[data]\npath = {rows:?}\n[batch]\nmax_tokens = 64\n");
    let recipe = stage.file("r.toml", text);
    let wrong = [
        "method.rank=0",
        "method.rank=4096",
        "method.target_modules=[\"nothing\"]",
        "optimizer.learning_rate=1e9",
        "optimizer.learning_rate=nan",
        "batch.max_tokens=100000",
        "batch.max_tokens=0",
        "batch.accumulation=0",
        "data.split.valid=2.0",
        "data.path=missing.csv",
        "data.encoding=klingon",
        "model.source=./missing",
        &format!("data.path={none}"),
    ];
    for set in wrong {
        let output = stage.run(&["train", "--recipe", &recipe, "--out", "run", "--set", set]);
        assert_eq!(code(&output), 1, "{set}: {}", stderr(&output));
        assert!(stderr(&output).lines().count() >= 2, "{set}: {}", stderr(&output));
        assert!(!stderr(&output).contains("panicked"), "{set}: {}", stderr(&output));
        assert!(!stage.path("run").exists(), "{set}: nothing is begun");
    }
}

#[test]
fn training_without_data_says_how_to_name_it() {
    let stage = Stage::new();
    let recipe = stage.file("r.toml", format!("[model]\nsource = {:?}\n", stage.model()));
    let output = stage.run(&["train", "--recipe", &recipe, "--out", "run"]);
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("--set data.path=FILE"), "{}", stderr(&output));
}

/// A run becomes a model of its own, which is the run's answers without its adapter; what is wrong leaves nothing behind.
#[test]
fn a_run_is_merged_into_a_model_folder() {
    let stage = Stage::new();
    let (rows, model) = (stage.rows(), stage.model());
    let recipe = stage.file(
        "r.toml",
        format!(
            "[model]\nsource = {model:?}\n[data]\npath = {rows:?}\n[method]\nkind = \"lora\"\nrank = 4\ndora = true\n\
             rank_pattern = {{ q_proj = 2 }}\n[batch]\nmax_tokens = 128\n[length]\nupdates = 4\n\
             [optimizer]\nlearning_rate = 0.01\n[run]\ndevice = \"cpu\"\n"
        ),
    );
    let path = |name: &str| stage.path(name).to_str().unwrap().to_string();
    let (run, merged) = (path("run"), path("merged"));
    let output = stage.run(&["train", "--recipe", &recipe, "--out", &run]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let (status, value) = stage.json(&["merge", &run, "--out", &merged]);
    assert_eq!(status, 0, "{value}");
    let of = |key: &str| value["merged"][key].as_f64().unwrap();
    assert!(of("largest_difference") < 1e-4 * of("largest_logit"), "{value}");
    let measured = |extra: &[&str]| {
        let (status, value) = stage.json(&[&["eval", "--data", &rows, "--max-tokens", "4"], extra].concat());
        assert_eq!(status, 0, "{value}");
        value["loss"].as_f64().unwrap()
    };
    let adapter = path("run/adapter");
    let tuned = measured(&["--model", &model, "--adapter", &adapter]);
    assert!((measured(&["--model", &merged]) - tuned).abs() < 1e-4 * tuned);
    assert!((measured(&["--model", &model]) - tuned).abs() > 1e-3 * tuned, "the run has learnt something");

    let again = stage.run(&["merge", &adapter, "--out", &merged]);
    assert_eq!(code(&again), 1);
    assert!(stderr(&again).contains("something of that name is there already"), "{}", stderr(&again));
    let nothing = stage.run(&["merge", &path("merged/none"), "--out", &path("other")]);
    assert_eq!(code(&nothing), 1);
    assert!(stderr(&nothing).contains("--model") && !stage.path("other").exists(), "{}", stderr(&nothing));
}

/// A second call finds the runs as they are; another recipe in the same folder is refused.
#[test]
fn methods_are_compared_on_the_same_data() {
    let stage = Stage::new();
    let (rows, model) = (stage.rows(), stage.model());
    let recipe =
        stage.file("r.toml", "[data.split]\ntest = 0.3\n[batch]\nmax_tokens = 64\n[run]\ndevice = \"cpu\"\n");
    let args = ["methods", &rows, "--model", &model, "--updates", "3", "--recipe", &recipe, "--out", "all"];
    let chosen = |methods: &'static str| [&args[..], &["--methods", methods]].concat();
    // A bottleneck of no width is none: nothing is trained, and the answer says how the others are.
    let wrong = ["--set", "method.kind=bottleneck", "--set", "method.width=0"];
    let output = stage.run(&[&chosen("ia3,lora,bottleneck")[..], &wrong].concat());
    assert_eq!(crate::cli::code(&output), 1);
    let said = stderr(&output);
    assert!(said.contains("width of 0") && said.contains("--methods ia3,lora"), "{said}");
    assert!(!stage.path("all/runs").exists());

    let (code, _) = stage.json(&chosen("lora,ia3"));
    assert_eq!(code, 0);
    // What fails on the way is a row with its reason.
    std::fs::write(stage.path("all/runs/bottleneck"), "in the way").unwrap();
    let chosen = chosen("ia3, lora,bottleneck");
    let (code, value) = stage.json(&chosen);
    assert_eq!(code, 0, "{value}");
    let told = value["rows"].as_array().unwrap();
    let kinds: Vec<_> = told.iter().map(|row| row["method"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["lora", "ia3", "bottleneck"]);
    for row in &told[..2] {
        assert_eq!((&row["num_updates"], &row["problem"]), (&3.into(), &Value::Null), "{row}");
        for key in [
            "num_trainable_params",
            "adapter_bytes",
            "peak_bytes",
            "estimated_bytes",
            "update_secs",
            "best_validation_loss",
            "test_loss",
        ] {
            assert!(row[key].as_f64().unwrap() > 0.0, "{key}: {row}");
        }
        assert!(row["exact_match"].is_number(), "{row}");
    }
    assert!(told[1]["adapter_bytes"].as_u64() < told[0]["adapter_bytes"].as_u64());
    assert!(told[1]["learning_rate"].as_f64() > told[0]["learning_rate"].as_f64());
    assert!(told[2]["problem"].as_str().unwrap().contains("bottleneck"), "{}", told[2]);
    let best = value["best"].as_array().unwrap();
    assert!(best.iter().any(|best| best["by"] == "size of the adapter file" && best["method"] == "ia3"));
    let table = std::fs::read_to_string(stage.path("all/comparison.md")).unwrap();
    assert!(table.contains("| LoRA, rank 8 |") && table.contains("Best by size of the adapter file: ia3"));

    let metrics = stage.path("all/runs/lora/metrics.jsonl");
    let before = std::fs::read(&metrics).unwrap();
    let (_, again) = stage.json(&chosen);
    assert_eq!(again["rows"][0]["best_validation_loss"], told[0]["best_validation_loss"]);
    assert_eq!(std::fs::read(&metrics).unwrap(), before, "it was not trained again");
    let other = stage.run(&[&chosen[..], &["--set", "run.seed=9"]].concat());
    assert_eq!(crate::cli::code(&other), 1);
    assert!(stderr(&other).contains("another recipe"), "{}", stderr(&other));
}
