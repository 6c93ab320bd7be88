//! Executing a program in a container by WebSocket (`v5.channel.k8s.io`, `v4.channel.k8s.io`), as `kubectl exec` asks for.
//!
//! The first byte of a message is its channel: 0 input, 1 output, 2 errors, 3 how it ended, 4 the size of the terminal; 255
//! says that a channel (of v5) is closed. How it ended comes after all output, and then the connection is closed: a client
//! that is not told takes it for success.

use crate::channels::{CHUNK, UNDER_WAY, close, message, not_here, refuse};
use crate::container_order::chain;
use crate::node::Node;
use crate::pod_context::PodContext;
use crate::runtime::{self, Output, Running, StartError};
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use bytes::Bytes;
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt as _, StreamExt as _};
use harness_kernel::KernelError;
use harness_kernel::container::{Order, ProcessSpec, Streams};
use nix::sys::stat::Mode;
use serde_json::{Value, json};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::unix::pipe;
use tokio::sync::mpsc;

/// Newest first: in v5 a client can say that there is no more input.
const PROTOCOLS: [&str; 2] = ["v5.channel.k8s.io", "v4.channel.k8s.io"];
const INPUT: u8 = 0;
const OUTPUT: u8 = 1;
const ERRORS: u8 = 2;
const STATUS: u8 = 3;
const RESIZE: u8 = 4;
const CLOSED: u8 = 255;

/// Names named pipes apart.
static PIPES: AtomicU64 = AtomicU64::new(0);

/// What a client asks for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Asked {
    command: Vec<String>,
    input: bool,
    output: bool,
    errors: bool,
    terminal: bool,
}

/// A program cannot be executed.
#[derive(Debug, thiserror::Error)]
enum ExecuteError {
    #[error("make a named pipe for the input")]
    Pipe(#[source] io::Error),
    #[error(transparent)]
    Terminal(#[from] KernelError),
    #[error("use the terminal")]
    UseTerminal(#[source] io::Error),
    #[error(transparent)]
    Start(#[from] StartError),
}

impl Asked {
    /// From the request's query; `command` is there once for each word.
    fn read(query: &str) -> Self {
        let mut asked = Self::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let yes = matches!(value.as_ref(), "1" | "true");
            match name.as_ref() {
                "command" => asked.command.push(value.into_owned()),
                "input" | "stdin" => asked.input = yes,
                "output" | "stdout" => asked.output = yes,
                "error" | "stderr" => asked.errors = yes,
                "tty" => asked.terminal = yes,
                _ => {}
            }
        }
        asked
    }
}

/// Answers the API server's request to execute a program in a container.
pub(crate) async fn exec(
    State(node): State<Arc<Node>>,
    Path((namespace, pod, container)): Path<(String, String, String)>,
    RawQuery(query): RawQuery,
    upgrade: WebSocketUpgrade,
) -> Response {
    let Some(context) = node.find_pod(&namespace, &pod) else {
        return not_here(&namespace, &pod);
    };
    let facts = context.container(&container);
    let (Some(pid), Some(process)) = (facts.pid, facts.process) else {
        let text = format!("container \"{container}\" of pod {namespace}/{pod} is not running\n");
        return refuse(StatusCode::NOT_FOUND, text);
    };
    let asked = Asked::read(&query.unwrap_or_default());
    if asked.command.is_empty() {
        return refuse(StatusCode::BAD_REQUEST, "there is no command\n".to_owned());
    }
    let upgrade = upgrade.protocols(PROTOCOLS);
    if upgrade.selected_protocol().is_none() {
        let text = format!("this kubelet executes by {} only\n", PROTOCOLS.join(" or "));
        return refuse(StatusCode::BAD_REQUEST, text);
    }
    let process = ProcessSpec {
        arguments: asked.command.clone(),
        ..(*process).clone()
    };
    upgrade.on_upgrade(async move |socket| serve(socket, &context, pid, process, &asked).await)
}

/// A program that runs, and what goes in and out.
struct Session {
    running: Running,
    outputs: Vec<(u8, Output)>,
    input: Inlet,
}

/// Where input goes.
enum Inlet {
    None,
    Pipe(pipe::Sender),
    Terminal(File),
}

async fn serve(
    socket: WebSocket,
    context: &PodContext,
    pid: i32,
    process: ProcessSpec,
    asked: &Asked,
) {
    let (mut sink, stream) = socket.split();
    let status = match begin(context, pid, process, asked).await {
        Ok(session) => match converse(session, &mut sink, stream).await {
            Some(status) => ended(status),
            // Nobody is there any more who could be told.
            None => return,
        },
        Err(error) => failed(&chain(&error)),
    };
    // A client that has left does not want to know.
    let _ = sink
        .send(message(STATUS, status.to_string().as_bytes()))
        .await;
    let _ = sink.send(close()).await;
}

async fn begin(
    context: &PodContext,
    pid: i32,
    process: ProcessSpec,
    asked: &Asked,
) -> Result<Session, ExecuteError> {
    let executable = &context.node.config.executable;
    let order = |streams| Order::Execute {
        pid,
        process,
        streams,
    };
    if asked.terminal {
        let terminal = harness_kernel::terminal::open()?;
        let (running, ..) =
            runtime::start(executable, &order(Streams::Terminal(terminal.path))).await?;
        drop(terminal.slave);
        // When no program has the terminal open any more, reading ends with an error.
        let shown = terminal.master.try_clone();
        let shown = File::from_std(shown.map_err(ExecuteError::UseTerminal)?.into());
        return Ok(Session {
            running,
            outputs: vec![(OUTPUT, Box::new(shown))],
            input: Inlet::Terminal(File::from_std(terminal.master.into())),
        });
    }
    let (streams, input) = if asked.input {
        let path = context.folder.join(pipe_name());
        let sender = make_pipe(&path).map_err(ExecuteError::Pipe)?;
        (Streams::Input(path), Inlet::Pipe(sender))
    } else {
        (Streams::Outputs, Inlet::None)
    };
    let path = match &streams {
        Streams::Input(path) => Some(path.clone()),
        Streams::Outputs | Streams::Terminal(_) => None,
    };
    let started = runtime::start(executable, &order(streams)).await;
    if let Some(path) = path {
        // Both ends are open; a pod's folder goes with the pod anyway.
        let _ = std::fs::remove_file(path);
    }
    let (running, output, errors) = started?;
    let mut outputs = Vec::new();
    for (wanted, channel, stream) in [
        (asked.output, OUTPUT, output),
        (asked.errors, ERRORS, errors),
    ] {
        if wanted {
            outputs.push((channel, stream));
        }
    }
    Ok(Session {
        running,
        outputs,
        input,
    })
}

fn pipe_name() -> PathBuf {
    format!("input-{}", PIPES.fetch_add(1, Ordering::Relaxed)).into()
}

/// Open for reading too, so that it opens at once; the program's end of input comes when this is dropped.
fn make_pipe(path: &std::path::Path) -> io::Result<pipe::Sender> {
    nix::unistd::mkfifo(path, Mode::S_IRUSR | Mode::S_IWUSR)?;
    pipe::OpenOptions::new().read_write(true).open_sender(path)
}

/// Carries everything until the program has ended and all its output is sent: its exit status. None when the client has
/// left; then the program is ended, since nobody would notice it any more.
async fn converse(
    session: Session,
    sink: &mut SplitSink<WebSocket, Message>,
    stream: SplitStream<WebSocket>,
) -> Option<i32> {
    let Session {
        mut running,
        outputs,
        input,
    } = session;
    let (outgoing, mut messages) = mpsc::channel::<Message>(UNDER_WAY);
    for (channel, output) in outputs {
        tokio::spawn(carry_out(channel, output, outgoing.clone()));
    }
    drop(outgoing);
    let (left, client_left) = tokio::sync::oneshot::channel::<()>();
    let reading = tokio::spawn(async move {
        carry_in(stream, input).await;
        drop(left);
    });
    let write = async {
        while let Some(message) = messages.recv().await {
            if sink.send(message).await.is_err() {
                return false;
            }
        }
        true
    };
    let all_sent = tokio::select! {
        all_sent = write => all_sent,
        _ = client_left => false,
    };
    if !all_sent {
        running.kill();
    }
    let status = running.wait().await;
    reading.abort();
    all_sent.then_some(status)
}

async fn carry_out(channel: u8, mut output: Output, outgoing: mpsc::Sender<Message>) {
    let mut chunk = vec![0; CHUNK];
    while let Ok(count) = output.read(&mut chunk).await
        && count > 0
        && outgoing
            .send(message(channel, &chunk[..count]))
            .await
            .is_ok()
    {}
}

/// Returns when the client has left.
async fn carry_in(mut stream: SplitStream<WebSocket>, mut input: Inlet) {
    while let Some(Ok(message)) = stream.next().await {
        let mut bytes = match message {
            Message::Binary(bytes) => bytes,
            // Some clients send text.
            Message::Text(text) => Bytes::from(text),
            Message::Close(_) => return,
            Message::Ping(_) | Message::Pong(_) => continue,
        };
        if bytes.is_empty() {
            continue;
        }
        let channel = bytes.split_to(1)[0];
        match (channel, &mut input) {
            (INPUT, Inlet::Pipe(pipe)) => {
                // A program that is gone, or reads no more, takes nothing.
                let _ = pipe.write_all(&bytes).await;
            }
            (INPUT, Inlet::Terminal(master)) => {
                let _ = master.write_all(&bytes).await;
                let _ = master.flush().await;
            }
            (RESIZE, Inlet::Terminal(master)) => resize(master, &bytes),
            (CLOSED, Inlet::Pipe(_)) if bytes.first() == Some(&INPUT) => input = Inlet::None,
            _ => {}
        }
    }
}

fn resize(master: &File, bytes: &[u8]) {
    let Ok(size) = serde_json::from_slice::<Value>(bytes) else {
        return;
    };
    let side = |name: &str| {
        let value = size[name].as_u64()?;
        u16::try_from(value).ok()
    };
    if let (Some(columns), Some(rows)) = (side("Width"), side("Height"))
        && let Err(error) = harness_kernel::terminal::resize(master, columns, rows)
    {
        tracing::debug!(error = chain(&error), "a terminal keeps its size");
    }
}

/// The words of Kubernetes for how a program has ended.
fn ended(status: i32) -> Value {
    if status == 0 {
        return json!({"metadata": {}, "status": "Success"});
    }
    json!({
        "metadata": {}, "status": "Failure", "reason": "NonZeroExitCode",
        "message": format!("command terminated with non-zero exit code: exit status {status}"),
        "details": {"causes": [{"reason": "ExitCode", "message": status.to_string()}]},
    })
}

fn failed(text: &str) -> Value {
    json!({"metadata": {}, "status": "Failure", "reason": "InternalError", "code": 500, "message": text})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_understood() {
        let asked =
            Asked::read("command=sh&command=-c&command=echo%20a%26b&input=1&output=true&tty=0");
        let expected = Asked {
            command: ["sh", "-c", "echo a&b"].map(str::to_owned).into(),
            input: true,
            output: true,
            errors: false,
            terminal: false,
        };
        assert_eq!(asked, expected);
    }

    #[test]
    fn the_end_is_told_in_the_words_of_kubernetes() {
        assert_eq!(ended(0)["status"], "Success");
        let failure = ended(3);
        assert_eq!(failure["reason"], "NonZeroExitCode");
        assert_eq!(failure["details"]["causes"][0]["message"], "3");
    }
}
