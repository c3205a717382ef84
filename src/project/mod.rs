//! What lies on disk: the project folder, runs and their metrics, prompt sets.

pub mod adapters;
pub mod comparisons;
pub mod data_ledger;
pub mod error;
pub mod event;
pub mod folder;
pub mod method_comparison;
pub mod prompt_set;
pub mod samples;
pub mod run_folder;
pub mod runs;
pub mod text_course;

pub use error::ProjectError;
pub use event::{Outcome, RunEvent};
pub use folder::Project;
pub use run_folder::{Beginning, RunFolder};
pub use text_course::TextCourse;
