//! What goes to the terminal, or to whoever reads our output.

use std::{
    env,
    io::{self, IsTerminal, Write},
};

use chrono::{DateTime, Utc};
use comfy_table::{ContentArrangement, Table, presets::UTF8_BORDERS_ONLY};
use events_sea_orm::event;
use serde::Serialize;

use crate::{row::Row, words};

/// Text of one line or several, part of which may be what a database or a user said.
pub(crate) fn line(text: &str) -> io::Result<()> {
    write(&words::plain_lines(text))
}

/// A line as it is, which nobody else had a part in.
fn write(text: &str) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{text}")
}

/// A line for whoever runs the tool, beside its output. If nobody reads that either, there is nobody to tell. Part of it may be
/// what a database or a user said.
pub(crate) fn note(text: &str) {
    let _ = writeln!(io::stderr().lock(), "events: {}", words::plain_lines(text));
}

/// A line of JSON.
pub(crate) fn json(value: &impl Serialize) -> io::Result<()> {
    write(&words::plain_json(&serde_json::to_string(value)?))
}

/// An empty table of these columns, as wide as the terminal at most.
pub(crate) fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_BORDERS_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(header);
    table
}

/// When it happened, for people.
pub(crate) fn time(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S").to_string()
}

/// Whether to write in colours: to a terminal, unless NO_COLOR or its kind says otherwise.
fn has_colors() -> bool {
    let is_set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
    io::stdout().is_terminal() && !is_set("NO_COLOR") && env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Events, one a line, in columns that grow with what comes.
pub(crate) struct Lines {
    json: bool,
    /// Whether it is shown whose an event is.
    with_team: bool,
    widths: Vec<usize>,
    /// Of the terminal, if it is one: what is longer is cut.
    terminal: Option<usize>,
    colors: bool,
}

/// A column is not made wider than this for one long name.
const WIDEST: usize = 40;

impl Lines {
    pub(crate) fn new(json: bool, with_team: bool) -> Self {
        let terminal = Table::new().width().map(usize::from);
        Self { json, with_team, widths: Vec::new(), terminal, colors: has_colors() }
    }

    pub(crate) fn print(&mut self, events: &[event::Model]) -> io::Result<()> {
        if self.json {
            return events.iter().try_for_each(|event| json(&Row::from(event)));
        }
        let rows: Vec<Vec<String>> = events.iter().map(|event| self.columns(event)).collect();
        for row in &rows {
            self.widths.resize(row.len(), 0);
            for (width, text) in self.widths.iter_mut().zip(row) {
                *width = (*width).max(length(text).min(WIDEST));
            }
        }
        for (row, event) in rows.iter().zip(events) {
            write(&self.line_of(row, event))?; // its columns are plain, and it may have colours
        }
        Ok(())
    }

    fn columns(&self, event: &event::Model) -> Vec<String> {
        let mut columns = vec![event.seq.to_string(), time(event.occurred_at)];
        columns.extend(self.with_team.then(|| words::plain(&event.team_id)));
        columns.extend([
            words::plain(&event.event_type),
            words::object(event),
            words::who(event),
            words::what(event),
        ]);
        columns
    }

    fn line_of(&self, row: &[String], event: &event::Model) -> String {
        let last = row.len().saturating_sub(1);
        let mut text = String::new();
        let mut used = 0;
        for (i, (column, width)) in row.iter().zip(&self.widths).enumerate() {
            let room = self.terminal.map(|terminal| terminal.saturating_sub(used).max(1));
            let column = cut(column, room);
            let pad = if i == last { 0 } else { width.saturating_sub(length(&column)) + 2 };
            used += length(&column) + pad;
            match color_of(&event.event_type).filter(|_| self.colors && *column == event.event_type) {
                Some(color) => text.push_str(&format!("\u{1b}[{color}m{column}\u{1b}[0m")),
                None => text.push_str(&column),
            }
            text.extend(std::iter::repeat_n(' ', pad));
            if self.terminal.is_some_and(|terminal| used >= terminal) {
                break;
            }
        }
        text.truncate(text.trim_end().len());
        text
    }
}

fn color_of(event_type: &str) -> Option<u8> {
    Some(match event_type {
        "CREATED" | "RESTORED" => 32,
        "UPDATED" => 36,
        "STATE_CHANGED" => 33,
        "DELETED" => 31,
        _ => 35,
    })
}

fn length(text: &str) -> usize {
    unicode_width::UnicodeWidthStr::width(text)
}

/// As much of it as there is room for.
fn cut(text: &str, room: Option<usize>) -> String {
    match room {
        Some(room) if length(text) > room => {
            let mut cut = String::new();
            let mut used = 1; // of the dots
            for c in text.chars() {
                used += unicode_width::UnicodeWidthChar::width(c).unwrap_or(0);
                if used > room {
                    break;
                }
                cut.push(c);
            }
            cut.push('…');
            cut
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_wide_is_cut() {
        assert_eq!(cut("budget", None), "budget");
        assert_eq!(cut("budget", Some(6)), "budget");
        assert_eq!(cut("budget", Some(4)), "bud…");
        assert_eq!(cut("日本語", Some(4)), "日…");
        assert_eq!(cut("budget", Some(1)), "…");
    }
}
