//! Tables for the terminal.

/// Rows of cells, the first row the headings: the first column flush left, the others, numbers, flush right.
pub fn render(rows: &[Vec<String>]) -> String {
    let widths = widths(rows);
    rows.iter().map(|row| line(row, &widths)).collect()
}

fn widths(rows: &[Vec<String>]) -> Vec<usize> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    (0..columns).map(|column| width(column).unwrap_or(0)).collect()
}

fn line(row: &[String], widths: &[usize]) -> String {
    let cells: Vec<String> =
        row.iter().zip(widths).enumerate().map(|(column, (cell, width))| cell_text(column, cell, *width)).collect();
    format!("{}\n", cells.join("  ").trim_end())
}

fn cell_text(column: usize, cell: &str, width: usize) -> String {
    if column == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
}

/// A number in groups of three digits.
pub fn number(value: usize) -> String {
    let digits = value.to_string();
    let groups: Vec<&str> = digits.as_bytes().rchunks(3).rev().filter_map(|group| str::from_utf8(group).ok()).collect();
    groups.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_beneath_each_other() {
        let rows = [["what", "bytes"], ["code", "1,234"], ["a longer one", "5"]];
        let rows = rows.map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(render(&rows), "what          bytes\ncode          1,234\na longer one      5\n");
    }

    #[test]
    fn long_numbers_are_grouped() {
        assert_eq!([5, 999, 1000, 1_234_567].map(number), ["5", "999", "1,000", "1,234,567"]);
    }
}
