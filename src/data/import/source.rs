//! A text file as a stream of UTF-8 blocks, whatever its encoding.

use super::encoding::Chosen;
use super::job::Job;
use crate::data::DataError;
use encoding_rs::{Decoder, DecoderResult, UTF_8};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

const BLOCK_BYTES: usize = 128 << 10;
/// Stands for bytes that cannot be decoded. Never part of UTF-8, so the row it falls in is found out.
pub(super) const UNDECODABLE: u8 = 0xFF;
const PHASE: &str = "Reading rows";

/// Where a parser gets its bytes from: a file, or the sample in memory.
pub(super) trait Feed {
    /// Bytes that were not consumed yet; empty at the end only.
    fn fill(&mut self) -> Result<&[u8], DataError>;
    fn consume(&mut self, num_bytes: usize);
}

impl Feed for &[u8] {
    fn fill(&mut self) -> Result<&[u8], DataError> {
        Ok(self)
    }

    fn consume(&mut self, num_bytes: usize) {
        *self = &self[num_bytes..];
    }
}

/// The beginning of a file, decoded.
pub(super) struct Head {
    pub bytes: Vec<u8>,
    /// The whole file is in it.
    pub is_whole: bool,
    /// Lines end as on the Mac of old, with a carriage return alone; here they are line feeds already.
    pub has_cr_lines: bool,
}

impl Head {
    fn new(mut bytes: Vec<u8>, is_whole: bool) -> Self {
        let has_cr_lines = memchr::memchr(b'\n', &bytes).is_none() && memchr::memchr(b'\r', &bytes).is_some();
        if has_cr_lines {
            end_lines_by_lf(&mut bytes);
        }
        Self { bytes, is_whole, has_cr_lines }
    }
}

fn end_lines_by_lf(bytes: &mut [u8]) {
    bytes.iter_mut().filter(|b| **b == b'\r').for_each(|b| *b = b'\n');
}

pub(super) struct Source<'j, 'a> {
    job: &'j mut Job<'a>,
    file: File,
    /// `None` when the file is UTF-8 already.
    decoder: Option<Decoder>,
    raw: Vec<u8>,
    raw_start: usize,
    raw_end: usize,
    text: Vec<u8>,
    start: usize,
    end: usize,
    num_read: u64,
    is_finished: bool,
    has_cr_lines: bool,
}

impl<'j, 'a> Source<'j, 'a> {
    pub fn open(job: &'j mut Job<'a>, chosen: &Chosen) -> Result<Self, DataError> {
        let mut file = job.rewound()?;
        file.seek(SeekFrom::Start(chosen.bom_bytes)).map_err(|e| job.unreadable(&e))?;
        let is_utf8 = chosen.encoding == UTF_8;
        Ok(Self {
            job,
            file,
            decoder: (!is_utf8).then(|| chosen.encoding.new_decoder_without_bom_handling()),
            raw: vec![0; if is_utf8 { 0 } else { BLOCK_BYTES }],
            raw_start: 0,
            raw_end: 0,
            text: vec![0; BLOCK_BYTES],
            start: 0,
            end: 0,
            num_read: chosen.bom_bytes,
            is_finished: false,
            has_cr_lines: false,
        })
    }

    /// From the beginning again, now that the first bytes are known: every parser sees lines that end in `\n`.
    pub fn open_after(job: &'j mut Job<'a>, chosen: &Chosen, head: &Head) -> Result<Self, DataError> {
        Ok(Self { has_cr_lines: head.has_cr_lines, ..Self::open(job, chosen)? })
    }

    pub fn job(&self) -> &Job<'a> {
        self.job
    }

    /// The first `limit` bytes of decoded text, or a little more.
    pub fn head(mut self, limit: usize) -> Result<Head, DataError> {
        let mut bytes = Vec::with_capacity(limit);
        while bytes.len() < limit {
            let block = self.fill()?;
            if block.is_empty() {
                return Ok(Head::new(bytes, true));
            }
            bytes.extend_from_slice(block);
            let n = block.len();
            self.consume(n);
        }
        let is_whole = self.fill()?.is_empty();
        Ok(Head::new(bytes, is_whole))
    }

    fn read(&mut self) -> Result<(), DataError> {
        let into = if self.decoder.is_some() { &mut self.raw } else { &mut self.text };
        let n = loop {
            match self.file.read(into) {
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                other => break other.map_err(|e| self.job.unreadable(&e))?,
            }
        };
        self.num_read += n as u64;
        self.job.tick(PHASE, self.num_read)?;
        if self.decoder.is_some() {
            (self.raw_start, self.raw_end) = (0, n);
        } else {
            (self.start, self.end) = (0, n);
            self.is_finished = n == 0;
        }
        Ok(())
    }

    /// Decodes until there is text, or the end.
    fn decode(&mut self) -> Result<(), DataError> {
        (self.start, self.end) = (0, 0);
        while self.end == 0 && !self.is_finished {
            if self.raw_start == self.raw_end {
                self.read()?;
            }
            let is_last = self.raw_end == 0;
            let Some(decoder) = &mut self.decoder else { return Ok(()) };
            // One byte stays free for the mark of what cannot be decoded.
            let room = self.text.len() - 1;
            let raw = &self.raw[self.raw_start..self.raw_end];
            let (result, read, written) =
                decoder.decode_to_utf8_without_replacement(raw, &mut self.text[..room], is_last);
            self.raw_start += read;
            self.end = written;
            if let DecoderResult::Malformed(..) = result {
                self.text[self.end] = UNDECODABLE;
                self.end += 1;
            }
            self.is_finished = is_last && result == DecoderResult::InputEmpty;
        }
        Ok(())
    }
}

impl Feed for Source<'_, '_> {
    fn fill(&mut self) -> Result<&[u8], DataError> {
        if self.start == self.end && !self.is_finished {
            if self.decoder.is_some() {
                self.decode()?
            } else {
                self.read()?
            }
            if self.has_cr_lines {
                end_lines_by_lf(&mut self.text[self.start..self.end]);
            }
        }
        Ok(&self.text[self.start..self.end])
    }

    fn consume(&mut self, num_bytes: usize) {
        self.start = (self.start + num_bytes).min(self.end);
    }
}
