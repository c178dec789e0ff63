//! The load of a soak: connections by the thousand from one thread, of the shapes that fill tables.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

use super::frames::{self, Frame};
use super::server::NEVER;

/// Connections under way at once where each does its part and goes.
const AT_ONCE: usize = 16;

/// Connects from one of sixteen addresses of loopback in turn: each has 28,000 ports of its own.
async fn connect(to: SocketAddr) -> io::Result<TcpStream> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let last = NEXT.fetch_add(1, Ordering::Relaxed) % 16 + 1;
    let socket = TcpSocket::new_v4()?;
    let on: libc::c_int = 1;
    // The port is chosen by connect, which knows of which pairs of addresses it is free.
    // SAFETY: the value is an int that outlives the call, and its size is given.
    unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IP,
            libc::IP_BIND_ADDRESS_NO_PORT,
            (&raw const on).cast(),
            size_of_val(&on) as libc::socklen_t,
        );
    }
    socket.bind(([127, 0, 1, last as u8], 0).into())?;
    let stream = socket.connect(to).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn get(target: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nHost: soak\r\n\r\n").into_bytes()
}

async fn request(stream: &mut TcpStream, target: &str) -> io::Result<()> {
    stream.write_all(&get(target)).await?;
    answer(stream).await
}

/// Reads an answer of the server's, which is always the same.
async fn answer(stream: &mut TcpStream) -> io::Result<()> {
    let mut read = Vec::new();
    while !read.ends_with(b"ok") {
        if stream.read_buf(&mut read).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}

/// `count` connections with a request each, a few at a time.
pub async fn short(to: SocketAddr, count: usize) -> io::Result<()> {
    let mut tasks = JoinSet::new();
    for part in 0..AT_ONCE {
        tasks.spawn(async move {
            for number in (part..count).step_by(AT_ONCE) {
                let mut stream = connect(to).await?;
                request(&mut stream, &format!("/short/{}", number % 50)).await?;
            }
            io::Result::Ok(())
        });
    }
    tasks.join_all().await.into_iter().collect()
}

/// `count` connections that stay, each with a request answered.
pub async fn open(to: SocketAddr, count: usize) -> io::Result<Vec<TcpStream>> {
    let mut streams = Vec::with_capacity(count);
    for _ in 0..count {
        let mut stream = connect(to).await?;
        request(&mut stream, "/open").await?;
        streams.push(stream);
    }
    Ok(streams)
}

/// `count` connections that stay, each with a request that is never answered.
pub async fn unanswered(to: SocketAddr, count: usize) -> io::Result<Vec<TcpStream>> {
    let mut streams = Vec::with_capacity(count);
    for number in 0..count {
        let mut stream = connect(to).await?;
        stream.write_all(&get(&format!("{NEVER}{number}"))).await?;
        streams.push(stream);
    }
    Ok(streams)
}

/// `count` heads, a byte of each at a time; `half` is called when half of their bytes are there. Every
/// second one is finished and answered, the others are left.
pub async fn slow_heads(to: SocketAddr, count: usize, half: impl FnOnce()) -> io::Result<()> {
    let mut streams = Vec::with_capacity(count);
    for _ in 0..count {
        streams.push(connect(to).await?);
    }
    let head = get("/slow/head");
    let (first, second) = head.split_at(head.len() / 2);
    bytewise(&mut streams, first).await?;
    half();
    let mut finished: Vec<_> = streams.drain(..count / 2).collect();
    bytewise(&mut finished, second).await?;
    for stream in &mut finished {
        answer(stream).await?;
    }
    Ok(())
}

async fn bytewise(streams: &mut [TcpStream], bytes: &[u8]) -> io::Result<()> {
    for byte in bytes {
        for stream in &mut *streams {
            stream.write_all(&[*byte]).await?;
        }
    }
    Ok(())
}

/// `count` streams of each of so many connections, all open at once when `all_open` is called, then
/// answered.
pub async fn streams(
    to: SocketAddr,
    (connections, count): (usize, usize),
    all_open: impl FnOnce(),
) -> io::Result<()> {
    let mut open = Vec::with_capacity(connections);
    for _ in 0..connections {
        let mut stream = connect(to).await?;
        stream.write_all(frames::PREFACE).await?;
        stream.write_all(&Frame::settings().bytes()).await?;
        // As a client writes them that makes its calls one by one.
        for number in 0..count {
            let number = 2 * number as u32 + 1;
            stream.write_all(&Frame::get(number).bytes()).await?;
        }
        open.push(stream);
    }
    all_open();
    for stream in &mut open {
        stream.write_all(&Frame::ping().bytes()).await?;
        while frames::read(stream).await?.kind != frames::PING {}
    }
    Ok(())
}

/// Connections that come and go for that long, `rate` a second, each with two requests that no other makes.
/// Returns how many requests were made.
pub async fn churn(
    to: SocketAddr,
    (time, rate): (Duration, u32),
    mut each_minute: impl FnMut(Duration),
) -> io::Result<usize> {
    let begun = Instant::now();
    let mut beat = tokio::time::interval(Duration::from_secs(1) / rate);
    let (mut number, mut minutes) = (0, 0);
    while begun.elapsed() < time {
        beat.tick().await;
        let mut stream = connect(to).await?;
        for _ in 0..2 {
            request(&mut stream, &format!("/churn/{number}/of/item-{number:x}")).await?;
            number += 1;
        }
        let passed = begun.elapsed();
        if passed.as_secs() / 60 > minutes {
            minutes = passed.as_secs() / 60;
            each_minute(passed);
        }
    }
    Ok(number)
}
