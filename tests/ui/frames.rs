//! What a frame draws does not grow with the data: only what is in sight is laid out. Times are measured by
//! `benches/frames.rs`.

use crate::{actors, stage};
use tunesmith::app::{Place, UiAction};

/// Shapes that each place draws over a data set of `num_rows`.
fn shapes(num_rows: usize) -> Vec<usize> {
    let mut harness = stage::window(actors::furnished(num_rows));
    let mut count = |place| {
        stage::act(&mut harness, UiAction::Go(place));
        (0..stage::SETTLE).for_each(|_| harness.step());
        harness.output().shapes.len()
    };
    Place::ALL.map(&mut count).to_vec()
}

#[test]
fn a_hundred_times_the_rows_draw_the_same() {
    let (few, many) = (shapes(1_000), shapes(100_000));
    for ((place, few), many) in Place::ALL.iter().zip(few).zip(many) {
        assert!(few > 20, "{} draws next to nothing: {few}", place.name());
        assert!(many * 10 <= few * 12, "{}: {few} shapes became {many}", place.name());
    }
}
