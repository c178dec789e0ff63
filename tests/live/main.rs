//! Live tests: the built agent on this kernel, attached to real servers.
//!
//! They need root and the built agent (`cargo xtask test` sees to both), and run one at a time: many
//! look at the whole machine. Without root they are skipped with that reason, unless `CI` is set.

use libtest_mimic::{Arguments, Trial};
use tests::agent::Family;

mod attach;
mod backends;
mod client;
mod collector;
mod commandline;
mod common;
mod context;
mod delivery;
mod exact;
mod export;
mod frameworks;
mod metrics;
mod names;
mod parents;
mod privileges;
mod resource;
mod rpc;
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
    let tests = [
        exact::tests(),
        context::tests(),
        shapes::tests(),
        traffic::tests(),
        attach::tests(),
        client::tests(),
        export::tests(),
        collector::tests(),
        metrics::tests(),
        rpc::tests(),
        frameworks::tests(),
        names::tests(),
        parents::tests(),
        resource::tests(),
        commandline::tests(),
        privileges::tests(),
    ]
    .concat();
    // For these it makes no difference, and they take long.
    let once = [backends::tests(), delivery::tests()].concat();
    let mut trials = Vec::new();
    for (family, tests) in [
        (Family::Sock, [tests.clone(), once].concat()),
        (Family::Syscall, tests),
    ] {
        for (name, test) in tests {
            let trial = Trial::test(format!("{}::{name}", family.name()), move || {
                test(family);
                Ok(())
            });
            trials.push(trial.with_ignored_flag(reason.is_some()));
        }
    }
    libtest_mimic::run(&arguments, trials).exit();
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
