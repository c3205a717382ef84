//! Notices at the lower right: what ended, what failed, what to try.

use crate::base::Failure;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    Info,
    Done,
    Warning,
    Error,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Notice {
    /// Set when it is added.
    pub id: u64,
    pub tone: Tone,
    pub title: String,
    /// Why; shown on Details.
    pub detail: String,
    /// What to try.
    pub hint: String,
    pub is_open: bool,
    /// `AppState` time when it came.
    pub since_secs: f64,
}

impl Notice {
    pub fn new(tone: Tone, title: impl Into<String>) -> Self {
        Self {
            id: 0,
            tone,
            title: title.into(),
            detail: String::new(),
            hint: String::new(),
            is_open: false,
            since_secs: 0.0,
        }
    }

    pub fn done(title: impl Into<String>) -> Self {
        Self::new(Tone::Done, title)
    }

    pub fn info(title: impl Into<String>) -> Self {
        Self::new(Tone::Info, title)
    }

    pub fn failure(failure: &Failure) -> Self {
        Self {
            detail: failure.detail.clone(),
            hint: failure.hint.clone(),
            ..Self::new(Tone::Error, failure.title.clone())
        }
    }

    /// What Copy copies: everything said, without file contents.
    pub fn report(&self) -> String {
        let parts = [&self.title, &self.detail, &self.hint];
        let mut out: Vec<String> = parts.iter().filter(|p| !p.is_empty()).map(|p| (*p).clone()).collect();
        out.push(format!("Tunesmith {} on {}", env!("CARGO_PKG_VERSION"), std::env::consts::OS));
        out.join("\n")
    }

    /// Good news goes by itself; what failed stays until dismissed.
    fn goes_by_itself(&self) -> bool {
        matches!(self.tone, Tone::Info | Tone::Done)
    }
}

/// Seconds that good news stays.
pub const LINGER_SECS: f64 = 6.0;

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Notices {
    next_id: u64,
    list: Vec<Notice>,
    /// The newest title, for the status bar; it outlives the notice.
    pub last: Option<(Tone, String)>,
}

impl Notices {
    pub fn add(&mut self, mut notice: Notice, now_secs: f64) {
        self.next_id += 1;
        notice.id = self.next_id;
        notice.since_secs = now_secs;
        self.last = Some((notice.tone, notice.title.clone()));
        // The same words twice are one notice.
        self.list.retain(|n| n.title != notice.title || n.detail != notice.detail);
        self.list.push(notice);
    }

    /// Drops good news that was there long enough.
    pub fn sweep(&mut self, now_secs: f64) {
        self.list.retain(|n| !n.goes_by_itself() || now_secs - n.since_secs < LINGER_SECS);
    }

    /// Whether something will go by itself, so that a frame is needed then.
    pub fn any_fading(&self) -> bool {
        self.list.iter().any(Notice::goes_by_itself)
    }

    pub fn dismiss(&mut self, id: u64) {
        self.list.retain(|n| n.id != id);
    }

    pub fn toggle_details(&mut self, id: u64) {
        if let Some(n) = self.list.iter_mut().find(|n| n.id == id) {
            n.is_open = !n.is_open;
        }
    }

    pub fn all(&self) -> &[Notice] {
        &self.list
    }
}
