//! The stations behind a replay, all but delivery: the tracker, and what its spans say.

use std::collections::HashSet;
use std::sync::Arc;

use crate::event::ConnectionId;
use crate::protocol::Framing;
use crate::record::Input;
use crate::resource::{Resource, SharedResource};
use crate::semconv::{self, AttributeSink, Level, Options, Paths};
use crate::span::{Host, Span, Tracker};

/// Takes inputs until it is finished.
pub struct Stations {
    tracker: Tracker,
    host: Reader,
}

/// Reads every word of every span.
struct Reader {
    paths: Paths,
    options: Options,
    resource: SharedResource,
}

/// One span's attributes.
#[derive(Default)]
struct Attributes(HashSet<String>);

impl AttributeSink for Attributes {
    fn text(&mut self, name: &str, _: &[&str]) {
        assert!(self.0.insert(name.to_owned()), "{name} is told twice");
    }

    fn int(&mut self, name: &str, _: i64) {
        self.text(name, &[]);
    }

    fn double(&mut self, name: &str, value: f64) {
        assert!(value.is_finite(), "{name}: {value}");
        self.text(name, &[]);
    }

    fn texts(&mut self, name: &str, _: &[&str]) {
        self.text(name, &[]);
    }
}

impl Host for Reader {
    fn span(&mut self, span: Span) {
        assert_ne!(span.trace_id.0, [0; 16]);
        let path = self.paths.name(&span);
        semconv::span_name(&span, path, &self.options, |name| {
            assert!(!name.concat().is_empty(), "a span without a name");
        });
        semconv::attributes(&span, path, &self.options, &mut Attributes::default());
        semconv::error(&span);
        semconv::events(&span, Level::Detailed, |_| {});
    }

    fn ignore(&mut self, _: ConnectionId) {}

    fn framed(&mut self, _: ConnectionId, _: Framing) {}

    fn describe(&mut self, _: u32) -> SharedResource {
        self.resource.clone()
    }

    fn tell_goroutines(&mut self, _: u32, _: bool) {}
}

impl Stations {
    /// Nothing was seen yet.
    pub fn new(to_unix: i64) -> Stations {
        let mut tracker = Tracker::new(to_unix);
        tracker.seed_ids([7; 32]);
        tracker.keep_messages(128);
        Stations {
            tracker,
            host: Reader {
                paths: Paths::default(),
                options: Options::default(),
                resource: Arc::new(Resource {
                    pid: 1,
                    service_name: "fuzzed".to_owned(),
                    attributes: Vec::new(),
                    go: true,
                }),
            },
        }
    }

    /// Takes the next input.
    pub fn input(&mut self, input: &Input<'_>) {
        match input {
            Input::Event(event) => self.tracker.event(event, &mut self.host),
            Input::Clock { boot_ns, to_unix } => {
                self.tracker.set_clock(*to_unix);
                self.tracker.tick(*boot_ns, &mut self.host);
            }
            Input::Swept => self.tracker.sweep(&mut self.host),
            Input::Gap(now) => _ = self.tracker.gap(*now),
            Input::Lost(_) => _ = self.tracker.gap(true),
            Input::Process(_)
            | Input::Told(_)
            | Input::Framed { .. }
            | Input::Ignored(_)
            | Input::Stopped(_) => {}
        }
    }

    /// Every message is accounted for.
    pub fn finish(mut self) {
        self.tracker.stop(&mut self.host);
        let messages = self.tracker.counts().messages;
        let incomplete: u64 = messages.incomplete.iter().sum();
        assert_eq!(messages.started, messages.complete + incomplete);
    }
}
