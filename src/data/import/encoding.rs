//! Which encoding a text file is in: byte order mark, UTF-8 by proof over the whole file, UTF-16 by the
//! places of its zero bytes, else the best guess of a detector. The user's word wins over all.

use super::job::Job;
use super::{EncodingFound, How};
use crate::data::DataError;
use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE};
use std::io::{Read, Seek, SeekFrom};

const BLOCK_BYTES: usize = 128 << 10;
/// How much is shown to the detector, from a little before the first byte that is not UTF-8.
const DETECTOR_BYTES: u64 = 1 << 20;
const DETECTOR_LEAD_BYTES: u64 = 16 << 10;
const PHASE: &str = "Checking the text encoding";

/// The encoding that a file is read with.
pub(super) struct Chosen {
    pub encoding: &'static Encoding,
    pub found: EncodingFound,
    pub bom_bytes: u64,
    /// Where the first zero byte lies, in a file that is not UTF-16.
    pub first_nul: Option<u64>,
    /// Most of the file is UTF-8, parts are not.
    pub is_mixed: bool,
}

impl Chosen {
    fn new(encoding: &'static Encoding, how: How, bom_bytes: u64) -> Self {
        let found = EncodingFound { name: encoding.name().to_string(), how };
        Self { encoding, found, bom_bytes, first_nul: None, is_mixed: false }
    }
}

pub(super) fn find(job: &mut Job, sample: &[u8]) -> Result<Chosen, DataError> {
    let bom = Encoding::for_bom(sample);
    if let Some(label) = &job.options.encoding {
        let said = Encoding::for_label(label.trim().as_bytes()).ok_or_else(|| {
            let why = format!("the encoding `{label}` is not known; try utf-8, utf-16le or windows-1252");
            DataError::Option { why }
        })?;
        let bom_bytes = bom.filter(|(found, _)| *found == said).map_or(0, |(_, length)| length as u64);
        return Ok(Chosen::new(said, How::Said, bom_bytes));
    }
    match bom {
        Some((encoding, length)) if encoding == UTF_8 => {
            let scan = Scan::run(job)?;
            refuse_binary(job, &scan)?;
            let mut chosen = Chosen::new(UTF_8, How::ByteOrderMark, length as u64);
            chosen.first_nul = scan.first_nul;
            chosen.is_mixed = scan.num_bad > 0;
            return Ok(chosen);
        }
        Some((encoding, length)) => return Ok(Chosen::new(encoding, How::ByteOrderMark, length as u64)),
        None => {}
    }
    if let Some(encoding) = utf16_without_bom(sample) {
        return Ok(Chosen::new(encoding, How::Guessed, 0));
    }
    let scan = Scan::run(job)?;
    refuse_binary(job, &scan)?;
    // Text in a code page has hardly a byte above 127 that is UTF-8 by accident.
    let is_utf8 = scan.num_bad == 0 || scan.num_good_bytes > 4 * scan.num_bad;
    let mut chosen = if is_utf8 {
        Chosen::new(UTF_8, How::Guessed, 0)
    } else {
        Chosen::new(detect(job, scan.first_bad)?, How::Guessed, 0)
    };
    chosen.first_nul = scan.first_nul;
    chosen.is_mixed = is_utf8 && scan.num_bad > 0;
    Ok(chosen)
}

/// Text has line breaks and tabs, hardly anything else below 32.
fn refuse_binary(job: &Job, scan: &Scan) -> Result<(), DataError> {
    let num_odd = scan.num_control + scan.num_nul;
    if num_odd > 8 && num_odd > job.num_bytes / 100 {
        let place = scan.first_odd.unwrap_or_default();
        let why = format!("this is a binary file, not text: the first byte that is not text is at {place}");
        return Err(job.malformed(why));
    }
    Ok(())
}

/// UTF-16 shows by zero bytes that all lie on one side of each pair.
fn utf16_without_bom(sample: &[u8]) -> Option<&'static Encoding> {
    let pairs = sample.len() / 2;
    let zeros = |side: usize| sample.chunks_exact(2).filter(|pair| pair[side] == 0).count();
    let (high, low) = (zeros(0), zeros(1));
    // A stray zero byte in text of one byte a letter is just that. Up to three bytes are a cut character.
    let is_utf8 = Encoding::utf8_valid_up_to(sample) + 3 >= sample.len();
    if is_utf8 && (high + low) * 4 < pairs {
        return None;
    }
    let encoding = match (high, low) {
        (0, low) if low > 0 && low * 50 >= pairs => UTF_16LE,
        (high, 0) if high > 0 && high * 50 >= pairs => UTF_16BE,
        _ => return None,
    };
    let whole = &sample[..pairs * 2];
    let mut decoded = String::with_capacity(whole.len() * 3);
    let (result, _, had_errors) =
        encoding.new_decoder_without_bom_handling().decode_to_string(whole, &mut decoded, false);
    let is_text = !decoded.chars().any(|c| c.is_control() && !c.is_whitespace());
    (result == encoding_rs::CoderResult::InputEmpty && !had_errors && is_text).then_some(encoding)
}

fn detect(job: &mut Job, first_bad: u64) -> Result<&'static Encoding, DataError> {
    let mut detector = chardetng::EncodingDetector::new(chardetng::Iso2022JpDetection::Allow);
    let mut file = job.rewound()?;
    let start = first_bad.saturating_sub(DETECTOR_LEAD_BYTES);
    file.seek(SeekFrom::Start(start)).map_err(|e| job.unreadable(&e))?;
    let mut block = vec![0; BLOCK_BYTES];
    let mut fed = 0;
    while fed < DETECTOR_BYTES {
        let n = file.read(&mut block).map_err(|e| job.unreadable(&e))?;
        job.tick(PHASE, job.num_bytes)?;
        if n == 0 {
            detector.feed(&[], true);
            break;
        }
        detector.feed(&block[..n], false);
        fed += n as u64;
    }
    Ok(detector.guess(None, chardetng::Utf8Detection::Deny))
}

/// What the bytes of the whole file say.
#[derive(Default)]
struct Scan {
    first_bad: u64,
    /// Sequences that are not UTF-8.
    num_bad: u64,
    /// Bytes above 127 that are part of valid UTF-8 (roughly: invalid stretches count as bad, not here).
    num_good_bytes: u64,
    num_nul: u64,
    first_nul: Option<u64>,
    num_control: u64,
    first_odd: Option<u64>,
}

impl Scan {
    fn run(job: &mut Job) -> Result<Self, DataError> {
        let mut scan = Self::default();
        let mut file = job.rewound()?;
        let mut block = vec![0; BLOCK_BYTES];
        // An incomplete character at the end of a block is kept for the next one.
        let (mut kept, mut offset) = (0, 0);
        loop {
            let n = file.read(&mut block[kept..]).map_err(|e| job.unreadable(&e))?;
            let is_last = n == 0;
            let filled = kept + n;
            job.tick(PHASE, offset + filled as u64)?;
            let used = scan.block(&block[..filled], offset, is_last);
            block.copy_within(used..filled, 0);
            kept = filled - used;
            offset += used as u64;
            if is_last {
                return Ok(scan);
            }
        }
    }

    /// Returns how many bytes were looked at.
    fn block(&mut self, bytes: &[u8], offset: u64, is_last: bool) -> usize {
        self.controls(bytes, offset);
        // Many wrong bytes already: not UTF-8, no need to count on.
        let is_decided = self.num_bad > 1 << 16 && self.num_bad > self.num_good_bytes;
        if is_decided || Encoding::ascii_valid_up_to(bytes) == bytes.len() {
            return bytes.len();
        }
        let mut at = 0;
        loop {
            let valid = Encoding::utf8_valid_up_to(&bytes[at..]);
            self.num_good_bytes += bytes[at..at + valid].iter().filter(|b| **b >= 0x80).count() as u64;
            at += valid;
            if at == bytes.len() || (!is_last && bytes.len() - at < 4) {
                return at;
            }
            if self.num_bad == 0 {
                self.first_bad = offset + at as u64;
            }
            self.num_bad += 1;
            at += 1;
        }
    }

    /// Counts zero and control bytes in the beginning of the block; zero bytes everywhere.
    fn controls(&mut self, bytes: &[u8], offset: u64) {
        if let Some(first) = memchr::memchr(0, bytes) {
            let num = bytes.iter().filter(|b| **b == 0).count() as u64;
            self.num_nul += num;
            self.first_nul.get_or_insert(offset + first as u64);
            self.first_odd.get_or_insert(offset + first as u64);
        }
        if offset < BLOCK_BYTES as u64 {
            for (i, b) in bytes.iter().enumerate() {
                if matches!(b, 1..=8 | 14..=26 | 28..=31 | 127) {
                    self.num_control += 1;
                    self.first_odd.get_or_insert(offset + i as u64);
                }
            }
        }
    }
}
