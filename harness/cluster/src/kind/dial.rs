//! Connections to pods that pass by the API server: a shell in the pod's node dials, and the engine carries the bytes.
//! Slower than the kubelet, and there while Kubernetes is away.

use super::engine::Engine;
use crate::{ConnectError, PodAddress, PodStream};
use std::io;
use std::time::Duration;
use tokio::io::AsyncReadExt as _;
use tokio::process::Child;

/// How long a shell may take to be there and to dial, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);

/// Takes an address and a port, prints a line once it is connected, and carries bytes both ways until one side ends.
///
/// `wait -n` would be shorter, and waits for ever where the pod has said all before it is reached: of a job that has ended
/// already bash does not tell it.
const DIAL: &str = r#"exec 3<> "/dev/tcp/$1/$2" || exit 1
echo
exec 4<&0
cat <&3 &
reader=$!
{
    trap 'kill $sender' TERM
    cat <&4 >&3 &
    sender=$!
    wait $sender
    kill $reader
} > /dev/null 2>&1 &
wait $reader
kill $! 2> /dev/null
"#;

/// Opens a byte stream to a port of a pod.
pub(super) async fn connect(
    engine: &Engine,
    pod: &PodAddress,
    port: u16,
) -> Result<Box<dyn PodStream>, ConnectError> {
    let text = port.to_string();
    let dialed = async {
        let shell =
            engine.talk_to_node(&pod.node, &["bash", "-c", DIAL, "dial", &pod.ip, &text])?;
        connected(shell).await
    };
    let dialed = match tokio::time::timeout(PATIENCE, dialed).await {
        Ok(dialed) => dialed,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    };
    dialed.map_err(|source| ConnectError {
        namespace: pod.namespace.clone(),
        pod: pod.name.clone(),
        port,
        source,
    })
}

/// The streams of a shell that says a line once it is connected.
async fn connected(mut shell: Child) -> io::Result<Box<dyn PodStream>> {
    let (Some(input), Some(mut output), Some(mut errors)) =
        (shell.stdin.take(), shell.stdout.take(), shell.stderr.take())
    else {
        return Err(io::Error::other("the shell has no streams"));
    };
    if output.read(&mut [0]).await? == 0 {
        let mut said = String::new();
        errors.read_to_string(&mut said).await?;
        let said = said.trim().to_owned();
        return Err(io::Error::new(io::ErrorKind::ConnectionRefused, said));
    }
    // It ends when its input does; somebody must see that.
    tokio::spawn(async move { shell.wait().await });
    Ok(Box::new(tokio::io::join(output, input)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Stdio;
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;
    use tokio::process::Command;

    fn dial(port: u16) -> Child {
        Command::new("bash")
            .args(["-c", DIAL, "dial", "127.0.0.1", &port.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    #[tokio::test]
    async fn bytes_go_both_ways_until_one_side_ends() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let pod = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = [0; 4];
            stream.read_exact(&mut asked).await.unwrap();
            stream.write_all(b"\npong").await.unwrap();
            asked
        });
        let mut stream = connected(dial(port)).await.unwrap();
        stream.write_all(b"ping").await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer, b"\npong", "the line is not part of it");
        assert_eq!(&pod.await.unwrap(), b"ping");
        let refused = connected(dial(port)).await.err().unwrap();
        assert!(refused.to_string().contains("refused"), "{refused}");
    }
}
