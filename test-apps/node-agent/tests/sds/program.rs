//! The program itself, with an API server and an authority that are not there.

use crate::agent::{PATIENCE, until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::time::{Duration, Instant};
use tokio::net::UnixStream;
use tokio::process::Command;

const KUBECONFIG: &str = r#"{"apiVersion": "v1", "kind": "Config", "current-context": "c",
    "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}],
    "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}],
    "users": [{"name": "c", "user": {}}]}"#;

#[tokio::test]
async fn it_listens_as_it_is_told_and_ends_within_a_second_of_sigterm() {
    let folder = tempfile::tempdir().expect("a folder");
    let (socket, kubeconfig) = (folder.path().join("sds.sock"), folder.path().join("config"));
    std::fs::write(&kubeconfig, KUBECONFIG).expect("written");
    let mut program = Command::new(env!("CARGO_BIN_EXE_node-agent"))
        .env("KUBECONFIG", &kubeconfig)
        .env("NODE_NAME", "node-1")
        .env("SOCKET", &socket)
        .env("SOCKET_MODE", "0660")
        .env("ADMIN_LISTEN", "127.0.0.1:0")
        .env("LOG", "error")
        .kill_on_drop(true)
        .spawn()
        .expect("starts");
    let connection = until("the socket is bound", async || {
        let connection = UnixStream::connect(&socket).await;
        connection.map_err(|error| error.to_string())
    })
    .await;
    let metadata = std::fs::metadata(&socket).expect("is there");
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.permissions().mode() & 0o777, 0o660);

    let id = program.id().and_then(|id| i32::try_from(id).ok());
    let started = Instant::now();
    kill(Pid::from_raw(id.expect("runs")), Signal::SIGTERM).expect("is ours");
    let ended = tokio::time::timeout(PATIENCE, program.wait()).await;
    assert!(ended.expect("in time").expect("waited for").success());
    let took = started.elapsed();
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert!(!socket.exists());
    drop(connection);
}
