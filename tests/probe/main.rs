//! The probes' traps, one test each: what the programs report when a process does one certain thing
//! with a socket. No agent: the tests load the programs themselves and read the ring.
//!
//! Each test starts this program once more as an *actor* (see [`acts`]), traces it, lets it go, and
//! compares all that was reported with what it did. They need root; without it they are skipped, as
//! the live tests are.

use libtest_mimic::{Arguments, Completion, Trial};
use tests::agent;
use tracer::probe::Family;

mod acts;
mod frames;
mod holders;
mod socket;
mod traps;
mod watch;

fn main() {
    // The actor: `probe --act NAME`.
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() == Some("--act") {
        let name = arguments.next().unwrap_or_default();
        return acts::run(&name, arguments.next());
    }

    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    // SAFETY: no preconditions.
    let root = unsafe { libc::geteuid() } == 0;
    let skip = !root && std::env::var_os("CI").is_none();
    if skip {
        eprintln!("probe tests are skipped: they need root");
    }
    let trials = agent::Family::ALL
        .into_iter()
        .flat_map(|family| {
            let missing = family.missing();
            let family = match family {
                agent::Family::Sock => Family::Sock,
                agent::Family::Syscall => Family::Syscall,
            };
            let tests = traps::TESTS
                .iter()
                .chain(holders::TESTS)
                .chain(frames::TESTS);
            tests.map(move |&(name, test)| {
                let missing = missing.clone();
                Trial::ignorable_test(format!("{family}::{name}"), move || {
                    if let Some(reason) = missing {
                        return Ok(Completion::ignored_with(format!("skipped: {reason}")));
                    }
                    test(family);
                    Ok(Completion::Completed)
                })
                .with_ignored_flag(skip)
            })
        })
        .collect();
    libtest_mimic::run(&arguments, trials).exit();
}
