//! Stages and events.

use super::*;

fn level(span: &Span, level: Level) -> Vec<(&'static str, u64)> {
    let mut list = Vec::new();
    events(span, level, |event| {
        list.push((event.name, event.at - START))
    });
    list
}

#[test]
fn server_events_by_level() {
    let span = samples::server();
    assert_eq!(
        level(&span, Level::Detailed),
        [
            ("http_start", 0),
            ("read_header_start", 0),
            ("read_header_finish", 10_000),
            ("read_body_start", 10_000),
            ("read_body_finish", 20_000),
            ("server_handle_start", 20_000),
            ("server_handle_finish", 1_020_000),
            ("write_start", 1_020_000),
            ("write_finish", 1_200_000),
            ("http_finish", 1_200_000),
        ]
    );
    assert_eq!(
        level(&span, Level::Base),
        [("http_start", 0), ("http_finish", 1_200_000)]
    );
    assert_eq!(level(&span, Level::Disabled), []);
}

#[test]
fn client_events_by_level() {
    let mut span = samples::client();
    assert_eq!(
        level(&span, Level::Detailed),
        [
            ("http_start", 100_000),
            ("client_conn_start", 100_000),
            ("client_conn_finish", 150_000),
            ("write_start", 160_000),
            ("write_finish", 200_000),
            ("wait_read_start", 200_000),
            ("wait_read_finish", 800_000),
            ("read_header_start", 800_000),
            ("read_header_finish", 850_000),
            ("read_body_start", 850_000),
            ("read_body_finish", 900_000),
            ("http_finish", 900_000),
        ]
    );
    assert_eq!(
        level(&span, Level::Base),
        [("http_start", 100_000), ("http_finish", 900_000)]
    );
    span.instants.connect_start = 0;
    span.instants.connect_end = 0;
    assert!(
        level(&span, Level::Detailed)
            .iter()
            .all(|(name, _)| !name.contains("conn"))
    );
}

#[test]
fn early_answer_leaves_no_time_between() {
    let mut span = samples::server();
    // The answer (413) is written while the body still comes in.
    span.instants.write_start = START + 15_000;
    span.instants.write_finish = START + 18_000;
    let names: Vec<_> = level(&span, Level::Detailed).into_iter().collect();
    assert!(names.is_sorted_by_key(|(_, at)| *at), "{names:?}");
    assert!(
        names.iter().all(|(name, _)| !name.contains("handle")),
        "{names:?}"
    );
    let stages: Vec<_> = stages(&span).map(|stage| (stage.name, stage.ns)).collect();
    assert_eq!(
        stages,
        [("queue", 50_000), ("read", 15_000), ("write", 3_000)]
    );
}

#[test]
fn answer_seen_before_the_write_returned_is_no_negative_wait() {
    let mut span = samples::client();
    span.instants.write_finish = span.instants.read_start + 5;
    let stages: Vec<_> = stages(&span).map(|stage| (stage.name, stage.ns)).collect();
    assert_eq!(
        stages,
        [("connect", 50_000), ("write", 640_000), ("read", 100_000)]
    );
}
