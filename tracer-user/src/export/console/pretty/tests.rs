//! Lines, letter by letter.

use super::*;
use crate::export::samples::{self, START, rpc as calls};
use crate::protocol::Incomplete;
use crate::protocol::http::{Head, Version};
use crate::protocol::rpc;
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
fn calls_show_their_system_and_method() {
    let call =
        |answer: Option<rpc::Head>| calls::thrift_server(calls::thrift(rpc::Kind::Call), answer);
    let mut missing = calls::grpc_client();
    missing.streamed.as_mut().unwrap().trailers = calls::trailers(&[("grpc-status", "5")]);
    let refused = rpc::Head {
        failure: Some(rpc::Failure::Declared(1)),
        ..calls::thrift(rpc::Kind::Reply)
    };
    for (span, text) in [
        (
            calls::grpc_server(),
            "server grpc shop.Prices/Get OK 1.20ms ·█████████████▓▓",
        ),
        (missing, "client grpc shop.Pri… (NOT_FO… ERR 800µs"),
        (
            call(Some(calls::thrift(rpc::Kind::Reply))),
            "server thrift get OK 1.20ms",
        ),
        (
            call(Some(refused)),
            "server thrift get (declared_e… ERR 1.20ms",
        ),
        (call(None), "server thrift get - 1.20ms"),
    ] {
        let shown = shown(&span, PLAIN);
        let words: Vec<&str> = shown.split_whitespace().collect();
        assert!(words.join(" ").contains(text), "{shown}");
    }
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
