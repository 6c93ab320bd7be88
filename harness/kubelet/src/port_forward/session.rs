//! Port-forward over SPDY, as `portforward.k8s.io` says: for each connection to a port the client opens two streams, one
//! for errors and one for data, which belong together by their `requestid`. Connections of one session know nothing of each
//! other.
//!
//! Invariant: when a session ends, however it does, none of its connections to the pod is left.

use super::connection::{Connection, DataStream, Pod};
use super::transport::{Gone, Incoming, Outlet};
use crate::spdy::{Decoder, Encoder, End, Headers, Received, Reset, Sent};
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

/// Most streams that are open at once, two for each connection.
const MOST_STREAMS: usize = 512;
/// Parts of frames that wait for one pod, and frames that wait for the client.
const WAITING: usize = 4;
/// How often it is tried whether the client is there, while a pod takes nothing: nothing is read meanwhile.
const PROBING: Duration = Duration::from_secs(3);
/// How long a client may take to hear that the session ends.
const FAREWELL: Duration = Duration::from_secs(5);
/// The number of our probes; a client's are odd.
const PROBE: u32 = 2;

/// A client's streams.
struct Session {
    pod: Arc<dyn Pod>,
    frames: mpsc::Sender<Sent>,
    streams: HashMap<u32, Stream>,
    /// Those of which only one stream is there, by their request.
    halves: HashMap<String, Half>,
    /// The stream for data and the one for errors of each connection that has ended.
    connections: JoinSet<(u32, u32)>,
    /// The client opens no more.
    leaves: bool,
}

enum Stream {
    Errors,
    Data(Inlet),
}

/// Where a client's bytes go.
struct Inlet {
    /// None after the client's end.
    bytes: Option<mpsc::Sender<Bytes>>,
    /// Ends the connection when it is dropped.
    _held: oneshot::Sender<()>,
}

/// The first of two streams.
enum Half {
    Errors(u32),
    Data(DataStream),
}

/// What a stream is for, from its headers.
#[derive(Debug, PartialEq, Eq)]
struct Purpose {
    port: u16,
    errors: bool,
    request: String,
}

/// Serves a client until it has left, or says what is no SPDY.
pub(super) async fn serve(mut incoming: Incoming, mut outlet: Outlet, pod: Arc<dyn Pod>) {
    let (frames, mut to_send) = mpsc::channel(WAITING);
    let mut writing = tokio::spawn(async move {
        let mut encoder = Encoder::new();
        while let Some(frame) = to_send.recv().await {
            if outlet.send(encoder.encode(frame)).await.is_err() {
                return;
            }
        }
        outlet.close().await;
    });
    let mut session = Session {
        pod,
        frames,
        streams: HashMap::new(),
        halves: HashMap::new(),
        connections: JoinSet::new(),
        leaves: false,
    };
    let mut decoder = Decoder::new();
    let reason = session.run(&mut decoder, &mut incoming).await;
    let Session {
        frames,
        mut connections,
        ..
    } = session;
    connections.shutdown().await;
    let farewell = async {
        if let Ok(reason) = reason {
            let last = decoder.last();
            // It may have left.
            let _ = frames.send(Sent::Leave { last, reason }).await;
        }
        drop(frames);
        (&mut writing).await
    };
    if tokio::time::timeout(FAREWELL, farewell).await.is_err() {
        writing.abort();
    }
}

impl Session {
    /// Why it ends, where somebody is there to hear that.
    async fn run(&mut self, decoder: &mut Decoder, incoming: &mut Incoming) -> Result<End, Gone> {
        loop {
            loop {
                match decoder.next() {
                    Ok(Some(frame)) => self.take(frame).await?,
                    Ok(None) => break,
                    Err(error) => {
                        tracing::debug!(%error, "a client of port-forward speaks no SPDY");
                        return Ok(End::Protocol);
                    }
                }
            }
            if self.leaves && self.streams.is_empty() {
                return Ok(End::Done);
            }
            tokio::select! {
                Some(ended) = self.connections.join_next() => {
                    // One that panicked has its streams until the session ends.
                    if let Ok((data, errors)) = ended {
                        self.streams.remove(&data);
                        self.streams.remove(&errors);
                    }
                }
                bytes = incoming.next() => decoder.push(&bytes.ok_or(Gone)?),
                () = self.frames.closed() => return Err(Gone),
            }
        }
    }

    async fn take(&mut self, frame: Received) -> Result<(), Gone> {
        match frame {
            Received::Open {
                stream,
                headers,
                fin,
            } => self.open(stream, &headers, fin).await,
            Received::Data { stream, bytes, fin } => self.deliver(stream, bytes, fin).await,
            Received::Reset { stream } => {
                self.forget(stream);
                Ok(())
            }
            Received::Ping { number } if number % 2 == 1 => self.send(Sent::Ping { number }).await,
            Received::Ping { .. } => Ok(()),
            Received::Leave => {
                self.leaves = true;
                Ok(())
            }
        }
    }

    async fn send(&self, frame: Sent) -> Result<(), Gone> {
        self.frames.send(frame).await.map_err(|_| Gone)
    }

    async fn refuse(&self, stream: u32, reason: Reset) -> Result<(), Gone> {
        self.send(Sent::Reset { stream, reason }).await
    }

    /// A stream that is gone for the client; a connection ends with its stream for data.
    fn forget(&mut self, stream: u32) {
        self.streams.remove(&stream);
        self.halves.retain(|_, half| match half {
            Half::Errors(errors) => *errors != stream,
            Half::Data(data) => data.stream != stream,
        });
    }

    async fn open(&mut self, stream: u32, headers: &Headers, fin: bool) -> Result<(), Gone> {
        if self.leaves || self.streams.len() >= MOST_STREAMS {
            return self.refuse(stream, Reset::Refused).await;
        }
        let purpose = match purpose(stream, headers) {
            Ok(purpose) => purpose,
            Err(text) => {
                tracing::debug!(text, "stream refused");
                return self.refuse(stream, Reset::Protocol).await;
            }
        };
        let half = if purpose.errors {
            Half::Errors(stream)
        } else {
            let (sender, bytes) = mpsc::channel(WAITING);
            let (holder, held) = oneshot::channel();
            let inlet = Inlet {
                bytes: (!fin).then_some(sender),
                _held: holder,
            };
            self.streams.insert(stream, Stream::Data(inlet));
            Half::Data(DataStream {
                stream,
                port: purpose.port,
                bytes,
                held,
            })
        };
        let (data, errors) = match (self.halves.remove(&purpose.request), half) {
            (None, half) => {
                if let Half::Errors(errors) = half {
                    self.streams.insert(errors, Stream::Errors);
                }
                self.halves.insert(purpose.request, half);
                return self.send(Sent::Reply { stream }).await;
            }
            (Some(Half::Data(data)), Half::Errors(errors))
            | (Some(Half::Errors(errors)), Half::Data(data)) => (data, errors),
            (Some(first), _) => {
                self.halves.insert(purpose.request, first);
                self.streams.remove(&stream);
                return self.refuse(stream, Reset::Protocol).await;
            }
        };
        self.streams.insert(errors, Stream::Errors);
        self.send(Sent::Reply { stream }).await?;
        let connection = Connection {
            pod: Arc::clone(&self.pod),
            data,
            errors,
            frames: self.frames.clone(),
        };
        self.connections.spawn(connection.serve());
        Ok(())
    }

    /// Hands bytes to the pod. Nothing else is read until it takes them: SPDY's windows would let the others go on, but
    /// Kubernetes' clients keep none.
    async fn deliver(&mut self, stream: u32, bytes: Bytes, fin: bool) -> Result<(), Gone> {
        // Frames that were on their way when a stream ended, and the end of a stream for errors, mean nothing.
        let Some(Stream::Data(inlet)) = self.streams.get_mut(&stream) else {
            return Ok(());
        };
        if let Some(sender) = inlet.bytes.as_ref().filter(|_| !bytes.is_empty()) {
            let waits_for_other =
                |half: &Half| matches!(half, Half::Data(data) if data.stream == stream);
            // Its other stream cannot come while this one is waited for.
            if sender.capacity() == 0 && self.halves.values().any(waits_for_other) {
                self.forget(stream);
                return self.refuse(stream, Reset::FlowControl).await;
            }
            let mut probes = tokio::time::interval(PROBING);
            probes.tick().await;
            let mut sending = std::pin::pin!(sender.send(bytes));
            loop {
                tokio::select! {
                    // A pod that takes no more may still have something to say.
                    _ = &mut sending => break,
                    _ = probes.tick() => {
                        // With the queue full the client is being written to, which shows the same.
                        let _ = self.frames.try_send(Sent::Ping { number: PROBE });
                    }
                    () = self.frames.closed() => return Err(Gone),
                }
            }
        }
        if fin {
            inlet.bytes = None;
        }
        Ok(())
    }
}

/// What a client wants a stream for.
fn purpose(stream: u32, headers: &Headers) -> Result<Purpose, String> {
    let header = |name: &str| {
        let value = headers.get(name).filter(|value| !value.is_empty());
        value.ok_or_else(|| format!("\"{name}\" header is required"))
    };
    let port = header("port")?;
    let number = port.parse::<u16>().ok().filter(|number| *number > 0);
    let number = number.ok_or_else(|| format!("unable to parse \"{port}\" as a port"))?;
    let errors = match header("streamtype")?.as_str() {
        "error" => true,
        "data" => false,
        other => return Err(format!("invalid stream type \"{other}\"")),
    };
    // Clients without requests open the stream for data right after that for errors.
    let first = if errors {
        stream
    } else {
        stream.saturating_sub(2)
    };
    let request = header("requestid").cloned();
    Ok(Purpose {
        port: number,
        errors,
        request: request.unwrap_or_else(|_| first.to_string()),
    })
}

#[cfg(test)]
mod tests;
