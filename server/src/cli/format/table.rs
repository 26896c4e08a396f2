//! A table for people: aligned columns, then the number of rows. It alone holds its result.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};

use super::Sink;
use super::value::{Column, is_number, push};
use crate::cli::error::{Failure, Result};
use crate::cli::output::Output;

/// Cells that a table holds at most: it is for reading, and each cell costs some 200 bytes.
const CELLS_MAX: usize = 2_000_000;
/// Text that a table holds at most, in bytes.
const TEXT_BYTES_MAX: usize = 256 << 20;

/// Collects a table and prints it at the end.
pub struct TableSink {
    table: Table,
    output: Output,
    numbers: Vec<bool>,
    rows: usize,
    text_bytes: usize,
}

impl TableSink {
    /// An empty table. It is fitted to the terminal where it goes to one.
    pub fn new(schema: &SchemaRef, output: Output) -> TableSink {
        let mut table = Table::new();
        table.load_preset(presets::UTF8_FULL_CONDENSED);
        match output {
            Output::Stdout(_) if table.is_tty() => table.set_content_arrangement(ContentArrangement::Dynamic),
            _ => table.set_content_arrangement(ContentArrangement::Disabled),
        };
        table.set_header(schema.fields().iter().map(|field| Cell::new(printable(field.name().as_bytes()))));
        let numbers = schema.fields().iter().map(|field| is_number(field.data_type())).collect();
        TableSink { table, output, numbers, rows: 0, text_bytes: 0 }
    }

    fn check_size(&self, more_rows: usize) -> Result<()> {
        let rows_max = CELLS_MAX / self.numbers.len().max(1);
        let why = if self.rows + more_rows > rows_max {
            format!("it has more than {rows_max} rows")
        } else if self.text_bytes > TEXT_BYTES_MAX {
            format!("it has more than {} MiB", TEXT_BYTES_MAX >> 20)
        } else {
            return Ok(());
        };
        Err(Failure::new("printing the result as a table", why, "add a LIMIT or use --format csv"))
    }
}

impl Sink for TableSink {
    fn batch(&mut self, batch: &RecordBatch) -> Result<()> {
        self.check_size(batch.num_rows())?;
        let columns = batch.columns().iter().map(Column::new).collect::<Result<Vec<_>>>()?;
        let mut text = Vec::new();
        for row in 0..batch.num_rows() {
            let mut cells = Vec::with_capacity(columns.len());
            for (column, number) in columns.iter().zip(&self.numbers) {
                text.clear();
                column.text(row, &mut text)?;
                self.text_bytes += text.len();
                let alignment = if *number { CellAlignment::Right } else { CellAlignment::Left };
                cells.push(Cell::new(printable_lines(&text)).set_alignment(alignment));
            }
            self.table.add_row(cells);
        }
        self.rows += batch.num_rows();
        self.check_size(0)
    }

    fn finish(mut self: Box<Self>) -> Result<()> {
        let mut line = Vec::new();
        if !self.numbers.is_empty() {
            for text in self.table.lines() {
                line.clear();
                push(&mut line, format_args!("{text}\n"));
                self.output.write(&line)?;
            }
        }
        let noun = if self.rows == 1 { "row" } else { "rows" };
        line.clear();
        push(&mut line, format_args!("({} {noun})\n", self.rows));
        self.output.write(&line)?;
        self.output.finish()
    }
}

/// Text of several lines, such as a query plan, as a terminal may show it.
fn printable_lines(text: &[u8]) -> String {
    if !text.contains(&b'\n') {
        return printable(text);
    }
    let lines: Vec<String> = text.split(|byte| *byte == b'\n').map(printable).collect();
    lines.join("\n")
}

/// Text as a terminal may show it: control characters, which could move its cursor or colour it,
/// are escaped.
pub fn printable(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    if !text.chars().any(char::is_control) {
        return text.into_owned();
    }
    let mut out = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        if character.is_control() { out.extend(character.escape_default()) } else { out.push(character) }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, StringArray};

    use super::*;

    fn written(batches: &[RecordBatch]) -> Result<String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.txt");
        let mut sink = Box::new(TableSink::new(&batches[0].schema(), Output::open(Some(&path)).unwrap()));
        for batch in batches {
            sink.batch(batch)?;
        }
        sink.finish()?;
        Ok(std::fs::read_to_string(path).unwrap())
    }

    fn batch(tags: Vec<&str>, values: Vec<Option<i64>>) -> RecordBatch {
        let columns: Vec<(&str, ArrayRef)> =
            vec![("tag", Arc::new(StringArray::from(tags))), ("value", Arc::new(Int64Array::from(values)))];
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true))).unwrap()
    }

    #[test]
    fn numbers_stand_right_and_the_rows_are_counted() {
        let text = written(&[batch(vec!["a", "pump\n1"], vec![Some(1), None]), batch(vec!["c"], vec![Some(1234567)])]);
        let expected = "\
┌──────┬─────────┐
│ tag  ┆ value   │
╞══════╪═════════╡
│ a    ┆       1 │
│ pump ┆         │
│ 1    ┆         │
│ c    ┆ 1234567 │
└──────┴─────────┘
(3 rows)
";
        assert_eq!(text.unwrap(), expected);
        assert!(written(&[batch(vec!["a"], vec![None])]).unwrap().ends_with("\n(1 row)\n"));
        assert!(written(&[batch(vec![], vec![])]).unwrap().ends_with("\n(0 rows)\n"));
    }

    #[test]
    fn what_moves_the_cursor_is_escaped() {
        assert_eq!(printable(b"\x1b[31mred\x07"), "\\u{1b}[31mred\\u{7}");
        assert_eq!(printable("größer".as_bytes()), "größer");
    }

    #[test]
    fn a_result_too_large_for_a_table_is_refused() {
        let rows = CELLS_MAX / 2 + 1;
        let large = batch(vec!["a"; rows], vec![None; rows]);
        let Err(Failure::Failed(text)) = written(&[large]) else { panic!("it must be refused") };
        assert_eq!(
            text,
            "printing the result as a table failed: it has more than 1000000 rows; add a LIMIT or use --format csv"
        );
    }
}
