//! A report as CSV: RFC 4180, UTF-8, one header row.

use csv::{Terminator, WriterBuilder};

/// A report's rows under their header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) header: &'static [&'static str],
    pub(super) rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn to_csv(&self) -> Result<Vec<u8>, csv::Error> {
        let mut writer = WriterBuilder::new().terminator(Terminator::CRLF).from_writer(Vec::new());
        writer.write_record(self.header)?;
        for row in &self.rows {
            writer.write_record(row.iter().map(|cell| harmless(cell)))?;
        }
        writer.into_inner().map_err(|error| error.into_error().into())
    }
}

/// A spreadsheet takes a cell that begins so for a formula, and a title may be written by anybody.
fn harmless(cell: &str) -> String {
    if cell.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{cell}") } else { cell.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_disarms() {
        let row = |cells: [&str; 2]| cells.map(str::to_owned).to_vec();
        let table = Table {
            header: &["Title", "Owner"],
            rows: vec![
                row(["a \"b\", c", "é\nx"]),
                row(["=1+1", "@SUM(A1)"]),
                row(["-2", "\t+"]),
                row(["a=1", ""]),
            ],
        };
        assert_eq!(
            String::from_utf8(table.to_csv().unwrap()).unwrap(),
            "Title,Owner\r\n\"a \"\"b\"\", c\",\"é\nx\"\r\n'=1+1,'@SUM(A1)\r\n'-2,'\t+\r\na=1,\r\n"
        );
    }
}
