//! A run that is killed again and again, whatever it does at that moment, loses nothing that it reported as saved.

use crate::cli::{PROGRAM, Stage};
use crate::train::{dataset, model, recipe, run};
use candle_core::Device;
use serde_json::Value;
use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tunesmith::base::rng::Rng;
use tunesmith::model::files::ModelFiles;
use tunesmith::peft::files;
use tunesmith::project::event::Phase;
use tunesmith::project::{Outcome, RunEvent, RunFolder};

const KILLS: u64 = 100;
/// Latest kill after what was waited for: several checkpoints fit in.
const LONGEST: Duration = Duration::from_millis(60);

fn start(stage: &Stage, args: &[&str], told: &Path) -> Child {
    let mut command = Command::new(PROGRAM);
    let output = File::create(told).unwrap();
    stage.isolate(&mut command).args(args).stdout(output).stderr(Stdio::null()).spawn().unwrap()
}

/// The whole lines that were printed.
fn events(told: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(told).unwrap();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// Waits until an event of this name is printed.
fn wait_for(name: &str, told: &Path) {
    let begun = Instant::now();
    while !events(told).iter().any(|event| event["event"] == name) {
        assert!(begun.elapsed() < Duration::from_secs(60), "no {name} event: {:?}", events(told));
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Each of a hundred processes goes on with the run, saving after every update, until it is killed: a fourth of them while they may
/// still look for the place to go on from, and a fourth not before they have saved, however slow the machine is.
#[test]
fn a_hundred_kills_lose_no_checkpoint() {
    let stage = Stage::new();
    let (rows, model) = (stage.rows(), stage.model());
    let recipe = stage.file(
        "r.toml",
        format!(
            "[model]\nsource = {model:?}\n[data]\npath = {rows:?}\n[method]\nkind = \"lora\"\n\
             [batch]\nmax_tokens = 64\nmicro_batch_tokens = 64\naccumulation = 1\n[length]\nupdates = 1000000\n\
             [validation]\nevery_updates = 3\nmax_examples = 1\nnum_answers = 0\n[early_stop]\nenabled = false\n\
             [checkpoint]\nevery_updates = 1\nkeep_last = 1\n[run]\ndevice = \"cpu\"\n"
        ),
    );
    let config = ModelFiles::open("tiny", Path::new(&model)).unwrap().config;
    let (run, told) = (stage.path("run"), stage.path("told.jsonl"));
    let mut random = Rng::new(7, &[0x4B]);
    let mut child = start(&stage, &["train", "--recipe", &recipe, "--out", "run", "--json"], &told);
    wait_for("checkpoint", &told);
    let mut newest = 0;
    for kill in 0..KILLS {
        if kill > 0 {
            child = start(&stage, &["train", "--resume", "--out", "run", "--json"], &told);
        }
        match kill % 4 {
            0 => {}
            1 => wait_for("checkpoint", &told),
            _ => wait_for("started", &told),
        }
        std::thread::sleep(LONGEST.mul_f64(random.uniform()));
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().code(), None, "kill {kill}: it ended before: {:?}", events(&told));

        let events = events(&told);
        let named = |name: &'static str| events.iter().filter(move |event| event["event"] == name);
        assert_eq!(named("notice").next(), None, "kill {kill}: nothing is passed over");
        if let Some(started) = named("started").next() {
            assert!(
                started["from_update"].as_u64() >= Some(newest),
                "kill {kill}: {started}, {newest} was there"
            );
        }
        let reported = named("checkpoint").filter_map(|event| event["update"].as_u64()).max();
        let folder = RunFolder::open(&run).unwrap();
        let last = folder.checkpoints().last().copied().unwrap_or_default();
        assert!(
            last >= newest.max(reported.unwrap_or_default()),
            "kill {kill}: {last}, {newest} {reported:?}"
        );
        newest = last;
        let checkpoint = folder.checkpoint_dir(last);
        let adapter = files::load(&checkpoint, &config, &Device::Cpu);
        assert!(adapter.is_ok(), "kill {kill}: {:?}", adapter.err());
        let position = std::fs::read(checkpoint.join("position.json")).unwrap();
        let position: Value = serde_json::from_slice(&position).unwrap();
        assert_eq!(position["update"], last, "kill {kill}");
        let state = candle_core::safetensors::load(checkpoint.join("optimizer.safetensors"), &Device::Cpu);
        assert!(state.is_ok(), "kill {kill}: {:?}", state.err());
    }
    assert!(newest > KILLS / 4, "only {newest} updates in {KILLS} lives");
}

/// Between the two renames that put a folder in the place of another one, the newest state has no name: a run that saves where it
/// went on from leaves the folder where it is.
#[test]
fn a_checkpoint_is_not_replaced_by_the_run_that_went_on_from_it() {
    let (model, temp) = (model(), tempfile::tempdir().unwrap());
    let data = dataset(&model, 20);
    let (recipe, at) = (recipe(&[]), temp.path().join("r"));
    // Stopped while it validates: the run that goes on has that validation to do, and to save.
    let mut is_last = false;
    run(&model, &data, &recipe, &at, false, |event, control| match event {
        RunEvent::Update { update: 4, .. } => is_last = true,
        RunEvent::Phase { phase: Phase::Validating } if is_last => control.stop(),
        _ => {}
    });
    let checkpoint = at.join("checkpoints/update-000004");
    let position = || -> Value {
        serde_json::from_slice(&std::fs::read(checkpoint.join("position.json")).unwrap()).unwrap()
    };
    assert_eq!(position()["owes_validation"], true);
    std::fs::write(checkpoint.join("mark"), "").unwrap();
    let rest = run(&model, &data, &recipe, &at, true, |event, control| {
        if matches!(event, RunEvent::Validation { update: 4, .. }) {
            control.stop();
        }
    });
    assert_eq!(rest.outcome.unwrap(), Outcome::Stopped);
    assert_eq!(position()["owes_validation"], false, "the validation is kept");
    assert!(checkpoint.join("mark").exists(), "it is the same folder");
}
