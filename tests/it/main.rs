//! Tests of the engine: one binary, one module an area.

mod allocations;
mod batch;
mod checkpoints;
mod cli;
mod cli_runs;
mod engine;
mod estimate;
mod eval;
mod faults;
mod house;
mod hub;
mod import;
mod infer;
#[cfg(unix)]
mod kills;
mod lanes;
mod ledger;
mod loader;
mod long_run;
mod model_files;
mod ops;
mod optim;
mod packed;
mod parity;
mod project;
mod recipe;
mod samples;
mod schema;
mod shots;
mod split;
mod template;
mod tokenise;
mod train;
mod train_memory;
mod virtual_tokens;
mod weights;
