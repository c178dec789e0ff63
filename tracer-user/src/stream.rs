//! One direction of a connection: order and holes.
