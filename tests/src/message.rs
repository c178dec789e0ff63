//! HTTP/1 messages read from a byte stream with every byte counted: what is right by definition,
//! for the spans to be compared with.

use std::io::{self, BufRead, BufReader, Read};

/// A response as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// Status of the final response.
    pub status: u16,
    /// Bytes of the final response on the wire.
    pub wire: u64,
    /// Bytes of its body, chunk framing left out.
    pub body: u64,
    /// Statuses of the interim responses before it.
    pub interim: Vec<u16>,
    /// Whether the connection may be used again.
    pub keep_alive: bool,
    /// Header fields, names in lower case.
    pub fields: Vec<(String, String)>,
}

impl Response {
    /// A field's value.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value.as_str())
    }
}

/// Reads one response; `method` is the request's, for a response to HEAD has no body.
///
/// # Errors
/// The stream's, `UnexpectedEof` where it ends within the response (or before it), `InvalidData`
/// where it is no HTTP/1 response.
pub fn read_response<R: Read>(reader: &mut BufReader<R>, method: &str) -> io::Result<Response> {
    let mut interim = Vec::new();
    loop {
        let mut response = read_head(reader)?;
        if (100..200).contains(&response.status) && response.status != 101 {
            interim.push(response.status);
            continue;
        }
        response.interim = interim;
        read_body(reader, method, &mut response)?;
        return Ok(response);
    }
}

fn read_head<R: Read>(reader: &mut BufReader<R>) -> io::Result<Response> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if reader.read_until(b'\n', &mut head)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut parsed = httparse::Response::new(&mut fields);
    parsed
        .parse(&head)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    let fields: Vec<(String, String)> = parsed
        .headers
        .iter()
        .map(|field| {
            let value = String::from_utf8_lossy(field.value).into_owned();
            (field.name.to_ascii_lowercase(), value)
        })
        .collect();
    let mut response = Response {
        status: parsed.code.unwrap_or(0),
        wire: head.len() as u64,
        body: 0,
        interim: Vec::new(),
        keep_alive: true,
        fields,
    };
    let connection = response
        .field("connection")
        .unwrap_or("")
        .to_ascii_lowercase();
    response.keep_alive = match parsed.version {
        Some(0) => connection.contains("keep-alive"),
        _ => !connection.contains("close"),
    };
    Ok(response)
}

fn read_body<R: Read>(
    reader: &mut BufReader<R>,
    method: &str,
    response: &mut Response,
) -> io::Result<()> {
    let none = method == "HEAD" || matches!(response.status, 101 | 204 | 304);
    if none || (method == "CONNECT" && response.status / 100 == 2) {
        return Ok(());
    }
    let chunked = response
        .field("transfer-encoding")
        .is_some_and(|value| value.to_ascii_lowercase().ends_with("chunked"));
    if chunked {
        return read_chunks(reader, response);
    }
    if let Some(length) = response.field("content-length") {
        let length = length.parse().map_err(|_| io::ErrorKind::InvalidData)?;
        skip(reader, length)?;
        response.body = length;
        response.wire += length;
    } else {
        response.body = io::copy(reader, &mut io::sink())?;
        response.wire += response.body;
        response.keep_alive = false;
    }
    Ok(())
}

fn read_chunks<R: Read>(reader: &mut BufReader<R>, response: &mut Response) -> io::Result<()> {
    loop {
        let line = read_line(reader, response)?;
        let size = line.split(';').next().unwrap_or_default().trim();
        let size = u64::from_str_radix(size, 16).map_err(|_| io::ErrorKind::InvalidData)?;
        if size == 0 {
            break;
        }
        skip(reader, size + 2)?;
        response.body += size;
        response.wire += size + 2;
    }
    // Trailers, up to the empty line.
    while !read_line(reader, response)?.is_empty() {}
    Ok(())
}

fn read_line<R: Read>(reader: &mut BufReader<R>, response: &mut Response) -> io::Result<String> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    response.wire += line.len() as u64;
    Ok(line.trim_end().to_string())
}

fn skip<R: Read>(reader: &mut BufReader<R>, length: u64) -> io::Result<()> {
    if io::copy(&mut reader.take(length), &mut io::sink())? < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(method: &str, bytes: &[u8]) -> (Response, usize) {
        let mut reader = BufReader::new(bytes);
        let response = read_response(&mut reader, method).unwrap();
        let mut rest = Vec::new();
        reader.read_to_end(&mut rest).unwrap();
        (response, rest.len())
    }

    #[test]
    fn counts_chunks_with_extensions_and_trailers() {
        let bytes = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
            5;x=y\r\nhello\r\n0\r\nA: b\r\n\r\nnext";
        let (response, rest) = read("GET", bytes);
        assert_eq!((response.body, rest), (5, 4));
        assert_eq!(response.wire as usize, bytes.len() - 4);
    }

    #[test]
    fn leaves_interim_responses_out_of_the_size() {
        let bytes =
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok";
        let (response, rest) = read("POST", bytes);
        assert_eq!(response.interim, [100]);
        assert_eq!((response.status, response.body, rest), (201, 2, 0));
        assert_eq!(response.wire as usize, bytes.len() - 25);
    }

    #[test]
    fn a_head_or_304_has_no_body() {
        let bytes = b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\nHTTP";
        assert_eq!(read("GET", bytes).1, 4);
        let bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nHTTP";
        assert_eq!(read("HEAD", bytes).1, 4);
    }
}
