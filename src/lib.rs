//! Tunesmith: fine-tune a language model on your own workstation.
//!
//! How data flows, with the type at each arrow:
//!
//! ```text
//! file --import--> Table --schema--> Example --split--> Split{train,valid,test}
//!   --template+tokenise+mask--> Sample{ids, weights}
//!   --pack--> Batch{tokens [n], positions [n], segments, targets [n], weights [n]}
//!   --decoder.forward(tape)--> hidden [n, d] --Objective::loss--> LossSum{sum, weight}
//!   --tape.backward--> gradients of the trainable parameters only
//!   --scale(1/weight), clip--> Optimizer::step(schedule.at(update)) --> RunEvent::Update
//!   --metrics.jsonl AND channel--> Event --App::logic drains--> AppState::apply --> plots
//! ```
//!
//! The file on disk is the truth: when the window reopens, plots are rebuilt from `metrics.jsonl`
//! by the same `apply`.
//!
//! The modules below stand in LAYER ORDER: a module may `use crate::X` only if `X` stands above it.
//! `tests/it/house.rs` checks that, and which library may be named where.

// Tensor shapes stand in brackets, `[v]`, and public words may lean on private ones that say more.
#![allow(rustdoc::broken_intra_doc_links, rustdoc::private_intra_doc_links)]

pub mod base;
pub mod data;
pub mod nn;
pub mod model;
pub mod peft;
pub mod infer;
pub mod objective;
pub mod hub;
pub mod recipe;
pub mod project;
pub mod eval;
pub mod train;
pub mod export;
pub mod engine;
pub mod cli;
#[cfg(feature = "gui")]
pub mod app;
