//! Live tests: the built agent on this kernel, attached to real servers.
//!
//! They need root and the built agent (`cargo xtask test` sees to both), and run one at a time: many
//! look at the whole machine. Without root they are skipped with that reason, unless `CI` is set.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Completion, Trial};
use tests::agent::Family;
use tests::recording;

mod accounting;
mod attach;
mod backends;
mod bounds;
mod client;
mod collector;
mod commandline;
mod common;
mod containers;
mod context;
mod delivery;
mod exact;
mod export;
mod faults;
mod frameworks;
mod metrics;
mod names;
mod parents;
mod privileges;
mod replay;
mod resource;
mod rpc;
mod secrets;
mod shapes;
mod traffic;

/// A live test: which family of hooks it is run over is its argument.
type Test = fn(Family);

fn main() {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let reason = cannot_run();
    if let Some(reason) = reason {
        eprintln!("live tests are skipped: {reason}");
    }
    // Of what is made of the bytes; over either family, in turn.
    let of_either = [
        context::choices(),
        export::tests(),
        collector::tests(),
        delivery::tests(),
        metrics::tests(),
        backends::tests(),
        names::tests(),
        resource::tests(),
        commandline::tests(),
        replay::tests(),
        secrets::tests(),
        accounting::of_either(),
        containers::of_either(),
        parents::of_either(),
        privileges::of_either(),
        faults::tests(),
        bounds::tests(),
    ]
    .concat();
    // Of how they are come by, protocol by protocol.
    let of_each = [
        exact::tests(),
        context::tests(),
        shapes::tests(),
        traffic::tests(),
        attach::tests(),
        client::tests(),
        rpc::tests(),
        frameworks::tests(),
        parents::tests(),
        privileges::tests(),
        accounting::tests(),
        containers::tests(),
    ]
    .concat();
    let mut trials = Vec::new();
    let here = Family::here();
    for (place, family) in Family::ALL.into_iter().enumerate() {
        let missing = family.missing();
        // Where there is one family, all runs over that; of the other one what would run over it is named.
        let (turn, turns) = match here.iter().position(|one| *one == family) {
            Some(turn) => (turn, here.len()),
            None => (place, Family::ALL.len()),
        };
        let of_either = of_either.iter().skip(turn).step_by(turns);
        // Over one family agents record, what is replayed then; over the other one they are as users have them.
        let records = here.last() == Some(&family);
        for (name, test) in of_either.chain(&of_each) {
            let (name, test) = (format!("{}::{name}", family.name()), *test);
            let (named, missing) = (name.clone(), missing.clone());
            let trial = Trial::ignorable_test(name, move || {
                if let Some(reason) = missing {
                    return Ok(Completion::ignored_with(format!("skipped: {reason}")));
                }
                let _timed = Timed(named.clone(), Instant::now());
                recording::begin(&named, records);
                test(family);
                Ok(Completion::Completed)
            });
            trials.push(trial.with_ignored_flag(reason.is_some()));
        }
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    show_slowest();
    conclusion.exit();
}

/// How long each test took, and its name.
static TOOK: Mutex<Vec<(Duration, String)>> = Mutex::new(Vec::new());

/// A test that runs, however it ends.
struct Timed(String, Instant);

impl Drop for Timed {
    fn drop(&mut self) {
        let took = (self.1.elapsed(), std::mem::take(&mut self.0));
        TOOK.lock().expect("not poisoned").push(took);
    }
}

/// Tests worth a look where the whole takes long.
const SLOWEST: usize = 10;

fn show_slowest() {
    let mut took = TOOK.lock().expect("not poisoned");
    took.sort_by(|one, other| other.cmp(one));
    for (time, name) in took.iter().take(SLOWEST) {
        println!("{:5.1} s  {name}", time.as_secs_f64());
    }
}

/// Why these tests cannot run here, if so. In CI that is a failure, not a reason to skip.
fn cannot_run() -> Option<&'static str> {
    if std::env::var_os("CI").is_some() {
        return None;
    }
    // SAFETY: geteuid has no preconditions.
    if unsafe { libc::geteuid() } != 0 {
        return Some("tracing needs root");
    }
    if tests::agent::program().is_none() {
        return Some("TRACER_BIN names no agent; `cargo xtask test` builds one and runs them");
    }
    None
}
