//! Ports that are forwarded: by kubectl in messages of a WebSocket and on a bare connection, and by kube-rs.

use crate::execute::exec;
use crate::pods::{Pods, within};
use crate::stage::kubectl;
use crate::workload::{DEAF_PORT, PORT, SHOUT_PORT};
use kube::api::AttachParams;
use serde_json::json;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdout, Command};

const POD: &str = "forwarded";
/// Nobody listens there.
const NOBODY: u16 = 9;
/// Many times what SPDY's windows, and all sockets on the way, hold.
const MUCH: usize = 6 << 20;
/// Nobody takes a byte for that long when everything on the way is full.
const FULL: Duration = Duration::from_millis(700);

pub(crate) async fn ports_are_forwarded(pods: &Pods, kubeconfig: &Path) {
    let ready = json!({"readinessProbe": {"tcpSocket": {"port": PORT}}});
    pods.make(POD, &["talk"], json!({}), ready).await;
    pods.main_is(POD, |main| main.ready).await;
    within(by_kube_rs(pods)).await;
    for over_messages in ["true", "false"] {
        let cluster = Kubectl {
            kubeconfig,
            over_messages,
        };
        within(connections_of_one_session_are_apart(&cluster)).await;
        within(who_does_not_listen_is_told(&cluster)).await;
        within(a_killed_client_leaves_no_connection(&cluster, pods)).await;
    }
    pods.delete(POD).await;
}

async fn by_kube_rs(pods: &Pods) {
    let forwarded = pods.api().portforward(POD, &[SHOUT_PORT]).await;
    let mut stream = forwarded.unwrap().take_stream(SHOUT_PORT).unwrap();
    stream.write_all(b"words").await.unwrap();
    let mut said = [0; 5];
    stream.read_exact(&mut said).await.unwrap();
    assert_eq!(&said, b"WORDS");
}

/// How kubectl is called.
struct Kubectl<'a> {
    kubeconfig: &'a Path,
    /// For `KUBECTL_PORT_FORWARD_WEBSOCKETS`.
    over_messages: &'a str,
}

/// One that forwards ports.
struct Forwarding {
    child: Child,
    /// Where it listens, in the order of what was asked for.
    ports: Vec<u16>,
    /// Not to be closed before it ends.
    _output: Lines<BufReader<ChildStdout>>,
    /// For what kubectl keeps.
    _home: tempfile::TempDir,
}

impl Kubectl<'_> {
    async fn forward(&self, ports: &[u16]) -> Forwarding {
        let home = tempfile::tempdir().unwrap();
        let mut child = Command::new(kubectl())
            .arg("--kubeconfig")
            .arg(self.kubeconfig)
            .args(["port-forward", "--address", "127.0.0.1"])
            .arg(format!("pod/{POD}"))
            .args(ports.iter().map(|port| format!(":{port}")))
            .env("HOME", home.path())
            .env("KUBECTL_PORT_FORWARD_WEBSOCKETS", self.over_messages)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut listens = Vec::new();
        for port in ports {
            let Some(line) = output.next_line().await.unwrap() else {
                panic!("{:?}", child.wait_with_output().await.unwrap());
            };
            let listening = line.strip_prefix("Forwarding from 127.0.0.1:");
            let (here, there) = listening.unwrap().split_once(" -> ").unwrap();
            assert_eq!(there, port.to_string());
            listens.push(here.parse().unwrap());
        }
        Forwarding {
            child,
            ports: listens,
            _output: output,
            _home: home,
        }
    }
}

impl Forwarding {
    async fn connect(&self, index: usize) -> TcpStream {
        let address = ("127.0.0.1", self.ports[index]);
        TcpStream::connect(address).await.unwrap()
    }
}

/// Says all, and hears all that is said meanwhile and after that.
async fn converse(stream: TcpStream, said: &[u8]) -> Vec<u8> {
    let (mut read, mut write) = stream.into_split();
    let say = async {
        write.write_all(said).await.unwrap();
        write.shutdown().await.unwrap();
    };
    let mut heard = Vec::new();
    let ((), end) = tokio::join!(say, read.read_to_end(&mut heard));
    end.unwrap();
    heard
}

async fn connections_of_one_session_are_apart(cluster: &Kubectl<'_>) {
    let session = cluster.forward(&[PORT, SHOUT_PORT]).await;
    let said: Vec<u8> = (0..MUCH).map(|index| b'a' + (index % 23) as u8).collect();
    let quiet = session.connect(0).await;
    let (echo, shout) = tokio::join!(
        converse(session.connect(0).await, &said),
        converse(session.connect(1).await, &said),
    );
    assert!(echo == said, "{} bytes came back", echo.len());
    let loud = said.to_ascii_uppercase();
    assert!(shout == loud, "{} bytes came back", shout.len());
    // That the others have ended is nothing to this one.
    assert_eq!(converse(quiet, b"still there").await, b"still there");
}

async fn who_does_not_listen_is_told(cluster: &Kubectl<'_>) {
    let session = cluster.forward(&[NOBODY]).await;
    let heard = converse(session.connect(0).await, b"");
    assert_eq!(heard.await, b"");
    // It ends by itself.
    let ended = session.child.wait_with_output().await.unwrap();
    // It writes what it is told as a quoted string.
    let said = String::from_utf8_lossy(&ended.stderr).replace("\\\"", "\"");
    let expected = "failed to connect to localhost:9 inside namespace \"default/forwarded\", \
                    IPv4: dial tcp4 127.0.0.1:9: connect: connection refused";
    assert!(said.contains(expected), "{said}");
    assert_eq!(ended.status.code(), Some(1), "{said}");
}

/// In the middle of what a pod does not read, so that nobody on the way reads any more.
async fn a_killed_client_leaves_no_connection(cluster: &Kubectl<'_>, pods: &Pods) {
    let mut session = cluster.forward(&[PORT, DEAF_PORT]).await;
    let mut idle = session.connect(0).await;
    idle.write_all(b"!").await.unwrap();
    assert_eq!(idle.read_u8().await.unwrap(), b'!');
    let mut deaf = session.connect(1).await;
    let chunk = vec![0; 64 << 10];
    while let Ok(written) = tokio::time::timeout(FULL, deaf.write(&chunk)).await {
        written.unwrap();
    }
    session.child.kill().await.unwrap();
    let ports = [PORT, DEAF_PORT].map(|port| port.to_string());
    let command = ["left-alone", &ports[0], &ports[1]];
    let how = AttachParams::default();
    let mut process = exec(pods, POD, &command, &how).await.unwrap();
    let status = process.take_status().unwrap().await.unwrap();
    assert_eq!(status.status.as_deref(), Some("Success"), "{status:?}");
}
