//! Port-forward, in each form that a client may choose: by WebSocket (`v4.channel.k8s.io`, as kube-rs does), here; and
//! SPDY/3.1 ([`session`]), in messages of a WebSocket as kubectl sends it, or on the bare connection as older ones do.
//!
//! By WebSocket, for the port of index `i`, channel `2i` carries bytes both ways and channel `2i+1` the reason why there are
//! none. The first message on each is the port, 16 bits, low byte first.

mod connection;
mod session;
mod transport;

use crate::channels::{UNDER_WAY, close, message, not_here, refuse};
use crate::node::Node;
use crate::pod_context::PodContext;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{FromRequestParts as _, Path, Query, Request, State};
use axum::http::header::{CONNECTION, UPGRADE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use connection::{FromPod, Names, Pod, ToPod, into_pod, out_of_pod};
use futures::future::BoxFuture;
use futures::{SinkExt, StreamExt};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Channels for ports that are told before.
const CHANNELS: &str = "v4.channel.k8s.io";
/// SPDY in messages.
const TUNNEL: &str = "SPDY/3.1+portforward.k8s.io";
/// SPDY on the bare connection, and what is spoken over it.
const SPDY: &str = "SPDY/3.1";
const OVER_SPDY: &str = "portforward.k8s.io";
/// Where both sides say what is spoken over SPDY.
const SPOKEN: &str = "x-stream-protocol-version";
/// Most of one message; kubectl sends what it reads at once, 32 KiB.
const MOST_MESSAGE: usize = 1024 * 1024;
/// Channel numbers are bytes, two for each port.
const MOST_PORTS: usize = 128;

/// What is to be forwarded.
#[derive(Debug, Deserialize)]
pub(crate) struct Ports {
    /// Port numbers with commas between them.
    port: String,
}

/// Answers the API server's request to forward ports of a pod.
pub(crate) async fn port_forward(
    State(node): State<Arc<Node>>,
    Path((namespace, pod)): Path<(String, String)>,
    request: Request,
) -> Response {
    let Some(context) = node.find_pod(&namespace, &pod) else {
        return not_here(&namespace, &pod);
    };
    if asks_for_spdy(request.headers()) {
        return bare(request, context);
    }
    let (mut parts, _) = request.into_parts();
    let upgrade = match WebSocketUpgrade::from_request_parts(&mut parts, &()).await {
        Ok(upgrade) => upgrade
            .max_message_size(MOST_MESSAGE)
            .max_frame_size(MOST_MESSAGE),
        Err(refused) => return refused.into_response(),
    };
    let upgrade = upgrade.protocols([TUNNEL, CHANNELS]);
    match upgrade
        .selected_protocol()
        .map(|protocol| protocol.to_str())
    {
        Some(Ok(TUNNEL)) => {
            return upgrade.on_upgrade(move |socket| {
                let (outlet, incoming) = transport::of_messages(socket);
                session::serve(incoming, outlet, context)
            });
        }
        Some(_) => {}
        None => {
            let text = format!("this kubelet forwards ports by {TUNNEL} or {CHANNELS} only\n");
            return refuse(StatusCode::BAD_REQUEST, text);
        }
    }
    let ports = match Query::<Ports>::try_from_uri(&parts.uri) {
        Ok(Query(query)) => query.port,
        Err(refused) => return refused.into_response(),
    };
    let numbers: Result<Vec<u16>, _> = ports.split(',').map(str::parse).collect();
    match numbers {
        Ok(numbers) if (1..=MOST_PORTS).contains(&numbers.len()) => {
            upgrade.on_upgrade(move |socket| forward(socket, context, numbers))
        }
        _ => refuse(
            StatusCode::BAD_REQUEST,
            format!("`{ports}` are not ports\n"),
        ),
    }
}

fn asks_for_spdy(headers: &HeaderMap) -> bool {
    let asked = headers.get(UPGRADE).and_then(|value| value.to_str().ok());
    asked.is_some_and(|asked| asked.eq_ignore_ascii_case(SPDY))
}

/// SPDY on the connection of the request itself.
fn bare(mut request: Request, context: Arc<PodContext>) -> Response {
    let spoken = request.headers().get_all(SPOKEN);
    let mut spoken = spoken.iter().filter_map(|value| value.to_str().ok());
    if !spoken.any(|list| list.split(',').any(|one| one.trim() == OVER_SPDY)) {
        let text = format!("over {SPDY} this kubelet speaks {OVER_SPDY} only\n");
        return refuse(StatusCode::FORBIDDEN, text);
    }
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        match upgrade.await {
            Ok(connection) => {
                let (outlet, incoming) = transport::of_bytes(TokioIo::new(connection));
                session::serve(incoming, outlet, context).await;
            }
            Err(error) => tracing::debug!(%error, "connection not handed over"),
        }
    });
    let headers = [
        (CONNECTION.as_str(), "Upgrade"),
        (UPGRADE.as_str(), SPDY),
        (SPOKEN, OVER_SPDY),
    ];
    (StatusCode::SWITCHING_PROTOCOLS, headers).into_response()
}

impl Pod for PodContext {
    fn connect(self: Arc<Self>, port: u16) -> BoxFuture<'static, io::Result<(FromPod, ToPod)>> {
        Box::pin(async move {
            let (from_pod, to_pod) = dial(self, port).await?.into_split();
            Ok((Box::new(from_pod) as FromPod, Box::new(to_pod) as ToPod))
        })
    }

    fn names(&self) -> Names<'_> {
        Names {
            namespace: &self.namespace,
            name: &self.name,
            uid: &self.uid,
        }
    }
}

async fn forward(socket: WebSocket, context: Arc<PodContext>, ports: Vec<u16>) {
    let (mut sink, mut stream) = socket.split();
    let (outgoing, mut messages) = mpsc::channel::<Message>(UNDER_WAY);
    let mut tasks = JoinSet::new();
    let mut inlets = HashMap::new();
    for (index, port) in ports.into_iter().enumerate() {
        // `MOST_PORTS` keeps it in a byte.
        let channel = 2 * index as u8;
        let (inlet, incoming) = mpsc::channel::<Bytes>(UNDER_WAY);
        inlets.insert(channel, inlet);
        let (context, outgoing) = (Arc::clone(&context), outgoing.clone());
        tasks.spawn(async move {
            for channel in [channel, channel + 1] {
                let first = message(channel, &port.to_le_bytes());
                if outgoing.send(first).await.is_err() {
                    return;
                }
            }
            let connected = dial(context, port).await;
            if let Err(error) = carry(connected, channel, incoming, &outgoing).await {
                let text = format!("forward port {port}: {error}");
                // The client may have left; then nobody wants to know.
                let _ = outgoing.send(message(channel + 1, text.as_bytes())).await;
            }
        });
    }
    drop(outgoing);
    let write = async {
        while let Some(message) = messages.recv().await {
            if sink.send(message).await.is_err() {
                return;
            }
        }
        // Every port is done.
        let _ = sink.send(close()).await;
    };
    let read = async {
        while let Some(Ok(message)) = stream.next().await {
            match message {
                Message::Binary(mut bytes) if bytes.len() > 1 => {
                    let channel = bytes.split_to(1)[0];
                    if let Some(inlet) = inlets.get(&channel) {
                        // A port that is done takes nothing more.
                        let _ = inlet.send(bytes).await;
                    }
                }
                Message::Close(_) => return,
                _ => {}
            }
        }
    };
    tokio::select! {
        () = write => {}
        () = read => {}
    }
    // The ports that are still open end with their tasks.
    tasks.shutdown().await;
}

async fn dial(context: Arc<PodContext>, port: u16) -> io::Result<TcpStream> {
    let connected = tokio::task::spawn_blocking(move || {
        let sandbox = context
            .sandbox
            .get()
            .ok_or_else(|| io::Error::other("the pod has no network yet"))?;
        sandbox.dial(port)
    });
    let stream = connected.await.map_err(io::Error::other)??;
    stream.set_nonblocking(true)?;
    stream.set_nodelay(true)?;
    TcpStream::from_std(stream)
}

/// Carries bytes both ways until the pod has no more to say.
async fn carry(
    connected: io::Result<TcpStream>,
    channel: u8,
    incoming: mpsc::Receiver<Bytes>,
    outgoing: &mpsc::Sender<Message>,
) -> io::Result<()> {
    let (from_pod, to_pod) = connected?.into_split();
    tokio::select! {
        result = out_of_pod(from_pod, outgoing, |bytes| message(channel, &bytes)) => result,
        never = into_pod(to_pod, incoming) => match never {},
    }
}
