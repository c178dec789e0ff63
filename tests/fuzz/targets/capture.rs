//! Captures: any file of packets, its segments put together, and the spans of it.

#![no_main]

use std::io::Cursor;

use fuzz::pcap::packet::segment;
use fuzz::pcap::packets::Packets;
use fuzz::pcap::reassembly::{Party, Reassembly};
use fuzz::record::Input;
use fuzz::stations::Stations;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Ok(packets) = Packets::new(Cursor::new(input.to_vec())) else {
        return;
    };
    let mut stations = Stations::new(0);
    let mut connections = Reassembly::new(|party| match party {
        Party::Server(address) => u32::from(address.port()),
        Party::Client(_) => 0,
    });
    for packet in packets {
        if let Ok(segment) = segment(packet.link, &packet.bytes) {
            let at = packet.at.unwrap_or_default();
            connections.segment(&segment, at, |event| {
                stations.input(&Input::Event(event.clone()));
            });
            stations.input(&Input::Clock {
                boot_ns: at,
                to_unix: 0,
            });
        }
    }
    connections.finish(|event| stations.input(&Input::Event(event.clone())));
    stations.finish();
});
