//! Which formats there are, and which of them are read first (`OTEL_PROPAGATORS`).

use smallvec::SmallVec;

/// Propagation formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// W3C Trace Context.
    W3c,
    /// B3, one field.
    B3,
    /// B3, a field per value.
    B3Multi,
    /// Jaeger's clients.
    Jaeger,
    /// OpenTracing's basic tracer.
    OpenTracing,
    /// go-zero up to 1.2.1; answers up to 1.3.1.
    GoZero,
    /// Kratos v1.
    Kratos,
    /// AWS X-Ray.
    Xray,
    /// Datadog.
    Datadog,
    /// SkyWalking.
    Sw8,
    /// OpenCensus over gRPC.
    GrpcTraceBin,
    /// Jaeger's binary form as Kitex' metainfo.
    KitexJaeger,
}

impl Format {
    /// All, in the order in which they are preferred.
    pub const ALL: [Format; 12] = [
        Format::W3c,
        Format::B3,
        Format::B3Multi,
        Format::Jaeger,
        Format::OpenTracing,
        Format::GoZero,
        Format::Kratos,
        Format::Xray,
        Format::Datadog,
        Format::Sw8,
        Format::GrpcTraceBin,
        Format::KitexJaeger,
    ];

    /// The word users see: a value of `tracer.context.format`.
    pub fn as_str(self) -> &'static str {
        match self {
            Format::W3c => "w3c",
            Format::B3 => "b3",
            Format::B3Multi => "b3multi",
            Format::Jaeger => "jaeger",
            Format::OpenTracing => "ot",
            Format::GoZero => "go-zero",
            Format::Kratos => "kratos",
            Format::Xray => "xray",
            Format::Datadog => "datadog",
            Format::Sw8 => "sw8",
            Format::GrpcTraceBin => "grpc-trace-bin",
            Format::KitexJaeger => "kitex-jaeger",
        }
    }

    /// By our name or the standard's, in any case.
    fn named(name: &str) -> Option<Format> {
        let name = name.to_ascii_lowercase();
        match name.as_str() {
            "tracecontext" => Some(Format::W3c),
            "ottrace" => Some(Format::OpenTracing),
            _ => Format::ALL
                .into_iter()
                .find(|format| format.as_str() == name),
        }
    }
}

/// The formats that are read, the preferred first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Formats(SmallVec<[Format; Format::ALL.len()]>);

impl Default for Formats {
    /// All.
    fn default() -> Self {
        Formats(Format::ALL.into_iter().collect())
    }
}

impl Formats {
    /// By names behind commas, as `OTEL_PROPAGATORS` has them; `none` is none, and `baggage`, which
    /// names no span, is nothing to us. Names that are unknown are given back.
    pub fn named(names: &str) -> (Formats, Vec<String>) {
        let mut formats = SmallVec::new();
        let mut unknown = Vec::new();
        for name in names
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty())
        {
            match Format::named(name) {
                Some(format) if formats.contains(&format) => {}
                Some(format) => formats.push(format),
                None if ["none", "baggage"]
                    .iter()
                    .any(|known| name.eq_ignore_ascii_case(known)) => {}
                None => unknown.push(name.to_owned()),
            }
        }
        (Formats(formats), unknown)
    }

    /// None is read.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// In order.
    pub(super) fn iter(&self) -> impl Iterator<Item = Format> + '_ {
        self.0.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn named_in_any_order_once_each() {
        let (formats, unknown) = Formats::named("b3, TraceContext,baggage,b3,ottrace,ot,jeager");
        assert_eq!(
            formats.iter().collect::<Vec<_>>(),
            [Format::B3, Format::W3c, Format::OpenTracing]
        );
        assert_eq!(unknown, ["jeager"]);
        assert_eq!(Formats::named("none").0.iter().count(), 0);
        for format in Format::ALL {
            let (named, unknown) = Formats::named(format.as_str());
            assert_eq!((named.iter().collect(), unknown.len()), (vec![format], 0));
        }
    }
}
