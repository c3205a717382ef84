//! The two lanes. A job that panics fails; its lane goes on.

use super::event::{Event, EventKind};
use super::halt::Halt;
use super::jobs::LastRead;
use super::outbox::{self, Outbox, Waker};
use super::queue::Queue;
use super::{Command, JobId, compute, io};
use crate::base::{Control, Failure, hardware};
use crossbeam_channel::Receiver;
use std::any::Any;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// Stack of a thread that computes: deep layers of closures in tensor code need room.
const COMPUTE_STACK_BYTES: usize = 64 << 20;
const IO_STACK_BYTES: usize = 8 << 20;

/// Where a job's results go.
pub type Sink<'a> = dyn FnMut(EventKind) + 'a;

/// Carries out the commands of one lane, one after the other. What it keeps between jobs is its own.
pub trait Carrier {
    /// Sends results to `sink`; the lane says how the job began and ended.
    fn carry_out(&mut self, command: Command, control: &Control, sink: &mut Sink<'_>) -> Result<(), Halt>;
    /// Called after a job panicked: drops what may be half-changed.
    fn recover(&mut self);
}

/// Makes a carrier on the lane's own thread, where its tensors will live.
pub type MakeCarrier = Box<dyn FnOnce() -> Box<dyn Carrier> + Send>;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Lane {
    Compute,
    Io,
}

impl Lane {
    fn of(command: &Command) -> Self {
        match command {
            Command::MeasureSpeed
            | Command::Train { .. }
            | Command::ResumeRun { .. }
            | Command::CompareMethods { .. }
            | Command::ResumeComparison { .. }
            | Command::MergeAdapter { .. }
            | Command::SaveMix { .. }
            | Command::Generate(_)
            | Command::Ask(_) => Self::Compute,
            _ => Self::Io,
        }
    }
}

struct Shared {
    outbox: Outbox,
    compute: Queue,
    io: Queue,
    next_id: AtomicU64,
    /// Of jobs that wait or run.
    controls: Mutex<HashMap<JobId, Control>>,
}

impl Shared {
    fn queue(&self, lane: Lane) -> &Queue {
        match lane {
            Lane::Compute => &self.compute,
            Lane::Io => &self.io,
        }
    }

    fn controls(&self) -> MutexGuard<'_, HashMap<JobId, Control>> {
        self.controls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(&self, job: JobId, kind: EventKind) {
        self.outbox.send(Event { job, kind });
    }
}

/// The engine: submit a [`Command`], read [`Event`]s. Dropping it stops all jobs (a run saves) and waits for them.
pub struct Engine {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Engine {
    /// `waker` is called after each event.
    pub fn new(waker: Waker) -> (Self, Receiver<Event>) {
        let data = LastRead::default();
        let shared = data.clone();
        let compute: MakeCarrier = Box::new(|| {
            hardware::join_thread_pool();
            Box::new(compute::Compute::new(shared))
        });
        let io: MakeCarrier = Box::new(|| Box::new(io::Io::new(data)));
        Self::with_carriers(waker, compute, io)
    }

    /// An engine whose lanes do something else.
    pub fn with_carriers(waker: Waker, compute: MakeCarrier, io: MakeCarrier) -> (Self, Receiver<Event>) {
        let (sender, receiver) = crossbeam_channel::bounded(outbox::CAPACITY);
        let shared = Arc::new(Shared {
            outbox: Outbox::new(sender, waker),
            compute: Queue::default(),
            io: Queue::default(),
            next_id: AtomicU64::new(1),
            controls: Mutex::default(),
        });
        let mut threads = Vec::new();
        let lanes =
            [("compute", Lane::Compute, COMPUTE_STACK_BYTES, compute), ("io", Lane::Io, IO_STACK_BYTES, io)];
        for (name, lane, stack_bytes, make) in lanes {
            let own = Arc::clone(&shared);
            let builder = std::thread::Builder::new().name(name.into()).stack_size(stack_bytes);
            match builder.spawn(move || work(&own, lane, make)) {
                Ok(thread) => threads.push(thread),
                // Its jobs are refused, each with a message.
                Err(error) => {
                    log::error!("no thread for the {name} lane: {error}");
                    shared.queue(lane).close();
                }
            }
        }
        (Self { shared, threads }, receiver)
    }

    /// Queues a command and returns at once. It ends with exactly one `Done`, `Stopped` or `Failed`.
    pub fn submit(&self, command: Command) -> JobId {
        let id = JobId(self.shared.next_id.fetch_add(1, Ordering::Relaxed));
        self.shared.controls().insert(id, Control::new());
        if !self.shared.queue(Lane::of(&command)).push(id, command) {
            self.shared.controls().remove(&id);
            let failure = Failure::new(
                "The job was not accepted",
                "too many jobs are waiting already, or the system gives no more threads",
                "Wait until some are done, or start Tunesmith again.",
            );
            self.shared.outbox.send_without_waiting(Event { job: id, kind: EventKind::Failed(failure) });
        }
        id
    }

    /// The flags of a job that waits or runs.
    pub fn control(&self, job: JobId) -> Option<Control> {
        self.shared.controls().get(&job).cloned()
    }

    /// Ends a job as soon as it can; one that still waits is taken out of the queue.
    pub fn stop(&self, job: JobId) {
        let Some(control) = self.control(job) else { return };
        control.stop();
        if self.shared.compute.remove(job) || self.shared.io.remove(job) {
            self.shared.controls().remove(&job);
            self.shared.outbox.send_without_waiting(Event { job, kind: EventKind::Stopped });
        }
    }

    /// Stops everything and returns when both lanes have ended. Events nobody read are dropped.
    pub fn shutdown(self) {}
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.shared.outbox.close();
        self.shared.compute.close();
        self.shared.io.close();
        for control in self.shared.controls().values() {
            control.resume();
            control.stop();
        }
        for thread in self.threads.drain(..) {
            let _panicked = thread.join();
        }
    }
}

fn work(shared: &Shared, lane: Lane, make: MakeCarrier) {
    let mut carrier = make();
    while let Some((id, command)) = shared.queue(lane).pop() {
        let control = shared.controls().get(&id).cloned().unwrap_or_default();
        if shared.outbox.is_closing() {
            control.stop();
        }
        let last = if control.is_stopped() {
            EventKind::Stopped
        } else {
            shared.send(id, EventKind::Started);
            let mut sink = |kind| shared.send(id, kind);
            let ended = catch_unwind(AssertUnwindSafe(|| carrier.carry_out(command, &control, &mut sink)));
            match ended {
                Ok(Ok(()) | Err(Halt::Reported)) => EventKind::Done,
                Ok(Err(Halt::Stopped)) => EventKind::Stopped,
                Ok(Err(Halt::Failed(failure))) => EventKind::Failed(failure),
                Err(panic) => {
                    carrier.recover();
                    EventKind::Failed(of_panic(panic.as_ref()))
                }
            }
        };
        shared.controls().remove(&id);
        shared.send(id, last);
    }
}

/// A panic in words.
fn of_panic(panic: &(dyn Any + Send)) -> Failure {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
    Failure::new(
        "A fault inside Tunesmith ended the job",
        if text.is_empty() { "no reason was given".to_string() } else { text },
        "Your files are as they were. Please report what you did and this message.",
    )
}

/// Runs `work` on a thread with the stack that computing needs, and waits for it. A panic becomes a failure.
///
/// # Errors
/// When the system gives no thread, or `work` panicked.
pub fn on_compute_stack<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, Failure> {
    std::thread::scope(|scope| {
        let builder = std::thread::Builder::new().name("compute".into()).stack_size(COMPUTE_STACK_BYTES);
        let work = || {
            hardware::join_thread_pool();
            work()
        };
        let thread = builder.spawn_scoped(scope, work).map_err(|error| {
            Failure::new("Cannot start computing", error.to_string(), "Close other programs and try again.")
        })?;
        thread.join().map_err(|panic| of_panic(panic.as_ref()))
    })
}
