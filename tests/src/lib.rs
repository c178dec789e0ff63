//! What the replay and live tests share.
