//! Rows from easy to hard: what is in play when, that every row is seen, exact resume, and what is refused.

use crate::cli::{Stage, code, stderr};
use crate::tasks::plan_of;
use crate::train::{
    Finished, Follower, bytes, dataset, losses, model, phases, plan_on, recipe, run_tasks, validations,
};
use std::path::Path;
use tunesmith::base::Control;
use tunesmith::data::Sample;
use tunesmith::data::prepare::Dataset;
use tunesmith::data::table::Column;
use tunesmith::model::load::LoadedModel;
use tunesmith::objective::Language;
use tunesmith::project::event::Phase;
use tunesmith::project::{Outcome, RunEvent, RunFolder};
use tunesmith::recipe::Recipe;
use tunesmith::recipe::plan::Facts;
use tunesmith::recipe::recipe::{Curriculum, OrderBy, Pacing};
use tunesmith::train::TrainError;
use tunesmith::train::curriculum::{Grading, orders};
use tunesmith::train::feed::{Feed, Rows};
use tunesmith::train::memory::Meter;
use tunesmith::train::report::Reporter;

fn run(
    model: &LoadedModel,
    data: &Dataset,
    recipe: &Recipe,
    at: &Path,
    resume: bool,
    watch: impl FnMut(&RunEvent, &Control),
) -> Finished {
    let all = std::slice::from_ref(data);
    run_tasks(&plan_of(recipe, all), model, all, at, resume, &|| 0, watch)
}

fn ordered(by: &str, settings: &[&str]) -> Recipe {
    let by = format!("curriculum.by={by}");
    recipe(&[&[by.as_str()], settings].concat())
}

/// The shares of Platanios et al. 2019: at the beginning, half way and at the end of the time that is given; never falling.
#[test]
fn more_rows_come_into_play_until_all_are() {
    let at = |pacing: Pacing, update: u64| {
        Curriculum { by: OrderBy::Length, pacing, until: 0.5, descending: false }.share(update, 200)
    };
    assert_eq!([0, 50, 100, 199].map(|update| at(Pacing::Linear, update)), [0.1, 0.55, 1.0, 1.0]);
    let root = f64::sqrt(0.01 + 0.99 * 0.25);
    assert!((at(Pacing::Root, 25) - root).abs() < 1e-12 && at(Pacing::Root, 0) == 0.1);
    assert_eq!(
        [0, 19, 20, 79, 80, 100].map(|update| at(Pacing::Step, update)),
        [0.2, 0.2, 0.4, 0.8, 1.0, 1.0]
    );
    for pacing in [Pacing::Linear, Pacing::Root, Pacing::Step] {
        assert!((1..200).all(|update| at(pacing, update) >= at(pacing, update - 1)), "{pacing:?}");
    }
}

/// With packing and without: only easy rows at first, harder and harder ones in the mean, and in the end every row.
#[test]
fn rows_become_harder_and_all_are_seen() {
    let samples: Vec<Sample> = (0..60)
        .map(|i| tunesmith::train::bench::random_samples(50, 1, 4 + i * 7 % 60, i as u64).remove(0))
        .collect();
    let mut order: Vec<usize> = (0..samples.len()).collect();
    order.sort_by_key(|i| samples[*i].len());
    for packing in [true, false] {
        let recipe = ordered("length", &[&format!("batch.packing={packing}"), "batch.micro_batch_tokens=80"]);
        let num_updates = 120;
        let rows = Rows { order: Some(order.clone()), ..Rows::shuffled(&Language, &samples) };
        let mut feed = Feed::new(&recipe, num_updates, vec![rows]).unwrap();
        let (mut seen, mut means) = (vec![0; samples.len()], Vec::new());
        for update in 0..num_updates {
            let in_play = (recipe.curriculum.share(update, num_updates) * 60.0).ceil() as usize;
            for step in 0..2 {
                let (_, rows) = feed.next(update, step);
                assert!(rows.iter().all(|row| order[..in_play].contains(row)), "update {update}");
                rows.iter().for_each(|row| seen[*row] += 1);
                let tokens: usize = rows.iter().map(|row| samples[*row].len()).sum();
                means.push(tokens as f64 / rows.len() as f64);
            }
        }
        assert!(seen.iter().all(|times| *times > 0), "{packing}: {seen:?}");
        let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
        let quarters: Vec<f64> = means.chunks(30).map(mean).collect();
        assert!(quarters.windows(2).take(4).all(|two| two[0] < two[1]), "{packing}: {quarters:?}");
        let mut again = Feed::new(
            &recipe,
            num_updates,
            vec![Rows { order: Some(order.clone()), ..Rows::shuffled(&Language, &samples) }],
        )
        .unwrap();
        let mut whole = Feed::new(
            &recipe,
            num_updates,
            vec![Rows { order: Some(order.clone()), ..Rows::shuffled(&Language, &samples) }],
        )
        .unwrap();
        let all: Vec<_> = (0..240).map(|step| whole.next(step / 2, step % 2)).collect();
        for after in [0, 1, 61, 100] {
            again.seek(after, Default::default());
            assert_eq!(again.next(after, 0), all[2 * after as usize], "{packing}: after {after}");
        }
    }
}

/// By each of the three, both ways round, with validation and checkpoints: a run that was stopped goes on exactly, by the order that it found
/// at its beginning.
#[test]
fn a_run_with_an_order_goes_on_exactly() {
    let (model, temp) = (model(), tempfile::tempdir().unwrap());
    let mut data = dataset(&model, 24);
    let table = std::sync::Arc::make_mut(&mut data.table);
    let mut column = Column::new("hardness");
    (0..24).for_each(|i| column.push(&format!("{}", (i * 5 % 24) as f64 / 2.0)));
    table.columns.push(column);
    for (number, (by, pacing)) in
        [("length", "linear"), ("loss", "root"), ("column:hardness", "step")].into_iter().enumerate()
    {
        let recipe = ordered(
            by,
            &[
                &format!("curriculum.pacing={pacing}"),
                &format!("curriculum.descending={}", number == 2),
                "length.updates=8",
            ],
        );
        let at = temp.path().join(number.to_string());
        std::fs::create_dir(&at).unwrap();
        let whole = run(&model, &data, &recipe, &at.join("whole"), false, |_, _| {});
        assert_eq!(whole.outcome.unwrap(), Outcome::Done, "{by}");
        let cut = run(&model, &data, &recipe, &at.join("cut"), false, |event, control| {
            if matches!(event, RunEvent::Update { update: 3, .. }) {
                control.stop();
            }
        });
        assert_eq!(cut.outcome.unwrap(), Outcome::Stopped);
        drop(cut.folder);
        let rest = run(&model, &data, &recipe, &at.join("cut"), true, |_, _| {});
        assert_eq!(rest.outcome.unwrap(), Outcome::Done);
        let events = rest.folder.events().unwrap();
        assert_eq!(losses(&events), losses(&whole.events), "{by}");
        assert_eq!(validations(&events), validations(&whole.events), "{by}");
        let weights = "adapter/adapter_model.safetensors";
        assert_eq!(bytes(&at.join("cut"), weights), bytes(&at.join("whole"), weights), "{by}");
        let order = whole.folder.orders().unwrap().remove(0);
        let hardness = |place: &usize| (place * 5 % 24) as i64;
        match by {
            "length" => {
                assert!(order.windows(2).all(|two| data.samples[two[0]].len() <= data.samples[two[1]].len()))
            }
            "loss" => assert_eq!(order.len(), data.split.train.len()),
            _ => assert!(order.windows(2).all(|two| hardness(&two[0]) > hardness(&two[1]))),
        }
    }
}

/// The order by loss is that of the losses that validation would measure of each row alone; it is found once, and a stop is heeded.
#[test]
fn the_order_by_loss_is_that_of_the_model_before() {
    let (model, temp) = (model(), tempfile::tempdir().unwrap());
    let data = dataset(&model, 12);
    let recipe = ordered("loss", &[]);
    let plan = plan_of(&recipe, std::slice::from_ref(&data));
    let folder = RunFolder::create(&temp.path().join("run"), &recipe).unwrap();
    let stopped = Control::new();
    stopped.stop();
    let all = std::slice::from_ref(&data);
    let mut follower = Follower::new(|_, _| {});
    let mut reporter = Reporter::new(&folder, &mut follower);
    let meter = Meter::new(&|| 0, None);
    let grading = Grading { plan: &plan, model: &model, datasets: all, folder: &folder, meter: &meter };
    assert_eq!(orders(grading, &stopped, &mut reporter).unwrap(), None);
    assert_eq!(folder.orders(), None);
    let found = orders(grading, &Control::new(), &mut reporter).unwrap().unwrap();
    assert_eq!(folder.orders().as_ref(), Some(&found));
    let loss = |place: &usize| {
        let sample = &data.samples[data.split.train[*place]];
        let measured = tunesmith::train::validate::Measured {
            model: &model,
            hooks: &tunesmith::model::hooks::NoHooks,
            objective: &Language,
            budget_tokens: 4096,
        };
        let total = tunesmith::train::validate::loss_of(measured, &[sample], &mut |_| Ok(true), &|| Ok(()));
        total.unwrap().unwrap().mean()
    };
    let losses: Vec<f64> = found[0].iter().map(loss).collect();
    assert!(losses.windows(2).all(|two| two[0] <= two[1]), "{losses:?}");
    assert!(losses[losses.len() - 1] > losses[0]);
    // What was kept is taken as it is.
    let turned: Vec<usize> = found[0].iter().rev().copied().collect();
    folder.save_orders(std::slice::from_ref(&turned)).unwrap();
    assert_eq!(orders(grading, &stopped, &mut reporter).unwrap(), Some(vec![turned]));
}

/// While rows are measured for their order, and while test rows are, a pause is heeded, and a stop; what is short of memory is told.
#[test]
fn rows_that_are_only_measured_heed_the_run_s_control() {
    let (model, temp) = (model(), tempfile::tempdir().unwrap());
    let data = dataset(&model, 12);
    let plan = plan_of(&ordered("loss", &[]), std::slice::from_ref(&data));
    let go = |name: &str, bytes: &dyn Fn() -> u64, watch: &dyn Fn(Phase, &Control)| {
        let all = std::slice::from_ref(&data);
        run_tasks(&plan, &model, all, &temp.path().join(name), false, bytes, |event, control| {
            if let RunEvent::Phase { phase } = event {
                watch(*phase, control);
            }
        })
    };
    let paused = go("paused", &|| 0, &|phase, control| match phase {
        Phase::Grading if !control.is_paused() => control.pause(),
        Phase::Paused => control.resume(),
        _ => {}
    });
    assert_eq!(paused.outcome.unwrap(), Outcome::Done);
    let told = phases(&paused.events);
    assert_eq!(told[..3], [Phase::Grading, Phase::Paused, Phase::Grading], "{told:?}");
    let stopped = go("stopped", &|| 0, &|_, control| control.stop());
    assert_eq!(stopped.outcome.unwrap(), Outcome::Stopped);
    let end = RunEvent::Finished {
        outcome: Outcome::Stopped,
        update: 0,
        best_update: None,
        best_loss: None,
        secs: 0.0,
        adapter: None,
    };
    assert_eq!(stopped.folder.events().unwrap().last(), Some(&end));
    drop(stopped.folder);
    let all = std::slice::from_ref(&data);
    let rest = run_tasks(&plan, &model, all, &temp.path().join("stopped"), true, &|| 0, |_, _| {});
    assert_eq!(losses(&rest.events), losses(&paused.events));
    // A row alone cannot be halved.
    let limited = plan_on(Facts { free_memory_bytes: 1000, ..Facts::default() }, plan.recipe(), &data);
    let at = temp.path().join("short");
    let short = run_tasks(&limited, &model, all, &at, false, &|| 900, |_, _| {});
    assert!(matches!(*short.outcome.unwrap_err().error, TrainError::OutOfMemory(_)));
    assert!(matches!(short.folder.events().unwrap().last(), Some(RunEvent::Failed { update: 0, .. })));
}

#[test]
fn what_has_no_order_is_refused_in_words() {
    let stage = Stage::new();
    let model = stage.model();
    let data = stage.file("rows.csv", "question,answer,hard\nA?,b,1\nC?,d,2.5\nE?,f,much\nG?,h,3\nI?,j,1\n");
    let labels = (0..30).map(|i| format!("it is {},{}\n", i, ["a", "b"][i % 2])).collect::<String>();
    let labels = stage.file("labels.csv", format!("text,label\n{labels}"));
    let file = stage.file("r.toml", "[length]\nupdates = 2\n[batch]\nmax_tokens = 64\n");
    for (data, settings, needles) in [
        (&data, vec!["curriculum.by=column:ease"], vec!["no column ease", "question, answer"]),
        (&data, vec!["curriculum.by=column:hard"], vec!["line 4", "much", "no number"]),
        (&data, vec!["curriculum.by=length", "curriculum.until=0"], vec!["curriculum.until", "above 0"]),
        (&data, vec!["curriculum.by=length", "curriculum.until=1.5"], vec!["curriculum.until", "at most 1"]),
        (
            &labels,
            vec!["objective.kind=classification", "curriculum.by=loss"],
            vec!["knows nothing of classification"],
        ),
    ] {
        let mut args = vec!["train", "--recipe", &file, "--out", "run"];
        let (path, source) = (format!("data.path={data}"), format!("model.source={model}"));
        args.extend(["--set", &path, "--set", &source]);
        settings.iter().for_each(|setting| args.extend(["--set", setting]));
        let output = stage.run(&args);
        assert_eq!(code(&output), 1, "{settings:?}: {}", stderr(&output));
        for needle in needles {
            assert!(stderr(&output).contains(needle), "{settings:?}: no {needle} in {}", stderr(&output));
        }
        assert!(!stage.path("run").exists());
    }
    let output = stage.run(&["train", "--recipe", &file, "--out", "run", "--set", "curriculum.by=lenght"]);
    assert_eq!(code(&output), 2, "{}", stderr(&output));
    assert!(stderr(&output).contains("shuffled, length, loss"), "{}", stderr(&output));
}

/// Orders that cannot be are told before the first is trained.
#[test]
fn wrong_orders_are_refused_first() {
    let stage = Stage::new();
    let (model, rows) = (stage.model(), stage.rows());
    for (orders, why) in [("shuffled,column:none", "none"), ("length,shuffled,length", "one folder")] {
        let args =
            ["methods", &rows, "--model", &model, "--orders", orders, "--updates", "1", "--out", "orders"];
        let output = stage.run(&[&args[..], &["--set", "batch.max_tokens=64"]].concat());
        let said = crate::cli::stderr(&output);
        assert!(crate::cli::code(&output) == 1 && said.contains(why), "{orders}: {said}");
        assert!(!stage.path("orders/comparison.json").exists(), "{orders}");
    }
}

/// One command gives the rows of shuffled and of ordered training, on the same test rows.
#[test]
fn orders_are_compared_by_one_command() {
    let stage = Stage::new();
    let (model, rows) = (stage.model(), stage.rows());
    let args = [
        "methods",
        &rows,
        "--model",
        &model,
        "--orders",
        "shuffled,length,loss",
        "--updates",
        "4",
        "--out",
        "orders",
        "--set",
        "batch.max_tokens=64",
        "--set",
        "data.split.test=0.2",
    ];
    let (done, found) = stage.json(&args);
    assert_eq!(done, 0, "{found}");
    let rows = found["rows"].as_array().unwrap();
    let name = |row: &serde_json::Value| row["method"].as_str().unwrap().to_string();
    assert_eq!(rows.iter().map(name).collect::<Vec<_>>(), ["lora-shuffled", "lora-length", "lora-loss"]);
    assert!(rows.iter().all(|row| row["test_loss"].is_number() && row["problem"].is_null()), "{found}");
    let losses: Vec<f64> = rows.iter().map(|row| row["test_loss"].as_f64().unwrap()).collect();
    assert!(losses[0] != losses[1] && losses[1] != losses[2], "{losses:?}");
    assert!(stage.path("orders/runs/lora-loss/order.json").is_file());
    assert!(!stage.path("orders/runs/lora-shuffled/order.json").exists());
    // Given again it goes on: with another order, and with the recipe's own.
    let (done, more) =
        stage.json(&[&args[..4], &["--orders", "shuffled"], &args[6..], &["--methods", "lora,ia3"]].concat());
    assert_eq!(done, 0, "{more}");
    let kept: Vec<String> = more["rows"].as_array().unwrap().iter().map(name).collect();
    assert_eq!(kept, ["lora-shuffled", "lora-length", "lora-loss", "ia3-shuffled"]);
}

/// How hard the rows are is measured by the first method, and holds for all.
#[test]
fn the_methods_of_a_comparison_share_their_order() {
    let stage = Stage::new();
    let (model, rows) = (stage.model(), stage.rows());
    let args =
        ["methods", &rows, "--model", &model, "--methods", "lora,ia3", "--updates", "2", "--out", "both"];
    let (done, found) =
        stage.json(&[&args[..], &["--set", "batch.max_tokens=64", "--set", "curriculum.by=loss"]].concat());
    assert_eq!(done, 0, "{found}");
    let read = |name: &str, file: &str| {
        std::fs::read_to_string(stage.path(&format!("both/runs/{name}/{file}"))).unwrap()
    };
    assert_eq!(read("lora", "order.json"), read("ia3", "order.json"));
    let is_graded = |name: &str| read(name, "metrics.jsonl").contains("\"grading\"");
    assert!(is_graded("lora") && !is_graded("ia3"));
}
