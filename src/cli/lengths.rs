//! How long the rows are in tokens: percentiles, the share above the limit, bars of text.

use crate::base::human;
use crate::data::prepare::Dataset;
use serde_json::{Value, json};

const NUM_BARS: usize = 12;
/// Characters of the longest bar.
const WIDTH: u64 = 40;

pub fn json(dataset: &Dataset) -> Value {
    let (stats, limit) = (&dataset.stats, dataset.options.max_tokens);
    let bars = stats.histogram(NUM_BARS).into_iter();
    let bars: Vec<Value> =
        bars.map(|bar| json!({ "start": bar.start, "end": bar.end, "count": bar.count })).collect();
    json!({
        "total": stats.total(),
        "trained": stats.num_trained,
        "median": stats.percentile(50.0),
        "p90": stats.percentile(90.0),
        "p95": stats.percentile(95.0),
        "p99": stats.percentile(99.0),
        "longest": stats.percentile(100.0),
        "limit": limit,
        "share_above_limit": stats.share_above(limit),
        "histogram": bars,
    })
}

pub fn lines(dataset: &Dataset) -> Vec<String> {
    let (stats, limit) = (&dataset.stats, dataset.options.max_tokens);
    let percentiles = [("50 %", 50.0), ("90 %", 90.0), ("95 %", 95.0), ("99 %", 99.0)];
    let percentiles = percentiles.map(|(name, p)| format!("{name} up to {}", stats.percentile(p)));
    let longer = if dataset.options.drop_overlong {
        "left out"
    } else {
        "cut off, or left out where no answer remains"
    };
    let mut lines = vec![
        format!(
            "tokens: {} in all, {} of them trained on",
            human::count(stats.total()),
            human::count(stats.num_trained)
        ),
        format!("tokens of a row: {}, longest {}", percentiles.join(", "), stats.percentile(100.0)),
        format!(
            "{:.1} % of the rows are longer than the limit of {} tokens: {longer}",
            100.0 * stats.share_above(limit),
            human::count(limit as u64)
        ),
    ];
    let bars = stats.histogram(NUM_BARS);
    let most = bars.iter().map(|bar| bar.count).max().unwrap_or(0).max(1);
    let wide = bars.last().map_or(0, |bar| bar.end.saturating_sub(1).to_string().len());
    lines.extend(bars.iter().map(|bar| {
        // A bar that is not empty shows.
        let filled = (bar.count * WIDTH).div_ceil(most) as usize;
        let (first, last) = (bar.start, bar.end.saturating_sub(1));
        format!("  {first:>wide$} to {last:>wide$}  {} {}", "█".repeat(filled), human::count(bar.count))
    }));
    lines
}
