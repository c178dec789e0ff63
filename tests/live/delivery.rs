//! Delivery through what lies between the agent and its endpoint.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use tests::agent::{Agent, Family};
use tests::load::{self, get};
use tests::sink::Sink;

use crate::Test;
use crate::common::plain_peer;

/// The tests of this module.
pub fn tests() -> Vec<(&'static str, Test)> {
    vec![
        ("delivery_through_a_proxy", through_a_proxy as Test),
        ("delivery_through_a_tunnel", through_a_tunnel),
    ]
}

/// The endpoint's name is known to no one: whoever the proxy's variable names gets the spans.
fn through_a_proxy(family: Family) {
    let sink = Sink::start();
    delivered(
        family,
        &sink,
        "http/protobuf",
        ("HTTP_PROXY", sink.endpoint()),
    );
}

fn through_a_tunnel(family: Family) {
    let sink = Sink::start();
    let end = sink.endpoint().trim_start_matches("http://").parse();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let proxy = listener.local_addr().expect("it listens");
    let tunnel = thread::spawn(move || tunnel(&listener, end.expect("an address")));
    let variable = format!("http://{proxy}");
    delivered(family, &sink, "grpc", ("https_proxy", variable));
    let asked = tunnel.join().expect("no panic").expect("a tunnel");
    assert_eq!(asked, "CONNECT collector.invalid:4318 HTTP/1.1\r\n");
}

/// Whether all that is asked arrives at the sink.
fn delivered(family: Family, sink: &Sink, protocol: &str, proxy: (&str, String)) {
    let server = plain_peer();
    let pid = server.pid().to_string();
    let arguments = [
        "-p",
        &pid,
        "--otlp-endpoint",
        "http://collector.invalid:4318",
        "--otlp-protocol",
        protocol,
        "--probes",
        family.name(),
    ];
    let agent = Agent::spawn_with(arguments, |command| {
        command.env(proxy.0, &proxy.1);
    });
    agent.wait_ready();
    load::run(server.address, 1, 3, |number| get(format!("/{number}")));
    let stats = agent.stop_for_stats();
    assert_eq!((stats.spans.exported, sink.spans().len()), (3, 3));
}

/// Serves one connection: what is asked for, its first line, leads to `end`.
fn tunnel(listener: &TcpListener, end: SocketAddr) -> io::Result<String> {
    let (client, _) = listener.accept()?;
    let mut request = BufReader::new(client.try_clone()?);
    let mut asked = String::new();
    request.read_line(&mut asked)?;
    let mut line = String::new();
    while line != "\r\n" {
        line.clear();
        request.read_line(&mut line)?;
    }
    (&client).write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
    let server = TcpStream::connect(end)?;
    let (mut back, mut to) = (server.try_clone()?, client.try_clone()?);
    thread::spawn(move || io::copy(&mut back, &mut to));
    // Until the client closes, how ever it does.
    let _ = io::copy(&mut request, &mut &server);
    Ok(asked)
}
