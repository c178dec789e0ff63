//! A line of a terminal under way: columns, colours, and never wider than there is room.

use std::fmt::Write;

use super::terminal::Terminal;

/// Columns of a text. Beyond ASCII each character may take two: rather a blank too many than a line
/// too long.
pub(super) fn columns(text: &str) -> usize {
    text.chars().map(column).sum()
}

fn column(character: char) -> usize {
    match character {
        '└' | '…' | 'µ' | '·' | '░' | '▒' | '▓' | '█' => 1,
        character if character.is_ascii() => 1,
        _ => 2,
    }
}

/// The begin of a text that is too long, with a mark.
pub(super) fn cut(text: &str, width: usize) -> String {
    let mut left = width.saturating_sub(1);
    let mut begin: String = text
        .chars()
        .take_while(|character| match left.checked_sub(column(*character)) {
            Some(rest) => {
                left = rest;
                true
            }
            None => false,
        })
        .collect();
    begin.push('…');
    begin
}

/// A line under way; never wider than the terminal.
pub(super) struct Painter {
    pub(super) terminal: Terminal,
    pub(super) line: String,
    left: usize,
}

impl Painter {
    pub(super) fn new(terminal: Terminal) -> Self {
        Painter {
            terminal,
            line: String::with_capacity(256),
            left: match terminal.cut {
                true => terminal.width,
                false => usize::MAX,
            },
        }
    }

    pub(super) fn plain(&mut self, text: &str) {
        for character in text.chars() {
            let width = column(character);
            if width > self.left {
                self.left = 0;
                return;
            }
            self.left -= width;
            self.line.push(character);
        }
    }

    pub(super) fn paint(&mut self, text: &str, colour: &str) {
        if !self.terminal.colour || colour.is_empty() || text.is_empty() || self.left == 0 {
            return self.plain(text);
        }
        // Writing to a string can't fail.
        let _ = write!(self.line, "\x1b[{colour}m");
        self.plain(text);
        self.line.push_str("\x1b[0m");
    }

    /// A text at the left of a column.
    pub(super) fn cell(&mut self, text: &str, width: usize, colour: &str) {
        self.paint(text, colour);
        self.plain(&" ".repeat(width.saturating_sub(columns(text))));
    }

    pub(super) fn end(mut self) -> String {
        let end = self.line.trim_end_matches(' ').len();
        self.line.truncate(end);
        self.line.push('\n');
        self.line
    }
}
