//! One direction of one connection: the pieces of its transfers, in order, with their holes named.
//!
//! The kernel side counts every byte that moves, so a piece that was lost, or bytes that were not
//! captured, are a hole of known length at a known place. Bytes are handed on, never kept.
//!
//! Bias: a piece that begins further on than expected means that what lies between was lost, at
//! once. Two tasks that use one socket at the same moment may have their records change places in
//! the ring; then the later one's bytes are taken for lost and the earlier one, coming late, is
//! counted and dropped. Waiting for it would delay the naming of every real loss until the next
//! transfer, and neither HTTP nor RPC lets two tasks write into one stream at once.

use crate::event::Transfer;
use crate::protocol::Input;

/// One direction of one connection.
#[derive(Debug, Default)]
pub struct Stream {
    /// Position of the byte that should come next.
    next: u64,
    /// Pieces dropped since they came behind their place.
    late: u64,
}

impl Stream {
    /// One whose bytes before that position are of no interest.
    pub fn starting_at(position: u64) -> Stream {
        Stream {
            next: position,
            late: 0,
        }
    }

    /// Takes the next piece from the ring and hands out what it adds to the stream, in order: bytes
    /// lost before it, its first bytes, how many were not captured, its last bytes, and the end of
    /// its transfer.
    pub fn push(&mut self, piece: &Transfer<'_>, mut each: impl FnMut(Input<'_>)) {
        let end = piece.position.saturating_add(u64::from(piece.length));
        if piece.position < self.next {
            self.late += 1;
            // Part of it may lie ahead, if positions were ever to overlap: a hole, then.
            if end > self.next {
                each(Input::Lost(end - self.next));
                self.next = end;
            }
            return;
        }
        if piece.position > self.next {
            each(Input::Lost(piece.position - self.next));
        }
        self.next = end;

        // The kernel side never captures more than was moved; were it to, the bytes beyond are none.
        let length = piece.length as usize;
        let head = &piece.head[..piece.head.len().min(length)];
        let tail = &piece.tail[..piece.tail.len().min(length - head.len())];
        let skipped = length - head.len() - tail.len();
        if !head.is_empty() {
            each(Input::Bytes(head));
        }
        if skipped > 0 {
            each(Input::Skipped(skipped as u64));
        }
        if !tail.is_empty() {
            each(Input::Bytes(tail));
        }
        if piece.last_piece {
            each(Input::EndOfTransfer);
        }
    }

    /// Position behind the last byte handed out.
    pub fn position(&self) -> u64 {
        self.next
    }

    /// How many pieces came behind their place and were dropped.
    pub fn late(&self) -> u64 {
        self.late
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Direction;

    fn piece<'a>(position: u64, length: u32, head: &'a [u8], tail: &'a [u8]) -> Transfer<'a> {
        Transfer {
            length,
            tail,
            ..Transfer::of_bytes(Direction::Received, position, head)
        }
    }

    fn pushed(stream: &mut Stream, piece: &Transfer<'_>) -> Vec<String> {
        let mut seen = Vec::new();
        stream.push(piece, |input| {
            seen.push(match input {
                Input::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
                Input::Skipped(n) => format!("skipped {n}"),
                Input::Lost(n) => format!("lost {n}"),
                Input::EndOfTransfer => ".".to_owned(),
            });
        });
        seen
    }

    #[test]
    fn consecutive_pieces_are_handed_on() {
        let mut stream = Stream::default();
        assert_eq!(pushed(&mut stream, &piece(0, 3, b"abc", b"")), ["abc", "."]);
        assert_eq!(pushed(&mut stream, &piece(3, 2, b"de", b"")), ["de", "."]);
        assert_eq!(stream.position(), 5);
    }

    #[test]
    fn bytes_between_head_and_tail_are_skipped() {
        let mut stream = Stream::default();
        assert_eq!(
            pushed(&mut stream, &piece(0, 100, b"head", b"tail")),
            ["head", "skipped 92", "tail", "."]
        );
        assert_eq!(
            pushed(&mut stream, &piece(100, 7, b"", b"")),
            ["skipped 7", "."]
        );
    }

    #[test]
    fn a_piece_of_a_transfer_does_not_end_it() {
        let mut stream = Stream::default();
        let first = Transfer {
            last_piece: false,
            ..piece(0, 2, b"ab", b"")
        };
        assert_eq!(pushed(&mut stream, &first), ["ab"]);
        assert_eq!(pushed(&mut stream, &piece(2, 1, b"c", b"")), ["c", "."]);
    }

    #[test]
    fn a_jump_ahead_is_a_loss() {
        let mut stream = Stream::default();
        assert_eq!(
            pushed(&mut stream, &piece(10, 2, b"ab", b"")),
            ["lost 10", "ab", "."]
        );
        assert_eq!(
            pushed(&mut stream, &piece(20, 1, b"c", b"")),
            ["lost 8", "c", "."]
        );
        assert_eq!(stream.late(), 0);
    }

    #[test]
    fn a_late_piece_is_counted_and_dropped() {
        let mut stream = Stream::default();
        pushed(&mut stream, &piece(5, 5, b"fghij", b""));
        assert!(pushed(&mut stream, &piece(0, 5, b"abcde", b"")).is_empty());
        assert_eq!(stream.late(), 1);
        assert_eq!(pushed(&mut stream, &piece(10, 1, b"k", b"")), ["k", "."]);
        assert_eq!(pushed(&mut stream, &piece(9, 4, b"jklm", b"")), ["lost 2"]);
        assert_eq!(stream.position(), 13);
    }

    #[test]
    fn a_record_that_claims_too_much_is_cut_to_its_length() {
        let mut stream = Stream::default();
        assert_eq!(
            pushed(&mut stream, &piece(0, 3, b"abcdef", b"xyz")),
            ["abc", "."]
        );
        assert_eq!(
            pushed(&mut stream, &piece(u64::MAX, 9, b"a", b"")),
            ["lost 18446744073709551612", "a", "skipped 8", "."]
        );
    }
}
