//! A small HTTP/1.1 client: one connection, one request at a time. Cheap on purpose.

use std::io::{Error, ErrorKind, Result};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

pub struct Http {
    stream: TcpStream,
    address: String,
    /// What came of the answer.
    buffer: Vec<u8>,
    /// The last answer said that the server closes.
    is_closed: bool,
}

/// The bytes of a request, which may be sent again and again.
pub struct Request(Vec<u8>);

struct Head {
    status: u16,
    bytes: usize,
    content_length: usize,
    is_chunked: bool,
    closes: bool,
}

impl Request {
    pub fn get(path: &str, headers: &str) -> Self {
        Self(format!("GET {path} HTTP/1.1\r\nHost: server\r\n{headers}\r\n").into_bytes())
    }

    pub fn post(path: &str, headers: &str, body: &str) -> Self {
        let length = body.len();
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: server\r\n{headers}\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        Self(request.into_bytes())
    }
}

impl Http {
    pub async fn connect(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let buffer = Vec::with_capacity(16 * 1024);
        Ok(Self { stream, address: address.to_owned(), buffer, is_closed: false })
    }

    /// Answers the status, once all of the body is here.
    pub async fn send(&mut self, Request(request): &Request) -> Result<u16> {
        if self.is_closed {
            *self = Self::connect(&self.address).await?;
        }
        self.stream.write_all(request).await?;
        self.buffer.clear();
        let head = self.read_head().await?;
        self.is_closed = head.closes;
        if head.is_chunked {
            self.read_chunks(head.bytes).await?;
        } else {
            self.read_to(head.bytes + head.content_length).await?;
        }
        Ok(head.status)
    }

    async fn read_head(&mut self) -> Result<Head> {
        loop {
            self.read_more().await?;
            let mut headers = [httparse::EMPTY_HEADER; 64];
            let mut answer = httparse::Response::new(&mut headers);
            let parsed = answer.parse(&self.buffer).map_err(|error| broken(&error.to_string()))?;
            let httparse::Status::Complete(bytes) = parsed else { continue };
            let header = |name: &str| {
                let found = answer.headers.iter().find(|it| it.name.eq_ignore_ascii_case(name));
                found.and_then(|header| std::str::from_utf8(header.value).ok()).map(str::trim)
            };
            return Ok(Head {
                status: answer.code.unwrap_or_default(),
                bytes,
                content_length: header("content-length")
                    .map_or(Ok(0), str::parse)
                    .map_err(broken_length)?,
                is_chunked: header("transfer-encoding") == Some("chunked"),
                closes: header("connection").is_some_and(|it| it.eq_ignore_ascii_case("close")),
            });
        }
    }

    async fn read_chunks(&mut self, mut start: usize) -> Result<()> {
        loop {
            let line = loop {
                let found = self.buffer[start..].windows(2).position(|pair| pair == b"\r\n");
                match found {
                    Some(length) => break &self.buffer[start..start + length],
                    None => self.read_more().await?,
                }
            };
            let size = std::str::from_utf8(line).map_err(|_| broken("a chunk without a size"))?;
            let size = usize::from_str_radix(size, 16).map_err(broken_length)?;
            start += line.len() + 2 + size + 2;
            self.read_to(start).await?;
            if size == 0 {
                return Ok(());
            }
        }
    }

    async fn read_to(&mut self, end: usize) -> Result<()> {
        while self.buffer.len() < end {
            self.read_more().await?;
        }
        Ok(())
    }

    async fn read_more(&mut self) -> Result<()> {
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

fn broken(what: &str) -> Error {
    Error::new(ErrorKind::InvalidData, what)
}

fn broken_length(error: std::num::ParseIntError) -> Error {
    broken(&format!("a length that is none: {error}"))
}
