//! One end of a connection that does exactly what it is told, for shapes no real server produces.
//!
//! ```text
//! peer listen ADDRESS STEP...     every connection accepted takes these steps, on a thread of its own
//! peer connect ADDRESS STEP...    connects once, takes these steps, ends
//! ```
//!
//! ADDRESS: `127.0.0.1:0`, `[::1]:0`, `unix:/path`. `listen` prints its port (a path: 0) when it is
//! ready. Steps: `head` (reads to the empty line), `read:N`, `eof` (reads to the end), `write:TEXT`
//! (escapes of Rust), `bytewise:TEXT`, `fill:N` (N bytes), `shutdown`, `say:TEXT` (on standard
//! output), `wait` (for a line of standard input), `again` (from the first step on).

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::ExitCode;

/// Either kind of stream.
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Read for &Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => (&*stream).read(buffer),
            Stream::Unix(stream) => (&*stream).read(buffer),
        }
    }
}

impl Write for &Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => (&*stream).write(bytes),
            Stream::Unix(stream) => (&*stream).write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [what, address, steps @ ..] = &arguments[..] else {
        eprintln!("peer listen|connect ADDRESS STEP...");
        return ExitCode::FAILURE;
    };
    let done = match (what.as_str(), address.strip_prefix("unix:")) {
        ("listen", None) => listen(address, steps),
        ("listen", Some(path)) => listen_unix(path, steps),
        (_, None) => TcpStream::connect(address).and_then(|s| take(&tcp(s), steps)),
        (_, Some(path)) => UnixStream::connect(path).and_then(|s| take(&Stream::Unix(s), steps)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("peer: {error}");
            ExitCode::FAILURE
        }
    }
}

fn listen(address: &str, steps: &[String]) -> io::Result<()> {
    let listener = TcpListener::bind(address)?;
    say(&listener.local_addr()?.port().to_string());
    std::thread::scope(|scope| {
        for stream in listener.incoming() {
            let stream = tcp(stream?);
            scope.spawn(move || report(take(&stream, steps)));
        }
        Ok(())
    })
}

fn listen_unix(path: &str, steps: &[String]) -> io::Result<()> {
    let listener = UnixListener::bind(path)?;
    say("0");
    std::thread::scope(|scope| {
        for stream in listener.incoming() {
            let stream = Stream::Unix(stream?);
            scope.spawn(move || report(take(&stream, steps)));
        }
        Ok(())
    })
}

fn tcp(stream: TcpStream) -> Stream {
    // Fails only on a socket that is gone, which the first step will say.
    let _ = stream.set_nodelay(true);
    Stream::Tcp(stream)
}

fn report(done: io::Result<()>) {
    if let Err(error) = done {
        eprintln!("peer: {error}");
    }
}

/// Takes the steps, until the last or until a read at the begin of a round finds the stream's end.
fn take(stream: &Stream, steps: &[String]) -> io::Result<()> {
    let mut reader = BufReader::with_capacity(64 << 10, stream);
    let mut writer = stream;
    let mut next = 0;
    while let Some(step) = steps.get(next) {
        next += 1;
        let (what, argument) = step.split_once(':').unwrap_or((step, ""));
        let number = || argument.parse::<u64>().map_err(io::Error::other);
        match what {
            "head" => {
                let mut head = Vec::new();
                while !(head.ends_with(b"\r\n\r\n") || head.ends_with(b"\n\n")) {
                    if reader.read_until(b'\n', &mut head)? == 0 {
                        return Ok(());
                    }
                }
            }
            "read" => {
                let wanted = number()?;
                let read = io::copy(&mut (&mut reader).take(wanted), &mut io::sink())?;
                if read < wanted {
                    return Ok(());
                }
            }
            "eof" => {
                io::copy(&mut reader, &mut io::sink())?;
            }
            "write" => writer.write_all(&unescape(argument))?,
            "bytewise" => {
                for byte in unescape(argument) {
                    writer.write_all(&[byte])?;
                }
            }
            "fill" => writer.write_all(&vec![b'f'; number()? as usize])?,
            "shutdown" => match stream {
                Stream::Tcp(stream) => stream.shutdown(std::net::Shutdown::Write)?,
                Stream::Unix(stream) => stream.shutdown(std::net::Shutdown::Write)?,
            },
            "say" => say(argument),
            "wait" => {
                io::stdin().read_line(&mut String::new())?;
            }
            "again" => next = 0,
            _ => return Err(io::Error::other(format!("unknown step {step}"))),
        }
    }
    Ok(())
}

fn say(text: &str) {
    println!("{text}");
}

/// `\r`, `\n`, `\t`, `\\`, `\xNN`.
fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        match rest.next() {
            Some(b'r') => bytes.push(b'\r'),
            Some(b'n') => bytes.push(b'\n'),
            Some(b't') => bytes.push(b'\t'),
            Some(b'x') => {
                let digits = [rest.next().unwrap_or(b'0'), rest.next().unwrap_or(b'0')];
                let digits = String::from_utf8_lossy(&digits).into_owned();
                bytes.push(u8::from_str_radix(&digits, 16).unwrap_or(b'?'));
            }
            other => bytes.extend(other),
        }
    }
    bytes
}
