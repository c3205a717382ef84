//! Answers from a model: sampling, the key-value cache, and the generation loop.

pub mod sampler;
pub mod stop;
pub mod generate;
pub mod session;
pub mod batch;
pub mod beam;
