//! From point to point of a map by the arrow keys.

use eframe::egui::{EventFilter, Id, Key, Ui};

/// A way on the map: x to the right, y up.
pub(super) type Way = [f32; 2];

/// The way that an arrow key was pressed for, on the map that has the focus. Arrows stay there, and do not lead on to other things.
pub(super) fn pressed(ui: &Ui, map: Id) -> Option<Way> {
    let arrows = EventFilter { horizontal_arrows: true, vertical_arrows: true, ..EventFilter::default() };
    ui.memory_mut(|memory| memory.set_focus_lock_filter(map, arrows));
    let ways = [
        (Key::ArrowLeft, [-1.0, 0.0]),
        (Key::ArrowRight, [1.0, 0.0]),
        (Key::ArrowUp, [0.0, 1.0]),
        (Key::ArrowDown, [0.0, -1.0]),
    ];
    ui.input(|input| ways.into_iter().find(|(key, _)| input.key_pressed(*key)).map(|(_, way)| way))
}

/// The nearest point that lies that way rather than aside, or else the nearest of those that lie that way at all; `None` at the edge.
/// Where nothing is chosen it is the `first` one, or the one in the middle.
pub(super) fn next(
    points: &[[f32; 2]],
    from: Option<usize>,
    first: Option<usize>,
    way: Way,
) -> Option<usize> {
    let Some(start) = from.and_then(|from| points.get(from)) else {
        return first.filter(|first| *first < points.len()).or_else(|| nearest_to_middle(points));
    };
    let ahead = |(place, point): (usize, &[f32; 2])| {
        let [dx, dy] = [point[0] - start[0], point[1] - start[1]];
        let (along, aside) = (dx * way[0] + dy * way[1], (dx * way[1] - dy * way[0]).abs());
        (along > 0.0).then_some((aside > along, dx * dx + dy * dy, place))
    };
    let found = points.iter().enumerate().filter_map(ahead);
    found.min_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1))).map(|(.., place)| place)
}

fn nearest_to_middle(points: &[[f32; 2]]) -> Option<usize> {
    let num = points.len().max(1) as f32;
    let middle = [0, 1].map(|axis| points.iter().map(|point| point[axis]).sum::<f32>() / num);
    let away = |point: &[f32; 2]| (point[0] - middle[0]).powi(2) + (point[1] - middle[1]).powi(2);
    let found = points.iter().enumerate().min_by(|a, b| away(a.1).total_cmp(&away(b.1)));
    found.map(|(place, _)| place)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEFT: Way = [-1.0, 0.0];
    const RIGHT: Way = [1.0, 0.0];
    const UP: Way = [0.0, 1.0];
    const DOWN: Way = [0.0, -1.0];

    #[test]
    fn arrows_lead_to_the_nearest_point_that_way() {
        // Right of the first: one aside and near, one straight and farther. Above it: one alone, and far aside.
        let points = [[0.0, 0.0], [0.5, 2.0], [3.0, 0.1], [-1.0, -0.5], [-1.5, 0.2]];
        let from_first = |way| next(&points, Some(0), None, way);
        assert_eq!([RIGHT, UP, LEFT, DOWN].map(from_first), [Some(2), Some(1), Some(3), Some(3)]);
        assert_eq!(next(&points, Some(2), None, RIGHT), None, "nothing lies beyond the edge");
        // Two rows at one place do not hold each other.
        assert_eq!(next(&[[0.0, 0.0], [0.0, 0.0], [1.0, 0.0]], Some(0), None, RIGHT), Some(2));
    }

    #[test]
    fn the_first_arrow_leads_to_the_nearest_row_or_into_the_middle() {
        let points = [[0.0, 0.0], [10.0, 0.0], [5.0, 0.5]];
        assert_eq!(next(&points, None, Some(1), UP), Some(1));
        assert_eq!(next(&points, None, None, UP), Some(2));
        assert_eq!(next(&points, Some(9), Some(7), UP), Some(2), "what is no row counts for nothing");
        assert_eq!(next(&[], None, None, UP), None);
    }
}
