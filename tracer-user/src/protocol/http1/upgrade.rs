//! From HTTP/1.1 to HTTP/2 on the same connection (RFC 7540, section 3.2; RFC 9113 has no more of it).
//!
//! The request that asked for it becomes stream 1, so the exchange goes on under its number: the 101 is
//! an interim response, and what answers the request comes in frames.

use super::Http1;
use crate::protocol::http::Head;
use crate::protocol::http2::Http2;
use crate::protocol::{Event, ExchangeId, Incomplete};

/// Whether a response agrees to go on as HTTP/2.
pub(super) fn agrees(head: &Head) -> bool {
    let upgrade = head.field("upgrade").unwrap_or_default();
    let mut protocols = upgrade.split(|&byte| byte == b',');
    head.status() == 101
        && protocols.any(|protocol| protocol.trim_ascii().eq_ignore_ascii_case(b"h2c"))
}

impl Http1 {
    /// From here on the connection carries HTTP/2. The request has been sent as a whole: its client
    /// has to do so before it sends anything else.
    pub(super) fn upgrade(&mut self, id: ExchangeId, out: &mut Vec<Event>) {
        out.push(Event::ResponseInterim(id));
        self.response = None;
        self.pairing.answered(true);
        // What was pipelined behind it is none of HTTP/2.
        self.pairing.give_up_all(Incomplete::Malformed, out);
        self.requests.deafen();
        self.responses.deafen();
        let next = self.pairing.next();
        self.http2 = Some(Box::new(Http2::upgraded(id, next, self.asked)));
    }
}
