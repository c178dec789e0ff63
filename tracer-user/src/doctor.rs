//! `tracer doctor`: what this host and kernel offer, as a table for people or JSON for programs.
//!
//! The findings are [`crate::probe`]'s; here they are only shown, and the exit code is made of them:
//! 0 where processes can be traced, one way or the other.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::ExitCode;

use serde_json::json;

use crate::messages;
use crate::probe::{self, Family, Finding};

/// Looks around, prints, and says by the exit code whether tracing works here.
pub fn run(json: bool) -> ExitCode {
    let findings = probe::survey();
    let text = if json {
        as_json(&findings)
    } else {
        as_table(&findings)
    };
    if let Err(error) = io::stdout().write_all(text.as_bytes()) {
        messages::line(&format!("tracer: cannot write to standard output: {error}"));
        return ExitCode::FAILURE;
    }
    match chosen(&findings) {
        Some(_) => ExitCode::SUCCESS,
        None => ExitCode::FAILURE,
    }
}

/// The family of probes that a run would take: the first that works.
fn chosen(findings: &[Finding]) -> Option<Family> {
    let works = |finding: &&Finding| finding.works == Some(true);
    findings
        .iter()
        .filter(works)
        .find_map(|finding| finding.family)
}

fn as_json(findings: &[Finding]) -> String {
    let each = findings.iter().map(|finding| {
        json!({
            "name": finding.name,
            "works": finding.works,
            "detail": finding.detail,
            "advice": finding.advice,
        })
    });
    let family = chosen(findings).map(|family| family.to_string());
    let all = json!({
        "works": family.is_some(),
        "probes": family,
        "findings": each.collect::<Vec<_>>(),
    });
    format!("{all:#}\n")
}

fn as_table(findings: &[Finding]) -> String {
    let names = findings.iter().map(|finding| finding.name.chars().count());
    let width = names.max().unwrap_or(0);
    let mut text = String::new();
    for finding in findings {
        let mark = match finding.works {
            Some(true) => "ok",
            Some(false) => "NO",
            None => "--",
        };
        let Finding {
            name,
            detail,
            advice,
            ..
        } = finding;
        _ = writeln!(text, "{mark}  {name:width$}  {detail}");
        if !advice.is_empty() {
            _ = writeln!(text, "    {:width$}  > {advice}", "");
        }
    }
    _ = match chosen(findings) {
        Some(family) => writeln!(text, "\nTracing works here, with the {family} probes."),
        None => writeln!(
            text,
            "\nTracing does not work here: see the lines marked NO."
        ),
    };
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(name: &str, works: Option<bool>, advice: &str, family: Option<Family>) -> Finding {
        Finding {
            name: name.to_owned(),
            works,
            detail: "seen".to_owned(),
            advice: advice.to_owned(),
            family,
        }
    }

    #[test]
    fn one_family_is_enough() {
        let findings = [
            finding("BTF", Some(true), "", None),
            finding("sock probes", Some(false), "upgrade", Some(Family::Sock)),
            finding("syscall probes", Some(true), "", Some(Family::Syscall)),
        ];
        assert_eq!(
            as_table(&findings),
            "ok  BTF             seen\n\
             NO  sock probes     seen\n\
             \u{20}                   > upgrade\n\
             ok  syscall probes  seen\n\
             \nTracing works here, with the syscall probes.\n"
        );
        let json: serde_json::Value = serde_json::from_str(&as_json(&findings)).unwrap();
        assert_eq!(json["probes"], "syscall");
        assert_eq!(json["findings"][1]["advice"], "upgrade");
    }

    #[test]
    fn without_a_family_it_does_not_work() {
        let findings = [finding("BTF", Some(true), "", None)];
        assert!(as_table(&findings).contains("does not work"));
        let json: serde_json::Value = serde_json::from_str(&as_json(&findings)).unwrap();
        assert_eq!(
            (&json["works"], &json["probes"]),
            (&json!(false), &json!(null))
        );
    }
}
