//! How long a frame takes with 100,000 rows in the table and 100,000 updates in the plots: layout and tessellation
//! of the whole window, without painting. The goal is a 99th percentile of at most 16 ms:
//! `cargo bench --profile dev --bench frames`.

// The same actors and stage as in the tests of the window; not all of their parts are needed here.
#[allow(dead_code)]
#[path = "../tests/ui/actors.rs"]
mod actors;
#[allow(dead_code)]
#[path = "../tests/ui/cpu_renderer.rs"]
mod cpu_renderer;
#[allow(dead_code)]
#[path = "../tests/ui/stage.rs"]
mod stage;

use eframe::egui::{Event, MouseWheelSource, MouseWheelUnit, Pos2, TouchPhase, vec2};
use egui_kittest::Harness;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tunesmith::app::{App, Place, UiAction};
use tunesmith::engine::Command;
use tunesmith::engine::event::EventKind;
use tunesmith::project::RunEvent;
use tunesmith::recipe::Recipe;

const NUM_ROWS: usize = 100_000;
const NUM_UPDATES: u64 = 100_000;
const NUM_FRAMES: usize = 300;

fn main() {
    let mut harness = stage::window(actors::furnished(NUM_ROWS));
    feed_run(&mut harness);
    println!("{:<12} {:>9} {:>9} {:>9}", "place", "median", "p99", "longest");
    for place in Place::ALL {
        stage::act(&mut harness, UiAction::Go(place));
        measure(&mut harness, place);
    }
}

/// Median, 99th percentile and longest of [`NUM_FRAMES`] frames.
fn measure(harness: &mut Harness<'static, App>, place: Place) {
    let mut times: Vec<Duration> = (0..NUM_FRAMES).map(|i| frame(harness, i)).collect();
    times.sort();
    let (median, p99) = (times[NUM_FRAMES / 2], times[NUM_FRAMES * 99 / 100]);
    let longest = times[NUM_FRAMES - 1];
    println!("{:<12} {:>6.2} ms {:>6.2} ms {:>6.2} ms", place.name(), ms(median), ms(p99), ms(longest));
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// One frame with the pointer moving and the wheel turning, so that nothing is served from the last one.
fn frame(harness: &mut Harness<'static, App>, i: usize) -> Duration {
    let at = Pos2::new(300.0 + (i % 300) as f32, 420.0);
    harness.input_mut().events.push(Event::PointerMoved(at));
    harness.input_mut().events.push(Event::MouseWheel {
        unit: MouseWheelUnit::Point,
        delta: vec2(0.0, -60.0),
        phase: TouchPhase::Move,
        source: MouseWheelSource::Wheel,
        modifiers: Default::default(),
    });
    let began = Instant::now();
    harness.step();
    let output = harness.output();
    let shapes = output.shapes.clone();
    let triangles = harness.ctx.tessellate(shapes, output.pixels_per_point);
    std::hint::black_box(triangles);
    began.elapsed()
}

/// A run with a point at every update.
fn feed_run(harness: &mut Harness<'static, App>) {
    let folder = PathBuf::from("/home/ada/Tunesmith/runs/long");
    let command =
        Command::Train { project: PathBuf::from("/home/ada/Tunesmith"), recipe: Box::new(Recipe::default()) };
    stage::accept(harness, 1, &command);
    let mut say = |event| {
        let kind = EventKind::Run { folder: folder.clone(), event };
        let job = tunesmith::engine::JobId(1);
        harness.state_mut().state.apply(tunesmith::engine::Event { job, kind });
    };
    say(RunEvent::Started {
        time: "2026-11-21T14:30:00Z".into(),
        num_updates: NUM_UPDATES,
        updates_per_epoch: 1_000.0,
        num_train: 80_000,
        num_valid: 10_000,
        num_trainable_params: 2_442_240,
        estimated_memory_bytes: 1_300_000_000,
        estimated_secs: 60.0,
        device: "cpu".into(),
        from_update: 0,
    });
    for update in 1..=NUM_UPDATES {
        let x = update as f64;
        say(RunEvent::Update {
            update,
            epoch: x / 1_000.0,
            loss: 2.5 * (-x / 20_000.0).exp() + 0.4 + 0.2 * (x * 12.9898).sin(),
            learning_rate: 5e-4 * (1.0 - x / NUM_UPDATES as f64),
            grad_norm: 1.0 + 0.3 * (x * 0.7).cos(),
            num_tokens: 512,
            tokens_per_second: 900.0 + 20.0 * (x * 0.01).sin(),
            update_secs: 0.55,
            memory_bytes: 1_200_000_000,
            replay_loss: None,
            divergence: None,
        });
        if update % 500 == 0 {
            let loss = 2.5 * (-x / 20_000.0).exp() + 0.45;
            say(RunEvent::Validation {
                update,
                loss,
                beside_first: None,
                best: true,
                without_gain: 0,
                metrics: Default::default(),
            });
        }
    }
}
