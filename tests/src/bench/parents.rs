//! Who caused whom: of how many calls of gateways the parent is right, wrong, or not claimed.

use super::report::{Goal, Report};
use crate::agent::Family;
use crate::frameworks::Gateway;
use crate::parents::Case;

/// Requests of a case.
const REQUESTS: usize = 10_000;
/// At once.
const CONNECTIONS: [usize; 2] = [50, 200];

/// Counts them, without a context passed on and with one.
pub fn run(report: &mut Report) {
    let mut cases = Vec::new();
    for gateway in Gateway::ALL {
        for (how, forward) in [("", false), ("spawn", false), ("pool", false), ("", true)] {
            if gateway.propagates() || !forward {
                cases.push(Case::Go {
                    gateway,
                    forward,
                    how,
                });
            }
        }
    }
    cases.extend([Case::Java, Case::Node, Case::Asyncio]);
    for (workers, forward) in [(1, false), (3, false), (3, true)] {
        cases.push(Case::Nginx { workers, forward });
    }
    println!("| calls of | at once | right | wrong | none |\n| --- | ---: | ---: | ---: | ---: |");
    for connections in CONNECTIONS {
        for case in &cases {
            count(*case, connections, report);
        }
    }
}

fn count(case: Case, connections: usize, report: &mut Report) {
    let parents = case.measure(Family::Sock, connections, REQUESTS);
    let (name, wrong) = (case.name(), parents.wrong.len());
    println!(
        "| {name} | {connections} | {} | {wrong} | {} |",
        parents.right,
        parents.unknown.len()
    );
    for wrong in parents.wrong.into_iter().take(5) {
        report.wrong(wrong);
    }
    let least = match case {
        Case::Go { forward: true, .. } | Case::Nginx { forward: true, .. } => 1.0,
        Case::Go { how: "", .. } | Case::Java => 0.95,
        _ => 0.0,
    };
    let name = format!("{name}, {connections} at once");
    let share = parents.right as f64 / REQUESTS as f64;
    report.ratio(format!("{name}: right"), share, Goal::AtLeast(least));
    let zero = Goal::AtMost(0.0);
    report.count(format!("{name}: wrong"), wrong as u64, zero);
    report.count(format!("{name}: transfers lost"), parents.lost, zero);
}
