//! Several tasks in one run: what is drawn, what an update is, exact resume, early stopping, and what is refused.

use crate::cli::{Stage, code, stderr};
use crate::objectives::{dataset_of, with_mask};
use crate::parity::decoder;
use crate::train::{bytes, losses, model, recipe, run_tasks, validations};
use candle_core::Tensor;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use tunesmith::data::prepare::Dataset;
use tunesmith::data::{Goal, Sample};
use tunesmith::model::load::LoadedModel;
use tunesmith::objective::{Language, Objective as _};
use tunesmith::project::{Outcome, RunEvent};
use tunesmith::recipe::plan::{DataFacts, Facts};
use tunesmith::recipe::recipe::{
    BestBy, Classification, DataSection, Masked, Mixing, Objective, Regression, TaskSection,
};
use tunesmith::recipe::{Plan, Recipe, Task, load};
use tunesmith::train::feed::{Fed, Feed, Rows};

fn task(name: &str, objective: Objective, weight: f64) -> TaskSection {
    let data = DataSection { path: Some("rows.csv".into()), ..DataSection::default() };
    TaskSection { name: name.into(), weight, data, objective }
}

fn classes() -> Objective {
    Objective::Classification(Classification::default())
}

fn scores() -> Objective {
    Objective::Regression(Regression::default())
}

/// A model with the heads of these tasks, and their rows.
fn made(name: &str, recipe: &Recipe) -> (LoadedModel, Vec<Dataset>) {
    let base = model();
    let bare = decoder(&match name {
        "llama" => "parity/tiny-llama/model".into(),
        encoder => format!("parity/encoders/{encoder}/masked"),
    });
    let data: Vec<Dataset> = recipe
        .tasks
        .iter()
        .map(|task| {
            let small = LoadedModel { decoder: Arc::new(decoder("parity/tiny-llama/model")), ..base.clone() };
            dataset_of(&small, &task.objective)
        })
        .collect();
    let tasks = recipe.tasks.iter().zip(&data);
    let tasks = tasks.map(|(task, data)| Task { name: task.name.clone(), ..Task::of(&task.objective, data) });
    let config = Task::together(tasks.collect())[0].config(bare.config());
    let decoder = Arc::new(bare.with_config(config, 1).unwrap());
    (LoadedModel { decoder, tokeniser: Arc::new(with_mask()), ..base }, data)
}

/// As the engine plans it.
pub fn plan_of(recipe: &Recipe, data: &[Dataset]) -> Plan {
    let facts = Facts::default().of_data(recipe, data.iter().map(DataFacts::of).collect());
    Plan::new(recipe.clone(), &facts, 10).unwrap()
}

fn run_all(recipe: &Recipe, made: &(LoadedModel, Vec<Dataset>), at: &Path) -> crate::train::Finished {
    run_tasks(&plan_of(recipe, &made.1), &made.0, &made.1, at, false, &|| 0, |_, _| {})
}

fn task_losses(events: &[RunEvent]) -> Vec<BTreeMap<String, f64>> {
    let of = |event: &RunEvent| match event {
        RunEvent::TaskLosses { losses, .. } => Some(losses.clone()),
        _ => None,
    };
    events.iter().filter_map(of).collect()
}

/// Words, classes and scores on one body, with LoRA and with all weights, on encoders and on a decoder: each is learnt, and a run that was
/// stopped goes on as if it had not been, with nothing saved but its number of updates.
#[test]
fn several_tasks_are_learnt_together_and_resumed_exactly() {
    let temp = tempfile::tempdir().unwrap();
    for (name, method) in [("bert", "lora"), ("modernbert", "full"), ("llama", "lora"), ("llama", "full")] {
        let words = if name == "llama" { Objective::default() } else { Objective::Masked(Masked::default()) };
        let mut recipe = recipe(&[
            &format!("method.kind={method}"),
            "length.updates=60",
            "validation.every_updates=20",
            "checkpoint.every_updates=23",
            "optimizer.learning_rate=0.01",
            "batch.micro_batch_tokens=64",
            "batch.accumulation=3",
        ]);
        recipe.tasks =
            vec![task("words", words, 0.5), task("kind", classes(), 1.0), task("score", scores(), 2.0)];
        let made = made(name, &recipe);
        let at = temp.path().join(format!("{name}-{method}"));
        std::fs::create_dir_all(&at).unwrap();
        let whole = run_all(&recipe, &made, &at.join("whole"));
        assert_eq!(*whole.outcome.as_ref().unwrap(), Outcome::Done, "{name} {method}");
        let cut = at.join("cut");
        let plan = plan_of(&recipe, &made.1);
        let stop = |event: &RunEvent, control: &tunesmith::base::Control| {
            if matches!(event, RunEvent::Update { update: 23, .. }) {
                control.stop();
            }
        };
        let first = run_tasks(&plan, &made.0, &made.1, &cut, false, &|| 0, stop);
        assert_eq!(first.outcome.unwrap(), Outcome::Stopped);
        drop(first.folder);
        let rest = run_tasks(&plan, &made.0, &made.1, &cut, true, &|| 0, |_, _| {});
        assert_eq!(rest.outcome.unwrap(), Outcome::Done);
        let events = rest.folder.events().unwrap();
        assert_eq!(losses(&events), losses(&whole.events), "{name} {method}");
        assert_eq!(task_losses(&events), task_losses(&whole.events), "{name} {method}");
        assert_eq!(validations(&events), validations(&whole.events), "{name} {method}");
        let weights =
            if method == "lora" { "adapter/adapter_model.safetensors" } else { "adapter/model.safetensors" };
        assert_eq!(bytes(&cut, weights), bytes(whole.folder.path(), weights), "{name} {method}");
        let each = task_losses(&whole.events);
        for task in ["words", "kind", "score"] {
            let own: Vec<f64> = each.iter().filter_map(|losses| losses.get(task).copied()).collect();
            let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len() as f64;
            let (first, last) = (mean(&own[..5]), mean(&own[own.len() - 5..]));
            assert!(last < 0.9 * first, "{name} {method} {task}: {first} became {last}");
        }
        let tasks = Task::load_all(&whole.folder.adapter_dir()).unwrap();
        assert_eq!(tasks.len(), 3);
        assert_eq!(tasks[1].config(made.0.config()), *made.0.config());
    }
}

fn tensors(folder: &Path) -> BTreeMap<String, Vec<f32>> {
    let loaded = candle_core::safetensors::load(folder, &candle_core::Device::Cpu).unwrap();
    let numbers = |tensor: Tensor| tensor.flatten_all().unwrap().to_vec1().unwrap();
    loaded.into_iter().map(|(name, tensor)| (name, numbers(tensor))).collect()
}

/// An update of two tasks moves the weights by the mean of what each would alone, times its weight; so is its loss.
#[test]
fn an_update_of_several_tasks_is_the_weighted_sum_of_theirs() {
    let temp = tempfile::tempdir().unwrap();
    let of = |weights: [f64; 2], accumulation: usize, seed: u64| {
        let mut recipe = recipe(&[
            "method.kind=full",
            "length.updates=1",
            "optimizer.kind=sgd",
            "optimizer.momentum=0.0",
            "optimizer.learning_rate=0.05",
            "optimizer.clip_norm=none",
            "schedule.shape=constant",
            "schedule.warmup=0.0",
            "validation.every_updates=9",
            "batch.micro_batch_tokens=4096",
            &format!("batch.accumulation={accumulation}"),
            &format!("run.seed={seed}"),
        ]);
        recipe.tasks =
            vec![task("words", Objective::default(), weights[0]), task("kind", classes(), weights[1])];
        recipe
    };
    let made = made("llama", &of([1.0; 2], 1, 0));
    let mut runs = 0;
    // The first run with a seed that draws just these tasks.
    let mut drawn = |weights: [f64; 2], accumulation: usize, wanted: &[&str]| {
        (0..40)
            .find_map(|seed| {
                runs += 1;
                let at = temp.path().join(runs.to_string());
                let done = run_all(&of(weights, accumulation, seed), &made, &at);
                assert_eq!(done.outcome.unwrap(), Outcome::Done);
                let losses = task_losses(&done.events).remove(0);
                let is_wanted = losses.keys().map(String::as_str).eq(wanted.iter().copied());
                let loss = crate::train::losses(&done.events)[0].1;
                is_wanted.then(|| (loss, tensors(&at.join("adapter/model.safetensors"))))
            })
            .unwrap()
    };
    let (words, kind) = (drawn([1.0; 2], 1, &["words"]), drawn([1.0; 2], 1, &["kind"]));
    let both = drawn([3.0, 1.0], 2, &["kind", "words"]);
    let mixed = |words: f64, kind: f64| (1.5 * words + 0.5 * kind) / 2.0;
    assert!((both.0 - mixed(words.0, kind.0)).abs() < 1e-5, "{} {} {}", both.0, words.0, kind.0);
    let mut moved = 0.0f64;
    for (name, after) in &both.1 {
        for (at, after) in after.iter().enumerate() {
            let (of_words, of_kind) = (f64::from(words.1[name][at]), f64::from(kind.1[name][at]));
            // What is moved is the same model: w - rate (1.5 g + 0.5 h) / 2 is 0.75 of the one and 0.25 of the other.
            let wanted = mixed(of_words, of_kind);
            assert!((f64::from(*after) - wanted).abs() < 2e-6, "{name} {at}: {after} {wanted}");
            moved = moved.max((of_words - of_kind).abs());
        }
    }
    assert!(moved > 1e-3, "nothing moved: {moved}");
}

/// Shares of what is drawn against n^(1/T), and places that follow from the number of updates.
#[test]
fn tasks_are_drawn_by_their_size_and_the_temperature() {
    let samples: Vec<Sample> = tunesmith::train::bench::random_samples(50, 210, 8, 1);
    let sizes = [10usize, 40, 160];
    let feed = |temperature: f64| {
        let mut recipe = recipe(&["batch.packing=false"]);
        recipe.mixing = Mixing { temperature, best_by: BestBy::Mean };
        recipe.tasks = ["a", "b", "c"].map(|name| task(name, Objective::default(), 1.0)).to_vec();
        let rows = |num: usize| Rows::shuffled(&Language, &samples[..num]);
        Feed::new(&recipe, 10_000, sizes.map(rows).into_iter().collect()).unwrap()
    };
    let num = 20_000u64;
    for temperature in [1.0, 2.0, 10.0 / 3.0] {
        let (mut feed_of, mut counts) = (feed(temperature), [0u64; 3]);
        let mut taken = Vec::new();
        for step in 0..num {
            let (task, rows) = feed_of.next(step / 2, step % 2);
            counts[task] += 1;
            taken.push((task, rows));
        }
        let raised = sizes.map(|n| (n as f64).powf(1.0 / temperature));
        let all: f64 = raised.iter().sum();
        for (count, raised) in counts.iter().zip(raised) {
            let (share, wanted) = (*count as f64 / num as f64, raised / all);
            let deviation = (wanted * (1.0 - wanted) / num as f64).sqrt();
            assert!((share - wanted).abs() < 4.0 * deviation, "{temperature}: {share} {wanted}");
        }
        // Every row of a task comes once before any comes twice.
        let of_small: Vec<&Vec<usize>> =
            taken.iter().filter(|(task, _)| *task == 0).map(|(_, r)| r).collect();
        let mut pass: Vec<usize> = of_small[..10].iter().flat_map(|rows| rows.iter().copied()).collect();
        pass.sort_unstable();
        assert_eq!(pass, (0..10).collect::<Vec<_>>());
        let mut again = feed(temperature);
        for after in [0u64, 1, 37, 999] {
            again.seek(after, Default::default());
            let next: Vec<_> = (0..6).map(|step| again.next(after + step / 2, step % 2)).collect();
            assert_eq!(next, taken[2 * after as usize..][..6], "after {after} updates");
        }
    }
}

/// A task whose validation rows say the opposite of what it learns gets worse and worse: it ends the run where it was chosen, and else not.
#[test]
fn no_task_stops_another() {
    let temp = tempfile::tempdir().unwrap();
    let ended = |best_by: BestBy, name: &str| {
        let mut recipe = recipe(&[
            "length.updates=40",
            "validation.every_updates=4",
            "optimizer.learning_rate=0.01",
            "batch.accumulation=4",
            "early_stop.enabled=true",
            "early_stop.patience=2",
        ]);
        recipe.mixing.best_by = best_by;
        recipe.tasks = vec![task("words", Objective::default(), 1.0), task("kind", classes(), 0.2)];
        let (model, mut data) = made("llama", &recipe);
        let turned = &mut data[1];
        for row in turned.split.valid.clone() {
            if let Goal::Class(class) = &mut turned.samples[row].goal {
                *class = 1 - *class;
            }
        }
        let done = run_all(&recipe, &(model, data), &temp.path().join(name));
        let kind = |event: &RunEvent| match event {
            RunEvent::TaskValidation { task, loss, .. } if task == "kind" => Some(*loss),
            _ => None,
        };
        let of_kind: Vec<f64> = done.events.iter().filter_map(kind).collect();
        assert!(of_kind.last() > of_kind.first(), "it does not get worse: {of_kind:?}");
        done.outcome.unwrap()
    };
    assert_eq!(ended(BestBy::Task("kind".into()), "one"), Outcome::StoppedEarly);
    assert_eq!(ended(BestBy::Task("words".into()), "other"), Outcome::Done);
    assert_eq!(ended(BestBy::Weighted, "weighted"), Outcome::Done);
}

/// A classifier's and an answerer's data beside the tiny model.
fn recipe_file(stage: &Stage, change: impl Fn(String) -> String) -> String {
    let row = |i: usize| {
        let kind = ["sour", "sweet", "salty"][i % 3];
        format!("it tastes {kind} no {i},{kind},{}\n", (i % 3) as f64 - 1.0)
    };
    stage.file("kinds.csv", format!("text,label,score\n{}", (0..60).map(row).collect::<String>()));
    stage.rows();
    let text = format!(
        r#"
[model]
source = "{}"
[method]
kind = "lora"
rank = 4
[optimizer]
learning_rate = 0.01
[length]
updates = 12
[batch]
max_tokens = 64
micro_batch_tokens = 128
accumulation = 2
[validation]
every_updates = 6
num_answers = 1

[[tasks]]
name = "answers"
[tasks.data]
path = "rows.csv"

[[tasks]]
name = "taste"
weight = 2.0
[tasks.data]
path = "kinds.csv"
schema = {{ roles = ["text", "label", "ignore"] }}
[tasks.data.split]
test = 0.2
[tasks.objective]
kind = "classification"

[[tasks]]
name = "sourness"
[tasks.data]
path = "kinds.csv"
schema = {{ roles = ["text", "ignore", "score"] }}
[tasks.objective]
kind = "regression"
"#,
        stage.model().replace('\\', "/")
    );
    stage.file("tasks.toml", change(text))
}

/// From a recipe to figures of every task, predictions, answers, and the same recipe again.
#[test]
fn several_tasks_go_from_a_recipe_to_predictions() {
    let stage = Stage::new();
    let (file, model) = (recipe_file(&stage, |text| text), stage.model());
    let output = stage.run(&["train", "--recipe", &file, "--out", "run"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(stderr(&output).contains("taste: validation loss"), "{}", stderr(&output));
    let run = stage.path("run");
    let report: serde_json::Value =
        serde_json::from_slice(&std::fs::read(run.join("report.json")).unwrap()).unwrap();
    assert_eq!(report["tasks"]["taste"]["report"]["task"], "classes", "{report}");
    for task in ["answers", "taste", "sourness"] {
        assert!(run.join(format!("ledger-{task}.json")).is_file());
    }
    let frozen = load::from_file(&run.join("recipe.toml")).unwrap();
    assert_eq!(frozen.task_names(), ["answers", "taste", "sourness"]);
    assert_eq!(frozen.tasks[1].weight, 2.0);

    let of_run = ["--model", &model, "--adapter", "run"];
    let (done, said) =
        stage.json(&[&["predict"], &of_run[..], &["--task", "taste", "--text", "so sour"]].concat());
    assert_eq!(done, 0);
    assert_eq!(said["texts"][0]["classes"].as_array().unwrap().len(), 3, "{said}");
    let (_, said) = stage.json(&[&["predict"], &of_run[..], &["--task", "sourness", "--text", "x"]].concat());
    assert!(said["texts"][0]["score"].is_number(), "{said}");
    let measured = ["--data", "kinds.csv", "--part", "test", "--task", "taste"];
    let (done, said) = stage.json(&[&["eval"], &of_run[..], &measured].concat());
    assert_eq!(done, 0, "{said}");
    let loss = report["tasks"]["taste"]["loss"].as_f64().unwrap();
    assert!((said["loss"].as_f64().unwrap() - loss).abs() < 1e-4, "{said} {loss}");
    assert_eq!(said["rows"], report["tasks"]["taste"]["rows"]);
    let (done, _) =
        stage.json(&[&["eval"], &of_run[..], &["--data", "rows.csv", "--task", "answers"]].concat());
    assert_eq!(done, 0);
    let written =
        stage.run(&[&["generate"], &of_run[..], &["--prompt", "What?", "--max-tokens", "3"]].concat());
    assert_eq!(code(&written), 0, "{}", stderr(&written));
    for (args, needle) in [
        (vec!["predict", "--text", "x"], "answers, taste, sourness"),
        (vec!["predict", "--text", "x", "--task", "smell"], "answers, taste, sourness"),
        (vec!["predict", "--text", "x", "--task", "answers"], "judges no texts"),
    ] {
        let output = stage.run(&[&args, &of_run[..]].concat());
        assert_eq!(code(&output), 1, "{args:?}");
        assert!(stderr(&output).contains(needle), "{args:?}: {}", stderr(&output));
    }
}

/// Everything wrong is told before anything is loaded, with the task's name.
#[test]
fn a_wrong_task_is_told_by_its_name() {
    let cases: [(&str, &str, &[&str]); 14] = [
        ("name = \"taste\"\n", "", &["Task 2 has no name"]),
        ("name = \"sourness\"", "name = \"taste\"", &["Two tasks are called \"taste\""]),
        ("name = \"taste\"", "name = \"a.b\"", &["a.b", "letters, digits"]),
        ("weight = 2.0", "weight = 0", &["\"taste\"", "above 0"]),
        ("weight = 2.0", "weight = -1.5", &["\"taste\"", "above 0"]),
        ("weight = 2.0", "weight = nan", &["\"taste\"", "NaN", "above 0"]),
        ("weight = 2.0", "weight = \"much\"", &["\"taste\"", "has to be a number"]),
        ("weight = 2.0", "wight = 2.0", &["\"taste\"", "wight", "\"weight\""]),
        ("path = \"kinds.csv\"", "pfad = \"kinds.csv\"", &["\"taste\"", "pfad"]),
        ("[\"text\", \"label\", \"ignore\"]", "[\"text\", \"ignore\", \"ignore\"]", &["taste", "Label"]),
        ("kind = \"classification\"", "kind = \"masked\"", &["\"taste\"", "left to right"]),
        ("path = \"rows.csv\"", "path = \"none.csv\"", &["answers", "none.csv"]),
        (
            "[[tasks]]\nname = \"answers\"",
            "[mixing]\nbest_by = \"smell\"\n[[tasks]]\nname = \"answers\"",
            &["smell", "taste"],
        ),
        (
            "[[tasks]]\nname = \"answers\"",
            "[mixing]\ntemperature = 0\n[[tasks]]\nname = \"answers\"",
            &["temperature", "above 0"],
        ),
    ];
    for (from, to, needles) in cases {
        let stage = Stage::new();
        let file = recipe_file(&stage, |text| {
            assert!(text.contains(from), "{from}");
            text.replacen(from, to, 1)
        });
        let output = stage.run(&["train", "--recipe", &file, "--out", "run"]);
        assert_eq!(code(&output), 1, "{to}: {}", stderr(&output));
        for needle in needles {
            assert!(stderr(&output).contains(needle), "{to}: no {needle} in {}", stderr(&output));
        }
        assert!(!stage.path("run").exists(), "{to}");
    }
    let both = Stage::new();
    let file = recipe_file(&both, |text| text.replacen("[model]", "[data]\npath = \"rows.csv\"\n[model]", 1));
    let output = both.run(&["train", "--recipe", &file, "--out", "run"]);
    assert!(stderr(&output).contains("Each task names its own data"), "{}", stderr(&output));
}

/// Where memory is short, halves of a micro-batch count together as the whole did.
#[test]
fn halves_of_a_micro_batch_count_as_the_whole() {
    let samples: Vec<Sample> = tunesmith::train::bench::random_samples(50, 8, 9, 1);
    let mut recipe = recipe(&["batch.packing=false"]);
    recipe.tasks = vec![task("a", Objective::default(), 3.0), task("b", Objective::default(), 1.0)];
    let rows = || Rows::shuffled(&Language, &samples);
    let feed = Feed::new(&recipe, 10, vec![rows(), rows()]).unwrap();
    let fed = |task: usize, rows: &[usize], micro_step: u64| {
        let batch = tunesmith::data::Batch::pack(rows.iter().map(|row| &samples[*row]));
        Fed { task, batch, micro_step }
    };
    let total = |of: &[Fed], task: usize| {
        let scales = feed.scales(of).into_iter().map(Option::unwrap);
        let own = of.iter().zip(scales).filter(|(fed, _)| fed.task == task);
        own.fold((0.0, 0.0), |sum, (fed, scale)| {
            (sum.0 + scale.factor * Language.weight(&fed.batch), sum.1 + scale.weight)
        })
    };
    let whole = [fed(0, &[0, 1, 2], 0), fed(1, &[3, 4], 1), fed(0, &[5], 2)];
    let halves = [fed(0, &[0], 0), fed(0, &[1, 2], 0), fed(1, &[3], 1), fed(1, &[4], 1), fed(0, &[5], 2)];
    for (task, wanted) in [(0, (1.5 * 2.0, 2.0)), (1, (0.5, 1.0))] {
        for (factor, weight) in [total(&whole, task), total(&halves, task)] {
            assert!(
                (factor - wanted.0).abs() < 1e-9 && (weight - wanted.1).abs() < 1e-9,
                "{factor} {weight}"
            );
        }
    }
}
