//! The agent's metrics page, fetched and read as a scraper does.

use std::collections::BTreeMap;
use std::process::Command;

use crate::agent::Agent;

/// `Accept` of a scraper that wants OpenMetrics.
pub const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0";

/// One line of the page.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Its metric, with what is appended (`_bucket`, `_sum`, `_total`).
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its value.
    pub value: f64,
    /// The labels of its exemplar.
    pub exemplar: Option<BTreeMap<String, String>>,
}

impl Sample {
    /// A label; empty if it is not there.
    pub fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }
}

/// All samples of a page.
#[derive(Clone, Debug)]
pub struct Page(pub Vec<Sample>);

impl Page {
    /// Fetches it as OpenMetrics.
    #[track_caller]
    pub fn of(url: &str) -> Page {
        Page::read(&fetch(url, OPEN_METRICS))
    }

    /// Reads OpenMetrics; panics where it is none.
    #[track_caller]
    pub fn read(text: &str) -> Page {
        let lines = text.strip_suffix("# EOF\n").expect("it is whole").lines();
        let samples = lines.filter(|line| !line.starts_with("# "));
        Page(samples.map(sample).collect())
    }

    /// The samples of that name whose labels are so, among others.
    pub fn all<'a>(&'a self, name: &'a str, labels: &'a [(&str, &str)]) -> Vec<&'a Sample> {
        let fits = |sample: &&Sample| {
            sample.name == name
                && labels
                    .iter()
                    .all(|(name, value)| sample.label(name) == *value)
        };
        self.0.iter().filter(fits).collect()
    }

    /// What they come to.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.all(name, labels)
            .iter()
            .map(|sample| sample.value)
            .sum()
    }
}

/// Where an agent's page is, from what it says as it starts.
#[track_caller]
pub fn url(agent: &Agent) -> String {
    let said = |line: &str| line.contains("metrics page: http://");
    let line = agent.process.stderr.wait_for("metrics page:", said);
    let at = line.find("http://").expect("checked");
    line[at..].to_owned()
}

/// Its text, of the kind that is asked for, compressed on its way.
#[track_caller]
pub fn fetch(url: &str, accept: &str) -> String {
    let mut command = Command::new("curl");
    command.args([
        "-sS",
        "--fail",
        "--compressed",
        "-H",
        &format!("Accept: {accept}"),
        url,
    ]);
    let output = command.output().expect("curl");
    assert!(output.status.success(), "{url}: {output:?}");
    String::from_utf8(output.stdout).expect("text")
}

/// `name{label="value",...} value # {label="value"} value time`
fn sample(line: &str) -> Sample {
    let end = line.find(['{', ' ']).expect("a value");
    let (name, rest) = line.split_at(end);
    let (labels, rest) = labels(rest);
    let mut words = rest.split(' ').filter(|word| !word.is_empty());
    let value = words.next().expect("a value").parse().expect("a number");
    let exemplar = rest.split_once("# ").map(|(_, rest)| self::labels(rest).0);
    Sample {
        name: name.to_owned(),
        labels,
        value,
        exemplar,
    }
}

/// Labels, if any, and what follows them.
fn labels(text: &str) -> (BTreeMap<String, String>, &str) {
    let mut labels = BTreeMap::new();
    let Some(mut rest) = text.strip_prefix('{') else {
        return (labels, text);
    };
    loop {
        let (name, value) = rest.split_once("=\"").expect("a label");
        let mut plain = String::new();
        let mut chars = value.char_indices();
        let end = loop {
            match chars.next().expect("the label's end") {
                (at, '"') => break at,
                (_, '\\') => match chars.next().expect("something escaped").1 {
                    'n' => plain.push('\n'),
                    other => plain.push(other),
                },
                (_, other) => plain.push(other),
            }
        };
        labels.insert(name.to_owned(), plain);
        rest = &value[end + 1..];
        match rest.strip_prefix(',') {
            Some(more) => rest = more,
            None => return (labels, rest.strip_prefix('}').expect("the labels' end")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_read() {
        let page = Page::read(
            "# TYPE a counter\na_total{x=\"1\\\"\\n,}\",y=\"\"} 2 # {trace_id=\"ab\"} 0.5 17.001\nb 1e-3\n# EOF\n",
        );
        let [a, b] = &page.0[..] else {
            panic!("{page:?}");
        };
        assert_eq!(
            (a.name.as_str(), a.label("x"), a.value),
            ("a_total", "1\"\n,}", 2.0)
        );
        assert_eq!(a.exemplar.as_ref().unwrap()["trace_id"], "ab");
        assert_eq!((b.name.as_str(), b.value), ("b", 0.001));
        assert_eq!(page.sum("a_total", &[("y", "")]), 2.0);
    }
}
