//! Every name that we give out has a home: the registry of the conventions that `schema_url` names
//! (facts in `tests/fixtures/semconv`), or the list of our own in CONTRIBUTING.md.
//!
//! Two nets, since neither is enough: what any span, metric and resource says, and whatever stands in
//! the sources in the form of an attribute's name.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::resource;
use crate::semconv::metrics::{METRICS, OVERFLOW, Unit};

const REGISTRY: &str = include_str!("../../../../tests/fixtures/semconv/1.44.0.txt");
const CONTRIBUTING: &str = include_str!("../../../../CONTRIBUTING.md");
const OWN: &str = "## Names of our own";

/// What the registry says of a name.
#[derive(Clone, Debug)]
struct Fact {
    /// An attribute's type, a metric's instrument.
    form: &'static str,
    unit: &'static str,
    deprecated: bool,
}

/// Attributes, metrics.
fn registry(kind: &str) -> BTreeMap<&'static str, Fact> {
    let lines = REGISTRY.lines().filter(|line| !line.starts_with('#'));
    let facts = lines.filter_map(|line| {
        let mut words = line.split(' ');
        let mut word = || words.next().unwrap_or_default();
        let (of, name, form, unit, stability) = (word(), word(), word(), word(), word());
        let deprecated = stability == "deprecated";
        let fact = Fact {
            form,
            unit,
            deprecated,
        };
        (of == kind).then_some((name, fact))
    });
    facts.collect()
}

/// Names of our own, from the first column of the table.
fn own() -> BTreeSet<String> {
    let (_, section) = CONTRIBUTING.split_once(OWN).expect("the list");
    let section = section.split("\n## ").next().unwrap_or_default();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    let columns = rows.filter_map(|row| row.split(" | ").next());
    let names = columns.flat_map(|column| column.split('`').step_by(2));
    names.flat_map(spelled_out).collect()
}

/// `a.{b,c}` is `a.b` and `a.c`.
fn spelled_out(name: &str) -> Vec<String> {
    let parts = name.split_once('{').and_then(|(before, rest)| {
        let (choices, after) = rest.split_once('}')?;
        Some((before, choices, after))
    });
    match parts {
        None => vec![name.to_owned()],
        Some((before, choices, after)) => choices
            .split(',')
            .flat_map(|choice| spelled_out(&format!("{before}{choice}{after}")))
            .collect(),
    }
}

/// All that is known.
struct Homes {
    attributes: BTreeMap<&'static str, Fact>,
    own: BTreeSet<String>,
}

impl Homes {
    fn new() -> Homes {
        Homes {
            attributes: registry("attribute"),
            own: own(),
        }
    }

    /// The registry's type of an attribute, if it is there.
    fn of(&self, name: &str) -> Option<&Fact> {
        let template = || {
            let at = name.rfind('.')?;
            let fact = self.attributes.get(&name[..at])?;
            fact.form.starts_with("template").then_some(fact)
        };
        self.attributes.get(name).or_else(template)
    }

    /// What is wrong with a name; `form` as the registry has it.
    fn fault(&self, name: &str, form: Option<&str>) -> Option<String> {
        match (self.own.contains(name), self.of(name)) {
            (true, Some(fact)) if !fact.deprecated => {
                Some(format!("{name}: it is not our own, the registry has it"))
            }
            (true, _) => None,
            (false, None) => Some(format!(
                "{name}: neither in the registry nor in CONTRIBUTING.md, \"{OWN}\""
            )),
            (false, Some(fact)) if fact.deprecated => Some(format!("{name}: deprecated")),
            (false, Some(fact)) => {
                let told = fact.form.trim_start_matches("template[");
                let told = told.strip_suffix(']').filter(|_| told != fact.form);
                let told = told.unwrap_or(fact.form);
                let fits =
                    form.is_none_or(|form| form == told || (told, form) == ("enum", "string"));
                (!fits).then(|| format!("{name}: {form:?}, in the registry {told}"))
            }
        }
    }
}

fn form(value: &Value) -> &'static str {
    match value {
        Value::Text(_) => "string",
        Value::Int(_) => "int",
        Value::Double(_) => "double",
        Value::Texts(_) => "string[]",
    }
}

#[test]
fn the_table_is_that_of_the_version_we_name() {
    let version = SCHEMA_URL.rsplit('/').next().unwrap();
    let first = REGISTRY.lines().take(2).collect::<String>();
    assert!(first.contains(&format!("v{version}:")), "{first}");
    assert_eq!(registry("attribute").len(), 940);
    assert_eq!(registry("metric").len(), 541);
}

#[test]
fn our_own_names_are_on_spans_metrics_or_events() {
    // Each name of the list stands in the sources: what is not given out any more leaves it.
    let text = sources();
    for name in own() {
        let part = name.rsplit('.').next().unwrap_or_default();
        assert!(
            text.iter().any(|(_, text)| text.contains(part)),
            "{name} is listed, but nowhere in the sources"
        );
    }
}

#[test]
fn any_span_has_names_with_a_home() {
    let homes = Homes::new();
    let options = Options {
        captured: vec![CapturedHeader::new("x-tag"), CapturedHeader::new("host")],
        ..Options::default()
    };
    proptest!(|(span in samples::any())| {
        let said = collect(&span, &options);
        for (name, value) in &said {
            prop_assert_eq!(homes.fault(name, Some(form(value))), None);
        }
        let mut unknown = Vec::new();
        events(&span, Level::Detailed, |event| {
            unknown.extend((!homes.own.contains(event.name)).then_some(event.name));
        });
        prop_assert!(unknown.is_empty(), "events {:?}", unknown);
        let mut counted = Collected::default();
        metrics::exchange(&span, None, &options, &mut counted);
        for (name, value) in &counted.0 {
            prop_assert_eq!(homes.fault(name, Some(form(value))), None);
            // A series is of nothing that its spans do not say.
            prop_assert_eq!(Some(value), said.get(name), "{}", name);
        }
    });
}

/// The forms that the conventions give: what is low in cardinality, and on the span as well.
#[test]
fn any_span_has_a_name_of_the_conventions_form() {
    proptest!(|(span in samples::any())| {
        let said = collect(&span, &Options::default());
        let text = |name: &str| match said.get(name) {
            Some(Value::Text(text)) => Some(text.as_str()),
            _ => None,
        };
        let expected = match text("rpc.system.name") {
            Some(system) => text("rpc.method").unwrap_or(system).to_owned(),
            None => {
                let method = text("http.request.method").filter(|method| *method != "_OTHER");
                let path = text("http.route").or(text("url.template"));
                let words = [Some(method.unwrap_or("HTTP")), path];
                words.into_iter().flatten().collect::<Vec<_>>().join(" ")
            }
        };
        prop_assert_eq!(named(&span), expected);
    });
}

#[test]
fn metrics_are_the_conventions() {
    let (homes, facts) = (Homes::new(), registry("metric"));
    for metric in &METRICS {
        let instrument = match metric.bounds {
            Some(_) => "histogram",
            None => "updowncounter",
        };
        match facts.get(metric.name) {
            Some(fact) => {
                assert!(!fact.deprecated, "{}", metric.name);
                let told = (fact.form, fact.unit);
                assert_eq!((instrument, metric.unit.ucum()), told, "{}", metric.name);
            }
            None => assert!(homes.own.contains(metric.name), "{}", metric.name),
        }
    }
    assert_eq!(Unit::Seconds.of(1_500_000_000.0), 1.5);
    assert_eq!(homes.fault(OVERFLOW, None), None);
}

#[test]
fn resources_have_names_with_a_home() {
    let homes = Homes::new();
    let own = resource::describe(std::process::id(), &resource::Options::default());
    assert!(own.attributes.len() > 10, "{own:?}");
    for (name, value) in &own.attributes {
        let form = match value {
            resource::Value::Text(_) => "string",
            resource::Value::Int(_) => "int",
            resource::Value::List(_) => "string[]",
        };
        assert_eq!(homes.fault(name, Some(form)), None);
    }
}

#[test]
fn whatever_looks_like_a_name_in_the_sources_has_a_home() {
    let homes = Homes::new();
    let metrics = registry("metric");
    let mut faults = Vec::new();
    let mut seen = 0;
    for (path, text) in sources() {
        // Tests within a file are its last part.
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or("");
        let code = code
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"));
        for literal in code.flat_map(|line| line.split('"').skip(1).step_by(2)) {
            if !is_name(literal) || metrics.contains_key(literal) {
                continue;
            }
            seen += 1;
            faults.extend(
                homes
                    .fault(literal, None)
                    .map(|fault| format!("{path}: {fault}")),
            );
        }
    }
    assert!(seen > 80, "{seen} found: the search is broken");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Words with dots between them.
fn is_name(text: &str) -> bool {
    let word = |word: &str| {
        word.starts_with(|c: char| c.is_ascii_lowercase())
            && word
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    let is_file = text.ends_with(".json");
    text.contains('.') && !is_file && text.split('.').all(word)
}

/// The files in which names are given out.
fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = [
        "semconv",
        "resource",
        "metrics",
        "export/encode",
        "export/metrics",
    ]
    .map(|folder| root.join(folder))
    .to_vec();
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                folders.extend((name != "tests").then_some(path));
            } else if name != "tests.rs" {
                let text = std::fs::read_to_string(&path).unwrap();
                let shown = path.strip_prefix(&root).unwrap().display().to_string();
                found.push((shown, text));
            }
        }
    }
    found
}
