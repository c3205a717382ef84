//! How good answers are: text metrics, scores with their uncertainty, base against tuned, and running a set of prompts.

pub mod metrics;
pub mod score;
pub mod compare;
pub mod run;
pub mod report;
