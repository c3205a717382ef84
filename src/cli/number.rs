//! Numbers on the command line: what they may be, said in words.

/// More than anybody means; a slip of the finger shall not fill the memory.
const MOST: u64 = 1 << 24;

pub fn count(text: &str) -> Result<usize, String> {
    size(text, 0)
}

pub fn at_least_one(text: &str) -> Result<usize, String> {
    size(text, 1)
}

pub fn at_least_two(text: &str) -> Result<usize, String> {
    size(text, 2)
}

/// How often something is done.
pub fn times(text: &str) -> Result<u64, String> {
    whole(text, 1)
}

pub fn seed(text: &str) -> Result<u64, String> {
    whole(text, 0)
}

/// A number with or without a decimal point, of either sign.
pub fn decimal(text: &str) -> Result<f32, String> {
    text.parse().map_err(|_| "it must be a number, such as 0.7".to_string())
}

/// As [`decimal`], for numbers that are computed with.
pub fn wide(text: &str) -> Result<f64, String> {
    let number = text.trim().parse().ok().filter(|number: &f64| number.is_finite());
    number.ok_or_else(|| "it must be a number, such as 0.7".to_string())
}

/// More than nothing, at most everything.
pub fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| *share > 0.0 && *share <= 1.0);
    share.ok_or_else(|| "it must be a number above 0 and at most 1".to_string())
}

fn size(text: &str, min: u64) -> Result<usize, String> {
    match whole(text, min)? {
        n if n <= MOST => usize::try_from(n).map_err(|e| e.to_string()),
        _ => Err(format!("it must be a whole number from {min} to {MOST}")),
    }
}

fn whole(text: &str, min: u64) -> Result<u64, String> {
    let number = text.parse().ok().filter(|n| *n >= min);
    number.ok_or_else(|| format!("it must be a whole number, {min} or above"))
}
