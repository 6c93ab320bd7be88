//! Kubernetes Events about pods, as `kubectl describe` shows them.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::json;
use std::collections::HashMap;
use std::future::Future;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Writes events in the background; an event that cannot be written is dropped.
#[derive(Clone, Debug)]
pub(crate) struct Recorder(UnboundedSender<Note>);

/// How loud an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Level {
    Normal,
    Warning,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Note {
    namespace: String,
    pod: String,
    uid: String,
    field: Option<String>,
    level: Level,
    reason: &'static str,
    message: String,
}

impl Recorder {
    /// Something happened to a pod, or to one of its containers when it is named.
    pub(crate) fn record(
        &self,
        pod: &Pod,
        container: Option<&str>,
        level: Level,
        reason: &'static str,
        message: impl Into<String>,
    ) {
        let note = Note {
            namespace: pod.metadata.namespace.clone().unwrap_or_default(),
            pod: pod.metadata.name.clone().unwrap_or_default(),
            uid: pod.metadata.uid.clone().unwrap_or_default(),
            field: container.map(|name| field_of(pod, name)),
            level,
            reason,
            message: message.into(),
        };
        tracing::debug!(
            pod = note.pod,
            ?container,
            reason,
            message = note.message,
            "event"
        );
        // Without a receiver the kubelet is ending.
        let _ = self.0.send(note);
    }
}

/// Where the pod names the container.
fn field_of(pod: &Pod, container: &str) -> String {
    let inits = pod
        .spec
        .as_ref()
        .and_then(|spec| spec.init_containers.as_ref());
    let is_init = inits
        .into_iter()
        .flatten()
        .any(|init| init.name == container);
    let list = if is_init {
        "initContainers"
    } else {
        "containers"
    };
    format!("spec.{list}{{{container}}}")
}

/// A recorder, and the work that writes what it is told.
pub(crate) fn recorder(
    client: kube::Client,
    node: String,
) -> (Recorder, impl Future<Output = ()> + Send) {
    let (sender, receiver) = unbounded_channel();
    (Recorder(sender), write(client, node, receiver))
}

/// Names and counts of events that were written, to count repetitions instead of writing them again.
type Written = HashMap<Note, (String, i32)>;

async fn write(client: kube::Client, node: String, mut notes: UnboundedReceiver<Note>) {
    let mut written = Written::new();
    while let Some(note) = notes.recv().await {
        if written.len() > 2_000 {
            written.clear();
        }
        if let Err(error) = write_one(&client, &node, &mut written, note).await {
            tracing::debug!(%error, "event not written");
        }
    }
}

async fn write_one(
    client: &kube::Client,
    node: &str,
    written: &mut Written,
    note: Note,
) -> Result<(), kube::Error> {
    let api: Api<Event> = Api::namespaced(client.clone(), &note.namespace);
    let now = Timestamp::now();
    if let Some((name, count)) = written.get_mut(&note) {
        *count += 1;
        let patch = json!({"count": *count, "lastTimestamp": Time(now)});
        api.patch(name, &PatchParams::default(), &Patch::Merge(patch))
            .await?;
        return Ok(());
    }
    let name = format!("{}.{:x}", note.pod, now.as_nanosecond());
    let event = Event {
        metadata: ObjectMeta {
            name: Some(name.clone()),
            namespace: Some(note.namespace.clone()),
            ..ObjectMeta::default()
        },
        involved_object: ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            namespace: Some(note.namespace.clone()),
            name: Some(note.pod.clone()),
            uid: Some(note.uid.clone()),
            field_path: note.field.clone(),
            ..ObjectReference::default()
        },
        reason: Some(note.reason.to_owned()),
        message: Some(note.message.clone()),
        type_: Some(format!("{:?}", note.level)),
        source: Some(EventSource {
            component: Some("kubelet".to_owned()),
            host: Some(node.to_owned()),
        }),
        reporting_component: Some("kubelet".to_owned()),
        reporting_instance: Some(node.to_owned()),
        first_timestamp: Some(Time(now)),
        last_timestamp: Some(Time(now)),
        count: Some(1),
        ..Event::default()
    };
    api.create(&PostParams::default(), &event).await?;
    written.insert(note, (name, 1));
    Ok(())
}
