//! Which series there are: found by the process and the attributes, begun when first met, let go
//! when their process is gone or nothing happens any more.
//!
//! Bias: the numbers of a process that is gone are kept for a while, since a reader comes by only now
//! and then; and those of one that lives as long as there is room, since a series that begins anew
//! hides its first exchange from whoever reads differences.

use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use slab::Slab;

use super::attributes::{Attributes, Packer};
use super::histogram::Exemplar;
use super::series::{Active, Series, Service};
use super::snapshot::Snapshot;
use crate::counters::Counters;
use crate::event::Addresses;
use crate::protocol::Head;
use crate::resource::{Resource, SharedResource, Value};
use crate::semconv::metrics::{self as convention, Measured};
use crate::semconv::{self, PathName};
use crate::span::{Kind, Span};

/// Series of one service: OpenTelemetry's own default for a metric, and twice as many as there may be
/// names of paths. What has other attributes beyond is counted together.
pub const SERIES_OF_SERVICE: usize = 2_000;

/// Series of all services: with some 2 KiB each, 20 MB, and twice that while one is read.
pub const SERIES: usize = 10_000;

/// Services measured at once. A host has some hundred; what is forked for each request makes room by
/// ending.
pub const SERVICES: usize = 4_096;

/// How long a process that is gone is still told of, ns: Prometheus takes a series for ended after
/// five minutes, so no one reads more rarely.
const GONE: u64 = 5 * 60 * 1_000_000_000;

/// How long a series is kept in which nothing happens, ns: a day, so that what runs every night is one.
const IDLE: u64 = 24 * 3600 * 1_000_000_000;

/// Which exchanges are kept as examples: `OTEL_METRICS_EXEMPLAR_FILTER`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Exemplars {
    /// Those whose span is kept: an example that leads nowhere is none.
    #[default]
    OfKeptSpans,
    /// All.
    All,
    /// None.
    None,
}

/// What bounds turned away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unmeasured {
    /// Exchanges counted together with others, as there were too many series.
    pub overflowed: u64,
    /// Exchanges not counted, as there were too many services.
    pub services: u64,
}

/// Counts exchanges.
#[derive(Default)]
pub struct Recorder {
    options: semconv::Options,
    exemplars: Exemplars,
    /// By the address of a resource, which its service keeps alive.
    by_resource: HashMap<usize, usize, RandomState>,
    services: Slab<Measuring>,
    /// Series of all services.
    series: usize,
    unmeasured: Unmeasured,
    /// The attributes under way.
    packed: Vec<u8>,
    /// Given to the last series.
    last_id: u64,
}

type Set<T> = HashMap<Attributes, T, RandomState>;

/// A service under way. Its sets are by what they are measured as.
struct Measuring {
    resource: SharedResource,
    /// Earlier ones of the same identity.
    earlier: Vec<SharedResource>,
    series: [Set<Box<Series>>; Measured::COUNT],
    active: [Set<Active>; Measured::COUNT],
    /// How many there are in all of them.
    count: usize,
    /// When something happened last. Unix ns.
    last: u64,
}

impl Recorder {
    /// Without series. The options are those that spans are worded by.
    pub fn new(options: semconv::Options, exemplars: Exemplars) -> Self {
        Recorder {
            options,
            exemplars,
            ..Recorder::default()
        }
    }

    /// Counts a finished exchange. `path` is what its path is called, `kept` says whether its span is.
    pub fn record(&mut self, span: &Span, path: Option<PathName<'_>>, kept: bool) {
        if !convention::is_measured(span) {
            return;
        }
        let service = match self.by_resource.get(&address(&span.resource)) {
            Some(service) => *service,
            None => match self.meet(&span.resource, span.end_ns) {
                Some(service) => service,
                None => {
                    self.unmeasured.services += 1;
                    return;
                }
            },
        };
        self.packed.clear();
        let of = convention::exchange(span, path, &self.options, &mut Packer(&mut self.packed));
        let exemplar = match self.exemplars {
            Exemplars::OfKeptSpans => kept,
            Exemplars::All => true,
            Exemplars::None => false,
        };
        let exemplar = exemplar.then_some(Exemplar {
            trace_id: span.trace_id,
            span_id: span.span_id,
            value: 0,
            at: span.end_ns,
        });
        let measuring = &mut self.services[service];
        measuring.last = span.end_ns;
        match measuring.series[of as usize].get_mut(&self.packed[..]) {
            Some(series) => series.record(span, exemplar),
            None => self.begin(service, of, span).record(span, exemplar),
        }
    }

    /// The service of a resource that is met for the first time; none: there is no room.
    #[cold]
    fn meet(&mut self, resource: &SharedResource, now: u64) -> Option<usize> {
        let same = |known: &Measuring| identity(&known.resource) == identity(resource);
        let known = self.services.iter_mut().find(|(_, known)| same(known));
        let resource = SharedResource::clone(resource);
        let address = address(&resource);
        let service = match known {
            Some((service, known)) => {
                let earlier = std::mem::replace(&mut known.resource, resource);
                known.earlier.push(earlier);
                service
            }
            None => {
                if self.services.len() >= SERVICES {
                    self.sweep(now);
                }
                if self.services.len() >= SERVICES {
                    return None;
                }
                self.services.insert(Measuring {
                    resource,
                    earlier: Vec::new(),
                    series: Default::default(),
                    active: Default::default(),
                    count: 0,
                    last: now,
                })
            }
        };
        self.by_resource.insert(address, service);
        Some(service)
    }

    /// A new series for the attributes that are packed, or the one of what there is no room for.
    #[cold]
    fn begin(&mut self, service: usize, of: Measured, span: &Span) -> &mut Series {
        if self.is_full(service) {
            self.unmeasured.overflowed += 1;
            self.pack_overflow();
        } else if let Some(request) = &span.request {
            // Also where it was never seen open: 0 is a number as well.
            let packed = std::mem::take(&mut self.packed);
            self.count_active(service, span.kind, request, span.addresses, span.end_ns, 0);
            self.packed = packed;
        }
        let attributes = Attributes::of(&self.packed);
        let measuring = &mut self.services[service];
        let entry = measuring.series[of as usize].entry(attributes);
        entry.or_insert_with_key(|attributes| {
            self.series += 1;
            measuring.count += 1;
            self.last_id += 1;
            let attributes = attributes.clone();
            Box::new(Series::new(of, attributes, self.last_id, span.start_ns))
        })
    }

    /// Whether there is no room for another series of that service.
    fn is_full(&self, service: usize) -> bool {
        self.services[service].count >= SERIES_OF_SERVICE || self.series >= SERIES
    }

    fn pack_overflow(&mut self) {
        self.packed.clear();
        Packer(&mut self.packed).mark(convention::OVERFLOW);
    }

    /// Counts so many requests of those attributes as open.
    fn count_active(
        &mut self,
        service: usize,
        kind: Kind,
        request: &Head,
        addresses: Option<Addresses>,
        now: u64,
        count: u64,
    ) {
        self.packed.clear();
        let mut packer = Packer(&mut self.packed);
        let of = convention::active(kind, request, addresses, &self.options, &mut packer);
        let Some((of, metric)) = of.and_then(|of| Some((of, of.active()?))) else {
            return;
        };
        let known = self.services[service].active[of as usize].contains_key(&self.packed[..]);
        if !known && self.is_full(service) {
            self.pack_overflow();
        }
        let attributes = Attributes::of(&self.packed);
        let measuring = &mut self.services[service];
        let entry = measuring.active[of as usize].entry(attributes);
        let active = entry.or_insert_with_key(|attributes| {
            self.series += 1;
            measuring.count += 1;
            self.last_id += 1;
            Active {
                attributes: attributes.clone(),
                id: self.last_id,
                start: now,
                last: now,
                of: metric,
                count: 0,
            }
        });
        active.count += count;
        active.last = now;
    }

    /// What was counted up to now (unix ns). `open` tells every request that is open.
    pub fn snapshot(
        &mut self,
        now: u64,
        counters: Counters,
        open: impl FnOnce(&mut dyn FnMut(&SharedResource, Kind, &Head, Option<Addresses>)),
    ) -> Snapshot {
        for (_, service) in &mut self.services {
            for active in service.active.iter_mut().flat_map(HashMap::values_mut) {
                active.count = 0;
            }
        }
        open(&mut |resource, kind, request, addresses| {
            let known = self.by_resource.get(&address(resource)).copied();
            if let Some(service) = known.or_else(|| self.meet(resource, now)) {
                self.services[service].last = now;
                self.count_active(service, kind, request, addresses, now, 1);
            }
        });
        let services = self.services.iter().map(|(_, service)| service.copy());
        Snapshot {
            at: now,
            services: services.collect(),
            counters,
        }
    }

    /// Lets go what has ended. `now` in unix ns; call every minute or so.
    pub fn sweep(&mut self, now: u64) {
        let (by_resource, all) = (&mut self.by_resource, &mut self.series);
        self.services.retain(|_, service| {
            // What nobody else holds any more is not traced any more.
            let gone = |resource: &SharedResource| Arc::strong_count(resource) == 1;
            service.earlier.retain(|resource| {
                if gone(resource) {
                    by_resource.remove(&address(resource));
                }
                !gone(resource)
            });
            let over =
                service.earlier.is_empty() && gone(&service.resource) && service.last + GONE <= now;
            if over {
                by_resource.remove(&address(&service.resource));
                *all -= service.count;
                return false;
            }
            let before = service.count;
            service.let_go(now.saturating_sub(IDLE));
            *all -= before - service.count;
            true
        });
    }

    /// What bounds turned away.
    pub fn unmeasured(&self) -> Unmeasured {
        self.unmeasured
    }
}

impl Measuring {
    /// Lets go the series in which nothing happened since.
    fn let_go(&mut self, since: u64) {
        let mut count = 0;
        for set in &mut self.series {
            set.retain(|_, series| series.last >= since);
            count += set.len();
        }
        for set in &mut self.active {
            set.retain(|_, active| active.last >= since);
            count += set.len();
        }
        self.count = count;
    }

    fn copy(&self) -> Service {
        let series = self.series.iter().flat_map(HashMap::values);
        let mut series: Vec<Series> = series.map(|series| Series::clone(series)).collect();
        series.sort_unstable_by_key(|series| series.id);
        let active = self.active.iter().flat_map(HashMap::values);
        let mut active: Vec<Active> = active.cloned().collect();
        active.sort_unstable_by_key(|active| active.id);
        Service {
            resource: SharedResource::clone(&self.resource),
            series,
            active,
        }
    }
}

/// Names a resource for as long as it is held.
fn address(resource: &SharedResource) -> usize {
    Arc::as_ptr(resource) as usize
}

/// What no two services have alike (OpenTelemetry's `service.*`): where several processes or programs
/// have it, they are one, as their readers can't tell them apart.
fn identity(resource: &Resource) -> [Option<&Value>; 3] {
    ["service.namespace", "service.name", "service.instance.id"].map(|name| {
        let found = resource.attributes.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value)
    })
}
