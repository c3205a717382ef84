//! Where models come from: the catalogue, folders on this machine, the Hugging Face hub, a Python package.
//!
//! The hub's files go into the cache that Python's tools share; what comes as a package goes into Tunesmith's own
//! models folder. Whichever way a model came, it is one entry with one name.

pub mod catalogue;
pub mod options;
pub mod resolve;
pub mod download;
pub mod error;
mod cache;
mod checksum;
mod hugging_face;
mod pip;
mod transfer;

pub use error::HubError;
pub use options::Options;
pub use resolve::lasting;
