//! Runs that were stopped or killed go on as if nothing had happened, bit for bit.

use crate::train::{bytes, dataset, losses, model, recipe, run, validations, whole_and_resumed};
use tunesmith::peft::files;
use tunesmith::project::event::Phase;
use tunesmith::project::{Outcome, RunEvent};
use tunesmith::recipe::recipe::Method;

#[test]
fn n_plus_n_updates_after_a_kill_equal_2n_bit_for_bit() {
    let model = model();
    let data = dataset(&model, 20);
    let cases: [(&[&str], &str); 2] =
        [(&[], "adapter/adapter_model.safetensors"), (&["method.kind=full"], "adapter/model.safetensors")];
    for (settings, weights) in cases {
        let temp = tempfile::tempdir().unwrap();
        let recipe = recipe(settings);
        let whole = run(&model, &data, &recipe, &temp.path().join("whole"), false, |_, _| {});
        assert_eq!(whole.outcome.unwrap(), Outcome::Done);

        // As after kill -9 in the middle of update 4: checkpoints up to 3, and torn lines in the metrics.
        let at = temp.path().join("cut");
        run(&model, &data, &recipe, &at, false, |event, control| {
            if matches!(event, RunEvent::Checkpoint { update: 3, .. }) {
                control.stop();
            }
        });
        std::fs::remove_dir_all(at.join("adapter")).ok();
        let mut metrics = std::fs::read_to_string(at.join("metrics.jsonl")).unwrap();
        metrics.push_str("{\"event\":\"update\",\"update\":4,\"epoch\":0.5,\"los");
        std::fs::write(at.join("metrics.jsonl"), metrics).unwrap();
        let rest = run(&model, &data, &recipe, &at, true, |_, _| {});
        assert_eq!(rest.outcome.unwrap(), Outcome::Done);

        assert_eq!(losses(&rest.events), losses(&whole.events)[3..], "{settings:?}");
        assert_eq!(losses(&rest.folder.events().unwrap()), losses(&whole.events), "{settings:?}");
        for name in [weights, "checkpoints/update-000006/optimizer.safetensors"] {
            assert_eq!(bytes(whole.folder.path(), name), bytes(&at, name), "{name}");
        }
    }
}

/// A stop does not wait for the validation, also the last one; the run goes on with the validation that was cut.
#[test]
fn a_run_stopped_while_it_validates_goes_on_exactly() {
    let (model, temp) = (model(), tempfile::tempdir().unwrap());
    let data = dataset(&model, 20);
    let recipe = recipe(&[]);
    let whole = run(&model, &data, &recipe, &temp.path().join("whole"), false, |_, _| {});
    for (update, name) in [(4, "middle"), (6, "last")] {
        let at = temp.path().join(name);
        let mut reached = 0;
        let cut = run(&model, &data, &recipe, &at, false, |event, control| match event {
            RunEvent::Update { update, .. } => reached = *update,
            RunEvent::Phase { phase: Phase::Validating } if reached == update => control.stop(),
            _ => {}
        });
        assert_eq!(cut.outcome.unwrap(), Outcome::Stopped, "{name}");
        assert_eq!(validations(&cut.events).last().unwrap().0, update - 2, "{name}");
        assert_eq!(cut.folder.checkpoints().last(), Some(&update), "{name}");
        drop(cut.folder);
        let rest = run(&model, &data, &recipe, &at, true, |_, _| {});
        assert_eq!(rest.outcome.unwrap(), Outcome::Done, "{name}");
        let events = rest.folder.events().unwrap();
        assert_eq!(losses(&events), losses(&whole.events), "{name}");
        assert_eq!(validations(&events), validations(&whole.events), "{name}");
        for file in ["adapter/adapter_model.safetensors", "checkpoints/update-000006/optimizer.safetensors"] {
            assert_eq!(bytes(whole.folder.path(), file), bytes(&at, file), "{name}: {file}");
        }
    }
    let discarded = run(&model, &data, &recipe, &temp.path().join("discarded"), false, |event, control| {
        if matches!(event, RunEvent::Phase { phase: Phase::Validating }) {
            control.discard();
        }
    });
    assert_eq!((discarded.outcome.unwrap(), discarded.folder.checkpoints()), (Outcome::Discarded, vec![]));
}

/// Every optimizer learns, and goes on from a checkpoint as if nothing had happened.
#[test]
fn every_optimizer_resumes_bit_for_bit() {
    let (model, temp) = (model(), tempfile::tempdir().unwrap());
    let data = dataset(&model, 20);
    for (kind, rate) in [("adamw", 0.005), ("adamw_8bit", 0.005), ("lion", 0.001), ("sgd", 0.5)] {
        let rate = format!("optimizer.learning_rate={rate}");
        let recipe = recipe(&[&format!("optimizer.kind={kind}"), &rate, "length.updates=4"]);
        let (whole, resumed) = whole_and_resumed(&model, &data, &recipe, 2, &temp.path().join(kind));
        for name in ["adapter/adapter_model.safetensors", "checkpoints/update-000004/optimizer.safetensors"] {
            assert_eq!(
                bytes(whole.folder.path(), name),
                bytes(resumed.folder.path(), name),
                "{kind}: {name}"
            );
        }
    }
}

/// Weights that move during the backward pass are where they would be after it, to the last bit, with blocks run again and without, and a
/// run of theirs goes on exactly.
#[test]
fn moving_weights_in_the_backward_pass_makes_the_same_run() {
    let (model, temp) = (model(), tempfile::tempdir().unwrap());
    let data = dataset(&model, 20);
    let mut methods: Vec<Vec<String>> =
        Method::all().iter().map(|method| vec![format!("method.kind={}", method.kind())]).collect();
    methods.push(vec!["method.kind=full".into()]);
    methods.push(vec!["method.dora=true".into(), "method.modules_to_save=[\"model.norm\"]".into()]);
    let optimizers = ["adamw", "adamw_8bit", "lion", "sgd"].into_iter().cycle();
    let checkpointing = ["none", "all", "all", "none", "none"].into_iter().cycle();
    for (index, ((method, kind), checkpointing)) in
        methods.iter().zip(optimizers).zip(checkpointing).enumerate()
    {
        let usual = [
            format!("optimizer.kind={kind}"),
            format!("run.checkpointing={checkpointing}"),
            "optimizer.clip_norm=none".into(),
            "optimizer.learning_rate=0.001".into(),
            "batch.accumulation=1".into(),
            "method.dropout=0.0".into(),
        ];
        let has_dropout = method[0] == "method.kind=lora" || method.len() > 1;
        let mut settings: Vec<&str> = method.iter().chain(&usual).map(String::as_str).collect();
        settings.truncate(settings.len() - usize::from(!has_dropout));
        let plain = recipe(&settings);
        settings.push("optimizer.in_backward=true");
        let moving = recipe(&settings);
        let at = temp.path().join(index.to_string());
        let (whole, resumed) = whole_and_resumed(&model, &data, &moving, 3, &at);
        let plain = run(&model, &data, &plain, &at.join("plain"), false, |_, _| {});
        assert_eq!(plain.outcome.unwrap(), Outcome::Done);
        assert_eq!(losses(&whole.events), losses(&plain.events), "{settings:?}");
        for (one, other) in norms(&whole.events).into_iter().zip(norms(&plain.events)) {
            assert!((one / other - 1.0).abs() < 1e-5, "{settings:?}: {one} {other}");
        }
        let names = files::names(&plain.folder.adapter_dir()).unwrap();
        let weights = names.iter().map(|name| format!("adapter/{name}"));
        for name in weights.chain(["checkpoints/update-000006/optimizer.safetensors".into()]) {
            let of_plain = bytes(plain.folder.path(), &name);
            assert_eq!(bytes(whole.folder.path(), &name), of_plain, "{settings:?}: {name}");
            assert_eq!(bytes(resumed.folder.path(), &name), of_plain, "{settings:?}: {name}");
        }
    }
}

fn norms(events: &[RunEvent]) -> Vec<f64> {
    let norm = |event: &RunEvent| match event {
        RunEvent::Update { grad_norm, .. } => Some(*grad_norm),
        _ => None,
    };
    events.iter().filter_map(norm).collect()
}
