//! How events are written to a file, and where such a file ends.

use std::io::{self, BufRead, Read, Write};

use clap::ValueEnum;
use events_sea_orm::event;
use serde::Deserialize;

use crate::{row::Row, words};

/// The form of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// One JSON object a line
    Jsonl,
    /// Comma-separated values; `event_data` and `context` are JSON, what is absent is empty. A value that begins with one of
    /// `= + - @ '`, a tab or an end of line has a `'` in front, so that no spreadsheet takes it for a formula: take one away
    Csv,
}

/// Where the last event ends that is written whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) bytes: u64,
    pub(crate) seq: i64,
}

const COLUMNS: [&str; 12] = [
    "seq",
    "id",
    "team_id",
    "event_type",
    "object_type",
    "object_id",
    "actor_id",
    "unit_id",
    "event_data",
    "context",
    "occurred_at",
    "recorded_at",
];

impl Format {
    /// What comes before the first event.
    pub(crate) fn begin(self, to: &mut impl Write) -> io::Result<()> {
        match self {
            Self::Jsonl => Ok(()),
            Self::Csv => writeln!(to, "{}", COLUMNS.join(",")),
        }
    }

    pub(crate) fn write(self, events: &[event::Model], to: &mut impl Write) -> io::Result<()> {
        match self {
            Self::Jsonl => {
                for event in events {
                    writeln!(to, "{}", words::plain_json(&serde_json::to_string(&Row::from(event))?))?;
                }
            }
            Self::Csv => {
                let mut csv = csv::Writer::from_writer(&mut *to);
                for event in events {
                    csv.write_record(values(&Row::from(event)).map(inert)).map_err(in_io)?;
                }
                csv.flush()?;
            }
        }
        to.flush()
    }

    /// Where the last whole event of such a file ends, if there is one. Reads all of it, a line at a time.
    pub(crate) fn end(self, from: impl BufRead) -> io::Result<Option<End>> {
        match self {
            Self::Jsonl => end_of_jsonl(from),
            Self::Csv => end_of_csv(from),
        }
    }
}

fn values(row: &Row<'_>) -> [String; 12] {
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    [
        row.seq.to_string(),
        row.id.to_string(),
        row.team_id.to_owned(),
        row.event_type.to_owned(),
        text(row.object_type),
        text(row.object_id),
        text(row.actor_id),
        row.unit_id.to_string(),
        row.event_data.to_string(),
        row.context.to_string(),
        row.occurred_at.clone(),
        row.recorded_at.clone(),
    ]
}

/// A value that no spreadsheet runs: users wrote it. Whoever reads the file takes one `'` from the front of a value, which is
/// why one that stands there by itself gets another.
fn inert(value: String) -> String {
    const BEGIN: [char; 12] = ['=', '+', '-', '@', '\t', '\r', '\n', '\'', '＝', '＋', '－', '＠'];
    if value.starts_with(BEGIN) { format!("'{value}") } else { value }
}

/// With its kind, which tells a reader who went away.
fn in_io(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => io::Error::other(format!("{other:?}")),
    }
}

fn end_of_jsonl(mut from: impl BufRead) -> io::Result<Option<End>> {
    #[derive(Deserialize)]
    struct Numbered {
        seq: i64,
    }
    let (mut bytes, mut last, mut line) = (0, Vec::new(), Vec::new());
    while from.read_until(b'\n', &mut line)? > 0 && line.ends_with(b"\n") {
        bytes += line.len() as u64;
        std::mem::swap(&mut last, &mut line);
        line.clear();
    }
    if last.is_empty() {
        return Ok(None);
    }
    Ok(Some(End { bytes, seq: serde_json::from_slice::<Numbered>(&last)?.seq }))
}

fn end_of_csv(from: impl BufRead) -> io::Result<Option<End>> {
    let mut csv = csv::ReaderBuilder::new().flexible(true).from_reader(EndOfLine { from, is_reached: true });
    let (mut record, mut before, mut last) = (csv::StringRecord::new(), None, None);
    while csv.read_record(&mut record).map_err(in_io)? {
        let seq = record.get(0).and_then(|seq| seq.parse().ok());
        let (true, Some(seq)) = (record.len() == COLUMNS.len(), seq) else { return Ok(last) };
        before = last.replace(End { bytes: csv.position().byte(), seq });
    }
    // The last record ends with the file, whole or not.
    Ok(if csv.get_ref().is_reached { last } else { before })
}

/// Knows whether what was read so far ends a line.
struct EndOfLine<R> {
    from: R,
    is_reached: bool,
}

impl<R: Read> Read for EndOfLine<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.from.read(buffer)?;
        if bytes > 0 {
            self.is_reached = buffer[..bytes].ends_with(b"\n");
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: &str = "7,i,t,x,o,\"a\nb\",,u,\"{\"\"a\"\":1}\",{},2026-01-01T00:00:00.000000Z,2026-01-01T00:00:00.000000Z\n";

    #[test]
    fn no_value_is_a_formula() {
        for value in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "'=1", "＝1"] {
            assert_eq!(inert(value.to_owned()), format!("'{value}"));
        }
        for value in ["", "a=1", "7", "{\"a\":\"=1\"}", " =1"] {
            assert_eq!(inert(value.to_owned()), value);
        }
    }

    #[test]
    fn a_file_ends_with_its_last_whole_event() {
        let end = |format: Format, text: &str| format.end(text.as_bytes()).ok().flatten();
        let json = "{\"seq\":1}\n{\"seq\":2}\n";
        assert_eq!(end(Format::Jsonl, ""), None);
        assert_eq!(end(Format::Jsonl, "{\"se"), None);
        assert_eq!(end(Format::Jsonl, json), Some(End { bytes: 20, seq: 2 }));
        assert_eq!(end(Format::Jsonl, &format!("{json}{{\"seq\":33")), Some(End { bytes: 20, seq: 2 }));

        let head = COLUMNS.join(",") + "\n";
        let whole = format!("{head}{ROW}{ROW}");
        assert_eq!(end(Format::Csv, &head), None);
        assert_eq!(end(Format::Csv, &whole), Some(End { bytes: whole.len() as u64, seq: 7 }));
        for cut in 1..ROW.len() {
            let part = &whole[..whole.len() - cut];
            assert_eq!(
                end(Format::Csv, part).map(|end| end.bytes),
                Some((head.len() + ROW.len()) as u64),
                "{part}"
            );
        }
    }
}
