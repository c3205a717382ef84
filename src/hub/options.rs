//! Where downloads come from and go to: from the environment, or said by a test.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// Switches, addresses and folders of a download.
#[derive(Clone)]
pub struct Options {
    /// The environment variable that forbids the network, if one does.
    pub offline: Option<String>,
    /// Address of the hub, without a slash at its end.
    pub endpoint: String,
    pub token: Option<String>,
    /// The hub's cache, shared with Python: `models--org--name` folders.
    pub hub_cache: PathBuf,
    /// Tunesmith's own models, one folder each.
    pub models_folder: PathBuf,
    /// The program that runs pip where the hub can't be reached.
    pub python: OsString,
    pub connect_timeout: Duration,
    /// How long the other side may be silent before the request is sent again.
    pub silence: Duration,
}

impl std::fmt::Debug for Options {
    /// Without the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("offline", &self.offline)
            .field("endpoint", &self.endpoint)
            .field("has_token", &self.token.is_some())
            .field("hub_cache", &self.hub_cache)
            .field("models_folder", &self.models_folder)
            .finish_non_exhaustive()
    }
}

impl Options {
    /// Honours `HF_ENDPOINT`, `HF_TOKEN`, `HF_HOME`, `HF_HUB_CACHE`, `HF_HUB_OFFLINE`, `TUNESMITH_HOME`,
    /// `TUNESMITH_OFFLINE` and `TUNESMITH_PYTHON`.
    pub fn from_env() -> Self {
        let hf_home = path("HF_HOME").unwrap_or_else(|| {
            let cache = path("XDG_CACHE_HOME")
                .or_else(|| directories::BaseDirs::new().map(|dirs| dirs.home_dir().join(".cache")))
                .unwrap_or_else(std::env::temp_dir);
            cache.join("huggingface")
        });
        let token_file =
            || std::fs::read_to_string(path("HF_TOKEN_PATH").unwrap_or(hf_home.join("token"))).ok();
        let token = text("HF_TOKEN").or_else(token_file);
        Self {
            offline: ["TUNESMITH_OFFLINE", "HF_HUB_OFFLINE"]
                .into_iter()
                .find(|name| is_on(name))
                .map(String::from),
            endpoint: text("HF_ENDPOINT")
                .map_or_else(|| "https://huggingface.co".into(), |e| e.trim_end_matches('/').to_string()),
            token: token.map(|t| t.trim().to_string()).filter(|t| !t.is_empty()),
            hub_cache: path("HF_HUB_CACHE").unwrap_or_else(|| hf_home.join("hub")),
            models_folder: crate::base::places::models_folder(),
            python: std::env::var_os("TUNESMITH_PYTHON")
                .unwrap_or_else(|| if cfg!(windows) { "python".into() } else { "python3".into() }),
            connect_timeout: Duration::from_secs(10),
            silence: Duration::from_secs(10),
        }
    }
}

fn text(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.trim().is_empty())
}

fn path(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

fn is_on(name: &str) -> bool {
    text(name)
        .is_some_and(|value| !matches!(value.trim().to_lowercase().as_str(), "0" | "false" | "no" | "off"))
}
