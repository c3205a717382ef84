//! Mixes of runs that are kept in a project: as an adapter, or as a model where whole models were added up.

use crate::cli::{rows_file, tiny_model};
use crate::commands::{Real, recipe, trained};
use std::path::{Path, PathBuf};
use tunesmith::engine::Command;
use tunesmith::engine::event::EventKind;
use tunesmith::engine::jobs::compose::Way;
use tunesmith::peft::compose::{How, Part};
use tunesmith::project::adapters::{self, SavedAdapter};
use tunesmith::recipe::load;

fn save(model: &str, project: &Path, name: &str, parts: &[(&PathBuf, f64)], way: Way) -> Command {
    let part = |&(folder, weight): &(&PathBuf, f64)| Part { folder: folder.clone(), weight };
    let parts = parts.iter().map(part).collect();
    Command::SaveMix { project: project.into(), name: name.into(), model: model.into(), parts, way }
}

fn listed(seen: &[EventKind]) -> Vec<SavedAdapter> {
    let [EventKind::Adapters(all)] = seen else { panic!("{seen:?}") };
    all.clone()
}

#[test]
fn mixes_are_saved_listed_and_not_written_over() {
    let place = tempfile::tempdir().unwrap();
    let (model, rows) = (tiny_model(place.path()), rows_file(place.path()));
    let (real, project) = (Real::new(), place.path().join("project"));
    assert!(listed(&real.done(Command::ListAdapters { project: project.clone() })).is_empty());
    let lora = trained(&real, &project, recipe(&model, &rows)).join("adapter");
    let mut full = recipe(&model, &rows);
    load::set(&mut full, "method.kind=full").unwrap();
    let whole = trained(&real, &project, full).join("adapter");

    let linear = Way::Adapters(How::Linear);
    let one =
        listed(&real.done(save(&model, &project, "Half and half", &[(&lora, 0.5), (&lora, 0.5)], linear)));
    let two = listed(&real.done(save(&model, &project, "added up", &[(&whole, 1.0)], Way::TaskVectors)));
    let names = |all: &[SavedAdapter]| all.iter().map(|saved| saved.name.clone()).collect::<Vec<_>>();
    assert_eq!(
        (names(&one), names(&two)),
        (vec!["half-and-half".into()], vec!["added-up".into(), "half-and-half".into()])
    );
    let folder = adapters::path(&project, "Half and half");
    assert_eq!((&one[0].folder, one[0].model.as_deref()), (&folder, Some(model.as_str())));
    assert_eq!(two[0].model.as_deref(), Some(model.as_str()), "a model says what it came from");
    let bytes = |folder: &Path| std::fs::read(folder.join("adapter_config.json")).unwrap();
    let before = bytes(&folder);

    // What is there, or cannot be made, changes nothing.
    for (name, parts, way, why) in [
        ("half and half", vec![(&lora, 1.0), (&lora, 1.0)], linear, "there already"),
        ("unlike", vec![(&lora, 1.0), (&whole, 1.0)], linear, "whole model"),
        ("adapter", vec![(&lora, 1.0)], Way::TaskVectors, "no whole model"),
        ("gone", vec![(&place.path().join("missing"), 1.0), (&lora, 1.0)], linear, "missing"),
    ] {
        let refusal = real.failed(save(&model, &project, name, &parts, way));
        assert!(refusal.detail.contains(why), "{name}: {refusal}");
    }
    assert_eq!(bytes(&folder), before);
    assert_eq!(listed(&real.done(Command::ListAdapters { project: project.clone() })), two);
    assert!(std::fs::metadata(folder.join("adapter_model.safetensors")).unwrap().len() > 100);
    let sum = adapters::path(&project, "added up");
    assert!(sum.join("model.safetensors").is_file());

    // Deleted are mixes, and nothing else that somebody may name.
    let delete = |folder: &Path| Command::DeleteAdapter { project: project.clone(), folder: folder.into() };
    for other in [&lora, &project, &project.join(adapters::FOLDER), &place.path().join("missing")] {
        let is_there = other.exists();
        real.failed(delete(other));
        assert_eq!(other.exists(), is_there, "{}", other.display());
    }
    assert_eq!(names(&listed(&real.done(delete(&sum)))), ["half-and-half"]);
    assert!(!sum.exists() && folder.exists());
}
