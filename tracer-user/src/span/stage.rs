//! When: the instants of an exchange, as they are stamped and as a span shows them.
//!
//! While an exchange runs, [`Stamps`] keeps the raw boot-time instants of both messages. At its end
//! [`Stamps::instants`] makes the [`Instants`] of a span from them. Bias: what a span shows is in
//! stage order, so that a difference of two instants is never negative. Where the answer began
//! before the message it answers had ended (a 413, a proxy that streams both ways), the two messages
//! overlap: the end of the asking message is then left out (0), and with it the stages on its sides,
//! rather than bent into order.

use super::{Instants, Kind};

/// The transfer being looked at, boot-time ns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// Sent: the call began. Received: the bytes became readable. 0 = not known.
    pub begin: u64,
    /// The call had moved the bytes.
    pub end: u64,
}

impl Moment {
    /// When it began, or the nearest to it that is known.
    pub fn begin_or_end(self) -> u64 {
        if self.begin == 0 {
            self.end
        } else {
            self.begin
        }
    }
}

/// The instants of one message.
#[derive(Clone, Copy, Debug, Default)]
pub struct MessageStamps {
    /// The transfer with its first byte.
    pub first: Moment,
    /// End of the transfer that completed the head; 0 = not seen.
    pub head: u64,
    /// End of the transfer with its last byte; 0 = not seen.
    pub last: u64,
}

/// The raw instants of an exchange.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stamps {
    /// `connect` began and was done, on the exchange that opened the connection.
    pub connect: Option<(u64, u64)>,
    /// Of the request.
    pub request: MessageStamps,
    /// Of the final response.
    pub response: MessageStamps,
    /// The connection ended before the exchange did; 0 = it did not.
    pub closed: u64,
}

/// What a span shows of the time, unix ns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// See [`super::Span::start_ns`].
    pub start: u64,
    /// See [`super::Span::end_ns`].
    pub end: u64,
    /// See [`super::Span::instants`].
    pub instants: Instants,
}

impl Stamps {
    /// The times of a span of that kind; `to_unix` is added to boot-time ns to get unix ns.
    pub fn times(&self, kind: Kind, to_unix: i64) -> Times {
        let (ordered, start) = match kind {
            Kind::Server => self.server(),
            Kind::Client => self.client(),
        };
        let unix = |boot: u64| match boot {
            0 => 0,
            boot => boot.saturating_add_signed(to_unix),
        };
        let end = [
            ordered.write_finish,
            ordered.body_read,
            ordered.header_read,
            ordered.read_start,
            ordered.write_start,
            self.closed,
            start,
        ]
        .into_iter()
        .max()
        .unwrap_or(start);
        Times {
            start: unix(start),
            end: unix(end),
            instants: Instants {
                connect_start: unix(ordered.connect_start),
                connect_end: unix(ordered.connect_end),
                arrived: unix(ordered.arrived),
                read_start: unix(ordered.read_start),
                header_read: unix(ordered.header_read),
                body_read: unix(ordered.body_read),
                write_start: unix(ordered.write_start),
                write_finish: unix(ordered.write_finish),
            },
        }
    }

    /// Read, then written. Boot-time instants, and the first byte of the request.
    fn server(&self) -> (Instants, u64) {
        let (request, response) = (self.request, self.response);
        let answered = response.first.begin_or_end();
        let mut order = Order::default();
        let instants = Instants {
            arrived: order.next(request.first.begin.min(request.first.end)),
            read_start: order.next(request.first.end),
            header_read: order.next(before(request.head, answered)),
            body_read: order.next(before(request.last, answered)),
            write_start: order.next(answered),
            write_finish: order.next(response.last),
            ..Instants::default()
        };
        (instants, instants.read_start)
    }

    /// Written, then read.
    fn client(&self) -> (Instants, u64) {
        let (request, response) = (self.request, self.response);
        let answered = response.first.end;
        let (connect_start, connect_end) = self.connect.unwrap_or_default();
        let mut order = Order::default();
        let instants = Instants {
            connect_start: order.next(connect_start),
            connect_end: order.next(connect_end),
            write_start: order.next(request.first.begin_or_end()),
            write_finish: order.next(before(request.last, answered)),
            read_start: order.next(answered),
            header_read: order.next(response.head),
            body_read: order.next(response.last),
            ..Instants::default()
        };
        (instants, instants.write_start)
    }
}

/// The end of a message, if it came before the answer to it began (or none began).
fn before(end: u64, answered: u64) -> u64 {
    if answered != 0 && end > answered {
        0
    } else {
        end
    }
}

/// Passes instants on, none earlier than the one before it: two processors' records of one moment
/// may differ by some nanoseconds.
#[derive(Default)]
struct Order(u64);

impl Order {
    fn next(&mut self, instant: u64) -> u64 {
        if instant == 0 {
            return 0;
        }
        self.0 = self.0.max(instant);
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(begin: u64, end: u64, head: u64, last: u64) -> MessageStamps {
        MessageStamps {
            first: Moment { begin, end },
            head,
            last,
        }
    }

    #[test]
    fn a_servers_instants_are_of_the_read_and_the_write() {
        let stamps = Stamps {
            request: message(10, 20, 30, 40),
            response: message(50, 60, 60, 70),
            ..Stamps::default()
        };
        let times = stamps.times(Kind::Server, 1000);
        assert_eq!((times.start, times.end), (1020, 1070));
        assert_eq!(
            times.instants,
            Instants {
                arrived: 1010,
                read_start: 1020,
                header_read: 1030,
                body_read: 1040,
                write_start: 1050,
                write_finish: 1070,
                ..Instants::default()
            }
        );
    }

    #[test]
    fn a_clients_instants_are_of_the_write_and_the_read() {
        let stamps = Stamps {
            connect: Some((1, 5)),
            request: message(10, 20, 20, 25),
            response: message(30, 40, 50, 60),
            ..Stamps::default()
        };
        let times = stamps.times(Kind::Client, 100);
        assert_eq!((times.start, times.end), (110, 160));
        assert_eq!(
            times.instants,
            Instants {
                connect_start: 101,
                connect_end: 105,
                write_start: 110,
                write_finish: 125,
                read_start: 140,
                header_read: 150,
                body_read: 160,
                ..Instants::default()
            }
        );
    }

    #[test]
    fn an_answer_before_the_requests_end_leaves_that_end_out() {
        let stamps = Stamps {
            request: message(10, 20, 30, 90),
            response: message(50, 60, 60, 70),
            ..Stamps::default()
        };
        let server = stamps.times(Kind::Server, 0);
        assert_eq!((server.start, server.end), (20, 70));
        assert_eq!(
            (server.instants.header_read, server.instants.body_read),
            (30, 0)
        );
        let client = stamps.times(Kind::Client, 0);
        assert_eq!(
            (client.instants.write_start, client.instants.write_finish),
            (10, 0)
        );
        assert_eq!((client.start, client.end), (10, 70));
    }

    #[test]
    fn a_send_whose_begin_is_unknown_counts_from_its_end() {
        let stamps = Stamps {
            request: message(0, 20, 30, 40),
            response: message(0, 60, 60, 70),
            ..Stamps::default()
        };
        let server = stamps.times(Kind::Server, 0).instants;
        assert_eq!((server.arrived, server.write_start), (0, 60));
        assert_eq!(stamps.times(Kind::Client, 0).instants.write_start, 20);
    }

    #[test]
    fn bytes_do_not_arrive_after_they_were_read() {
        let stamps = Stamps {
            request: message(25, 20, 30, 40),
            ..Stamps::default()
        };
        let instants = stamps.times(Kind::Server, 0).instants;
        assert_eq!((instants.arrived, instants.read_start), (20, 20));
    }

    #[test]
    fn an_exchange_cut_off_lasts_until_the_connection_ended() {
        let stamps = Stamps {
            request: message(10, 20, 30, 40),
            closed: 500,
            ..Stamps::default()
        };
        let times = stamps.times(Kind::Server, -5);
        assert_eq!((times.start, times.end), (15, 495));
        assert_eq!(times.instants.write_start, 0);
    }
}
