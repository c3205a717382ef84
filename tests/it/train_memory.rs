//! Runs that are short of memory: dealt in halves once, then stopped; exact all the same.

use crate::train::{bytes, dataset, losses, model, phases, plan_on, recipe, run_in, validations};
use std::cell::Cell;
use tunesmith::base::{Control, Failure};
use tunesmith::model::config::DecoderConfig;
use tunesmith::project::event::{PERPLEXITY, Phase};
use tunesmith::project::{Outcome, RunEvent};
use tunesmith::recipe::estimate::PROCESS_BYTES;
use tunesmith::recipe::plan::{Facts, ModelFacts};
use tunesmith::train::TrainError;

/// 800 bytes are the limit.
fn machine() -> Facts {
    Facts { free_memory_bytes: 1000, ..Facts::default() }
}

fn notices(events: &[RunEvent]) -> Vec<&str> {
    let mut all = Vec::new();
    for event in events {
        if let RunEvent::Notice { text } = event {
            all.push(text.as_str());
        }
    }
    all
}

/// The memory seems to be above the limit whenever `is_short` says so of the number of readings so far.
fn reading(is_short: impl Fn(usize) -> bool) -> impl Fn() -> u64 {
    let num = Cell::new(0);
    move || {
        num.set(num.get() + 1);
        if is_short(num.get()) { 900 } else { 100 }
    }
}

#[test]
fn short_memory_halves_once_and_the_run_goes_on_exactly() {
    let (model, temp) = (model(), tempfile::tempdir().unwrap());
    let data = dataset(&model, 20);
    let recipe = recipe(&["method.dropout=0"]);
    let plan = plan_on(machine(), &recipe, &data);
    let never = reading(|_| false);
    let plain = run_in(&plan, &model, &data, &temp.path().join("plain"), false, &never, |_, _| {});
    // The first reading of the third update.
    let go = |name: &str, stop_after: u64| {
        let (updates, is_validating, is_told) = (Cell::new(0), Cell::new(false), Cell::new(false));
        let is_due = || updates.get() == 2 && !is_validating.get();
        let read = || if is_due() && !is_told.replace(true) { 900 } else { 100 };
        run_in(&plan, &model, &data, &temp.path().join(name), false, &read, |event, control| {
            follow(&is_validating, event);
            match event {
                RunEvent::Update { update, .. } => updates.set(*update),
                RunEvent::Checkpoint { update, .. } if *update == stop_after => control.stop(),
                _ => {}
            }
        })
    };
    let whole = go("whole", u64::MAX);
    assert_eq!(whole.outcome.unwrap(), Outcome::Done);
    let told = notices(&whole.events);
    assert!(told.len() == 1 && told[0].contains("From update 3 on"), "{told:?}");
    assert!(told[0].contains("takes 900 B of memory, and its limit is 800 B"), "{told:?}");

    // An update has the same samples: the same loss up to the rounding of sums.
    let (a, b) = (losses(&plain.events), losses(&whole.events));
    assert_eq!(a[..2], b[..2]);
    assert_eq!(a.len(), b.len());
    for (a, b) in a.iter().zip(&b) {
        assert!((a.1 - b.1).abs() < 1e-3, "{a:?} {b:?}");
    }

    // Cut after the halving, the rest is dealt in halves without being short again.
    assert_eq!(go("cut", 4).outcome.unwrap(), Outcome::Stopped);
    let at = temp.path().join("cut");
    let rest = run_in(&plan, &model, &data, &at, true, &never, |_, _| {});
    assert_eq!(rest.outcome.unwrap(), Outcome::Done);
    assert_eq!(losses(&rest.events), b[4..]);
    for name in ["adapter/adapter_model.safetensors", "checkpoints/update-000006/optimizer.safetensors"] {
        assert_eq!(bytes(whole.folder.path(), name), bytes(&at, name), "{name}");
    }
}

#[test]
fn memory_that_stays_short_stops_the_run_with_what_it_has() {
    let (model, temp) = (model(), tempfile::tempdir().unwrap());
    let data = dataset(&model, 20);
    for (setting, num_notices) in [("batch.packing=true", 1), ("batch.packing=false", 0)] {
        let recipe = recipe(&[setting, "checkpoint.every_updates=1000", "validation.every_updates=1000"]);
        let plan = plan_on(machine(), &recipe, &data);
        let updates = Cell::new(0);
        let read = || if updates.get() < 3 { 100 } else { 900 };
        let at = temp.path().join(setting);
        let failed = run_in(&plan, &model, &data, &at, false, &read, |event, _| {
            if let RunEvent::Update { update, .. } = event {
                updates.set(*update);
            }
        });
        let error = failed.outcome.unwrap_err();
        assert!(matches!(*error.error, TrainError::OutOfMemory(_)), "{error}");
        assert_eq!(notices(&failed.events).len(), num_notices, "one example cannot be halved");
        assert_eq!(failed.folder.checkpoints(), [3], "what was learnt is kept");
        let failure = Failure::from(error);
        assert!(failure.detail.contains("900 B") && failure.detail.contains("800 B"), "{failure}");
        assert!(
            failure.hint.contains("run.checkpointing") && failure.hint.contains("update 3 is kept"),
            "{failure}"
        );
        // With room again it goes on.
        drop(failed.folder);
        let rest = run_in(&plan, &model, &data, &at, true, &|| 0, |_, _| {});
        assert_eq!(rest.outcome.unwrap(), Outcome::Done);
    }
}

/// What is tried before the first update leaves no trace in the losses, and can halve the micro-batches.
#[test]
fn the_largest_micro_batch_is_tried_where_memory_may_be_short() {
    let (model, temp) = (model(), tempfile::tempdir().unwrap());
    let data = dataset(&model, 20);
    let recipe = recipe(&[]);
    let facts = |free_memory_bytes| Facts {
        model: Some(ModelFacts {
            config: DecoderConfig { num_layers: 2, width: 64, vocabulary: 512, ..DecoderConfig::default() },
            ..ModelFacts::default()
        }),
        free_memory_bytes,
        ..Facts::default()
    };
    let go = |name: &str, free: u64, read: &dyn Fn() -> u64| {
        let plan = plan_on(facts(free), &recipe, &data);
        run_in(&plan, &model, &data, &temp.path().join(name), false, read, |_, _| {})
    };
    let plenty = go("plenty", 1 << 40, &reading(|_| false));
    assert_eq!(notices(&plenty.events), [""; 0]);
    let room = 2 * PROCESS_BYTES;
    let tried = go("tried", room, &reading(|_| false));
    let told = notices(&tried.events);
    assert!(told.len() == 1 && told[0].contains("tried: it takes 100 B of memory"), "{told:?}");
    assert_eq!(losses(&tried.events), losses(&plenty.events));
    // The first reading is that of the trial.
    let num = Cell::new(0);
    let halved = go("halved", room, &|| if num.replace(num.get() + 1) == 0 { room } else { 100 });
    let told = notices(&halved.events);
    assert!(told.len() == 2 && told[0].contains("From update 1 on") && told[1].contains("tried"), "{told:?}");
    assert_eq!(halved.outcome.unwrap(), Outcome::Done);
}

/// Whether the run validates, from its events.
fn follow(is_validating: &Cell<bool>, event: &RunEvent) {
    match event {
        RunEvent::Phase { phase } => is_validating.set(*phase == Phase::Validating),
        RunEvent::Validation { .. } => is_validating.set(false),
        _ => {}
    }
}

#[test]
fn validation_that_is_short_of_memory_goes_in_halves() {
    let (model, temp) = (model(), tempfile::tempdir().unwrap());
    let data = dataset(&model, 20);
    let recipe = recipe(&["method.dropout=0", "validation.every_updates=2"]);
    let plan = plan_on(machine(), &recipe, &data);
    let go = |name: &str, is_ever_short: bool| {
        let (is_validating, is_told) = (Cell::new(false), Cell::new(!is_ever_short));
        let read = || if is_validating.get() && !is_told.replace(true) { 900 } else { 100 };
        run_in(&plan, &model, &data, &temp.path().join(name), false, &read, |event, _| {
            follow(&is_validating, event);
        })
    };
    let (plain, halved) = (go("plain", false), go("halved", true));
    assert_eq!(halved.outcome.unwrap(), Outcome::Done);
    let told = notices(&halved.events);
    assert!(told.len() == 1 && told[0].contains("validation and test rows go through half"), "{told:?}");
    assert!(told[0].contains("takes 900 B of memory, and its limit is 800 B"), "{told:?}");
    assert_eq!(losses(&halved.events), losses(&plain.events), "updates stay as they were");
    let (a, b) = (validations(&plain.events), validations(&halved.events));
    assert_eq!(a.len(), b.len());
    for (a, b) in a.iter().zip(&b) {
        assert!(a.0 == b.0 && (a.1 - b.1).abs() < 1e-5, "{a:?} {b:?}");
    }
}

/// Also the rows that nobody trained on: before the run and after it; a pause is heeded meanwhile.
#[test]
fn test_rows_that_are_short_of_memory_go_in_halves() {
    let (model, temp) = (model(), tempfile::tempdir().unwrap());
    let mut data = dataset(&model, 20);
    data.split.test = data.split.train.split_off(8);
    let recipe = recipe(&["objective.kind=pretraining"]);
    let plan = plan_on(machine(), &recipe, &data);
    let go = |name: &str, num_short: usize| {
        let (is_testing, left) = (Cell::new(false), Cell::new(num_short));
        let read = || {
            let is_short = is_testing.get() && left.get() > 0;
            left.set(left.get().saturating_sub(usize::from(is_short)));
            if is_short { 900 } else { 100 }
        };
        run_in(&plan, &model, &data, &temp.path().join(name), false, &read, |event, control| {
            let RunEvent::Phase { phase } = event else { return };
            match phase {
                Phase::Paused => control.resume(),
                Phase::Testing if !is_testing.get() => control.pause(),
                _ => {}
            }
            is_testing.set(*phase == Phase::Testing);
        })
    };
    let tested = |events: &[RunEvent]| -> Vec<(bool, f64, f64)> {
        let of = |event: &RunEvent| match event {
            RunEvent::Tested { is_base, loss, metrics, .. } => Some((*is_base, *loss, metrics[PERPLEXITY])),
            _ => None,
        };
        events.iter().filter_map(of).collect()
    };
    let (plain, halved) = (go("plain", 0), go("halved", 1));
    assert_eq!(plain.outcome.unwrap(), Outcome::Done);
    assert_eq!(halved.outcome.unwrap(), Outcome::Done);
    let told = phases(&plain.events);
    assert!(told.windows(3).any(|p| p == [Phase::Testing, Phase::Paused, Phase::Testing]), "{told:?}");
    let began = told.iter().position(|phase| *phase == Phase::Testing).unwrap();
    let next = told[began..].iter().find(|phase| !matches!(phase, Phase::Testing | Phase::Paused));
    assert_eq!(next, Some(&Phase::Training), "before the first update it trains again");
    let told = notices(&halved.events);
    assert!(told.len() == 1 && told[0].contains("test rows go through half"), "{told:?}");
    let (a, b) = (tested(&plain.events), tested(&halved.events));
    assert!(a.len() == 2 && a[0].0 && !a[1].0 && a[1].1 < a[0].1, "{a:?}");
    for (a, b) in a.iter().zip(&b) {
        assert!((a.1 - b.1).abs() < 1e-5 && (a.2 - a.1.exp()).abs() < 1e-9, "{a:?} {b:?}");
    }
    let error = *go("short", usize::MAX).outcome.unwrap_err().error;
    assert!(matches!(error, TrainError::OutOfMemory(_)), "{error}");
}

/// What is stopped or thrown away meanwhile is so: a run that goes on measures them, and trains no further.
#[test]
fn a_run_that_is_stopped_while_it_is_tested_goes_on_with_that() {
    let (model, temp) = (model(), tempfile::tempdir().unwrap());
    let mut data = dataset(&model, 20);
    data.split.test = data.split.train.split_off(8);
    let patient = ["early_stop.enabled=true", "early_stop.patience=1", "early_stop.min_gain=9"];
    for (name, more, end) in [("all", &[][..], Outcome::Done), ("early", &patient[..], Outcome::StoppedEarly)]
    {
        let settings = [&["objective.kind=pretraining", "validation.every_updates=2"], more].concat();
        let plan = plan_on(Facts::default(), &recipe(&settings), &data);
        let at = temp.path().join(name);
        let go = |at: &std::path::Path, resume: bool, then: &dyn Fn(&Control)| {
            let has_validated = Cell::new(false);
            run_in(&plan, &model, &data, at, resume, &|| 0, |event, control| match event {
                RunEvent::Validation { .. } => has_validated.set(true),
                RunEvent::Phase { phase: Phase::Testing } if has_validated.get() => then(control),
                _ => {}
            })
        };
        let cut = go(&at, false, &|control| control.stop());
        assert_eq!(cut.outcome.unwrap(), Outcome::Stopped, "{name}");
        let is_after = |event: &&RunEvent| matches!(event, RunEvent::Tested { is_base: false, .. });
        assert_eq!(cut.events.iter().filter(is_after).count(), 0);
        drop(cut.folder);
        let rest = go(&at, true, &|_| {});
        assert_eq!(rest.outcome.unwrap(), end, "{name}");
        assert_eq!(
            (losses(&rest.events).len(), rest.events.iter().filter(is_after).count()),
            (0, 1),
            "{name}"
        );
        let gone = go(&temp.path().join(format!("{name}-gone")), false, &|control| control.discard());
        assert_eq!(gone.outcome.unwrap(), Outcome::Discarded);
        assert!(!gone.folder.adapter_dir().exists() && gone.folder.checkpoints().is_empty());
    }
}

#[test]
fn validation_that_stays_short_of_memory_stops_the_run_with_what_it_has() {
    let (model, temp) = (model(), tempfile::tempdir().unwrap());
    let data = dataset(&model, 20);
    for (tokens, num_notices) in [(64, 1), (8, 0)] {
        let setting = format!("batch.micro_batch_tokens={tokens}");
        let recipe = recipe(&[&setting, "validation.every_updates=2", "checkpoint.every_updates=1000"]);
        let plan = plan_on(machine(), &recipe, &data);
        let is_validating = Cell::new(false);
        let read = || if is_validating.get() { 900 } else { 100 };
        let at = temp.path().join(tokens.to_string());
        let failed =
            run_in(&plan, &model, &data, &at, false, &read, |event, _| follow(&is_validating, event));
        let error = failed.outcome.unwrap_err();
        assert!(matches!(*error.error, TrainError::OutOfMemory(_)), "{error}");
        assert_eq!(notices(&failed.events).len(), num_notices, "one row cannot be halved");
        assert_eq!(failed.folder.checkpoints(), [2], "what was learnt is kept");
        drop(failed.folder);
        let rest = run_in(&plan, &model, &data, &at, true, &|| 0, |_, _| {});
        assert_eq!(rest.outcome.unwrap(), Outcome::Done);
        assert_eq!(validations(&rest.events)[0].0, 2, "the validation was owed");
    }
}
