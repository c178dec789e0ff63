//! What is traced while it soaks: a server of many connections that answers or, where it is asked to, does
//! not.
//!
//! HTTP/1: every request gets a small 200, but those below [`NEVER`] get nothing. HTTP/2 by prior knowledge:
//! streams wait until a PING comes, then all are answered. Left out is all that a load of
//! [`super::load`] does not send.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpSocket, TcpStream};

use super::frames::{self, Frame};

/// Requests whose target begins so are read and left alone.
pub const NEVER: &str = "/never/";

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Heads are not longer here.
const LONGEST_HEAD: usize = 4096;

/// Serves on a port of its own choice, which it says on standard output, until killed.
///
/// # Errors
/// It cannot listen.
pub async fn serve() -> io::Result<()> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(([127, 0, 0, 1], 0).into())?;
    let listener = socket.listen(4096)?;
    println!("{}", listener.local_addr()?.port());
    loop {
        let (stream, _) = listener.accept().await?;
        // A peer that resets is part of the load.
        tokio::spawn(async move { _ = connection(stream).await });
    }
}

async fn connection(stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::with_capacity(1024, stream);
    while let Some(head) = head(&mut stream).await? {
        if frames::PREFACE.starts_with(&head) {
            let mut rest = [0; frames::PREFACE.len()];
            stream.read_exact(&mut rest[head.len()..]).await?;
            return streams(stream).await;
        }
        let target = head.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
        if !target.starts_with(NEVER.as_bytes()) {
            stream.write_all(OK).await?;
        }
    }
    Ok(())
}

/// A head with the empty line behind it; none at the end of the stream.
async fn head(stream: &mut BufReader<TcpStream>) -> io::Result<Option<Vec<u8>>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let byte = match stream.read_u8().await {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            read => read?,
        };
        head.push(byte);
        if head.len() > LONGEST_HEAD {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
    Ok(Some(head))
}

async fn streams(mut stream: BufReader<TcpStream>) -> io::Result<()> {
    stream.write_all(&Frame::settings().bytes()).await?;
    let mut waiting = Vec::new();
    loop {
        match frames::read(&mut stream).await? {
            Frame {
                kind: frames::HEADERS,
                stream,
                ..
            } => waiting.push(stream),
            Frame {
                kind: frames::PING, ..
            } => {
                for number in waiting.drain(..) {
                    stream.write_all(&Frame::ok(number).bytes()).await?;
                }
                stream.write_all(&Frame::pong().bytes()).await?;
            }
            _ => {}
        }
    }
}
