//! The only place with threads and channels: `Command` in, `Event` out, two named lanes.
//!
//! `compute` trains, evaluates and generates, one job at a time, and owns the device; `io` imports, prepares,
//! downloads and lists. Events go through one bounded channel: state changes wait for room, metrics of single
//! updates do not (the disk has them).

pub mod command;
pub mod event;
pub mod halt;
pub mod jobs;
pub mod lane;
mod compute;
mod io;
mod outbox;
mod queue;

pub use command::{Command, JobId};
pub use event::{Event, Urgency};
pub use halt::Halt;
pub use lane::Engine;
pub use outbox::Waker;

/// Where events are read: `try_recv` in a window, `recv` elsewhere.
pub type Events = crossbeam_channel::Receiver<Event>;
