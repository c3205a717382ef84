//! How much memory a run may take: a share of what is free, `0.8`, or a size, `"6 GB"`.

use serde::de::{Deserializer, Error, Unexpected, Visitor};
use serde::ser::{Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// What a limit can be, in words.
pub const FORMS: &str = "a share of the free memory such as 0.8, or a size such as \"6 GB\"";

const UNITS: [(&str, u64); 9] = [
    ("TB", 1_000_000_000_000),
    ("TiB", 1 << 40),
    ("GB", 1_000_000_000),
    ("GiB", 1 << 30),
    ("MB", 1_000_000),
    ("MiB", 1 << 20),
    ("kB", 1_000),
    ("KiB", 1 << 10),
    ("B", 1),
];

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum MemoryLimit {
    /// Of what is free at the start, above 0, at most 1.
    Share(f64),
    /// Bytes that the whole process may have.
    Size(u64),
}

impl MemoryLimit {
    /// Whether a run could be held to it.
    pub fn is_sound(self) -> bool {
        match self {
            Self::Share(share) => share > 0.0 && share <= 1.0,
            Self::Size(bytes) => bytes > 0,
        }
    }
}

/// `6 GB`, `512 MiB`; a share as in the recipe.
impl fmt::Display for MemoryLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = match self {
            Self::Share(share) => return write!(f, "{share}"),
            Self::Size(bytes) => *bytes,
        };
        // The largest unit that says it exactly with at most two decimals.
        for (unit, size) in UNITS {
            let number = (bytes as f64 / size as f64 * 100.0).round() / 100.0;
            if number >= 1.0 && in_bytes(number, size) == Some(bytes) {
                return write!(f, "{number} {unit}");
            }
        }
        write!(f, "{bytes} B")
    }
}

/// `number` units of `size` bytes, whole bytes.
fn in_bytes(number: f64, size: u64) -> Option<u64> {
    let bytes = (number * size as f64).round();
    // f64 knows each whole number up to here, and no machine has so much.
    (bytes >= 0.0 && bytes < (1u64 << 53) as f64).then_some(bytes as u64)
}

/// Reads `6 GB`, `6gib`, `0.8` and `80 %`.
impl FromStr for MemoryLimit {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let text = text.trim();
        let digits = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
        let number: f64 = text[..digits].parse().map_err(|_| ())?;
        match text[digits..].trim() {
            "" => Ok(Self::Share(number)),
            "%" => Ok(Self::Share(number / 100.0)),
            word => {
                let (_, size) = UNITS.iter().find(|(unit, _)| unit.eq_ignore_ascii_case(word)).ok_or(())?;
                in_bytes(number, *size).map(Self::Size).ok_or(())
            }
        }
    }
}

impl Serialize for MemoryLimit {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Share(share) => out.serialize_f64(*share),
            Self::Size(_) => out.collect_str(self),
        }
    }
}

impl<'de> serde::Deserialize<'de> for MemoryLimit {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        source.deserialize_any(ShareOrSize)
    }
}

struct ShareOrSize;

impl Visitor<'_> for ShareOrSize {
    type Value = MemoryLimit;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(FORMS)
    }

    fn visit_f64<E: Error>(self, share: f64) -> Result<MemoryLimit, E> {
        Ok(MemoryLimit::Share(share))
    }

    fn visit_i64<E: Error>(self, share: i64) -> Result<MemoryLimit, E> {
        Ok(MemoryLimit::Share(share as f64))
    }

    fn visit_u64<E: Error>(self, share: u64) -> Result<MemoryLimit, E> {
        Ok(MemoryLimit::Share(share as f64))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<MemoryLimit, E> {
        text.parse().map_err(|()| E::invalid_value(Unexpected::Str(text), &self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_and_written_exactly() {
        use MemoryLimit::{Share, Size};
        let cases = [
            ("6 GB", Size(6_000_000_000), "6 GB"),
            ("6GiB", Size(6 << 30), "6 GiB"),
            ("6144 mib", Size(6 << 30), "6 GiB"),
            ("1.5 GB", Size(1_500_000_000), "1.5 GB"),
            ("500 MB", Size(500_000_000), "500 MB"),
            (" 12345678901 b ", Size(12_345_678_901), "12345678901 B"),
            ("0 GB", Size(0), "0 B"),
            ("0.8", Share(0.8), "0.8"),
            ("80 %", Share(0.8), "0.8"),
        ];
        for (text, limit, written) in cases {
            assert_eq!(text.parse(), Ok(limit), "{text}");
            assert_eq!(limit.to_string(), written);
            assert_eq!(written.parse(), Ok(limit));
        }
        for text in
            ["", " ", "-1 GB", "1e999", "1e999 GB", "6 XB", "GB", "nan", "inf GB", "1.2.3 GB", "6 GB GB"]
        {
            assert_eq!(text.parse::<MemoryLimit>(), Err(()), "{text}");
        }
        assert_eq!("9999999999999999999999 TB".parse::<MemoryLimit>(), Err(()));
    }
}
