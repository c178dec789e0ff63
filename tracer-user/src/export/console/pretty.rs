//! Lines of `pretty`: columns, colours, and the bar of stages.
//!
//! ```text
//! 07:31:02.123 shop[812]    server GET /cart        200  12.4ms ·▒██████████▓ 4bf92f3577b34da6a3ce929d0e0e4736
//!              └            client GET prices/v1/7  200   8.1ms    ▓░░░░░░▒   4bf92f3577b34da6a3ce929d0e0e4736
//! ```
//!
//! A bar is a span's time from left to right; a child's is drawn to the time of the topmost span
//! above it, so that one sees when in it the child ran. Each cell shows the stage at its middle.

use chrono::{DateTime, Local};

use super::line::{Line, escaped};
use super::order::Place;
use super::painter::{Painter, columns, cut};
use super::terminal::Terminal;
use crate::semconv::Stage;
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

/// How far children of children are moved to the right: then the names have no room any more.
const DEEPEST: usize = 2;

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
        // The target comes first, then the bar and the process have their share of a wide terminal.
        let rest = rest.saturating_sub(24);
        layout.bar += (rest / 3).min(24);
        layout.process += (rest / 8).min(10);
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
    line.paint("stages", DIM);
    for group in STAGES.chunk_by(|(_, a, _), (_, b, _)| a == b) {
        let names: Vec<&str> = group.iter().map(|(name, ..)| *name).collect();
        line.plain("  ");
        line.paint(&group[0].1.to_string(), group[0].2);
        line.plain(" ");
        line.plain(&names.join("/"));
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
        depth => format!("{}└ ", "  ".repeat((depth - 1).min(DEEPEST))),
    };
    out.paint(&branch, DIM);
    let room = layout.process.saturating_sub(columns(&branch));
    out.cell(&process(line, room), room, "");
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

/// Method and target, and what went wrong: in what the target leaves free, or in half the column.
fn target(line: &Line, width: usize, out: &mut Painter) {
    out.paint(&line.method, BOLD);
    let mut left = width.saturating_sub(columns(&line.method));
    let mut rest = format!(" {}", line.target);
    let mut note = match line.note.as_str() {
        "" => String::new(),
        note => format!(" ({note})"),
    };
    if out.terminal.cut {
        let free = left.saturating_sub(columns(&rest));
        note = within(note, free.max(left / 2));
        rest = within(rest, left.saturating_sub(columns(&note)).max(1));
    }
    out.plain(&rest);
    left = left.saturating_sub(columns(&rest));
    out.cell(&note, left, RED);
}

fn within(text: String, room: usize) -> String {
    match columns(&text) > room {
        true => cut(&text, room),
        false => text,
    }
}

fn status(line: &Line, out: &mut Painter) {
    let colour = match line.status.as_bytes() {
        _ if line.error => RED,
        b"" => DIM,
        b"OK" | [b'1' | b'2', ..] => "32",
        [b'3', ..] => "36",
        _ => "33",
    };
    let text = match line.status.as_str() {
        "" if line.error => "ERR",
        "" => "-",
        status => status,
    };
    out.cell(text, STATUS, colour);
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
    let at = |cell: usize| {
        let middle = from + (length * (cell as f64 + 0.5) / width as f64) as u64;
        let stage = |stage: &&Stage| (stage.from..stage.from + stage.ns).contains(&middle);
        line.stages.iter().find(stage).map(|stage| stage.name)
    };
    let mut cells: Vec<Option<&str>> = (0..width).map(at).collect();
    if cells.iter().all(Option::is_none)
        && let Some(longest) = line.stages.iter().max_by_key(|stage| stage.ns)
    {
        // Too short for the scale: one cell says where.
        let share = longest.from.saturating_sub(from) as f64 / length;
        let cell = ((share * width as f64) as usize).min(width - 1);
        cells[cell] = Some(longest.name);
    }
    for run in cells.chunk_by(|a, b| a == b) {
        let look = STAGES.iter().find(|(name, ..)| Some(*name) == run[0]);
        let (glyph, colour) = look.map_or((' ', ""), |(_, glyph, colour)| (*glyph, *colour));
        out.paint(&glyph.to_string().repeat(run.len()), colour);
    }
}

#[cfg(test)]
mod tests;
