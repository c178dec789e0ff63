//! What HTTP spans are called: by given routes, by templates of their paths, and never by too many.

use std::collections::HashSet;

use tests::agent::Family;
use tests::load::{self, get};
use tests::span::Span;

use crate::Test;
use crate::common::{Traced, plain_peer};

/// The tests of this module.
pub fn tests() -> Vec<(&'static str, Test)> {
    vec![
        ("names_by_route_and_template", by_route_and_template as Test),
        ("names_by_method_alone", by_method_alone),
        ("names_stay_few", stay_few),
    ]
}

/// Span name, route and template of one request for each target, in the targets' order.
fn named(family: Family, options: &[&str], targets: &[&str]) -> Vec<[String; 3]> {
    let server = plain_peer();
    let traced = Traced::attach_with(family, &[server.pid()], options);
    let target = |number: usize| get(targets[number].to_owned());
    load::run(server.address, 1, targets.len(), target);
    let (spans, _) = traced.finish();
    let of = |target: &&str| {
        let span = spans.iter().find(|span| span.target() == *target);
        let span: &Span = span.unwrap_or_else(|| panic!("no span of {target}: {spans:#?}"));
        let text = |name| span.text(name).to_owned();
        [span.name.clone(), text("http.route"), text("url.template")]
    };
    targets.iter().map(of).collect()
}

fn by_route_and_template(family: Family) {
    let options = ["--route", "/users/{name}", "--route", "/files/*"];
    let targets = [
        "/users/ann?x=/y/7",
        "/files/a/7/c.txt",
        "/carts/550e8400-e29b-41d4-a716-446655440000/items/7",
    ];
    let template = "/carts/{id}/items/{id}";
    let expected = [
        ["GET /users/{name}", "/users/{name}", ""],
        ["GET /files/*", "/files/*", ""],
        ["GET /carts/{id}/items/{id}", "", template],
    ];
    assert_eq!(named(family, &options, &targets), expected);
}

fn by_method_alone(family: Family) {
    let options = ["--names", "method", "--route", "/users/{name}"];
    let expected = [["GET", "/users/{name}", ""], ["GET", "", "/carts/{id}"]];
    let targets = ["/users/ann", "/carts/7"];
    assert_eq!(named(family, &options, &targets), expected);
}

/// Numbers and words, each request with ones of its own.
fn stay_few(family: Family) {
    const COUNT: usize = 3000;
    let server = plain_peer();
    let traced = Traced::attach(family, &[server.pid()]);
    load::run(server.address, 4, COUNT, |number| match number % 2 {
        0 => get(format!("/users/{number}/orders/{number:08x}-77")),
        _ => {
            let digits = number.to_string();
            let letters = digits.bytes().map(|b| char::from(b + b'g' - b'0'));
            get(format!("/wiki/{}", letters.collect::<String>()))
        }
    });
    let (spans, stats) = traced.finish();
    assert_eq!(spans.len(), COUNT);
    let names: HashSet<&str> = spans.iter().map(|span| span.name.as_str()).collect();
    let users = names.iter().filter(|name| name.starts_with("GET /users"));
    let users: Vec<_> = users.collect();
    assert_eq!(users, [&"GET /users/{id}/orders/{id}"]);
    // A folder has a hundred names of words, and one for all others.
    assert_eq!(names.len(), 1 + 100 + 1, "{names:?}");
    assert!(names.contains("GET /wiki/*"), "{names:?}");
    assert_eq!(stats.limits["path_names"], COUNT as u64 / 2 - 100);
}
