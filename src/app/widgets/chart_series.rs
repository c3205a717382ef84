//! Points of a chart, thinned as they come, so that a frame costs the same however long the run is.

use egui_plot::PlotPoint;

/// Points of one level that become two (the lowest and the highest) of the next.
const BUCKET: usize = 8;

/// The smallest value that a logarithmic axis shows.
const LOG_FLOOR: f64 = 1e-12;

/// Points in rising x with coarser copies of themselves: each level keeps the lowest and the highest of every
/// [`BUCKET`] points of the one below, so no peak is lost.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Thinned {
    /// `levels[0]` holds every point.
    levels: Vec<Vec<PlotPoint>>,
}

impl Thinned {
    /// Adds a point; one that is no number is left out.
    pub fn push(&mut self, x: f64, y: f64) {
        if !x.is_finite() || !y.is_finite() {
            return;
        }
        if self.levels.is_empty() {
            self.levels.push(Vec::new());
        }
        self.levels[0].push(PlotPoint::new(x, y));
        let mut level = 0;
        // Whenever a bucket is full, its ends go one level up.
        while self.levels[level].len().is_multiple_of(BUCKET) {
            let full = &self.levels[level][self.levels[level].len() - BUCKET..];
            let [first, second] = ends(full);
            if self.levels.len() == level + 1 {
                self.levels.push(Vec::new());
            }
            self.levels[level + 1].extend([first, second]);
            level += 1;
        }
    }

    pub fn len(&self) -> usize {
        self.all().len()
    }

    pub fn is_empty(&self) -> bool {
        self.all().is_empty()
    }

    /// Every point.
    pub fn all(&self) -> &[PlotPoint] {
        self.levels.first().map_or(&[], Vec::as_slice)
    }

    pub fn last(&self) -> Option<PlotPoint> {
        self.all().last().copied()
    }

    /// Forgets the points after `x`.
    pub fn truncate_after(&mut self, x: f64) {
        let kept = self.all().partition_point(|p| p.x <= x);
        if kept < self.len() {
            let points: Vec<PlotPoint> = self.all()[..kept].to_vec();
            *self = Self::default();
            points.iter().for_each(|p| self.push(p.x, p.y));
        }
    }

    /// The points between `from` and `to` (and one on either side, so that lines go on), at most about `budget`.
    pub fn between(&self, from: f64, to: f64, budget: usize) -> Vec<PlotPoint> {
        let chosen = (0..self.levels.len()).find(|l| self.inside(*l, from, to).len() <= budget);
        let Some(chosen) = chosen.or_else(|| self.levels.len().checked_sub(1)) else { return Vec::new() };
        let mut out = self.levels[chosen][self.inside(chosen, from, to)].to_vec();
        // The newest points are not in the coarse levels yet.
        for level in (0..chosen).rev() {
            let points = &self.levels[level];
            let loose = &points[points.len() - points.len() % BUCKET..];
            out.extend(loose.iter().filter(|p| p.x >= from && p.x <= to));
        }
        out
    }

    fn inside(&self, level: usize, from: f64, to: f64) -> std::ops::Range<usize> {
        let points = &self.levels[level];
        let start = points.partition_point(|p| p.x < from).saturating_sub(1);
        let end = (points.partition_point(|p| p.x <= to) + 1).min(points.len());
        start..end.max(start)
    }
}

/// The lowest and the highest of some points, in rising x.
fn ends(points: &[PlotPoint]) -> [PlotPoint; 2] {
    let (mut low, mut high) = (0, 0);
    for (i, p) in points.iter().enumerate() {
        if p.y < points[low].y {
            low = i;
        }
        if p.y >= points[high].y {
            high = i;
        }
    }
    [points[low.min(high)], points[low.max(high)]]
}

/// A measured course and its exponential mean, which is brought up to date as points come.
///
/// `s = beta s + (1 - beta) y`, shown as `s / (1 - beta^n)` so that it does not begin at zero.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    pub raw: Thinned,
    pub smooth: Thinned,
    beta: f64,
    mean: f64,
    weight: f64,
}

impl Default for Series {
    fn default() -> Self {
        Self::new(0.9)
    }
}

impl Series {
    /// `smoothing` from 0 (none) to just below 1.
    pub fn new(smoothing: f64) -> Self {
        let beta = smoothing.clamp(0.0, 0.999);
        Self { raw: Thinned::default(), smooth: Thinned::default(), beta, mean: 0.0, weight: 0.0 }
    }

    pub fn push(&mut self, x: f64, y: f64) {
        self.raw.push(x, y);
        if x.is_finite() && y.is_finite() {
            self.push_smooth(x, y);
        }
    }

    fn push_smooth(&mut self, x: f64, y: f64) {
        self.mean = self.beta * self.mean + (1.0 - self.beta) * y;
        self.weight = self.beta * self.weight + (1.0 - self.beta);
        self.smooth.push(x, self.mean / self.weight);
    }

    pub fn smoothing(&self) -> f64 {
        self.beta
    }

    /// Smooths all points anew.
    pub fn set_smoothing(&mut self, smoothing: f64) {
        let raw = std::mem::take(&mut self.raw);
        *self = Self::new(smoothing);
        raw.all().iter().for_each(|p| self.push_smooth(p.x, p.y));
        self.raw = raw;
    }

    pub fn truncate_after(&mut self, x: f64) {
        if self.raw.last().is_some_and(|p| p.x > x) {
            self.raw.truncate_after(x);
            self.set_smoothing(self.beta);
        }
    }
}

/// Heights for an axis of powers of ten; what is not above zero cannot be shown there.
pub fn logarithmic(points: Vec<PlotPoint>) -> Vec<PlotPoint> {
    let above = points.into_iter().filter(|p| p.y > LOG_FLOOR);
    above.map(|p| PlotPoint::new(p.x, p.y.log10())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_thousand_points_are_drawn_as_few_and_no_peak_is_lost() {
        let mut t = Thinned::default();
        for i in 0..100_000 {
            let y = if i == 31_415 { 9.0 } else { (f64::from(i) * 0.1).sin() };
            t.push(f64::from(i), y);
        }
        let all = t.between(f64::NEG_INFINITY, f64::INFINITY, 2_000);
        assert!(all.len() <= 2_100, "{}", all.len());
        assert!(all.iter().any(|p| p.x == 31_415.0 && p.y == 9.0), "the peak is gone");
        assert!(all.windows(2).all(|w| w[0].x <= w[1].x), "x must rise");
        assert_eq!(all.last().map(|p| p.x), Some(99_999.0));
        let near = t.between(31_400.0, 31_430.0, 2_000);
        assert_eq!(near.len(), 33, "from nearby every point is there, and one on either side");
    }

    #[test]
    fn what_is_no_number_is_left_out_and_a_resumed_run_forgets_what_came_after() {
        let mut s = Series::new(0.5);
        for (x, y) in [(1.0, 4.0), (2.0, f64::NAN), (3.0, 2.0), (4.0, 0.0)] {
            s.push(x, y);
        }
        assert_eq!(s.raw.len(), 3);
        // 4; (0.5 * 2 + 0.5 * 2) / 0.75; …
        let smooth: Vec<f64> = s.smooth.all().iter().map(|p| p.y).collect();
        assert!((smooth[0] - 4.0).abs() < 1e-12 && (smooth[1] - 2.0 / 0.75).abs() < 1e-12, "{smooth:?}");
        let mut before = s.clone();
        before.truncate_after(3.0);
        assert_eq!(before.raw.len(), 2);
        before.push(4.0, 0.0);
        assert_eq!(before, s);
    }

    #[test]
    fn smoothing_anew_is_the_same_as_smoothing_from_the_start() {
        let (mut a, mut b) = (Series::new(0.9), Series::new(0.3));
        for i in 0..1_000 {
            let (x, y) = (f64::from(i), f64::from(i % 7));
            a.push(x, y);
            b.push(x, y);
        }
        a.set_smoothing(0.3);
        assert_eq!(a, b);
    }

    #[test]
    fn a_logarithmic_axis_leaves_out_what_is_not_above_zero() {
        let points = [1.0, 0.0, -3.0, 0.01].map(|y| PlotPoint::new(y, y)).to_vec();
        let shown: Vec<f64> = logarithmic(points).iter().map(|p| p.y).collect();
        assert_eq!(shown, [0.0, -2.0]);
    }
}
