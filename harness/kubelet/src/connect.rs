//! The socket through which the harness reaches pods: one JSON line with address and port in, a connected TCP
//! socket out. A line that names a pod stops its processes, or lets them go on, or has it asked late, or at once again; one
//! that names a Unix socket breaks it, or puts it back; and one that names a folder fills its file system, gives it its room
//! again, or has it searched for private keys.
//!
//! The connection is made from the node's namespace, so it works while the node's zone is cut off.

use crate::disk_fault;
use crate::freeze::{self, PodName};
use crate::key_search;
use crate::late_answers;
use crate::node::Node;
use crate::socket_fault::{self, Harm};
use harness_kernel::fd_passing::send_fd;
use serde::{Deserialize, Serialize};
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Interest};
use tokio::net::{TcpStream, UnixListener, UnixStream};

/// How long a pod may take to accept; it is one link away.
const PATIENCE: Duration = Duration::from_secs(3);

/// The byte that comes with a socket; an error is a line of text instead.
const CONNECTED: u8 = 0;

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Wanted {
    Connection {
        ip: Ipv4Addr,
        port: u16,
    },
    /// Stop the processes of a pod; the answer says how many.
    Freeze {
        freeze: PodName,
        millis: u64,
    },
    Thaw {
        thaw: PodName,
    },
    /// Have what arrives at this port of a pod wait for so many milliseconds; the answer says what was measured.
    Late {
        late: PodName,
        port: u16,
        delay: u64,
        millis: u64,
    },
    Prompt {
        prompt: PodName,
    },
    /// Break the socket at this path of the node; the answer says what was measured.
    Harm {
        socket: String,
        harm: Harm,
        millis: u64,
    },
    Mend {
        mend: String,
    },
    /// Fill the file system of the folder at this path of the node; the answer says what was measured.
    Fill {
        fill: String,
        millis: u64,
    },
    Empty {
        empty: String,
    },
    /// Look for private keys below the folder at this path of the node; the answer says where they are.
    Search {
        search: String,
    },
}

/// Makes the socket, in place of one that a former run left.
pub(crate) fn bind(path: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    UnixListener::bind(path)
}

/// Serves for ever.
pub(crate) async fn serve(listener: UnixListener, node: Arc<Node>) {
    loop {
        match listener.accept().await {
            Ok((client, _)) => {
                let node = Arc::clone(&node);
                tokio::spawn(async move {
                    if let Err(error) = answer(client, &node).await {
                        tracing::debug!(%error, "connection not handed over");
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "accept on the connect socket");
                tokio::task::yield_now().await;
            }
        }
    }
}

async fn answer(client: UnixStream, node: &Arc<Node>) -> io::Result<()> {
    let mut client = BufReader::new(client);
    let mut line = String::new();
    client.read_line(&mut line).await?;
    let mut client = client.into_inner();
    let connected = match serde_json::from_str::<Wanted>(&line) {
        Ok(Wanted::Freeze {
            freeze: pod,
            millis,
        }) => {
            let frozen = freeze::freeze(node, pod, Duration::from_millis(millis));
            return say(&mut client, &frozen).await;
        }
        Ok(Wanted::Thaw { thaw: pod }) => {
            node.frozen.end(&pod);
            return say(&mut client, &Ok(0)).await;
        }
        Ok(Wanted::Late {
            late: pod,
            port,
            delay,
            millis,
        }) => {
            let (delay, time) = (Duration::from_millis(delay), Duration::from_millis(millis));
            let struck = late_answers::begin(node, pod, port, delay, time).await;
            return say(&mut client, &struck).await;
        }
        Ok(Wanted::Prompt { prompt: pod }) => {
            node.late.end(&pod);
            return say(&mut client, &Ok("")).await;
        }
        Ok(Wanted::Harm {
            socket,
            harm,
            millis,
        }) => {
            let time = Duration::from_millis(millis);
            let harmed = socket_fault::harm(node, socket, harm, time);
            return say(&mut client, &harmed).await;
        }
        Ok(Wanted::Mend { mend: path }) => {
            node.broken.end(&path);
            return say(&mut client, &Ok("")).await;
        }
        Ok(Wanted::Fill { fill: path, millis }) => {
            let filled = disk_fault::fill(node, path, Duration::from_millis(millis));
            return say(&mut client, &filled).await;
        }
        Ok(Wanted::Empty { empty: path }) => {
            node.full.end(&path);
            return say(&mut client, &Ok("")).await;
        }
        Ok(Wanted::Search { search: path }) => {
            let looked = key_search::search(node, path).await;
            return say(&mut client, &looked).await;
        }
        Ok(Wanted::Connection { ip, port }) => {
            let connecting = TcpStream::connect((ip, port));
            match tokio::time::timeout(PATIENCE, connecting).await {
                Ok(connected) => connected,
                Err(_) => Err(io::ErrorKind::TimedOut.into()),
            }
        }
        Err(error) => Err(error.into()),
    };
    match connected {
        Ok(stream) => {
            // The receiver decides how it reads; blocking is what it does not expect to undo.
            let stream = stream.into_std()?;
            stream.set_nonblocking(false)?;
            client
                .async_io(Interest::WRITABLE, || {
                    send_fd(&client, CONNECTED, stream.as_fd())
                })
                .await
        }
        Err(error) => client.write_all(format!("{error}\n").as_bytes()).await,
    }
}

/// The answer to what is no connection, as a line.
async fn say<T: Serialize>(client: &mut UnixStream, done: &Result<T, String>) -> io::Result<()> {
    let mut line = serde_json::to_vec(done)?;
    line.push(b'\n');
    client.write_all(&line).await
}
