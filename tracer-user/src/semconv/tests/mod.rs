//! Spans spelled out, and exactly what they say.

mod attributes;
mod conventions;
mod grpc;
mod http2;
mod stages;
mod streams;
mod thrift;

use std::collections::BTreeMap;

use super::*;
use crate::export::samples::{self, START};
use crate::protocol::http::{Head, Version};

/// An attribute's value.
#[derive(Clone, Debug, PartialEq)]
enum Value {
    Text(String),
    Int(i64),
    Double(f64),
    Texts(Vec<String>),
}

#[derive(Default)]
struct Collected(BTreeMap<String, Value>);

impl Collected {
    fn add(&mut self, name: &str, value: Value) {
        let before = self.0.insert(name.to_owned(), value);
        assert_eq!(before, None, "{name} is told twice");
    }
}

impl AttributeSink for Collected {
    fn text(&mut self, name: &str, pieces: &[&str]) {
        self.add(name, Value::Text(pieces.concat()));
    }

    fn int(&mut self, name: &str, value: i64) {
        self.add(name, Value::Int(value));
    }

    fn double(&mut self, name: &str, value: f64) {
        self.add(name, Value::Double(value));
    }

    fn texts(&mut self, name: &str, values: &[&str]) {
        self.add(
            name,
            Value::Texts(values.iter().map(|v| (*v).to_owned()).collect()),
        );
    }
}

fn collect(span: &Span, options: &Options) -> BTreeMap<String, Value> {
    collect_with(span, options, Routes::default())
}

fn collect_with(span: &Span, options: &Options, routes: Routes) -> BTreeMap<String, Value> {
    let mut collected = Collected::default();
    let mut paths = Paths::new(routes);
    attributes(span, paths.name(span), options, &mut collected);
    collected.0
}

fn named_with(span: &Span, options: &Options, routes: Routes) -> String {
    let mut paths = Paths::new(routes);
    let path = paths.name(span);
    span_name(span, path, options, |name| name.concat())
}

fn named(span: &Span) -> String {
    named_with(span, &Options::default(), Routes::default())
}

/// The span's attributes as `name=value` in the order of names.
fn said(span: &Span) -> Vec<String> {
    collect(span, &Options::default())
        .into_iter()
        .map(|(name, value)| match value {
            Value::Text(text) => format!("{name}={text}"),
            Value::Int(value) => format!("{name}={value}i"),
            Value::Double(value) => format!("{name}={value}s"),
            Value::Texts(texts) => format!("{name}={texts:?}"),
        })
        .collect()
}

/// The text or number of one attribute; empty = not there.
fn one(span: &Span, name: &str) -> String {
    match collect(span, &Options::default()).remove(name) {
        Some(Value::Text(text)) => text,
        Some(Value::Int(value)) => value.to_string(),
        Some(value) => format!("{value:?}"),
        None => String::new(),
    }
}

/// A server's span of that request.
fn asked(method: &str, target: &[u8], fields: &[(&str, &[u8])]) -> Span {
    let mut head = Head::request(method.as_bytes(), target, Version::Http11);
    for (name, value) in fields {
        head.push(name.as_bytes(), value);
    }
    Span {
        request: Some(head.into()),
        ..samples::server()
    }
}

/// A client's span of that request.
fn sent(method: &str, target: &[u8], fields: &[(&str, &[u8])]) -> Span {
    Span {
        request: asked(method, target, fields).request,
        ..samples::client()
    }
}

fn answered(span: Span, status: u16) -> Span {
    Span {
        response: Some(Head::response(status, Version::Http11).into()),
        ..span
    }
}
