//! Programs that are executed in containers, as `kubectl exec` does it.

use crate::pods::{Pods, within};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use kube::api::{AttachParams, AttachedProcess, TerminalSize};
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};

pub(crate) async fn programs_are_executed(pods: &Pods) {
    let name = "executed";
    pods.make(name, &["hold"], json!({}), json!({})).await;
    pods.runs(name).await;
    within(async {
        // More than the pipes hold.
        for (asked, status) in [("some words".to_owned(), "0"), ("x".repeat(300_000), "3")] {
            input_and_both_outputs(pods, name, &asked, status).await;
        }
        failures_are_told(pods, name).await;
        a_terminal(pods, name).await;
    })
    .await;
    pods.delete(name).await;
}

pub(crate) async fn exec(
    pods: &Pods,
    pod: &str,
    command: &[&str],
    how: &AttachParams,
) -> kube::Result<AttachedProcess> {
    let command = [&["/workload", "workload"], command].concat();
    pods.api().exec(pod, command, how).await
}

async fn input_and_both_outputs(pods: &Pods, name: &str, asked: &str, status: &str) {
    let how = AttachParams::default().stdin(true);
    let mut process = exec(pods, name, &["answer", status], &how).await.unwrap();
    let mut input = process.stdin().unwrap();
    let (mut output, mut errors) = (process.stdout().unwrap(), process.stderr().unwrap());
    let ended = process.take_status().unwrap();
    let type_all = async {
        input.write_all(asked.as_bytes()).await.unwrap();
        input.shutdown().await.unwrap();
    };
    let (mut said, mut warned) = (String::new(), String::new());
    let ((), said_all, warned_all) = tokio::join!(
        type_all,
        output.read_to_string(&mut said),
        errors.read_to_string(&mut warned)
    );
    said_all.unwrap();
    warned_all.unwrap();
    assert_eq!(said, asked.to_uppercase());
    assert_eq!(warned, format!("{} bytes", asked.len()));
    assert_eq!(exit_status(&ended.await.unwrap()).as_deref(), Some(status));
    process.join().await.unwrap();
}

fn exit_status(status: &Status) -> Option<String> {
    if status.status.as_deref() == Some("Success") {
        return Some("0".to_owned());
    }
    let causes = status.details.as_ref()?.causes.as_ref()?;
    causes.first()?.message.clone()
}

async fn failures_are_told(pods: &Pods, name: &str) {
    let how = AttachParams::default();
    let mut process = pods.api().exec(name, ["/not-there"], &how).await.unwrap();
    let status = process.take_status().unwrap().await.unwrap();
    assert_eq!(status.reason.as_deref(), Some("InternalError"));
    let said = status.message.unwrap();
    assert!(said.contains("execute /not-there"), "{said}");
    let elsewhere = AttachParams::default().container("none");
    assert!(exec(pods, name, &["hold"], &elsewhere).await.is_err());
}

/// A terminal has one output, shows what is typed, has a size, and its end of input is a character.
async fn a_terminal(pods: &Pods, name: &str) {
    let how = AttachParams::interactive_tty();
    let mut process = exec(pods, name, &["sit"], &how).await.unwrap();
    let mut input = process.stdin().unwrap();
    let mut lines = BufReader::new(process.stdout().unwrap()).lines();
    let mut sizes = process.terminal_size().unwrap();
    let ended = process.take_status().unwrap();
    let size = TerminalSize {
        width: 91,
        height: 17,
    };
    futures::SinkExt::send(&mut sizes, size).await.unwrap();
    // The size may come after what is typed at once.
    loop {
        input.write_all(b"here\n").await.unwrap();
        let typed = lines.next_line().await.unwrap().unwrap();
        assert_eq!(typed.trim_end(), "here");
        let said = lines.next_line().await.unwrap().unwrap();
        if said.trim_end() == "here at 91x17" {
            break;
        }
        assert_eq!(said.trim_end(), "here at 0x0");
    }
    input.write_all(b"\x04").await.unwrap();
    assert_eq!(exit_status(&ended.await.unwrap()).as_deref(), Some("0"));
}
