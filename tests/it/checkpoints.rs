//! What a run leaves on disk while it goes, and when something goes wrong.

use crate::train::{bytes, dataset, losses, model, recipe, run, validations};
use candle_core::Device;
use std::path::Path;
use tunesmith::base::{Control, Failure};
use tunesmith::data::loader::Loader;
use tunesmith::peft::format;
use tunesmith::project::{Outcome, RunEvent};
use tunesmith::train::TrainError;

#[test]
fn stopping_saves_and_discarding_does_not() {
    let (model, temp) = (model(), tempfile::tempdir().unwrap());
    let data = dataset(&model, 20);
    let at_update = |n: u64, act: fn(&Control)| {
        move |event: &RunEvent, control: &Control| {
            if matches!(event, RunEvent::Update { update, .. } if *update == n) {
                act(control);
            }
        }
    };
    let recipe = recipe(&["checkpoint.every_updates=100", "validation.every_updates=100"]);
    let stopped = run(&model, &data, &recipe, &temp.path().join("s"), false, at_update(2, Control::stop));
    assert_eq!(stopped.outcome.unwrap(), Outcome::Stopped);
    assert_eq!(stopped.folder.checkpoints(), [2]);
    assert!(format::load(&stopped.folder.adapter_dir(), model.config(), &Device::Cpu).is_ok());
    let discarded =
        run(&model, &data, &recipe, &temp.path().join("d"), false, at_update(2, Control::discard));
    assert_eq!(discarded.outcome.unwrap(), Outcome::Discarded);
    assert!(!discarded.folder.adapter_dir().exists());
    // Checkpoints of before, damaged and half-written ones go as well; what was measured and other folders stay.
    let often = self::recipe(&["checkpoint.every_updates=1"]);
    let at = temp.path().join("often");
    let discarded = run(&model, &data, &often, &at, false, |event, control| {
        if matches!(event, RunEvent::Checkpoint { update: 3, .. }) {
            for name in ["damaged-update-000001", ".update-000003.1.part", "mine"] {
                std::fs::create_dir(at.join("checkpoints").join(name)).unwrap();
            }
            control.discard();
        }
    });
    assert_eq!(discarded.outcome.unwrap(), Outcome::Discarded);
    let left = std::fs::read_dir(at.join("checkpoints")).unwrap().map(|e| e.unwrap().file_name());
    assert_eq!(left.collect::<Vec<_>>(), ["mine"]);
    assert_eq!(losses(&discarded.folder.events().unwrap()).len(), 3);
    assert!(at.join("log.txt").is_file());
    let saved = run(&model, &data, &recipe, &temp.path().join("n"), false, at_update(3, Control::save_now));
    assert!(saved.events.iter().any(|e| matches!(e, RunEvent::Checkpoint { update: 3, .. })));
}

#[test]
fn checkpoints_are_pruned_but_the_best_is_kept_and_becomes_the_adapter() {
    let (model, temp) = (model(), tempfile::tempdir().unwrap());
    let data = dataset(&model, 20);
    // A rate this high makes every validation after the first ones worse.
    let recipe = recipe(&[
        "length.updates=60",
        "optimizer.learning_rate=0.05",
        "checkpoint.keep_last=2",
        "early_stop.enabled=true",
        "early_stop.patience=3",
    ]);
    let done = run(&model, &data, &recipe, &temp.path().join("r"), false, |_, _| {});
    let best = validations(&done.events).iter().min_by(|a, b| a.1.total_cmp(&b.1)).unwrap().0;
    let Some(RunEvent::Finished { outcome, update, best_update, .. }) = done.events.last() else { panic!() };
    assert_eq!(*best_update, Some(best));
    assert_eq!(*outcome, done.outcome.unwrap());
    assert_eq!(
        (*outcome, *update),
        (Outcome::StoppedEarly, best + 6),
        "three validations, two updates apart"
    );
    assert!(done.folder.checkpoints().contains(&best));
    assert!(done.folder.checkpoints().len() <= 3);
    let weights = "adapter_model.safetensors";
    assert_eq!(bytes(&done.folder.adapter_dir(), weights), bytes(&done.folder.checkpoint_dir(best), weights));
}

#[test]
fn a_run_that_leaves_the_numbers_stops_and_keeps_the_last_checkpoint() {
    let (model, temp) = (model(), tempfile::tempdir().unwrap());
    let mut data = dataset(&model, 20);
    let recipe = recipe(&["batch.packing=false", "batch.accumulation=1"]);
    // The third micro-batch of the epoch holds a sample whose loss is infinite.
    let lengths = data.split.train.iter().map(|i| data.samples[*i].len()).collect();
    let third = Loader::new(lengths, 32, false, recipe.run.seed).epoch(0)[2][0];
    data.samples[third].weights.set(3..4, f32::INFINITY);
    let failed = run(&model, &data, &recipe, &temp.path().join("r"), false, |_, _| {});
    let failed_run = failed.outcome.unwrap_err();
    assert!(matches!(*failed_run.error, TrainError::NotFinite { update: 3, .. }), "{failed_run}");
    let failure = Failure::from(failed_run);
    assert!(failure.hint.contains("learning rate"), "{failure}");
    assert!(failure.hint.contains("checkpoint of update 2 is kept"), "{failure}");
    assert!(matches!(failed.events.last(), Some(RunEvent::Failed { update: 2, .. })));
    assert_eq!(failed.folder.checkpoints().last(), Some(&2));
    let latest = failed.folder.checkpoint_dir(2);
    assert!(format::load(&latest, model.config(), &Device::Cpu).is_ok());
}

#[test]
fn a_failed_write_stops_the_run_and_leaves_the_last_checkpoint_whole() {
    let (model, temp) = (model(), tempfile::tempdir().unwrap());
    let data = dataset(&model, 20);
    let at = temp.path().join("r");
    let checkpoints = at.join("checkpoints");
    let failed = run(&model, &data, &recipe(&["checkpoint.keep_last=9"]), &at, false, |event, _| {
        if matches!(event, RunEvent::Checkpoint { update: 2, .. }) {
            // The next checkpoint cannot be renamed into place: a file has its name.
            std::fs::write(checkpoints.join("update-000003"), "in the way").unwrap();
        }
    });
    let error = failed.outcome.unwrap_err();
    assert!(matches!(*error.error, TrainError::Write { .. }), "{error}");
    assert_eq!(failed.folder.checkpoints(), [1, 2]);
    std::fs::remove_file(at.join("checkpoints/update-000003")).unwrap();
    let leftovers = std::fs::read_dir(at.join("checkpoints")).unwrap().count();
    assert_eq!(leftovers, 2, "nothing half-written is left");
    let rest = run(&model, &data, &recipe(&["checkpoint.keep_last=9"]), &at, true, |_, _| {});
    assert_eq!(rest.outcome.unwrap(), Outcome::Done);
}

/// A run that fails before its first checkpoint does not promise one.
#[test]
fn a_failure_before_the_first_checkpoint_says_that_there_is_none() {
    let (model, temp) = (model(), tempfile::tempdir().unwrap());
    let mut data = dataset(&model, 20);
    data.samples.iter_mut().for_each(|sample| sample.weights.set(3..4, f32::INFINITY));
    let failed = run(&model, &data, &recipe(&[]), &temp.path().join("r"), false, |_, _| {});
    let Some(RunEvent::Failed { failure, .. }) = failed.events.last() else { panic!("{:?}", failed.events) };
    assert!(failure.hint.contains("No checkpoint had been saved yet"), "{failure}");
    assert_eq!(&Failure::from(failed.outcome.unwrap_err()), failure);
}

#[test]
fn a_damaged_checkpoint_is_set_aside_and_the_one_before_it_serves() {
    let (model, temp) = (model(), tempfile::tempdir().unwrap());
    let data = dataset(&model, 20);
    let recipe = recipe(&["checkpoint.every_updates=1", "checkpoint.keep_last=2"]);
    let whole = run(&model, &data, &recipe, &temp.path().join("whole"), false, |_, _| {});
    for (file, cut) in
        [("adapter_model.safetensors", 100), ("optimizer.safetensors", 0), ("position.json", 10)]
    {
        let at = temp.path().join(file);
        run(&model, &data, &recipe, &at, false, |event, control| {
            if matches!(event, RunEvent::Checkpoint { update: 4, .. }) {
                control.stop();
            }
        });
        let damaged = at.join("checkpoints/update-000004").join(file);
        let bytes = std::fs::read(&damaged).unwrap();
        std::fs::write(&damaged, &bytes[..cut]).unwrap();
        let rest = run(&model, &data, &recipe, &at, true, |_, _| {});
        assert_eq!(rest.outcome.unwrap(), Outcome::Done);
        let told = rest.events.iter().any(|event| {
            matches!(event, RunEvent::Notice { text } if text.contains("update 4 was passed over") && text.contains("from update 3"))
        });
        assert!(told, "{file}: {:?}", rest.events);
        assert_eq!(losses(&rest.events), losses(&whole.events)[3..], "{file}");
        assert!(at.join("checkpoints/damaged-update-000004").is_dir());

        // None that can be read: said, and nothing touched.
        for update in rest.folder.checkpoints() {
            std::fs::write(rest.folder.checkpoint_dir(update).join(file), "?").unwrap();
        }
        let before = rest.folder.checkpoints();
        drop(rest.folder);
        let failed = run(&model, &data, &recipe, &at, true, |_, _| {});
        assert!(matches!(
            *failed.outcome.unwrap_err().error,
            TrainError::Checkpoint { .. } | TrainError::Peft(_)
        ));
        assert_eq!(failed.folder.checkpoints(), before);
    }
}

#[test]
fn a_damaged_best_checkpoint_does_not_cost_the_run_its_adapter() {
    let (model, temp) = (model(), tempfile::tempdir().unwrap());
    let data = dataset(&model, 20);
    let at = temp.path().join("r");
    let checkpoints = at.join("checkpoints");
    let done = run(&model, &data, &recipe(&[]), &at, false, |event, _| {
        if matches!(event, RunEvent::Checkpoint { update: 6, .. }) {
            for folder in std::fs::read_dir(&checkpoints).unwrap().flatten() {
                std::fs::write(folder.path().join("adapter_config.json"), "{").unwrap();
            }
        }
    });
    assert_eq!(done.outcome.unwrap(), Outcome::Done);
    assert!(format::load(&done.folder.adapter_dir(), model.config(), &Device::Cpu).is_ok());
}

#[test]
fn a_checkpoint_replaces_an_older_one_whole() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path().join("adapter");
    let fill = |text: &'static str| {
        move |at: &Path| -> std::io::Result<()> {
            std::fs::write(at.join("weights"), text)?;
            if text == "bad" { Err(std::io::Error::other("the disk is full")) } else { Ok(()) }
        }
    };
    tunesmith::base::storage::create_dir_atomic(&folder, |e| e, fill("old")).unwrap();
    tunesmith::base::storage::create_dir_atomic(&folder, |e| e, fill("bad")).unwrap_err();
    assert_eq!(bytes(&folder, "weights"), b"old");
    tunesmith::base::storage::create_dir_atomic(&folder, |e| e, fill("new")).unwrap();
    assert_eq!(bytes(&folder, "weights"), b"new");
    assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 1, "nothing is left over");
}
