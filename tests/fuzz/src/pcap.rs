//! Captures, as far as they are pure: a file's packets, their segments, and the streams of these.

#[path = "../../../tracer-user/src/replay/pcap/packet.rs"]
pub mod packet;
#[path = "../../../tracer-user/src/replay/pcap/packets.rs"]
pub mod packets;
#[path = "../../../tracer-user/src/replay/pcap/reassembly/mod.rs"]
pub mod reassembly;
