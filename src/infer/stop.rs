//! Stop strings in streamed text: what may be part of one is held back until it is known.

/// Lets text through up to the first stop string. How the text is cut into pieces makes no difference.
#[derive(Debug, Clone)]
pub struct StopFilter {
    stops: Vec<String>,
    held: String,
    is_stopped: bool,
}

impl StopFilter {
    /// Empty stop strings are ignored: they would end every answer before it began.
    pub fn new(stops: &[String]) -> Self {
        let stops = stops.iter().filter(|s| !s.is_empty()).cloned().collect();
        Self { stops, held: String::new(), is_stopped: false }
    }

    pub fn is_stopped(&self) -> bool {
        self.is_stopped
    }

    /// Takes text and returns what may be shown; may be empty.
    pub fn push(&mut self, piece: &str) -> String {
        if self.is_stopped {
            return String::new();
        }
        self.held.push_str(piece);
        if let Some(start) = self.first_stop() {
            self.is_stopped = true;
            self.held.truncate(start);
            return std::mem::take(&mut self.held);
        }
        let open = self.open_from();
        let tail = self.held.split_off(open);
        std::mem::replace(&mut self.held, tail)
    }

    /// What was held back and turned out to be no stop string.
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }

    /// Where the stop string begins that is complete first (of those, the longest).
    fn first_stop(&self) -> Option<usize> {
        let found = self.stops.iter().filter_map(|s| self.held.find(s.as_str()).map(|at| (at + s.len(), at)));
        found.min().map(|(_, start)| start)
    }

    /// From where on the text held may be the beginning of a stop string.
    fn open_from(&self) -> usize {
        let longest = self.stops.iter().map(String::len).max().unwrap_or(0);
        let from = (self.held.len() + 1).saturating_sub(longest);
        (from..self.held.len())
            .filter(|&at| self.held.is_char_boundary(at))
            .find(|&at| self.stops.iter().any(|s| s.starts_with(&self.held[at..])))
            .unwrap_or(self.held.len())
    }
}
