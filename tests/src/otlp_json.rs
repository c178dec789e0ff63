//! A strict reader of OTLP/JSON trace requests: what a schema would say, and nothing beside it.
//!
//! From the OTLP specification (JSON Protobuf encoding): field names in lowerCamelCase, 64-bit
//! numbers as decimal strings, trace and span ids as hexadecimal, enums as numbers. Bias: an unknown
//! field is an error, though receivers must ignore it: it is most likely a misspelt one.

use serde_json::{Map, Value};

/// What is wrong with a request, if anything.
///
/// # Errors
/// The first thing found, with its place.
pub fn check(text: &[u8]) -> Result<(), String> {
    let value: Value = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    let request = object(&value, "request", &["resourceSpans"])?;
    for resource_spans in list(request, "resourceSpans")? {
        let known = ["resource", "scopeSpans", "schemaUrl"];
        let resource_spans = object(resource_spans, "resourceSpans", &known)?;
        if let Some(resource) = resource_spans.get("resource") {
            let known = ["attributes", "droppedAttributesCount", "entityRefs"];
            attributes(object(resource, "resource", &known)?)?;
        }
        for scope_spans in list(resource_spans, "scopeSpans")? {
            let known = ["scope", "spans", "schemaUrl"];
            let scope_spans = object(scope_spans, "scopeSpans", &known)?;
            for each in list(scope_spans, "spans")? {
                span(each)?;
            }
        }
    }
    Ok(())
}

const SPAN: [&str; 16] = [
    "traceId",
    "spanId",
    "parentSpanId",
    "traceState",
    "flags",
    "name",
    "kind",
    "startTimeUnixNano",
    "endTimeUnixNano",
    "attributes",
    "droppedAttributesCount",
    "events",
    "droppedEventsCount",
    "links",
    "droppedLinksCount",
    "status",
];

fn span(value: &Value) -> Result<(), String> {
    let span = object(value, "span", &SPAN)?;
    hex(span, "traceId", 32)?;
    hex(span, "spanId", 16)?;
    if span.get("parentSpanId").is_some_and(|parent| parent != "") {
        hex(span, "parentSpanId", 16)?;
    }
    let (start, end) = (
        time(span, "startTimeUnixNano")?,
        time(span, "endTimeUnixNano")?,
    );
    if start > end {
        return Err(format!("a span that ends before it starts: {value}"));
    }
    match span.get("kind").and_then(Value::as_u64) {
        Some(0..=5) => {}
        _ => return Err(format!("kind of {value}")),
    }
    if !span.get("name").is_some_and(Value::is_string) {
        return Err(format!("name of {value}"));
    }
    attributes(span)?;
    for event in list(span, "events")? {
        let known = [
            "timeUnixNano",
            "name",
            "attributes",
            "droppedAttributesCount",
        ];
        let event = object(event, "event", &known)?;
        time(event, "timeUnixNano")?;
        attributes(event)?;
    }
    if let Some(status) = span.get("status") {
        let status = object(status, "status", &["message", "code"])?;
        if status
            .get("code")
            .is_some_and(|code| !matches!(code.as_u64(), Some(0..=2)))
        {
            return Err(format!("status of {value}"));
        }
    }
    Ok(())
}

fn attributes(of: &Map<String, Value>) -> Result<(), String> {
    for attribute in list(of, "attributes")? {
        let attribute = object(attribute, "attribute", &["key", "value"])?;
        if !attribute
            .get("key")
            .is_some_and(|key| key.is_string() && key != "")
        {
            return Err(format!("key of {attribute:?}"));
        }
        any_value(attribute.get("value").unwrap_or(&Value::Null))?;
    }
    Ok(())
}

fn any_value(value: &Value) -> Result<(), String> {
    let wrong = || Err(format!("value {value}"));
    let Some(map) = value.as_object() else {
        return wrong();
    };
    let mut entries = map.iter();
    let (Some((kind, inner)), None) = (entries.next(), entries.next()) else {
        return wrong();
    };
    let right = match kind.as_str() {
        "stringValue" => inner.is_string(),
        "boolValue" => inner.is_boolean(),
        "doubleValue" => inner.is_number(),
        "intValue" => inner
            .as_str()
            .is_some_and(|text| text.parse::<i64>().is_ok()),
        "arrayValue" => {
            let array = object(inner, "arrayValue", &["values"])?;
            for each in list(array, "values")? {
                any_value(each)?;
            }
            true
        }
        _ => false,
    };
    if right { Ok(()) } else { wrong() }
}

fn object<'a>(
    value: &'a Value,
    what: &str,
    known: &[&str],
) -> Result<&'a Map<String, Value>, String> {
    let map = value
        .as_object()
        .ok_or_else(|| format!("{what} is {value}"))?;
    match map.keys().find(|key| !known.contains(&key.as_str())) {
        Some(key) => Err(format!("unknown field {key} in {what}")),
        None => Ok(map),
    }
}

/// A list that may be absent.
fn list<'a>(map: &'a Map<String, Value>, name: &str) -> Result<&'a [Value], String> {
    match map.get(name) {
        None => Ok(&[]),
        Some(Value::Array(values)) => Ok(values),
        Some(other) => Err(format!("{name} is {other}")),
    }
}

fn hex(map: &Map<String, Value>, name: &str, digits: usize) -> Result<(), String> {
    let is_hex = |text: &str| {
        text.len() == digits
            && text.bytes().all(|b| b.is_ascii_hexdigit())
            && text.bytes().any(|b| b != b'0')
    };
    match map.get(name).and_then(Value::as_str) {
        Some(text) if is_hex(text) => Ok(()),
        other => Err(format!("{name} is {other:?}")),
    }
}

fn time(map: &Map<String, Value>, name: &str) -> Result<u64, String> {
    map.get(name)
        .and_then(Value::as_str)
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| format!("{name} of {map:?}"))
}

#[cfg(test)]
mod tests {
    use super::check;

    const GOOD: &str = r#"{"resourceSpans":[{"resource":{"attributes":[{"key":"a","value":
        {"intValue":"7"}}]},"scopeSpans":[{"spans":[{"traceId":"0af7651916cd43dd8448eb211c80319c",
        "spanId":"b7ad6b7169203331","name":"GET","kind":2,"startTimeUnixNano":"1",
        "endTimeUnixNano":"2","events":[{"timeUnixNano":"1","name":"x"}]}]}]}]}"#;

    #[test]
    fn takes_what_is_right_and_nothing_else() {
        check(GOOD.as_bytes()).unwrap();
        for (right, wrong) in [
            (r#""intValue":"7""#, r#""intValue":7"#),
            (
                "0af7651916cd43dd8448eb211c80319c",
                "CvdlGRbNQ92ESOshHIAxnA==",
            ),
            (r#""startTimeUnixNano":"1""#, r#""startTimeUnixNano":1"#),
            (r#""spanId""#, r#""span_id""#),
            (r#""kind":2"#, r#""kind":"SPAN_KIND_SERVER""#),
            (r#""endTimeUnixNano":"2""#, r#""endTimeUnixNano":"0""#),
        ] {
            assert!(GOOD.contains(right));
            assert!(
                check(GOOD.replacen(right, wrong, 1).as_bytes()).is_err(),
                "{wrong}"
            );
        }
    }
}
