//! Port-forward by WebSocket (`v4.channel.k8s.io`): for the port of index `i`, channel `2i` carries bytes both ways and
//! channel `2i+1` the reason why there are none. The first message on each is the port, 16 bits, low byte first.

use crate::channels::{CHUNK, UNDER_WAY, close, message, not_here, refuse};
use crate::node::Node;
use crate::pod_context::PodContext;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use serde::Deserialize;
use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// The only protocol of ours; kubectl's tunnelled SPDY is another one.
const PROTOCOL: &str = "v4.channel.k8s.io";
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
    Query(query): Query<Ports>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let Some(context) = node.find_pod(&namespace, &pod) else {
        return not_here(&namespace, &pod);
    };
    let ports: Result<Vec<u16>, _> = query.port.split(',').map(str::parse).collect();
    let ports = match ports {
        Ok(ports) if (1..=MOST_PORTS).contains(&ports.len()) => ports,
        _ => {
            let text = format!("`{}` are not ports\n", query.port);
            return refuse(StatusCode::BAD_REQUEST, text);
        }
    };
    let upgrade = upgrade.protocols([PROTOCOL]);
    if upgrade.selected_protocol().is_none() {
        let text = format!("this kubelet forwards ports by {PROTOCOL} only\n");
        return refuse(StatusCode::BAD_REQUEST, text);
    }
    upgrade.on_upgrade(move |socket| forward(socket, context, ports))
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
        result = out_of_pod(from_pod, channel, outgoing) => result,
        result = into_pod(to_pod, incoming) => result,
    }
}

async fn out_of_pod(
    mut from_pod: OwnedReadHalf,
    channel: u8,
    outgoing: &mpsc::Sender<Message>,
) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK];
    loop {
        let count = from_pod.read(&mut chunk).await?;
        if count == 0
            || outgoing
                .send(message(channel, &chunk[..count]))
                .await
                .is_err()
        {
            return Ok(());
        }
    }
}

/// Returns only when the pod does not take any more: that the client has no more to say leaves the pod its answer.
async fn into_pod(
    mut to_pod: OwnedWriteHalf,
    mut incoming: mpsc::Receiver<Bytes>,
) -> io::Result<()> {
    while let Some(bytes) = incoming.recv().await {
        to_pod.write_all(&bytes).await?;
    }
    to_pod.shutdown().await?;
    std::future::pending().await
}
