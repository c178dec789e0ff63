//! What is read of a message's content: of most nothing, of an answer as much as tells whether the call
//! failed, and, where no length is given, all of it to its end.

use super::message::Content;
use super::protobuf::ErrorProto;
use super::walk::{Progress, Walk};
use crate::protocol::rpc::{Failure, Head, Kind};

/// A message's content being read.
#[derive(Debug)]
pub(super) enum Reading {
    /// It is not.
    Nothing,
    Struct(Box<Walk>),
    ErrorProto(Box<ErrorProto>),
}

impl Reading {
    /// Nothing of it was read yet.
    pub(super) fn new(content: Content) -> Reading {
        match content {
            Content::Opaque => Reading::Nothing,
            Content::Struct(form, purpose) => Reading::Struct(Box::new(Walk::new(form, purpose))),
            Content::ErrorProto => Reading::ErrorProto(Box::default()),
        }
    }

    /// Reads on, taking what it used from `input`. Of what is not read everything is used.
    pub(super) fn bytes(&mut self, input: &mut &[u8]) -> Progress {
        match self {
            Reading::Nothing => {
                *input = &[];
                Progress::More
            }
            Reading::Struct(walk) => walk.bytes(input),
            Reading::ErrorProto(error) => error.bytes(input),
        }
    }

    /// Passes over bytes that were not captured. False: what comes behind them can't be read.
    pub(super) fn skip(&mut self, n: u64) -> bool {
        match self {
            Reading::Nothing => true,
            Reading::Struct(walk) => walk.skip(n),
            Reading::ErrorProto(error) => error.skip(n),
        }
    }

    /// Nothing that follows would add to the head.
    pub(super) fn is_known(&self) -> bool {
        match self {
            Reading::Nothing => true,
            Reading::Struct(walk) => walk.is_known(),
            Reading::ErrorProto(error) => error.is_known(),
        }
    }

    /// The head of an answer, with what was read of its content.
    pub(super) fn answered(&self, mut head: Box<Head>) -> Box<Head> {
        head.failure = match (head.kind, self) {
            (Kind::Exception, Reading::Struct(walk)) => Some(Failure::Exception {
                type_id: walk.type_id.unwrap_or(0),
                message: walk.text.clone(),
            }),
            (Kind::Exception, Reading::ErrorProto(error)) => Some(Failure::Exception {
                type_id: error.type_id.unwrap_or(0),
                message: error.text.clone(),
            }),
            (Kind::Reply, Reading::Struct(walk)) => {
                walk.first.filter(|&id| id > 0).map(Failure::Declared)
            }
            // What was read of it before, if anything was.
            (_, Reading::Nothing) => head.failure.take(),
            _ => None,
        };
        head
    }
}
