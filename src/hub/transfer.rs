//! HTTP: small answers whole, files resumably.
//!
//! hf-hub 0.5 can neither be stopped nor given a time-out, trusts checksums from the network as file names and
//! verifies nothing, so the bytes are moved here; its cache layout is kept.

use super::{HubError, Options, checksum};
use crate::base::Control;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use ureq::Agent;
use ureq::http::{Response, StatusCode};

/// How many silences in a row end a download.
const MAX_SILENCES: u64 = 3;
const BLOCK_BYTES: usize = 256 << 10;

/// One connection to the hub.
pub(super) struct Transfer<'a> {
    agent: Agent,
    options: &'a Options,
}

/// How one request for the rest of a file ended.
enum Ended {
    Whole,
    /// The other side was silent or hung up; `true` if anything arrived before.
    Cut(bool),
}

impl<'a> Transfer<'a> {
    pub(super) fn new(options: &'a Options) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_resolve(Some(options.connect_timeout))
            .timeout_connect(Some(options.connect_timeout))
            .timeout_per_read(Some(options.silence))
            .user_agent(concat!("tunesmith/", env!("CARGO_PKG_VERSION")))
            // A compressed answer could not be continued at a byte.
            .accept_encoding("identity")
            .build();
        Self { agent: config.into(), options }
    }

    fn get(&self, url: &str, from: u64) -> Result<Response<ureq::Body>, ureq::Error> {
        let mut request = self.agent.get(url);
        if let Some(token) = &self.options.token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        if from > 0 {
            request = request.header("Range", format!("bytes={from}-"));
        }
        request.call()
    }

    fn unreachable(&self, e: &ureq::Error) -> HubError {
        let endpoint = self.options.endpoint.clone();
        match e {
            ureq::Error::Timeout(ureq::Timeout::PerRead) => {
                HubError::Stalled { endpoint, secs: self.options.silence.as_secs() }
            }
            other => HubError::Unreachable { endpoint, why: other.to_string() },
        }
    }

    /// What a status other than success means.
    fn refusal(&self, status: StatusCode, what: &str) -> HubError {
        let endpoint = self.options.endpoint.clone();
        match status.as_u16() {
            401 | 403 => {
                HubError::Denied { endpoint, name: what.into(), has_token: self.options.token.is_some() }
            }
            404 | 410 => HubError::NotFound { endpoint, what: what.into() },
            code => HubError::Answer { endpoint, why: format!("status {code} for {what}") },
        }
    }

    /// A small answer as text, at most `max_bytes`.
    pub(super) fn text(&self, url: &str, what: &str, max_bytes: u64) -> Result<String, HubError> {
        let mut response = self.get(url, 0).map_err(|e| self.unreachable(&e))?;
        if !response.status().is_success() {
            return Err(self.refusal(response.status(), what));
        }
        let body = response.body_mut().with_config().limit(max_bytes).lossy_utf8(true).read_to_string();
        body.map_err(|e| match e {
            ureq::Error::BodyExceedsLimit(_) => HubError::Answer {
                endpoint: self.options.endpoint.clone(),
                why: format!("more than {max_bytes} bytes for {what}"),
            },
            other => self.unreachable(&other),
        })
    }

    /// Downloads `url` into `part`, from where it ended before, until it has `num_bytes`. `on_bytes` gets the length
    /// of the file as it grows.
    pub(super) fn file(
        &self,
        url: &str,
        part: &Path,
        num_bytes: u64,
        control: &Control,
        on_bytes: &mut dyn FnMut(u64),
    ) -> Result<(), HubError> {
        let failed = |e: std::io::Error| HubError::storage(part, &e);
        let mut file = OpenOptions::new().create(true).append(true).read(true).open(part).map_err(failed)?;
        if file.metadata().map_err(failed)?.len() > num_bytes {
            file.set_len(0).map_err(failed)?;
        }
        let mut num_silences = 0;
        loop {
            if control.is_stopped() {
                return Err(HubError::Stopped);
            }
            match self.rest(url, &mut file, part, num_bytes, control, on_bytes)? {
                Ended::Whole => return file.sync_all().map_err(failed),
                Ended::Cut(true) => num_silences = 0,
                Ended::Cut(false) => num_silences += 1,
            }
            if num_silences >= MAX_SILENCES {
                let secs = self.options.silence.as_secs() * MAX_SILENCES;
                return Err(HubError::Stalled { endpoint: self.options.endpoint.clone(), secs });
            }
        }
    }

    /// Asks once for what is missing of the file and appends it.
    fn rest(
        &self,
        url: &str,
        file: &mut File,
        part: &Path,
        num_bytes: u64,
        control: &Control,
        on_bytes: &mut dyn FnMut(u64),
    ) -> Result<Ended, HubError> {
        let failed = |e: std::io::Error| HubError::storage(part, &e);
        let mut have = file.seek(SeekFrom::End(0)).map_err(failed)?;
        on_bytes(have);
        if have == num_bytes {
            return Ok(Ended::Whole);
        }
        let response = match self.get(url, have) {
            Ok(response) => response,
            Err(ureq::Error::Timeout(ureq::Timeout::PerRead)) => return Ok(Ended::Cut(false)),
            Err(e) => return Err(self.unreachable(&e)),
        };
        let status = response.status();
        if !status.is_success() {
            let name = url.rsplit('/').next().unwrap_or(url);
            return Err(self.refusal(status, name));
        }
        if have > 0 && status != StatusCode::PARTIAL_CONTENT {
            // The server does not continue: it sends the file from its beginning.
            file.set_len(0).map_err(failed)?;
            have = 0;
        }
        let before = have;
        let mut body = response.into_body().into_reader();
        let mut block = vec![0; BLOCK_BYTES];
        while have < num_bytes {
            if control.is_stopped() {
                return Err(HubError::Stopped);
            }
            let most = block.len().min(usize::try_from(num_bytes - have).unwrap_or(usize::MAX));
            let n = match body.read(&mut block[..most]) {
                Ok(0) | Err(_) => return Ok(Ended::Cut(have > before)),
                Ok(n) => n,
            };
            file.write_all(&block[..n]).map_err(failed)?;
            have += n as u64;
            on_bytes(have);
        }
        Ok(Ended::Whole)
    }
}

/// Compares a part with its checksum and removes it if it is damaged, so that the next try begins afresh.
pub(super) fn check_part(
    part: &Path,
    file: &str,
    expected: &str,
    control: &Control,
    progress: &mut dyn crate::base::Progress,
) -> Result<(), HubError> {
    match checksum::check(part, expected, control, progress) {
        Err(HubError::Checksum { expected, got, .. }) => {
            std::fs::remove_file(part).map_err(|e| HubError::storage(part, &e))?;
            Err(HubError::Checksum { file: file.into(), expected, got })
        }
        other => other,
    }
}
