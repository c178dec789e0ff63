//! Metrics of the traced processes: how long their exchanges and the stages of these took, how large
//! bodies were, how many are open. Of all exchanges, whether their spans are kept or not.
//!
//! ```text
//! span ─▶ Recorder: a series per process and set of attributes
//!            │ when a reader asks
//!            ▼
//!         Snapshot ─▶ export: OTLP, Prometheus page
//! ```
//!
//! The [`Recorder`] belongs to the pipeline's thread, so counting an exchange takes no lock: the
//! attributes are packed into bytes, the series of these bytes is found, numbers are added. What the
//! numbers are called is [`crate::semconv::metrics`]'s; what the agent itself did, [`crate::counters`]'.
//!
//! * [`attributes`]: what a series is of.
//! * [`histogram`]: numbers in buckets, and an example for each.
//! * [`series`]: all that is measured of one kind of exchanges; what is read of it.
//! * [`recorder`]: which series there are, and which are let go.
//! * [`snapshot`]: how a reader gets them.

mod attributes;
mod histogram;
mod recorder;
mod series;
mod snapshot;
#[cfg(test)]
mod tests;

pub use attributes::{Attributes, Value};
pub use histogram::{Exemplar, Histogram};
pub use recorder::{Exemplars, Recorder, Unmeasured};
pub use series::{Measurement, Point, Service};
pub use snapshot::{Inquiries, Snapshot, Source};
