//! Bytes of any encoding -> a stream of UTF-8, which counts, can be stopped, and refuses a row without end.

use super::{EncodingFound, How, Job};
use crate::base::{Control, Progress, Unit};
use crate::data::DataError;
use encoding_rs::{CoderResult, Decoder, Encoding, UTF_8, UTF_16BE, UTF_16LE};
use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read};
use std::rc::Rc;

/// Longest row: beyond it, a quote was probably never closed.
pub(super) const MAX_ROW_BYTES: u64 = 64 << 20;
const BLOCK: usize = 1 << 16;

/// Which encoding a text file has, and how that is known.
pub(super) fn encoding(job: &Job) -> Result<(&'static Encoding, How), DataError> {
    if let Some(label) = &job.options.encoding {
        let found = Encoding::for_label(label.trim().as_bytes());
        let encoding =
            found.ok_or_else(|| job.malformed(format!("no text encoding is called \"{label}\"")))?;
        return Ok((encoding, How::Said));
    }
    if let Some((encoding, _)) = Encoding::for_bom(job.head) {
        return Ok((encoding, How::ByteOrderMark));
    }
    let is_whole = job.head.len() as u64 == job.num_bytes;
    if let Some(encoding) = wide(job.head) {
        return Ok((encoding, How::Guessed));
    }
    if let Some(at) = job.head.iter().position(|byte| *byte == 0) {
        return Err(job.malformed(format!("this is no text: byte {at} is a NUL byte")));
    }
    if is_mostly_utf8(job.head) {
        return Ok((UTF_8, How::Guessed));
    }
    let mut detector = chardetng::EncodingDetector::new(chardetng::Iso2022JpDetection::Deny);
    detector.feed(job.head, is_whole);
    Ok((detector.guess(None, chardetng::Utf8Detection::Deny), How::Guessed))
}

/// UTF-16 without a byte order mark: about every second byte of a Latin text is NUL.
fn wide(head: &[u8]) -> Option<&'static Encoding> {
    let sample = &head[..head.len().min(4096) & !1];
    let zeros = |parity: usize| sample.iter().skip(parity).step_by(2).filter(|b| **b == 0).count();
    let (even, odd) = (zeros(0), zeros(1));
    let half = sample.len() / 2;
    match (even, odd) {
        _ if half < 4 => None,
        (even, odd) if odd * 10 > half * 4 && even * 20 < half => Some(UTF_16LE),
        (even, odd) if even * 10 > half * 4 && odd * 20 < half => Some(UTF_16BE),
        _ => None,
    }
}

/// Valid UTF-8, or UTF-8 with a few damaged lines: those become lines of the ledger.
fn is_mostly_utf8(head: &[u8]) -> bool {
    let error = match std::str::from_utf8(head) {
        Ok(_) => return true,
        Err(error) => error,
    };
    if error.error_len().is_none() {
        return true; // a character cut off at the end of the sample
    }
    let lines: Vec<&[u8]> = head.split(|b| *b == b'\n').collect();
    let wide = lines.iter().filter(|l| !l.is_ascii() && std::str::from_utf8(l).is_ok()).count();
    let broken = lines.iter().filter(|l| std::str::from_utf8(l).is_err()).count();
    wide > 2 * broken
}

/// How much of the row in progress was read; whoever finishes a row sets it to zero.
pub(super) type RowBytes = Rc<Cell<u64>>;

/// A file as UTF-8.
pub(super) struct Utf8Reader<'a> {
    file: File,
    /// `None` where the bytes are passed on as they are.
    decoder: Option<Decoder>,
    block: Vec<u8>,
    start: usize,
    end: usize,
    is_at_end: bool,
    num_read: u64,
    num_bytes: u64,
    row_bytes: RowBytes,
    control: &'a Control,
    progress: &'a mut dyn Progress,
}

impl<'a> Utf8Reader<'a> {
    /// Opens the job's file; UTF-8 is passed through unchecked, its readers check row by row.
    pub(super) fn open(
        job: &Job<'a>,
        progress: &'a mut dyn Progress,
    ) -> Result<(Self, EncodingFound, RowBytes), DataError> {
        let (encoding, how) = encoding(job)?;
        let unreadable = |e: io::Error| DataError::Unreadable { path: job.path.into(), why: e.to_string() };
        let mut file = File::open(job.path).map_err(unreadable)?;
        let is_utf8 = encoding == UTF_8;
        if is_utf8 && job.head.starts_with(b"\xEF\xBB\xBF") {
            io::Seek::seek(&mut file, io::SeekFrom::Start(3)).map_err(unreadable)?;
        }
        let row_bytes = RowBytes::default();
        let reader = Self {
            file,
            decoder: (!is_utf8).then(|| encoding.new_decoder()),
            block: vec![0; BLOCK],
            start: 0,
            end: 0,
            is_at_end: false,
            num_read: 0,
            num_bytes: job.num_bytes,
            row_bytes: row_bytes.clone(),
            control: job.control,
            progress,
        };
        Ok((reader, EncodingFound { name: encoding.name().to_lowercase(), how }, row_bytes))
    }

    /// Looks at the control and reads a block of at most `buf`.
    fn read_raw(&mut self, into_block: bool, buf: &mut [u8]) -> io::Result<usize> {
        if self.control.is_stopped() {
            return Err(io::Error::other("stopped"));
        }
        if self.row_bytes.get() > MAX_ROW_BYTES {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                "a row is longer than 64 MB: is a quote never closed?",
            ));
        }
        let n = if into_block { self.file.read(&mut self.block)? } else { self.file.read(buf)? };
        self.num_read += n as u64;
        self.row_bytes.set(self.row_bytes.get() + n as u64);
        self.progress.report("Reading", self.num_read, Some(self.num_bytes), Unit::Bytes);
        Ok(n)
    }
}

impl Read for Utf8Reader<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.decoder.is_none() {
            let len = buf.len().min(BLOCK);
            return self.read_raw(false, &mut buf[..len]);
        }
        loop {
            if self.start == self.end && !self.is_at_end {
                self.end = self.read_raw(true, &mut [])?;
                self.start = 0;
                self.is_at_end = self.end == 0;
            }
            let Some(decoder) = &mut self.decoder else { return Ok(0) };
            let source = &self.block[self.start..self.end];
            let (result, read, written, _) = decoder.decode_to_utf8(source, buf, self.is_at_end);
            self.start += read;
            if written > 0 || (self.is_at_end && result == CoderResult::InputEmpty) {
                return Ok(written);
            }
            if result == CoderResult::OutputFull {
                return Err(io::Error::new(io::ErrorKind::InvalidInput, "the buffer is too small"));
            }
        }
    }
}
