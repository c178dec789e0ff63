//! What the tests of all protocols share.

pub mod anything;
pub mod ledger;
pub mod line;
pub mod wire;
