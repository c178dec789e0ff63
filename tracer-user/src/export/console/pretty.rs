//! Lines of `pretty`: columns, colours, and the bar of stages.
//!
//! ```text
//! 07:31:02.123 shop[812]    server GET /cart        200  12.4ms ·▒██████████▓ 4bf92f3577b34da6a3ce929d0e0e4736
//!              └            client GET prices/v1/7  200   8.1ms    ▓░░░░░░▒   4bf92f3577b34da6a3ce929d0e0e4736
//! ```
//!
//! A bar is a span's time from left to right; a child's is drawn to the time of the topmost span
//! above it, so that one sees when in it the child ran. Each cell shows the stage at its middle.

use std::fmt::Write;

use chrono::{DateTime, Local};

use super::line::{Line, escaped};
use super::order::Place;
use super::terminal::Terminal;
use crate::span::Kind;

/// Stages with their glyphs and colours (SGR parameters). What a process did is solid, what it
/// waited for is light.
const STAGES: [(&str, char, &str); 6] = [
    ("queue", '·', "33"),
    ("connect", '·', "33"),
    ("read", '▒', "36"),
    ("handle", '█', "32"),
    ("wait", '░', "37"),
    ("write", '▓', "35"),
];

const DIM: &str = "2";
const BOLD: &str = "1";
const RED: &str = "31";

/// Columns and their widths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Layout {
    /// Hours to seconds, perhaps with milliseconds.
    time: usize,
    process: usize,
    /// `server`, or only an arrow.
    kind: usize,
    target: usize,
    bar: usize,
    trace: usize,
}

const STATUS: usize = 3;
const DURATION: usize = 7;
/// Blanks between the eight columns.
const BETWEEN: usize = 7;

impl Layout {
    /// Whole trace ids where there is room for them.
    fn for_width(width: usize) -> Self {
        let mut layout = match width {
            118.. => Layout {
                time: 12,
                process: 14,
                kind: 6,
                target: 0,
                bar: 16,
                trace: 32,
            },
            96.. => Layout {
                time: 12,
                process: 14,
                kind: 6,
                target: 0,
                bar: 16,
                trace: 8,
            },
            _ => Layout {
                time: 8,
                process: 10,
                kind: 1,
                target: 0,
                bar: 10,
                trace: 8,
            },
        };
        let rest = width.saturating_sub(layout.taken());
        // Of a wide terminal the bar and the process have their share.
        layout.bar += (rest / 4).min(24);
        layout.process += (rest / 10).min(10);
        layout.target = width.saturating_sub(layout.taken()).max(8);
        layout
    }

    fn taken(&self) -> usize {
        self.time + self.process + self.kind + STATUS + DURATION + self.bar + self.trace + BETWEEN
    }
}

/// What the glyphs mean, for the top of a terminal.
pub(super) fn legend(terminal: Terminal) -> String {
    let mut line = Painter::new(terminal);
    line.paint("stages:", DIM);
    for (name, glyph, colour) in STAGES {
        // Queue and connect share a glyph: both go before all else, one on each side.
        line.plain("  ");
        line.paint(&glyph.to_string(), colour);
        line.plain(" ");
        line.plain(name);
    }
    line.end()
}

/// A span's line, with its end of line.
pub(super) fn line(line: &Line, place: Place, terminal: Terminal) -> String {
    let layout = Layout::for_width(terminal.width);
    let mut out = Painter::new(terminal);
    let time = time(line.start_ns, layout.time);
    out.paint(&time, DIM);
    out.plain(" ");
    let branch = match place.depth {
        0 => String::new(),
        depth => format!("{}└ ", "  ".repeat((depth - 1).min(3))),
    };
    out.paint(&branch, DIM);
    out.cell(
        &process(line, layout.process.saturating_sub(columns(&branch))),
        layout.process - columns(&branch).min(layout.process),
        "",
    );
    out.plain(" ");
    let kind = match (line.kind, layout.kind) {
        (Kind::Server, 1) => "<",
        (Kind::Client, 1) => ">",
        (Kind::Server, _) => "server",
        (Kind::Client, _) => "client",
    };
    out.cell(kind, layout.kind, DIM);
    out.plain(" ");
    target(line, layout.target, &mut out);
    out.plain(" ");
    status(line, &mut out);
    out.plain(" ");
    let duration = duration(line.end_ns.saturating_sub(line.start_ns));
    out.plain(&" ".repeat(DURATION.saturating_sub(columns(&duration))));
    out.paint(&duration, BOLD);
    out.plain(" ");
    bar(line, place.scale, layout.bar, &mut out);
    out.plain(" ");
    let mut id = line.trace_id.to_string();
    id.truncate(match terminal.cut {
        true => layout.trace,
        false => id.len(),
    });
    out.paint(&id, DIM);
    out.end()
}

fn time(ns: u64, width: usize) -> String {
    let time = DateTime::from_timestamp_nanos(i64::try_from(ns).unwrap_or(i64::MAX));
    let time = time.with_timezone(&Local);
    match width {
        8 => time.format("%H:%M:%S").to_string(),
        _ => time.format("%H:%M:%S%.3f").to_string(),
    }
}

/// Name and number; of a long name the begin.
fn process(line: &Line, width: usize) -> String {
    let pid = format!("[{}]", line.resource.pid);
    let mut name = escaped(&[&line.resource.service_name]);
    let room = width.saturating_sub(pid.len()).max(1);
    if columns(&name) > room {
        name = cut(&name, room);
    }
    name + &pid
}

/// Method and target, and what went wrong.
fn target(line: &Line, width: usize, out: &mut Painter) {
    let mut left = width;
    let note = match line.note.as_str() {
        "" => String::new(),
        note => format!(" ({note})"),
    };
    out.paint(&line.method, BOLD);
    left = left.saturating_sub(columns(&line.method));
    let mut rest = format!(" {}", line.target);
    if out.terminal.cut {
        let room = left.saturating_sub(columns(&note)).max(1);
        if columns(&rest) > room {
            rest = cut(&rest, room);
        }
    }
    out.plain(&rest);
    left = left.saturating_sub(columns(&rest));
    out.cell(&note, left, RED);
}

fn status(line: &Line, out: &mut Painter) {
    let (text, colour) = match line.status {
        0 if line.error => ("ERR".to_owned(), RED),
        0 => ("-".to_owned(), DIM),
        code => {
            let colour = match code {
                _ if line.error => RED,
                0..300 => "32",
                300..400 => "36",
                _ => "33",
            };
            (code.to_string(), colour)
        }
    };
    out.cell(&text, STATUS, colour);
}

/// Three digits and a unit.
fn duration(ns: u64) -> String {
    let (value, unit) = match ns {
        0..1_000 => return format!("{ns}ns"),
        1_000..999_500 => (ns as f64 / 1e3, "µs"),
        999_500..999_500_000 => (ns as f64 / 1e6, "ms"),
        999_500_000..99_500_000_000 => (ns as f64 / 1e9, "s"),
        _ => {
            let seconds = ns / 1_000_000_000;
            return format!("{}m{:02}s", seconds / 60, seconds % 60);
        }
    };
    match value {
        ..9.995 => format!("{value:.2}{unit}"),
        ..99.95 => format!("{value:.1}{unit}"),
        _ => format!("{value:.0}{unit}"),
    }
}

/// One cell per share of the scale, each with the stage at its middle.
fn bar(line: &Line, (from, to): (u64, u64), width: usize, out: &mut Painter) {
    let length = to.saturating_sub(from).max(1) as f64;
    let mut shown = false;
    let cells: Vec<Option<&(&str, char, &str)>> = (0..width)
        .map(|cell| {
            let middle = from + (length * (cell as f64 + 0.5) / width as f64) as u64;
            let stage = line
                .stages
                .iter()
                .find(|stage| (stage.from..stage.from + stage.ns).contains(&middle))?;
            shown = true;
            STAGES.iter().find(|(name, ..)| *name == stage.name)
        })
        .collect();
    if !shown && let Some(longest) = line.stages.iter().max_by_key(|stage| stage.ns) {
        // Too short for a cell of the scale: one cell says where.
        let share = longest.from.saturating_sub(from) as f64 / length;
        let at = ((share * width as f64) as usize).min(width.saturating_sub(1));
        let glyph = STAGES.iter().find(|(name, ..)| *name == longest.name);
        out.plain(&" ".repeat(at));
        out.stage(glyph);
        out.plain(&" ".repeat(width - at - 1));
        return;
    }
    for cell in cells {
        out.stage(cell);
    }
}

/// Columns of a text. Beyond ASCII each character may take two: rather a blank too many than a line
/// too long.
fn columns(text: &str) -> usize {
    text.chars().map(column).sum()
}

fn column(character: char) -> usize {
    match character {
        '└' | '…' | 'µ' => 1,
        character if character.is_ascii() => 1,
        _ => 2,
    }
}

/// The begin of a text that is too long, with a mark.
fn cut(text: &str, width: usize) -> String {
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
struct Painter {
    terminal: Terminal,
    line: String,
    left: usize,
}

impl Painter {
    fn new(terminal: Terminal) -> Self {
        Painter {
            terminal,
            line: String::with_capacity(256),
            left: match terminal.cut {
                true => terminal.width,
                false => usize::MAX,
            },
        }
    }

    fn plain(&mut self, text: &str) {
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

    fn paint(&mut self, text: &str, colour: &str) {
        if !self.terminal.colour || colour.is_empty() || text.is_empty() || self.left == 0 {
            return self.plain(text);
        }
        // Writing to a string can't fail.
        let _ = write!(self.line, "\x1b[{colour}m");
        self.plain(text);
        self.line.push_str("\x1b[0m");
    }

    /// A text at the left of a column.
    fn cell(&mut self, text: &str, width: usize, colour: &str) {
        self.paint(text, colour);
        self.plain(&" ".repeat(width.saturating_sub(columns(text))));
    }

    /// One cell of a bar; these glyphs are one column wide.
    fn stage(&mut self, stage: Option<&(&str, char, &str)>) {
        let Some((_, glyph, colour)) = stage else {
            return self.plain(" ");
        };
        if self.left == 0 {
            return;
        }
        self.left -= 1;
        if self.terminal.colour {
            let _ = write!(self.line, "\x1b[{colour}m{glyph}\x1b[0m");
        } else {
            self.line.push(*glyph);
        }
    }

    fn end(mut self) -> String {
        let end = self.line.trim_end_matches(' ').len();
        self.line.truncate(end);
        self.line.push('\n');
        self.line
    }
}
