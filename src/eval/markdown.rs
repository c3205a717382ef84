//! Tables as Markdown, with columns as wide as their widest cell, so that they can be read as they stand, too.

/// Rows under a heading; the first column to the left, the others to the right.
pub fn table(heading: &[&str], rows: &[Vec<String>]) -> String {
    let heading: Vec<String> = heading.iter().map(|name| plain(name)).collect();
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|cell| plain(cell)).collect()).collect();
    let width = |column: usize| {
        let cells = rows.iter().chain([&heading]).filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0).max(3)
    };
    let widths: Vec<usize> = (0..heading.len()).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, &wide))| {
            if column == 0 { format!("{cell:<wide$}") } else { format!("{cell:>wide$}") }
        });
        format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "))
    };
    let rule = widths.iter().enumerate().map(|(column, &wide)| match column {
        0 => "-".repeat(wide),
        _ => format!("{}:", "-".repeat(wide - 1)),
    });
    let rule = format!("| {} |\n", rule.collect::<Vec<_>>().join(" | "));
    [line(&heading), rule].into_iter().chain(rows.iter().map(line)).collect()
}

/// Figures with their names, and how many rows could not be measured, where there are such.
pub fn figures(mut figures: Vec<(&str, String)>, num_not_finite: usize) -> String {
    if num_not_finite > 0 {
        figures.push(("Rows without finite numbers", num_not_finite.to_string()));
    }
    let rows: Vec<Vec<String>> = figures.into_iter().map(|(name, value)| vec![name.into(), value]).collect();
    table(&["Figure", "Value"], &rows)
}

/// A number with three digits behind the point, or that there is none.
pub fn number(x: Option<f64>) -> String {
    x.map_or_else(|| "not measured".into(), |x| format!("{x:.3}"))
}

/// On one line, and without what would end a cell.
fn plain(cell: &str) -> String {
    cell.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_cells_stay_cells() {
        let rows = [vec!["a|b\nc".to_string(), "1".to_string()], vec!["é".to_string(), number(Some(0.5))]];
        let wanted = "| label  |  rows |\n| ------ | ----: |\n| a\\|b c |     1 |\n| é      | 0.500 |\n";
        assert_eq!(table(&["label", "rows"], &rows), wanted);
        assert_eq!(number(None), "not measured");
    }
}
