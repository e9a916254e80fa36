//! A client of HTTP/1.1 that sends exactly what a test says, and reads answers as they come.

// Each test program uses its own part of this.
#![allow(dead_code)]

use serde_json::Value;
use std::net::SocketAddr;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// An answer, all of it.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    /// In lower case.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(given, _)| given == name);
        found.map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// A request of a method for a path, with headers and a body.
pub async fn ask(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Answer {
    let mut talk = Talk::begin(address, method, path, headers, body).await;
    let mut body = Vec::new();
    while let Some(piece) = talk.piece().await {
        body.extend(piece);
    }
    Answer {
        status: talk.status,
        headers: talk.headers,
        body: String::from_utf8(body).expect("the body is text"),
    }
}

pub async fn post(address: SocketAddr, path: &str, json: &str) -> Answer {
    ask(address, "POST", path, &[], json).await
}

pub async fn get(address: SocketAddr, path: &str) -> Answer {
    ask(address, "GET", path, &[], "").await
}

/// An answer that is read as it comes.
pub struct Talk {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    stream: BufReader<TcpStream>,
    /// What is left of a body with a length; `None` for one in chunks.
    left: Option<usize>,
    is_over: bool,
}

impl Talk {
    pub async fn begin(
        address: SocketAddr,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Self {
        let mut stream = TcpStream::connect(address).await.expect("the server listens");
        let mut text = format!("{method} {path} HTTP/1.1\r\nContent-Length: {}\r\n", body.len());
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            text.push_str("Host: 127.0.0.1\r\n");
        }
        for (name, value) in headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str("\r\n");
        text.push_str(body);
        stream.write_all(text.as_bytes()).await.expect("the server reads");
        let mut talk = Self::read(BufReader::new(stream)).await;
        // An answer to HEAD has the length of a body that is not there.
        talk.is_over |= method == "HEAD";
        talk
    }

    /// With a body that goes on: the caller sends chunks of it by [`Talk::say`].
    pub async fn open(address: SocketAddr, path: &str, first: &str) -> Self {
        let mut stream = TcpStream::connect(address).await.expect("the server listens");
        let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
        let text = format!("{head}{:x}\r\n{first}\r\n", first.len());
        stream.write_all(text.as_bytes()).await.expect("the server reads");
        Self::read(BufReader::new(stream)).await
    }

    /// One more chunk of the request's body.
    pub async fn say(&mut self, text: &str) {
        let chunk = format!("{:x}\r\n{text}\r\n", text.len());
        let stream = self.stream.get_mut();
        stream
            .write_all(chunk.as_bytes())
            .await
            .expect("the server reads");
    }

    async fn read(mut stream: BufReader<TcpStream>) -> Self {
        let status = line(&mut stream).await;
        let status = status
            .split(' ')
            .nth(1)
            .and_then(|code| code.parse().ok())
            .expect("a status line");
        let mut headers = Vec::new();
        loop {
            let text = line(&mut stream).await;
            let Some((name, value)) = text.split_once(": ") else {
                break;
            };
            headers.push((name.to_lowercase(), value.to_owned()));
        }
        let length = headers.iter().find(|(name, _)| name == "content-length");
        let left = length.map(|(_, value)| value.parse().expect("a length"));
        let chunked = headers.iter().any(|(name, _)| name == "transfer-encoding");
        Self {
            status,
            headers,
            stream,
            left,
            is_over: left.is_none() && !chunked,
        }
    }

    /// What comes next of the body.
    pub async fn piece(&mut self) -> Option<Vec<u8>> {
        if self.is_over {
            return None;
        }
        let len = match self.left {
            Some(len) => {
                self.is_over = true;
                len
            }
            None => usize::from_str_radix(&line(&mut self.stream).await, 16).expect("a chunk's length"),
        };
        let mut piece = vec![0; len];
        self.stream
            .read_exact(&mut piece)
            .await
            .expect("the body is whole");
        if self.left.is_none() {
            self.is_over = len == 0;
            line(&mut self.stream).await;
        }
        Some(piece).filter(|piece| !piece.is_empty())
    }

    /// The next line of a stream, as JSON: a chunk holds one.
    pub async fn next(&mut self) -> Value {
        let piece = self.piece().await.expect("the stream goes on");
        assert!(piece.ends_with(b"\n"), "a line ends with its newline");
        serde_json::from_slice(&piece).expect("a line is JSON")
    }
}

async fn line(stream: &mut BufReader<TcpStream>) -> String {
    let mut text = String::new();
    stream.read_line(&mut text).await.expect("the server answers");
    text.trim_end().to_owned()
}
