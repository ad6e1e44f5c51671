//! The least client that can ask over a kept connection: what it does must not hide what the server does.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use crate::Result;

/// A request, ready to be sent.
#[derive(Clone)]
pub struct Request {
    addr: SocketAddr,
    bytes: Vec<u8>,
}

impl Request {
    pub fn get(addr: SocketAddr, path: &str, token: Option<&str>) -> Self {
        Self::new(addr, "GET", path, token, "")
    }

    pub fn post(addr: SocketAddr, path: &str, body: &Value) -> Self {
        Self::new(addr, "POST", path, None, &body.to_string())
    }

    pub fn patch(addr: SocketAddr, path: &str, token: &str, body: &Value) -> Self {
        Self::new(addr, "PATCH", path, Some(token), &body.to_string())
    }

    fn new(addr: SocketAddr, method: &str, path: &str, token: Option<&str>, body: &str) -> Self {
        let token = token.map(|token| format!("authorization: Bearer {token}\r\n")).unwrap_or_default();
        let body = if body.is_empty() {
            "\r\n".to_owned()
        } else {
            format!("content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len())
        };
        Self {
            addr,
            bytes: format!("{method} {path} HTTP/1.1\r\nhost: {addr}\r\n{token}{body}").into_bytes(),
        }
    }
}

/// A kept connection.
pub struct Wire {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Wire {
    /// `from` is the address of this machine that the server sees.
    pub async fn connect(addr: SocketAddr, from: Option<IpAddr>) -> Result<Self> {
        let socket = TcpSocket::new_v4()?;
        if let Some(from) = from {
            socket.bind(SocketAddr::new(from, 0))?;
        }
        let stream = socket.connect(addr).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(4096) })
    }

    /// Status and body.
    pub async fn ask(&mut self, request: &Request) -> Result<(u16, Vec<u8>)> {
        self.stream.write_all(&request.bytes).await?;
        self.buffer.clear();
        let (head, length) = loop {
            if let Some(head) = self.buffer.windows(4).position(|end| end == b"\r\n\r\n") {
                let text =
                    std::str::from_utf8(self.buffer.get(..head).unwrap_or_default())?.to_ascii_lowercase();
                let length =
                    text.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
                break (head + 4, length.unwrap_or(0));
            }
            self.more().await?;
        };
        while self.buffer.len() < head + length {
            self.more().await?;
        }
        let status = std::str::from_utf8(self.buffer.get(9..12).unwrap_or_default())?.parse()?;
        Ok((status, self.buffer.get(head..).unwrap_or_default().to_vec()))
    }

    async fn more(&mut self) -> Result<()> {
        if self.stream.read_buf(&mut self.buffer).await? == 0 {
            return Err("the server hung up".into());
        }
        Ok(())
    }
}

/// The answer to a login.
pub async fn login(addr: SocketAddr, body: &Value) -> Result<Value> {
    let (status, answer) = Wire::connect(addr, None).await?.ask(&Request::post(addr, "/login", body)).await?;
    if status != 200 {
        return Err(format!("a login was answered {status}").into());
    }
    Ok(serde_json::from_slice(&answer)?)
}

/// Good answers a second over so many connections at once.
pub async fn rate(request: &Request, connections: usize, lasting: Duration) -> Result<f64> {
    let mut tasks = Vec::new();
    let start = Instant::now();
    for _ in 0..connections {
        let request = request.clone();
        tasks.push(tokio::spawn(async move {
            let mut wire = Wire::connect(request.addr, None).await.map_err(|error| error.to_string())?;
            let mut count = 0_u32;
            while start.elapsed() < lasting {
                let (status, _body) = wire.ask(&request).await.map_err(|error| error.to_string())?;
                if status != 200 {
                    return Err(format!("answered {status}"));
                }
                count += 1;
            }
            Ok(count)
        }));
    }
    let mut all = 0_u32;
    for task in tasks {
        all += task.await??;
    }
    Ok(f64::from(all) / start.elapsed().as_secs_f64())
}
