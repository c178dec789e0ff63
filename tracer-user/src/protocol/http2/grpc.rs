//! gRPC's messages in the DATA of one side of a stream: each behind a byte that says whether it is
//! compressed, and its length (gRPC over HTTP/2, "Length-Prefixed-Message").
//!
//! Bias: counting stops for good where a prefix was not seen or is none.

use crate::protocol::http::Head;

/// Bytes of a prefix.
const PREFIX: usize = 5;

/// Where in its messages a side is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Messages {
    /// The prefix, as far as it is read.
    prefix: [u8; PREFIX],
    have: u8,
    /// What is still to come of the message behind it.
    left: u32,
}

impl Messages {
    /// Before the first, if the head says that there are some. gRPC-Web's content is another, which
    /// carries the trailers too.
    pub(super) fn of(head: &Head) -> Option<Messages> {
        let (name, rest) = head.field("content-type")?.split_at_checked(16)?;
        let is_grpc = name.eq_ignore_ascii_case(b"application/grpc")
            && matches!(rest.first(), None | Some(b'+' | b';' | b' '));
        is_grpc.then(Messages::default)
    }

    /// Reads on and tells the size of each message that ends; false: these are no messages.
    pub(super) fn bytes(&mut self, mut input: &[u8], mut ended: impl FnMut(u64)) -> bool {
        while !input.is_empty() {
            if usize::from(self.have) < PREFIX {
                let have = usize::from(self.have);
                let n = input.len().min(PREFIX - have);
                self.prefix[have..have + n].copy_from_slice(&input[..n]);
                self.have += n as u8;
                input = &input[n..];
                let [compressed, length @ ..] = self.prefix;
                if compressed > 1 {
                    return false;
                }
                if have + n < PREFIX {
                    return true;
                }
                self.left = u32::from_be_bytes(length);
            } else {
                let n = input.len().min(self.left as usize);
                self.left -= n as u32;
                input = &input[n..];
            }
            self.end(&mut ended);
        }
        true
    }

    /// The same, of bytes that were not seen.
    pub(super) fn pass(&mut self, n: u64, mut ended: impl FnMut(u64)) -> bool {
        if n == 0 {
            return true;
        }
        if usize::from(self.have) < PREFIX || n > u64::from(self.left) {
            return false;
        }
        self.left -= n as u32;
        self.end(&mut ended);
        true
    }

    fn end(&mut self, ended: &mut impl FnMut(u64)) {
        if self.left == 0 {
            let [_, length @ ..] = self.prefix;
            ended(u64::from(u32::from_be_bytes(length)));
            self.have = 0;
        }
    }
}
