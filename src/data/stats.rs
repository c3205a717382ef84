//! How long the examples are, in tokens.

/// Lengths of all rows that were tokenised, before cutting.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TokenStats {
    /// Sorted lengths before cutting, one a row, those that are left out for their length among them.
    pub lengths: Vec<u32>,
    /// Tokens that are trained on, all rows together.
    pub num_trained: u64,
}

/// One bar: lengths in `start..end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bar {
    pub start: u32,
    pub end: u32,
    pub count: u64,
}

impl TokenStats {
    pub fn new(mut lengths: Vec<u32>, num_trained: u64) -> Self {
        lengths.sort_unstable();
        Self { lengths, num_trained }
    }

    /// The length that `percent` of the rows do not exceed (nearest rank); 0 when there are none.
    pub fn percentile(&self, percent: f64) -> u32 {
        let rank = (percent / 100.0 * self.lengths.len() as f64).ceil().max(1.0) as usize;
        self.lengths.get(rank.min(self.lengths.len()).wrapping_sub(1)).copied().unwrap_or(0)
    }

    /// Rows longer than `limit`.
    pub fn num_above(&self, limit: usize) -> usize {
        self.lengths.len() - self.lengths.partition_point(|len| (*len as usize) <= limit)
    }

    /// Share of the rows longer than `limit`, 0..1.
    pub fn share_above(&self, limit: usize) -> f64 {
        self.num_above(limit) as f64 / self.lengths.len().max(1) as f64
    }

    /// All tokens before cutting.
    pub fn total(&self) -> u64 {
        self.lengths.iter().map(|len| u64::from(*len)).sum()
    }

    /// At most `num_bars` bars of equal width from 0 to the longest row.
    pub fn histogram(&self, num_bars: usize) -> Vec<Bar> {
        let Some(longest) = self.lengths.last() else { return Vec::new() };
        let num_bars = u32::try_from(num_bars.max(1)).unwrap_or(u32::MAX);
        let width = longest.saturating_add(1).div_ceil(num_bars).max(1);
        let mut bars: Vec<Bar> = (0..=longest / width)
            .map(|i| Bar { start: i * width, end: (i * width).saturating_add(width), count: 0 })
            .collect();
        for len in &self.lengths {
            bars[(len / width) as usize].count += 1;
        }
        bars
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_shares_and_bars() {
        let stats = TokenStats::new((1..=100).rev().collect(), 0);
        assert_eq!([50.0, 95.0, 100.0, 0.0].map(|p| stats.percentile(p)), [50, 95, 100, 1]);
        assert!((stats.share_above(90) - 0.1).abs() < 1e-12);
        assert_eq!(stats.total(), 5050);
        let bars = stats.histogram(10);
        assert_eq!(bars.iter().map(|b| b.count).sum::<u64>(), 100);
        assert!(bars.len() <= 10 && bars[0].start == 0);
        let none = TokenStats::default();
        assert_eq!((none.percentile(50.0), none.share_above(1), none.histogram(5).len()), (0, 0.0, 0));
    }
}
