//! Tables of text for a terminal.

use unicode_normalization::UnicodeNormalization;

/// Widest cell, in characters; longer ones end in an ellipsis. The last column has room to the right.
const MAX_CELL: usize = 48;
const MAX_LAST_CELL: usize = 200;

/// Rows under a heading, columns as wide as their widest cell. Numbers (cells that begin with a digit) to the right.
pub fn table(heading: &[impl AsRef<str>], rows: &[Vec<String>]) -> String {
    let heading: Vec<String> = heading.iter().map(|head| head.as_ref().to_string()).collect();
    let rows: Vec<Vec<String>> = rows.iter().map(|row| fitted(row)).collect();
    let widths: Vec<usize> = (0..heading.len())
        .map(|c| rows.iter().chain([&heading]).filter_map(|r| r.get(c)).map(|s| width(s)).max().unwrap_or(0))
        .collect();
    let is_number: Vec<bool> = (0..heading.len())
        .map(|c| !rows.is_empty() && rows.iter().all(|r| r.get(c).is_some_and(|s| looks_like_number(s))))
        .collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).zip(&is_number).map(|((cell, &wide), &right)| {
            let space = " ".repeat(wide.saturating_sub(width(cell)));
            if right { format!("{space}{cell}") } else { format!("{cell}{space}") }
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_string()
    };
    let rule = widths.iter().map(|w| "-".repeat(*w)).collect::<Vec<_>>().join("  ");
    [line(&heading), rule].into_iter().chain(rows.iter().map(line)).collect::<Vec<_>>().join("\n")
}

fn fitted(row: &[String]) -> Vec<String> {
    let most = |column: usize| if column + 1 == row.len() { MAX_LAST_CELL } else { MAX_CELL };
    row.iter().enumerate().map(|(column, cell)| cut(cell, most(column))).collect()
}

fn looks_like_number(cell: &str) -> bool {
    cell.is_empty() || cell.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '+')
}

/// A cell without line breaks and control characters, cut to size.
pub fn one_line(text: &str) -> String {
    cut(text, MAX_CELL)
}

fn cut(text: &str, max: usize) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.chars().count() <= max {
        return text;
    }
    text.chars().take(max - 1).chain(['…']).collect()
}

/// Columns a terminal needs: wide scripts count twice.
fn width(text: &str) -> usize {
    let is_wide = |c: char| matches!(c as u32, 0x1100..=0x115F | 0x2E80..=0xA4CF | 0xAC00..=0xD7A3 | 0xF900..=0xFAFF | 0xFF00..=0xFF60 | 0x1F300..=0x1FAFF | 0x20000..=0x3FFFD);
    text.nfc().map(|c| if is_wide(c) { 2 } else { 1 }).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows =
            [vec!["苹果".to_string(), "12".to_string()], vec!["pear\nred".to_string(), "3".to_string()]];
        let text = table(&["fruit", "rows"], &rows);
        assert_eq!(text, "fruit     rows\n--------  ----\n苹果        12\npear red     3");
    }

    #[test]
    fn long_cells_are_cut() {
        assert_eq!(one_line(&"x".repeat(100)).chars().count(), MAX_CELL);
    }
}
