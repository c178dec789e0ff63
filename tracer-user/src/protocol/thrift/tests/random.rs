//! Random connections: cut anywhere, captured in part, with transfers lost, and plain garbage.

use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::build::{self, Value};
use super::*;
use crate::protocol::rpc::Kind;
use crate::protocol::tests::anything::{account, anything};
use crate::protocol::tests::ledger::{Ledger, Progress};
use crate::protocol::tests::line::{ALL, Line, cut};

/// What messages are wrapped in, and how they are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Bare,
    Framed,
    Theader,
    Ttheader,
    TtheaderFramed,
    Mesh,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Codec {
    Binary,
    Old,
    Compact,
    Protobuf,
}

/// The forms that there are.
fn forms() -> impl Strategy<Value = (Form, Codec)> {
    select(vec![
        (Form::Bare, Codec::Binary),
        (Form::Bare, Codec::Old),
        (Form::Bare, Codec::Compact),
        (Form::Framed, Codec::Binary),
        (Form::Framed, Codec::Old),
        (Form::Framed, Codec::Compact),
        (Form::Framed, Codec::Protobuf),
        (Form::Theader, Codec::Binary),
        (Form::Theader, Codec::Compact),
        (Form::Ttheader, Codec::Binary),
        (Form::Ttheader, Codec::Compact),
        (Form::TtheaderFramed, Codec::Binary),
        (Form::TtheaderFramed, Codec::Protobuf),
        (Form::Mesh, Codec::Binary),
    ])
}

/// Those whose messages have a mark: the old encoding's begin looks like a text with its length.
fn marked() -> impl Strategy<Value = (Form, Codec)> {
    forms().prop_filter("has a mark", |(_, codec)| *codec != Codec::Old)
}

fn thrift(form: (Form, Codec), midway: bool) -> Thrift {
    match form {
        (_, Codec::Old) => {
            let call = message(form, Kind::Call, 0, 0, &Value::Struct(Vec::new()));
            Thrift::old(midway, &call)
        }
        (Form::Bare | Form::Mesh, _) => Thrift::bare(midway),
        (Form::Framed | Form::Theader, _) => Thrift::framed(midway),
        (Form::Ttheader | Form::TtheaderFramed, _) => Thrift::ttheader(midway),
    }
}

/// How a call is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Result,
    Declared,
    Exception,
    None,
}

/// An exchange to be made up.
#[derive(Clone, Debug)]
struct Shape {
    arguments: Value,
    result: Value,
    answer: Answer,
}

fn value(most: usize) -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::Bool),
        any::<i32>().prop_map(Value::I32),
        any::<i64>().prop_map(Value::I64),
        Just(Value::Double),
        (0..most).prop_map(Value::Text),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec((0..40i16, inner.clone()), 0..4).prop_map(Value::Struct),
            (0..20usize, inner.clone()).prop_map(|(n, of)| Value::List(n, Box::new(of))),
            (0..4usize, inner.clone(), inner)
                .prop_map(|(n, key, of)| Value::Map(n, Box::new((key, of)))),
        ]
    })
}

fn shape(most: usize) -> impl Strategy<Value = Shape> {
    let answers = vec![
        Answer::Result,
        Answer::Result,
        Answer::Declared,
        Answer::Exception,
        Answer::None,
    ];
    (value(most), value(most), select(answers)).prop_map(|(arguments, result, answer)| Shape {
        arguments,
        result,
        answer,
    })
}

/// How a client numbers its calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Numbering {
    Distinct,
    Zero,
    Same,
}

impl Numbering {
    fn of(self, n: usize) -> i32 {
        match self {
            Numbering::Distinct => n as i32 - 7,
            Numbering::Zero => 0,
            Numbering::Same => 1,
        }
    }
}

fn message(
    (form, codec): (Form, Codec),
    kind: Kind,
    n: usize,
    seq_id: i32,
    content: &Value,
) -> Vec<u8> {
    let mut bytes = Vec::new();
    match (kind, codec) {
        (Kind::Exception, Codec::Protobuf) => bytes = build::error_proto("it failed", 6),
        (_, Codec::Protobuf) => bytes = vec![0x0a, 3, b'a', b'b', b'c'],
        (_, Codec::Compact) => content.compact(&mut bytes),
        (_, Codec::Binary | Codec::Old) => content.binary(&mut bytes),
    }
    // The name tells which call it is of, whatever its sequence id.
    let name = format!("m{n}");
    let write = match codec {
        Codec::Binary => build::strict,
        Codec::Old => build::old,
        Codec::Compact => build::compact,
        Codec::Protobuf => build::protobuf,
    };
    let bytes = write(kind, &name, seq_id, &bytes);
    let words = build::infos(0, &[("isn", "Service")], &[(9, &name)]);
    match form {
        Form::Bare => bytes,
        Form::Framed => build::framed(&bytes),
        Form::Theader => {
            let protocol = if codec == Codec::Compact { 2 } else { 0 };
            build::theader(protocol, &[], seq_id, &[("key", "value")], &bytes)
        }
        Form::Ttheader => build::ttheader(0, seq_id, &words, &bytes),
        Form::TtheaderFramed => build::ttheader(0, seq_id, &words, &build::framed(&bytes)),
        Form::Mesh => [build::mesh(&[("a", "b")]), build::framed(&bytes)].concat(),
    }
}

/// The two messages of exchange `n`; the second is empty for a oneway call.
fn messages(form: (Form, Codec), n: usize, seq_id: i32, shape: &Shape) -> (Vec<u8>, Vec<u8>) {
    let arguments = Value::Struct(vec![(1, shape.arguments.clone())]);
    let (kind, content) = match shape.answer {
        Answer::None => {
            let call = message(form, Kind::Oneway, n, seq_id, &arguments);
            return (call, Vec::new());
        }
        Answer::Result => (Kind::Reply, Value::Struct(vec![(0, shape.result.clone())])),
        Answer::Declared => (Kind::Reply, Value::Struct(vec![(2, shape.result.clone())])),
        Answer::Exception => (
            Kind::Exception,
            Value::Struct(vec![(1, Value::Text(30)), (2, Value::I32(6))]),
        ),
    };
    (
        message(form, Kind::Call, n, seq_id, &arguments),
        message(form, kind, n, seq_id, &content),
    )
}

/// A connection to be made up.
#[derive(Clone, Debug)]
struct Plan {
    form: (Form, Codec),
    shapes: Vec<Shape>,
    numbering: Numbering,
    /// So many calls are sent at once.
    batch: usize,
    cuts: Vec<u16>,
    /// Which of a batch's replies comes next.
    order: Vec<Index>,
    captured: (usize, usize),
    midway: bool,
}

fn plan(
    forms: impl Strategy<Value = (Form, Codec)>,
    most: usize,
    count: std::ops::Range<usize>,
) -> impl Strategy<Value = Plan> {
    (
        forms,
        proptest::collection::vec(shape(most), count),
        select(vec![Numbering::Distinct, Numbering::Zero, Numbering::Same]),
        1..5usize,
        proptest::collection::vec(0..1000u16, 0..6),
        proptest::collection::vec(any::<Index>(), 1..8),
        any::<bool>(),
    )
        .prop_map(
            |(form, shapes, numbering, batch, cuts, order, midway)| Plan {
                form,
                shapes,
                numbering,
                batch,
                cuts,
                order,
                captured: ALL,
                midway,
            },
        )
}

/// A whole connection; `lose` says which transfers are lost, by their number and their batch's.
fn connection(plan: &Plan, lose: impl Fn(usize, usize) -> bool) -> Ledger {
    let mut wire = thrift(plan.form, plan.midway);
    let mut ledger = Ledger::default();
    let (mut asks, mut answers) = (Line::new(Side::Request), Line::new(Side::Response));
    let mut count = 0;
    for (first, shapes) in plan.shapes.chunks(plan.batch).enumerate() {
        let (mut request, mut responses) = (Vec::new(), Vec::new());
        for (at, shape) in shapes.iter().enumerate() {
            let n = first * plan.batch + at;
            let (asked, answered) = messages(plan.form, n, plan.numbering.of(n), shape);
            request.extend(asked);
            responses.push(answered);
        }
        let mut response = Vec::new();
        let mut order = plan.order.iter().cycle();
        while !responses.is_empty() {
            // Only numbered replies may come in any order.
            let at = match (plan.numbering, order.next()) {
                (Numbering::Distinct, Some(index)) => index.index(responses.len()),
                _ => 0,
            };
            response.extend(responses.remove(at));
        }
        for (line, bytes) in [(&mut asks, request), (&mut answers, response)] {
            for piece in cut(&bytes, &plan.cuts) {
                let lost = lose(count, first);
                let what = if lost { "lost" } else { "" };
                ledger
                    .log
                    .push(format!("{:?} {what} {}", line.side, piece.escape_ascii()));
                ledger.enter(line.transfer(piece, plan.captured, lost, &mut wire));
                count += 1;
            }
        }
    }
    let mut events = Vec::new();
    wire.end(Side::Request, Incomplete::ConnectionClosed, &mut events);
    wire.end(Side::Response, Incomplete::ConnectionClosed, &mut events);
    ledger.enter(events);
    ledger.close();
    ledger
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Where a stream is cut makes no difference.
    #[test]
    fn cuts_change_nothing(plan in plan(forms(), 60, 1..5)) {
        let run = |cuts: &[u16], ends: bool| {
            let mut wire = thrift(plan.form, false);
            let mut events = Vec::new();
            for (n, shape) in plan.shapes.iter().enumerate() {
                let (request, response) = messages(plan.form, n, plan.numbering.of(n), shape);
                for (side, bytes) in [(Side::Request, request), (Side::Response, response)] {
                    for piece in cut(&bytes, cuts) {
                        wire.push(side, Input::Bytes(piece), &mut events);
                        if ends {
                            wire.push(side, Input::EndOfTransfer, &mut events);
                        }
                    }
                }
            }
            format!("{events:?}")
        };
        let whole = run(&[], true);
        prop_assert_eq!(&whole, &run(&plan.cuts, true));
        prop_assert_eq!(&whole, &run(&plan.cuts, false));
        let every: Vec<u16> = (0..1000).collect();
        prop_assert_eq!(&whole, &run(&every, true));
    }

    /// With nothing lost every exchange is whole, its sizes exact and its reply its own.
    #[test]
    fn sizes_are_exact(plan in plan(forms(), 300, 1..20)) {
        let plan = Plan { midway: false, ..plan };
        let ledger = connection(&plan, |_, _| false);
        prop_assert_eq!(ledger.exchanges.len(), plan.shapes.len());
        for ((id, exchange), shape) in ledger.exchanges.iter().zip(&plan.shapes) {
            let n = *id as usize;
            let (request, response) = messages(plan.form, n, plan.numbering.of(n), shape);
            let wire = |progress| match progress {
                Progress::Ended(sizes) => sizes.wire as usize,
                Progress::None => 0,
                other => panic!("{other:?} {:#?}", ledger.log),
            };
            prop_assert_eq!(exchange.asked, Some(n as u32));
            prop_assert_eq!(wire(exchange.request), request.len());
            prop_assert_eq!(wire(exchange.response), response.len());
            if shape.answer != Answer::None {
                prop_assert_eq!(exchange.answered, Some(n as u32));
            }
        }
    }

    /// Whatever is lost: no wrong pair, every message accounted for.
    #[test]
    fn losses_make_no_wrong_pair(
        plan in plan(forms(), 60, 1..30),
        lost in proptest::collection::vec(proptest::bool::weighted(0.1), 400),
    ) {
        connection(&plan, |n, _| lost[n % lost.len()]);
    }

    /// The same where contents are captured in part.
    #[test]
    fn losses_and_long_contents_make_no_wrong_pair(
        plan in plan(forms(), 9000, 1..12),
        lost in proptest::collection::vec(proptest::bool::weighted(0.05), 400),
    ) {
        let plan = Plan { captured: (256, 1024), ..plan };
        connection(&plan, |n, _| lost[n % lost.len()]);
    }

    /// Once nothing is lost any more, a client that waits for each reply is read right again from
    /// the third exchange on.
    #[test]
    fn what_follows_a_loss_is_right(
        plan in plan(marked(), 60, 10..30),
        lost in proptest::collection::vec(proptest::bool::weighted(0.3), 400),
    ) {
        let mut plan = Plan { batch: 1, ..plan };
        for shape in &mut plan.shapes {
            if shape.answer == Answer::None {
                shape.answer = Answer::Result;
            }
        }
        let last = plan.shapes.len() / 2;
        let ledger = connection(&plan, |n, exchange| exchange < last && lost[n % lost.len()]);
        // Each side's last loss shows with its next message.
        for n in last + 2..plan.shapes.len() {
            let exchange = ledger.exchanges.values().find(|e| e.asked == Some(n as u32));
            prop_assert!(exchange.is_some_and(|e| e.is_complete()), "{n}: {exchange:?} {:#?}", ledger.log);
        }
    }

    /// Anything at all, in any order: no panic, every message accounted for, memory bounded.
    #[test]
    fn garbage_is_accounted_for(
        inputs in proptest::collection::vec(anything(23, bytes()), 0..200),
        form in forms(),
        midway in any::<bool>(),
    ) {
        let wire = thrift(form, midway);
        account(wire, &inputs, |_| {});
    }
}

/// Bytes that look like messages, now and then, and others.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let pieces: Vec<Vec<u8>> = vec![
        build::strict(Kind::Call, "a", 1, b"\x00"),
        build::strict(Kind::Reply, "a", 0, b"\x0b\x00\x01\x7f\xff\xff\xff"),
        build::framed(&build::strict(
            Kind::Exception,
            "a",
            1,
            &build::exception("x", 1),
        )),
        build::framed(&build::strict(
            Kind::Oneway,
            "a",
            1,
            b"\x0f\x00\x01\x0c\x7f\xff\xff\xff",
        )),
        build::framed(&build::protobuf(
            Kind::Exception,
            "a",
            2,
            b"\x08\x01\x12\xff\xff\xff\x0f",
        )),
        build::compact(Kind::Call, "a", 3, b"\x19\xfc\xff\xff\xff\xff\x07"),
        build::compact(Kind::Reply, "a", 3, b"\x00"),
        build::old(Kind::Call, "a", 1, b"\x0c\x00\x01"),
        build::theader(0, &[1], 5, &[], b"zzzz"),
        build::ttheader(
            2,
            -1,
            &build::infos(0x10, &[("isn", "S")], &[(9, "m"), (27, "2")]),
            b"",
        ),
        build::ttheader(2, -1, &build::infos(0x10, &[], &[(27, "3")]), b"data"),
        build::ttheader(2, -1, &build::infos(0x10, &[], &[(27, "4")]), b""),
        build::ttheader(2, -1, &build::infos(0x10, &[], &[(27, "5")]), b""),
        build::ttheader(
            0,
            1,
            &build::infos(0, &[], &[]),
            &build::strict(Kind::Call, "a", 1, b"\x00"),
        ),
        build::ttheader(0, 1, b"\x00\x00\x01\xff\xff", b""),
        build::mesh(&[("a", "b")]),
        b"\x7f\xff\xff\xff\x80\x01\x00\x01".to_vec(),
        b"\x00\x00\x00\x00".to_vec(),
        b"\x80\x01\x00\x01\xff\xff\xff\xff".to_vec(),
        b"\x00\x00\x00\x20\x10\x00\x00\x00\x00\x00\x00\x01\xff\xff".to_vec(),
        b"\x0c\x00\x01".to_vec(),
        b"\x0d\x00\x01\x0c\x0c\x7f\xff\xff\xff".to_vec(),
        b"\x00".to_vec(),
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
    ];
    let mixed = proptest::collection::vec(select(pieces), 1..8).prop_map(|pieces| pieces.concat());
    let random = proptest::collection::vec(any::<u8>(), 0..40);
    let long =
        (select(b"\x00\x0c\x80\xff".to_vec()), 1000..40_000usize).prop_map(|(b, n)| vec![b; n]);
    prop_oneof![
        20 => mixed,
        2 => random,
        1 => long,
    ]
}
