//! What a line of `pretty` says of a span, before it is known where it will stand.

use crate::context::{SpanId, TraceId};
use crate::resource::SharedResource;
use crate::semconv::{self, AttributeSink, Stage, name};
use crate::span::{Kind, ParentSource, Span};

/// A span, as far as a line shows it.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub resource: SharedResource,
    pub kind: Kind,
    pub trace_id: TraceId,
    pub span_id: SpanId,
    /// Its parent, if that is a span seen on this host.
    pub parent: Option<SpanId>,
    pub start_ns: u64,
    pub end_ns: u64,
    pub stages: Vec<Stage>,
    /// HTTP's, or the RPC system.
    pub method: String,
    /// Path and query; a client's with the host before it. Of an RPC, its method.
    pub target: String,
    /// HTTP's code, or `OK`; empty = none.
    pub status: String,
    pub error: bool,
    /// What went wrong, where no status says it.
    pub note: String,
}

impl Line {
    pub(super) fn of(span: &Span, options: &semconv::Options) -> Self {
        let mut picked = Picked::default();
        // It shows the path itself.
        semconv::attributes(span, None, options, &mut picked);
        let error = semconv::error(span).is_some();
        if picked.is_rpc && picked.status.is_empty() && span.response.is_some() && !error {
            picked.status = "OK".to_owned();
        }
        Line {
            resource: SharedResource::clone(&span.resource),
            kind: span.kind,
            trace_id: span.trace_id,
            span_id: span.span_id,
            parent: match span.parent {
                None | Some((_, ParentSource::Propagated)) => None,
                Some((id, _)) => Some(id),
            },
            start_ns: span.start_ns,
            end_ns: span.end_ns,
            stages: semconv::stages(span).collect(),
            method: match picked.method.is_empty() {
                true => "?".to_owned(),
                false => picked.method,
            },
            target: picked.target,
            status: picked.status,
            error,
            note: picked.note,
        }
    }

    /// When the first of its stages began, which may be before the span did.
    pub(super) fn begin_ns(&self) -> u64 {
        let first = self.stages.iter().map(|stage| stage.from).min();
        first.map_or(self.start_ns, |first| first.min(self.start_ns))
    }
}

/// Picks what is shown from a span's attributes, so that it is what is exported.
#[derive(Default)]
struct Picked {
    method: String,
    target: String,
    status: String,
    note: String,
    is_rpc: bool,
}

impl AttributeSink for Picked {
    fn text(&mut self, name: &str, pieces: &[&str]) {
        match name {
            name::METHOD | name::METHOD_ORIGINAL => self.method = escaped(pieces),
            name::URL_PATH => self.target = escaped(pieces),
            name::URL_QUERY => {
                self.target.push('?');
                self.target.push_str(&escaped(pieces));
            }
            name::URL_FULL => {
                let url = escaped(pieces);
                self.target = url.strip_prefix("http://").unwrap_or(&url).to_owned();
            }
            name::INCOMPLETE if self.note.is_empty() => self.note = escaped(pieces),
            name::RPC_SYSTEM => {
                self.is_rpc = true;
                self.method = escaped(pieces);
            }
            name::RPC_METHOD => self.target = escaped(pieces),
            name::RPC_STATUS_CODE if pieces == ["OK"] => self.status = "OK".to_owned(),
            // In words, too long for the column.
            name::RPC_STATUS_CODE => self.note = escaped(pieces),
            // Where no status tells it, and an RPC has none that fits.
            name::ERROR_TYPE if self.is_rpc => self.note = escaped(pieces),
            _ => {}
        }
    }

    fn int(&mut self, name: &str, value: i64) {
        if name == name::STATUS_CODE {
            self.status = value.to_string();
        }
    }

    fn double(&mut self, _: &str, _: f64) {}

    fn texts(&mut self, _: &str, _: &[&str]) {}
}

/// Text that does to a terminal nothing but show: what steers it is written as an escape.
pub(super) fn escaped(pieces: &[&str]) -> String {
    let mut shown = String::with_capacity(pieces.iter().map(|piece| piece.len()).sum());
    for character in pieces.iter().flat_map(|piece| piece.chars()) {
        match character {
            // Controls, and what changes the direction of text or can't be seen.
            '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}' => {
                shown.extend(character.escape_unicode());
            }
            character if character.is_control() => shown.extend(character.escape_default()),
            character => shown.push(character),
        }
    }
    shown
}
