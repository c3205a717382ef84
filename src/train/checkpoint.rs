//! A checkpoint is a folder that PEFT can load as an adapter, with the optimizer and the position beside it.
//! It is written under a temporary name, synced, then renamed: there is never half of one.

use super::TrainError;
use super::trainer::{Position, Trainer};
use crate::base::storage;
use crate::model::load::LoadedModel;
use crate::model::weights::save_state;
use crate::peft::{Adapter, files, format};
use crate::project::RunFolder;
use std::path::Path;

const OPTIMIZER_FILE: &str = "optimizer.safetensors";
const POSITION_FILE: &str = "position.json";

/// Writes the trainer's whole state to `folder`, replacing one of the same name.
pub fn save(trainer: &Trainer, folder: &Path) -> Result<(), TrainError> {
    let write = |source| TrainError::Write { path: folder.to_path_buf(), source };
    storage::create_dir_atomic(
        folder,
        |e| e,
        |temporary| {
            files::save(&trainer.adapter, &trainer.model.description(), temporary)
                .map_err(std::io::Error::other)?;
            save_state(&trainer.optimizer.state(), &temporary.join(OPTIMIZER_FILE))
                .map_err(std::io::Error::other)?;
            write_position(trainer, temporary)
        },
    )
    .map_err(write)
}

/// Writes the position alone into the checkpoint that the run went on from, of which all else is still as it was. A folder put in
/// the place of another one has no name for an instant, and a crash in it would cost the newest state; one file is replaced in
/// one step.
pub fn save_position(trainer: &Trainer, folder: &Path) -> Result<(), TrainError> {
    let write = |source| TrainError::Write { path: folder.to_path_buf(), source };
    write_position(trainer, folder).map_err(write)
}

fn write_position(trainer: &Trainer, folder: &Path) -> std::io::Result<()> {
    let position = serde_json::to_vec_pretty(&trainer.position)?;
    storage::write_atomic_bytes(&folder.join(POSITION_FILE), &position)
}

/// Writes what the run leaves, an adapter or a whole model, replacing what is there.
pub fn save_adapter(adapter: &Adapter, base: &LoadedModel, folder: &Path) -> Result<(), TrainError> {
    let write = |source| TrainError::Write { path: folder.to_path_buf(), source };
    storage::create_dir_atomic(
        folder,
        |e| e,
        |temporary| files::save_result(adapter, base, temporary).map_err(std::io::Error::other),
    )
    .map_err(write)
}

/// Puts the trainer where the newest checkpoint was made that can be read; without any, it stays at the beginning. Damaged
/// ones are set aside. Gives what to tell about them.
///
/// # Errors
/// When there are checkpoints and none can be read: then all stay where they are.
pub fn restore_latest(trainer: &mut Trainer, folder: &RunFolder) -> Result<Vec<String>, TrainError> {
    let mut damaged: Vec<(u64, TrainError)> = Vec::new();
    for update in folder.checkpoints().into_iter().rev() {
        match restore(trainer, &folder.checkpoint_dir(update)) {
            Ok(()) => break,
            Err(error) => damaged.push((update, error)),
        }
    }
    let restored = trainer.position.update.0;
    if restored == 0 && !damaged.is_empty() {
        return Err(damaged.swap_remove(0).1);
    }
    let tell = |(update, error): (u64, TrainError)| {
        folder.set_aside(update)?;
        Ok(format!(
            "The checkpoint of update {update} was passed over: {error}. Going on from update {restored}."
        ))
    };
    damaged.into_iter().map(tell).collect()
}

/// Puts the trainer where the checkpoint was made.
fn restore(trainer: &mut Trainer, folder: &Path) -> Result<(), TrainError> {
    let broken = |why: String| TrainError::Checkpoint { path: folder.to_path_buf(), why };
    let text = storage::read_text_bounded(&folder.join(POSITION_FILE), 1 << 20)
        .map_err(|e| broken(format!("{POSITION_FILE}: {e}")))?;
    let position: Position =
        serde_json::from_str(&text).map_err(|e| broken(format!("{POSITION_FILE}: {e}")))?;
    let device = trainer.adapter.device().clone();
    let adapter = files::load(folder, trainer.model.config(), &device)?;
    if adapter.settings != trainer.adapter.settings {
        return Err(broken("its adapter has other settings than the recipe".into()));
    }
    let state = format::load_stored_tensors(&folder.join(OPTIMIZER_FILE))?;
    trainer.restore(adapter, state, position).map_err(|e| broken(format!("{OPTIMIZER_FILE}: {e}")))
}
