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

/// Columns of a text. Beyond ASCII each character may take two: rather a blank too many than a line
/// too long.
fn columns(text: &str) -> usize {
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

    fn end(mut self) -> String {
        let end = self.line.trim_end_matches(' ').len();
        self.line.truncate(end);
        self.line.push('\n');
        self.line
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::samples::{self, START};
    use crate::protocol::Incomplete;
    use crate::protocol::http::{Head, Version};
    use crate::semconv::Options;
    use crate::span::Span;

    const PLAIN: Terminal = Terminal {
        width: 120,
        cut: true,
        watched: true,
        colour: false,
    };

    fn of(span: &Span) -> Line {
        Line::of(span, &Options::default())
    }

    fn top(line: &Line) -> Place {
        Place {
            depth: 0,
            scale: (line.begin_ns(), line.end_ns),
        }
    }

    /// The line without its time, which is the local one.
    fn shown(span: &Span, terminal: Terminal) -> String {
        let line = of(span);
        let text = super::line(&line, top(&line), terminal);
        text.split_once(' ').unwrap().1.trim_end().to_owned()
    }

    #[test]
    fn family_on_a_wide_terminal() {
        let server = of(&samples::server());
        let place = top(&server);
        let below = Place { depth: 1, ..place };
        let client = super::line(&of(&samples::client()), below, PLAIN);
        assert_eq!(
            shown(&samples::server(), PLAIN),
            "shop[812]      server GET /cart?id=7          200  1.20ms ·█████████████▓▓ 4bf92f3577b34da6a3ce929d0e0e4736"
        );
        assert_eq!(
            client.split_once(' ').unwrap().1,
            "└ shop[812]    client POST prices:9000/v1/pr… 404   800µs   ·░░░░░░░░▒     4bf92f3577b34da6a3ce929d0e0e4736\n"
        );
    }

    #[test]
    fn legend_names_every_stage() {
        assert_eq!(
            legend(PLAIN),
            "stages  · queue/connect  ▒ read  █ handle  ░ wait  ▓ write\n"
        );
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        let mut head = Head::request(
            b"GET",
            "/ä/漢字/\x1b[2J/long/long/long/long/path".as_bytes(),
            Version::Http11,
        );
        head.push(b"Host", "höst.example".as_bytes());
        let spans = [
            samples::server(),
            samples::client(),
            Span {
                resource: samples::resource(u32::MAX, "a-service-with-a-very-long-name-漢字"),
                request: Some(head.into()),
                response: None,
                incomplete: Some(Incomplete::ConnectionClosed),
                end_ns: START + 3_600_000_000_000,
                ..samples::server()
            },
        ];
        for width in 1..=220 {
            let terminal = Terminal { width, ..PLAIN };
            assert!(columns(legend(terminal).trim_end()) <= width);
            for span in &spans {
                for depth in [0, 1, 9] {
                    let line = of(span);
                    let place = Place {
                        depth,
                        ..top(&line)
                    };
                    let text = super::line(&line, place, terminal);
                    assert!(
                        columns(text.trim_end_matches('\n')) <= width,
                        "{width}: {text}"
                    );
                    let coloured = super::line(
                        &line,
                        place,
                        Terminal {
                            colour: true,
                            ..terminal
                        },
                    );
                    assert_eq!(without_colours(&coloured).trim_end(), text.trim_end());
                }
            }
        }
    }

    fn without_colours(text: &str) -> String {
        let mut parts = text.split("\x1b[");
        let first = parts.next().unwrap_or_default().to_owned();
        parts.fold(first, |all, part| all + part.split_once('m').unwrap().1)
    }

    #[test]
    fn nothing_is_cut_where_nobody_looks() {
        let mut span = samples::server();
        let target = format!("/{}", "x".repeat(300));
        span.request = Some(Head::request(b"GET", target.as_bytes(), Version::Http11).into());
        let file = Terminal {
            cut: false,
            ..PLAIN
        };
        let text = shown(&span, file);
        assert!(text.contains(&target));
        assert!(text.ends_with("4bf92f3577b34da6a3ce929d0e0e4736"));
        assert!(shown(&span, PLAIN).contains('…'));
    }

    #[test]
    fn what_steers_a_terminal_is_escaped() {
        let mut span = samples::server();
        let target = "/\x1b]0;title\x07\u{9b}31m\u{202e}x\n";
        span.request = Some(Head::request(b"G\rT", target.as_bytes(), Version::Http11).into());
        let text = shown(
            &span,
            Terminal {
                cut: false,
                ..PLAIN
            },
        );
        assert!(!text.chars().any(char::is_control), "{text:?}");
        assert!(
            text.contains(r"G\rT /\u{1b}]0;title\u{7}\u{9b}31m\u{202e}x\n"),
            "{text}"
        );
    }

    #[test]
    fn what_went_wrong_is_said() {
        let span = Span {
            response: None,
            incomplete: Some(Incomplete::ConnectionClosed),
            ..samples::server()
        };
        let text = shown(
            &span,
            Terminal {
                width: 160,
                ..PLAIN
            },
        );
        assert!(
            text.contains("GET /cart?id=7 (connection_closed)"),
            "{text}"
        );
        assert!(text.contains(" ERR "), "{text}");
    }

    #[test]
    fn durations_have_three_digits() {
        for (ns, text) in [
            (0, "0ns"),
            (999, "999ns"),
            (1_000, "1.00µs"),
            (9_994, "9.99µs"),
            (9_996, "10.0µs"),
            (99_960, "100µs"),
            (999_499, "999µs"),
            (999_500, "1.00ms"),
            (12_345_678, "12.3ms"),
            (999_500_000, "1.00s"),
            (61_000_000_000, "61.0s"),
            (125_000_000_000, "2m05s"),
        ] {
            assert_eq!(duration(ns), text, "{ns}");
            assert!(columns(text) <= DURATION);
        }
    }

    #[test]
    fn stage_too_short_for_a_cell_is_shown_where_it_is() {
        let mut client = samples::client();
        client.instants = crate::span::Instants {
            write_start: START + 600_000,
            write_finish: START + 600_001,
            read_start: START + 600_100,
            body_read: START + 600_101,
            ..Default::default()
        };
        let mut out = Painter::new(PLAIN);
        bar(&of(&client), (START, START + 1_000_000), 10, &mut out);
        assert_eq!(out.line, "      ░   ");
    }

    proptest::proptest! {
        #[test]
        fn any_span_is_one_line_that_fits(span in samples::any(), width in 1_usize..200, depth in 0_usize..5) {
            let line = of(&span);
            let terminal = Terminal { width, ..PLAIN };
            let text = super::line(&line, Place { depth, ..top(&line) }, terminal);
            let text = text.strip_suffix('\n').unwrap();
            assert!(columns(text) <= width && !text.contains(char::is_control), "{text:?}");
        }
    }
}
