//! Spans on standard output: `pretty` for people, `json` for programs.
//!
//! Both collect what [`writer`] then writes on its own thread. Neither waits for company as long as
//! a batch for the network does: someone is looking.

mod line;
mod order;
mod painter;
mod pretty;
mod terminal;
#[cfg(test)]
mod tests;
mod writer;

use std::io::Write;
use std::time::{Duration, Instant};

use self::line::Line;
use self::order::Order;
use self::terminal::Terminal;
use self::writer::{Piece, Writer};
use super::Error;
use super::batch::Batch;
use super::overflow::Overflow;
use super::settings::Batching;
use crate::semconv;
use crate::span::Span;

/// Spans in one line of JSON at most.
const LINE_SPANS: usize = 512;

/// Longest that a span waits for others to share its line of JSON.
const LINE_DELAY: Duration = Duration::from_millis(100);

/// Standard output, and what is on its way there.
pub(super) struct Console {
    writer: Writer,
    form: Form,
    /// Spans left out, since too much waited.
    overflow: Overflow,
    /// The last tick: all times of lines of JSON are those of ticks, so that a replay, which has its
    /// ticks from the recording, ends each line where it ended.
    ticked: Instant,
    batching: Batching,
}

enum Form {
    Pretty {
        order: Box<Order>,
        legend_due: bool,
    },
    Json {
        batch: Batch,
        /// The last tick before its first span came.
        since: Instant,
    },
}

impl Console {
    /// A line for people per span.
    pub(super) fn pretty(
        output: impl Write + Send + 'static,
        batching: Batching,
    ) -> Result<Self, Error> {
        let form = Form::Pretty {
            order: Box::default(),
            legend_due: true,
        };
        Console::new(output, batching, form)
    }

    /// A line of JSON per request.
    pub(super) fn json(
        output: impl Write + Send + 'static,
        batching: Batching,
    ) -> Result<Self, Error> {
        let form = Form::Json {
            batch: Batch::default(),
            since: Instant::now(),
        };
        Console::new(output, batching, form)
    }

    fn new(
        output: impl Write + Send + 'static,
        batching: Batching,
        form: Form,
    ) -> Result<Self, Error> {
        Ok(Console {
            writer: Writer::start(output, batching)?,
            form,
            overflow: Overflow::default(),
            ticked: Instant::now(),
            batching,
        })
    }

    /// Whether it wants spans encoded, not worded.
    pub(super) fn wants_encoded(&self) -> bool {
        matches!(self.form, Form::Json { .. })
    }

    /// Takes a span; `encoded` if wanted.
    pub(super) fn span(&mut self, span: &Span, encoded: &[u8], options: &semconv::Options) {
        if self.writer.is_closed() {
            return;
        }
        match &mut self.form {
            Form::Pretty { order, .. } => {
                if !self.writer.has_room(order.len() + 1, 0) {
                    self.overflow.count();
                    return;
                }
                let now = Instant::now();
                order.push(Line::of(span, options), now);
                if order.is_full() {
                    self.print(now, false);
                }
            }
            Form::Json { batch, since } => {
                let bytes = batch.bytes() + encoded.len();
                if !self.writer.has_room(batch.spans() + 1, bytes) {
                    self.overflow.count();
                    return;
                }
                if batch.spans() == 0 {
                    *since = self.ticked;
                }
                batch.push(&span.resource, encoded);
                if batch.spans() >= LINE_SPANS {
                    self.close_line();
                }
            }
        }
    }

    /// Hands on what has waited long enough.
    pub(super) fn tick(&mut self, now: Instant) {
        self.ticked = now;
        if let Some(spans) = self.overflow.due(now) {
            log::warn!(
                "{spans} spans not printed (queue_full): standard output is read too slowly"
            );
        }
        match &self.form {
            Form::Pretty { .. } => self.print(now, false),
            Form::Json { since, .. } => {
                if now >= *since + LINE_DELAY {
                    self.close_line();
                }
            }
        }
    }

    /// Whether half of what may wait does.
    pub(super) fn is_behind(&self) -> bool {
        let most = &self.batching;
        !self
            .writer
            .has_room(most.max_queue_size / 2, most.max_queue_bytes() / 2)
    }

    /// Spans left out so far, since too much waited.
    pub(super) fn overflowed(&self) -> u64 {
        self.overflow.total()
    }

    /// Spans written so far.
    pub(super) fn written(&self) -> u64 {
        self.writer.written()
    }

    /// Whether nobody reads any more.
    pub(super) fn is_closed(&self) -> bool {
        self.writer.is_closed()
    }

    /// Writes the rest, but no longer than that. Returns how many spans were written in all.
    pub(super) fn finish(mut self, timeout: Duration) -> u64 {
        match self.form {
            Form::Pretty { .. } => self.print(Instant::now(), true),
            Form::Json { .. } => self.close_line(),
        }
        self.writer.finish(timeout)
    }

    fn print(&mut self, now: Instant, all: bool) {
        let Form::Pretty { order, legend_due } = &mut self.form else {
            return;
        };
        if order.len() == 0 {
            return;
        }
        let terminal = Terminal::now();
        let mut text = String::new();
        let mut spans = 0;
        if terminal.watched && std::mem::take(legend_due) {
            text = pretty::legend(terminal);
        }
        order.release(now, all, |line, place| {
            text.push_str(&pretty::line(line, place, terminal));
            spans += 1;
        });
        if !text.is_empty() {
            let text = text.into_bytes();
            self.writer.push(Piece::Lines { text, spans });
        }
    }

    fn close_line(&mut self) {
        if let Form::Json { batch, .. } = &mut self.form
            && let Some(request) = batch.take()
        {
            self.writer.push(Piece::Json(request));
        }
    }
}
