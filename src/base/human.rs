//! Numbers as people read them: thousands separators, 1 m 40 s, 93.2 MB.

/// `1234567` as `1,234,567`.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// A count of which only the size matters: `57,600`, `2.4 million`, `135 million`, `7.62 billion`.
pub fn rough(n: u64) -> String {
    match n {
        0..1_000_000 => count(n),
        1_000_000..99_950_000 => format!("{:.1} million", n as f64 / 1e6),
        99_950_000..999_500_000 => format!("{:.0} million", n as f64 / 1e6),
        _ => format!("{:.2} billion", n as f64 / 1e9),
    }
}

/// A share of 1: `1.8 %`, `0.04 %`, `35 %`.
pub fn percent(share: f64) -> String {
    match share * 100.0 {
        p if p <= 0.0 || p >= 9.95 => format!("{p:.0} %"),
        p if p >= 0.095 => format!("{p:.1} %"),
        p if p >= 0.01 => format!("{p:.2} %"),
        _ => "less than 0.01 %".into(),
    }
}

/// Bytes in units of 10^3, 10^6 and 10^9: `93.2 MB`.
pub fn bytes(n: u64) -> String {
    match n {
        0..1_000 => format!("{n} B"),
        1_000..1_000_000 => format!("{:.0} kB", n as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", n as f64 / 1e6),
        _ => format!("{:.2} GB", n as f64 / 1e9),
    }
}

/// Seconds as `0.42 s`, `12.3 s`, `1 m 40 s`, `2 h 5 m`.
pub fn secs(s: f64) -> String {
    if !s.is_finite() || s < 0.0 {
        return "unknown".into();
    }
    match s {
        s if s < 1.0 => format!("{s:.2} s"),
        s if s < 60.0 => format!("{s:.1} s"),
        s if s < 3600.0 => format!("{} m {} s", s as u64 / 60, s as u64 % 60),
        s => format!("{} h {} m", s as u64 / 3600, s as u64 % 3600 / 60),
    }
}

/// `a, b and c`.
pub fn listed(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [only] => (*only).into(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// `noun` in the plural unless `n` is 1: `1 row`, `2 rows`, with thousands separators.
pub fn plural(n: u64, noun: &str) -> String {
    format!("{} {noun}{}", count(n), if n == 1 { "" } else { "s" })
}

/// The first `most` of some names, then how many more there are: `a, b, … and 3 more`.
pub fn some_of<'a>(names: impl IntoIterator<Item = &'a str>, most: usize) -> String {
    let mut names = names.into_iter();
    let first: Vec<String> = names.by_ref().take(most).map(|name| elide(name, 40)).collect();
    let num_more = names.count() as u64;
    let first = first.join(", ");
    if num_more == 0 { first } else { format!("{first}, … and {} more", count(num_more)) }
}

/// A long name shortened in the middle to at most `max` characters.
pub fn elide(name: &str, max: usize) -> String {
    let chars: Vec<char> = name.chars().collect();
    if chars.len() <= max || max < 3 {
        return name.to_string();
    }
    let head = (max - 1).div_ceil(2);
    let tail = max - 1 - head;
    chars[..head].iter().chain(['…'].iter()).chain(&chars[chars.len() - tail..]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_204_000), "1,204,000");
        assert_eq!(bytes(93_200_000), "93.2 MB");
        let sizes = [57_600, 2_442_240, 134_515_008, 999_900_000, 7_615_616_512].map(rough);
        assert_eq!(sizes, ["57,600", "2.4 million", "135 million", "1.00 billion", "7.62 billion"]);
        let shares = [0.0, 0.00001, 0.0004, 0.018, 0.0996, 1.0].map(percent);
        assert_eq!(shares, ["0 %", "less than 0.01 %", "0.04 %", "1.8 %", "10 %", "100 %"]);
        assert_eq!(secs(100.0), "1 m 40 s");
        assert_eq!(plural(1, "row"), "1 row");
        assert_eq!(some_of(["a", "b"], 2), "a, b");
        assert_eq!(some_of(["a", "b", "c"], 1), "a, … and 2 more");
        assert_eq!(elide("a-very-long-name.csv", 9), "a-ve….csv");
    }
}
