//! How often the window is painted while a run goes on: frames take the processor's time where no graphics card paints.

use crate::{stage, train};
use egui_kittest::Harness;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tunesmith::app::effects::EngineHandle;
use tunesmith::app::jobs::JobSwitch;
use tunesmith::app::live::waker;
use tunesmith::app::{App, Place, UiAction, theme};
use tunesmith::base::{Failure, Unit};
use tunesmith::engine::event::{Event, EventKind};
use tunesmith::engine::{Command, JobId, Waker};
use tunesmith::project::RunEvent;

type Inbox = Arc<Mutex<VecDeque<Event>>>;

/// An engine that says what the test puts into its inbox.
struct Script(Inbox);

impl EngineHandle for Script {
    fn submit(&mut self, _: Command) -> JobId {
        JobId(1_000)
    }

    fn switch(&mut self, _: JobId, _: JobSwitch) {}

    fn next_event(&mut self) -> Option<Event> {
        self.0.lock().unwrap().pop_front()
    }
}

/// When the next frame is due, in the test's own time; what eframe's event loop knows.
#[derive(Default)]
struct Clock {
    now: Duration,
    due: Option<Duration>,
}

/// A window with its event loop: frames are made when egui asks for them.
struct Desk {
    h: Harness<'static, App>,
    inbox: Inbox,
    waker: Waker,
    clock: Arc<Mutex<Clock>>,
    num_painted: u64,
}

impl Desk {
    /// A run goes on, and the window shows `place`, at rest.
    fn with_run(place: Place) -> Self {
        let inbox = Inbox::default();
        let script = Script(Arc::clone(&inbox));
        let h = Harness::builder().with_size(stage::WINDOW).with_max_steps(12).build_eframe(move |cc| {
            theme::install(&cc.egui_ctx);
            let mut state = train::running();
            state.act(UiAction::Go(place));
            App::new(state, Some(Box::new(script)))
        });
        let clock = Arc::new(Mutex::new(Clock::default()));
        let own = Arc::clone(&clock);
        h.ctx.set_request_repaint_callback(move |info| {
            let mut clock = own.lock().unwrap();
            let at = clock.now.saturating_add(info.delay);
            clock.due = Some(clock.due.map_or(at, |due| due.min(at)));
        });
        let waker = waker(&h.ctx);
        let mut desk = Self { h, inbox, waker, clock, num_painted: 0 };
        desk.h.run_steps(stage::SETTLE);
        desk.wait(Duration::from_secs(5));
        desk.num_painted = 0;
        desk
    }

    fn wait(&mut self, time: Duration) {
        let until = self.clock.lock().unwrap().now + time;
        loop {
            let mut clock = self.clock.lock().unwrap();
            match clock.due.filter(|due| *due <= until) {
                Some(due) => clock.now = clock.now.max(due),
                None => {
                    clock.now = until;
                    return;
                }
            }
            clock.due = None;
            drop(clock);
            let before = self.h.ctx.cumulative_pass_nr();
            self.h.step();
            self.num_painted += self.h.ctx.cumulative_pass_nr() - before;
            assert!(self.num_painted < 10_000, "it never comes to rest");
        }
    }

    fn say(&mut self, kind: EventKind) {
        let urgency = kind.urgency();
        self.inbox.lock().unwrap().push_back(Event { job: JobId(train::JOB), kind });
        (self.waker)(urgency);
    }

    fn updates(&mut self, which: std::ops::Range<u64>) {
        for update in which {
            self.say(EventKind::Run { folder: train::folder(), event: train::update(update) });
            self.wait(Duration::from_millis(20));
        }
    }

    fn painted(&mut self) -> u64 {
        std::mem::take(&mut self.num_painted)
    }

    fn last_update(&self) -> u64 {
        self.h.state().state.shared.jobs.training().map_or(0, |job| job.done)
    }
}

#[test]
fn a_run_has_the_window_painted_by_the_clock_and_not_by_its_events() {
    for place in Place::ALL {
        let mut desk = Desk::with_run(place);
        // 50 a second.
        desk.updates(100..200);
        let num = desk.painted();
        assert!((1..=2).contains(&num), "{}: {num} frames in two seconds", place.name());
        desk.wait(Duration::from_secs(2));
        assert_eq!(desk.last_update(), 199, "the last update is not left unpainted");
        desk.painted();
        desk.wait(Duration::from_secs(10));
        let num = desk.painted();
        assert!((4..=6).contains(&num), "{}: {num} frames in ten seconds of rest", place.name());
    }
}

#[test]
fn a_change_of_state_is_painted_at_once_with_what_came_before() {
    let mut desk = Desk::with_run(Place::Train);
    desk.updates(100..103);
    desk.painted();
    desk.say(EventKind::Run { folder: train::folder(), event: RunEvent::Notice { text: "Look".into() } });
    desk.wait(Duration::from_millis(20));
    assert_eq!((desk.painted(), desk.last_update()), (1, 102));
    desk.say(EventKind::Failed(Failure::new("The run failed", "because", "try")));
    desk.wait(Duration::from_millis(20));
    assert!(desk.painted() > 0);
    assert!(desk.h.state().state.shared.jobs.training().is_none());
}

#[test]
fn progress_that_somebody_waits_for_moves_ten_times_a_second() {
    let mut desk = Desk::with_run(Place::Data);
    for done in 0..50 {
        let phase = "Reading".to_string();
        desk.say(EventKind::Progress { phase, done, total: Some(50), unit: Unit::Rows });
        desk.wait(Duration::from_millis(20));
    }
    let num = desk.painted();
    assert!((8..=12).contains(&num), "{num} frames in a second");
}
