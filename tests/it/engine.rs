//! Lanes: order of events, stopping, panics, full channels, shutting down.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tunesmith::base::{Control, Failure, Unit};
use tunesmith::engine::event::EventKind;
use tunesmith::engine::lane::{Carrier, MakeCarrier, Sink, on_compute_stack};
use tunesmith::engine::{Command, Engine, Event, Events, Halt, JobId};

const PATIENCE: Duration = Duration::from_secs(20);

/// Does what the name in the command says.
#[derive(Default)]
struct Script {
    recovered: Arc<AtomicUsize>,
    release: Arc<AtomicBool>,
    done: Arc<Mutex<Vec<String>>>,
}

impl Carrier for Script {
    fn carry_out(&mut self, command: Command, control: &Control, sink: &mut Sink<'_>) -> Result<(), Halt> {
        let name = match command {
            Command::InspectModel { source } => source,
            Command::ResumeRun { folder } => folder.to_string_lossy().into_owned(),
            other => panic!("unexpected {other:?}"),
        };
        match name.as_str() {
            "panic" => panic!("it broke"),
            "fail" => return Err(Failure::new("No", "because", "try").into()),
            "wait" => {
                while !control.is_stopped() && !self.release.load(Ordering::Relaxed) {
                    std::thread::sleep(Duration::from_millis(2));
                }
                if control.is_stopped() {
                    return Err(Halt::Stopped);
                }
            }
            "flood" => {
                for _ in 0..5000 {
                    sink(EventKind::Exported { to: PathBuf::new() });
                }
            }
            "progress" => {
                while !self.release.load(Ordering::Relaxed) {
                    std::thread::sleep(Duration::from_millis(2));
                }
                for done in 0..5000 {
                    sink(EventKind::Progress { phase: "x".into(), done, total: None, unit: Unit::Rows });
                }
            }
            _ => {}
        }
        self.done.lock().unwrap().push(name);
        Ok(())
    }

    fn recover(&mut self) {
        self.recovered.fetch_add(1, Ordering::Relaxed);
    }
}

struct Stage {
    engine: Engine,
    events: Events,
    wakes: Arc<AtomicUsize>,
    recovered: Arc<AtomicUsize>,
    release: Arc<AtomicBool>,
    done: Arc<Mutex<Vec<String>>>,
}

impl Stage {
    fn new() -> Self {
        let wakes = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&wakes);
        let waker = Arc::new(move |_| {
            count.fetch_add(1, Ordering::Relaxed);
        });
        let (recovered, release, done) =
            <(Arc<AtomicUsize>, Arc<AtomicBool>, Arc<Mutex<Vec<String>>>)>::default();
        let make = || -> MakeCarrier {
            let script =
                Script { recovered: recovered.clone(), release: release.clone(), done: done.clone() };
            Box::new(move || Box::new(script))
        };
        let (engine, events) = Engine::with_carriers(waker, make(), make());
        Self { engine, events, wakes, recovered, release, done }
    }

    fn io(&self, name: &str) -> JobId {
        self.engine.submit(Command::InspectModel { source: name.into() })
    }

    fn compute(&self, name: &str) -> JobId {
        self.engine.submit(Command::ResumeRun { folder: name.into() })
    }

    /// Events of `job` up to its last one, as short words.
    fn until_end(&self, job: JobId) -> Vec<String> {
        let mut seen = Vec::new();
        loop {
            let event = self.events.recv_timeout(PATIENCE).unwrap();
            if event.job == job {
                let word = word(&event);
                seen.push(word.clone());
                if ["Done", "Stopped"].contains(&word.as_str()) || word.starts_with("Failed") {
                    return seen;
                }
            }
        }
    }
}

fn word(event: &Event) -> String {
    match &event.kind {
        EventKind::Failed(failure) => format!("Failed {}", failure.detail),
        other => format!("{other:?}").split([' ', '(']).next().unwrap().to_string(),
    }
}

#[test]
fn a_job_starts_and_ends_once() {
    let stage = Stage::new();
    let job = stage.io("fine");
    assert_eq!(stage.until_end(job), ["Started", "Done"]);
    assert!(stage.wakes.load(Ordering::Relaxed) >= 2);
    assert!(stage.engine.control(job).is_none(), "the job is over");
    let job = stage.compute("fail");
    assert_eq!(stage.until_end(job), ["Started", "Failed because"]);
}

#[test]
fn a_panic_fails_the_job_and_the_lane_goes_on() {
    let stage = Stage::new();
    let first = stage.compute("panic");
    assert_eq!(stage.until_end(first), ["Started", "Failed it broke"]);
    assert_eq!(stage.recovered.load(Ordering::Relaxed), 1);
    let second = stage.compute("fine");
    assert_eq!(stage.until_end(second), ["Started", "Done"]);
}

#[test]
fn lanes_do_not_wait_for_each_other() {
    let stage = Stage::new();
    let long = stage.compute("wait");
    let short = stage.io("fine");
    assert_eq!(stage.until_end(short), ["Started", "Done"]);
    stage.release.store(true, Ordering::Relaxed);
    assert_eq!(stage.until_end(long).last().unwrap(), "Done");
}

#[test]
fn a_running_job_is_stopped_and_a_waiting_one_never_runs() {
    let stage = Stage::new();
    let running = stage.io("wait");
    assert_eq!(word(&stage.events.recv_timeout(PATIENCE).unwrap()), "Started");
    let waiting = stage.io("never");
    stage.engine.stop(waiting);
    assert_eq!(stage.until_end(waiting), ["Stopped"]);
    stage.engine.stop(running);
    assert_eq!(stage.until_end(running), ["Stopped"]);
    let last = stage.io("last");
    stage.until_end(last);
    assert_eq!(*stage.done.lock().unwrap(), ["last"]);
}

#[test]
fn jobs_of_a_lane_run_in_order() {
    let stage = Stage::new();
    let names: Vec<String> = (0..20).map(|i| format!("job {i}")).collect();
    let jobs: Vec<JobId> = names.iter().map(|n| stage.io(n)).collect();
    stage.until_end(jobs[19]);
    assert_eq!(*stage.done.lock().unwrap(), names);
}

#[test]
fn state_changes_wait_for_room_and_progress_does_not() {
    let stage = Stage::new();
    let progress = stage.compute("progress");
    assert_eq!(stage.events.recv_timeout(PATIENCE).unwrap().job, progress);
    let flood = stage.io("flood");
    while !stage.events.is_full() {
        std::thread::sleep(Duration::from_millis(2));
    }
    // Nobody reads: the flood stands still, but progress is dropped and the job comes to its end.
    stage.release.store(true, Ordering::Relaxed);
    let began = Instant::now();
    while !stage.done.lock().unwrap().contains(&"progress".to_string()) {
        assert!(began.elapsed() < PATIENCE, "progress waited for a reader");
        std::thread::sleep(Duration::from_millis(2));
    }
    assert!(!stage.done.lock().unwrap().contains(&"flood".to_string()));
    let seen = stage.until_end(flood);
    assert_eq!(seen.iter().filter(|w| *w == "Exported").count(), 5000, "no state change is lost");
}

#[test]
fn too_many_waiting_jobs_are_refused_with_a_message() {
    let stage = Stage::new();
    let running = stage.io("wait");
    let jobs: Vec<JobId> = (0..400).map(|i| stage.io(&format!("{i}"))).collect();
    let last = *jobs.last().unwrap();
    let seen = stage.until_end(last);
    assert!(seen[0].starts_with("Failed too many jobs"), "{seen:?}");
    stage.engine.stop(running);
}

#[test]
fn shutting_down_does_not_hang() {
    // With a full channel that nobody reads, a waiting job, and jobs in the queue.
    let stage = Stage::new();
    stage.io("flood");
    stage.compute("wait");
    stage.compute("fine");
    std::thread::sleep(Duration::from_millis(100));
    let began = Instant::now();
    stage.engine.shutdown();
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert!(stage.done.lock().unwrap().iter().all(|name| name == "flood"));
    drop(stage.events);
}

#[test]
fn shutting_down_without_a_reader_does_not_hang() {
    let stage = Stage::new();
    drop(stage.events);
    stage.engine.submit(Command::InspectModel { source: "flood".into() });
    std::thread::sleep(Duration::from_millis(20));
    stage.engine.shutdown();
}

#[test]
fn a_paused_job_ends_when_the_engine_is_dropped() {
    let stage = Stage::new();
    let job = stage.compute("wait");
    assert_eq!(word(&stage.events.recv_timeout(PATIENCE).unwrap()), "Started");
    stage.engine.control(job).unwrap().pause();
    drop(stage.engine);
    assert!(stage.events.iter().any(|e| e.job == job && matches!(e.kind, EventKind::Stopped)));
}

#[test]
fn the_compute_stack_is_deep_and_survives_a_panic() {
    fn deep(n: usize) -> usize {
        let block = std::hint::black_box([n; 1024]);
        if n == 0 { block[0] } else { deep(n - 1) + block[1] - n + 1 }
    }
    // About 16 MB of frames: far more than the 2 MB of a usual thread.
    assert_eq!(on_compute_stack(|| deep(2000)).unwrap(), 2000);
    let failure = on_compute_stack(|| -> () { panic!("too deep") }).unwrap_err();
    assert_eq!(failure.detail, "too deep");
}
