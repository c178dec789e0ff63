//! The long soak, over both families.

use anyhow::Result;

use super::report::Report;
use crate::agent::Family;
use crate::soak::{self, Plan};

/// Measures.
///
/// # Errors
/// See [`soak::run`].
pub fn run(report: &mut Report) -> Result<()> {
    for family in [Family::Sock, Family::Syscall] {
        report.progress(format!("soak, {} probes", family.name()));
        let outcome = soak::run(&Plan::WHOLE, family)?;
        report.progress(format!("  {:?}", outcome.stats));
        for wrong in outcome.wrong {
            report.wrong(wrong);
        }
    }
    Ok(())
}
