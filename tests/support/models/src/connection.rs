//! Serves one connection after the other, and notices when a client goes away.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::io::{AsyncWriteExt as _, Interest};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::log::Ended;
use crate::reply::{Content, Hangup};
use crate::request::Request;
use crate::steps::{Framing, Step};
use crate::{Shared, http, wire};

/// Accepts connections until the task is dropped, and all of them with it.
pub(crate) async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((stream, _)) = accepted {
                    shared.connections.fetch_add(1, Ordering::Relaxed);
                    connections.spawn(serve(stream, Arc::clone(&shared)));
                }
            }
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
}

async fn serve(mut stream: TcpStream, shared: Arc<Shared>) {
    // Each write is a packet of its own, so that a script decides what comes together.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    while let Ok(Some(request)) = http::read(&mut stream).await {
        let (number, request_id) = shared.begin(&request);
        let reply = shared.reply_to(&request);
        let sending = Sending { shared: &shared, number, stream: &mut stream };
        let (ended, goes_on) = sending.reply(reply, &request, request_id).await;
        shared.change(number, |call| {
            call.ended = ended;
            call.ended_at = Some(Instant::now());
        });
        if !goes_on {
            return;
        }
    }
}

struct Sending<'a> {
    shared: &'a Shared,
    number: usize,
    stream: &'a mut TcpStream,
}

impl Sending<'_> {
    /// Sends a reply. Second is whether the connection may carry another request.
    async fn reply(
        mut self,
        reply: crate::Reply,
        request: &Request,
        request_id: String,
    ) -> (Ended, bool) {
        let framing = reply.framing;
        if self.pause(reply.wait).await.is_err() {
            return (Ended::ClientGone, false);
        }
        if let Content::Nothing(how) = reply.content {
            return (self.hang_up(how).await, false);
        }
        let status = reply.status;
        let mut headers = vec![];
        for name in wire::id_headers(request.wire) {
            headers.push(((*name).to_owned(), request_id.clone()));
        }
        match framing {
            Framing::Chunked => headers.push(("transfer-encoding".into(), "chunked".into())),
            Framing::UntilClose => headers.push(("connection".into(), "close".into())),
        }
        let without = reply.without.clone();
        let scripted = reply.headers.clone();
        let (content_type, steps) = wire::body(reply, request);
        headers.push(("content-type".to_owned(), content_type));
        headers.retain(|(name, _)| {
            !without.contains(name) && !scripted.iter().any(|(other, _)| other == name)
        });
        headers.extend(scripted);
        self.shared.change(self.number, |call| call.status = status);
        match self.steps(&http::head(status, &headers), steps, framing).await {
            Ok(None) => (Ended::Whole, framing == Framing::Chunked),
            Ok(Some(how)) => (self.hang_up(how).await, false),
            Err(_) => (Ended::ClientGone, false),
        }
    }

    /// Sends head and steps; how it is to be ended, if the script says so.
    async fn steps(
        &mut self,
        head: &[u8],
        steps: Vec<Step>,
        framing: Framing,
    ) -> io::Result<Option<Hangup>> {
        self.stream.write_all(head).await?;
        let mut at = 0;
        while let Some(step) = steps.get(at) {
            at += 1;
            match step {
                Step::Bytes(bytes) => self.send(bytes, framing).await?,
                Step::Token(bytes) => {
                    self.send(bytes, framing).await?;
                    self.shared.change(self.number, |call| call.output_tokens += 1);
                }
                Step::Usage(bytes) => {
                    self.send(bytes, framing).await?;
                    self.shared.change(self.number, |call| call.usage_sent = true);
                }
                Step::Wait(wait) => self.pause(*wait).await?,
                Step::Again(from) => {
                    at = *from;
                    // An answer that never ends still lets others run.
                    tokio::task::yield_now().await;
                }
                Step::End(how) => return Ok(Some(*how)),
            }
        }
        if framing == Framing::Chunked {
            self.stream.write_all(b"0\r\n\r\n").await?;
        }
        self.stream.flush().await?;
        Ok(None)
    }

    async fn send(&mut self, bytes: &[u8], framing: Framing) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        match framing {
            Framing::UntilClose => self.stream.write_all(bytes).await,
            Framing::Chunked => {
                let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
                chunk.extend_from_slice(bytes);
                chunk.extend_from_slice(b"\r\n");
                self.stream.write_all(&chunk).await
            }
        }
    }

    /// Waits, unless the client goes away.
    async fn pause(&mut self, wait: Duration) -> io::Result<()> {
        if wait.is_zero() {
            return Ok(());
        }
        tokio::select! {
            () = tokio::time::sleep(wait) => Ok(()),
            () = gone(self.stream) => Err(io::ErrorKind::ConnectionAborted.into()),
        }
    }

    async fn hang_up(&mut self, how: Hangup) -> Ended {
        match how {
            // Dropping the socket sends it.
            Hangup::Fin => Ended::Cut,
            Hangup::Reset => {
                // Without it the end would be an orderly one, which the log must not hide.
                self.stream.set_zero_linger().unwrap();
                Ended::Cut
            }
            Hangup::Silence => {
                gone(self.stream).await;
                Ended::ClientGone
            }
        }
    }
}

/// Returns when the client has closed the connection. Clients of models send nothing
/// while they wait for an answer.
async fn gone(stream: &TcpStream) {
    let mut byte = [0];
    loop {
        match stream.ready(Interest::READABLE).await {
            Ok(_) => match stream.try_read(&mut byte) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                _ => return,
            },
            Err(_) => return,
        }
    }
}
