//! The control plane has the rights that it uses, and no other: what every part asks an API server for is compared
//! with the roles that the mesh definition gives it, both ways.

use crate::acknowledgements::Acknowledgements;
use crate::authenticate::{Authenticator as _, TokenReviews};
use crate::behaviour::Faithful;
use crate::fake_api::{Asked, FakeApi};
use crate::leading::{Candidate, LEASE};
use crate::metrics::Metrics;
use crate::settings::Settings;
use crate::statuses::Statuses;
use crate::watching::Watching;
use crate::world::WorldStore;
use crate::writing::Writing;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

const ROLES: &str = include_str!("../../../fixtures/meshes/reference/control-plane-rbac.yaml");

/// `NAMESPACE GROUP/RESOURCE[ NAME] VERB`; the namespace is empty for the whole cluster.
type Right = String;

#[derive(Deserialize)]
struct Role {
    #[serde(default)]
    metadata: Value,
    #[serde(default)]
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Rule {
    api_groups: Vec<String>,
    resources: Vec<String>,
    #[serde(default)]
    resource_names: Vec<String>,
    verbs: Vec<String>,
}

fn granted() -> BTreeSet<Right> {
    let documents = ROLES.split("\n---\n");
    let roles = documents.map(|text| serde_saphyr::from_str::<Role>(text).expect("well-formed"));
    let mut granted = BTreeSet::new();
    for role in roles {
        let namespace = role.metadata["namespace"].as_str().unwrap_or_default();
        for rule in &role.rules {
            let names = match rule.resource_names.as_slice() {
                [] => vec![String::new()],
                names => names.iter().map(|name| format!(" {name}")).collect(),
            };
            for group in &rule.api_groups {
                for resource in &rule.resources {
                    for name in &names {
                        for verb in &rule.verbs {
                            granted.insert(format!("{namespace} {group}/{resource}{name} {verb}"));
                        }
                    }
                }
            }
        }
    }
    granted
}

/// The right that a request needs.
fn needed(asked: &Asked) -> Right {
    let mut parts = asked.path.trim_matches('/').split('/').peekable();
    let group = match parts.next() {
        Some("api") => "",
        Some("apis") => parts.next().expect("a group"),
        other => panic!("{other:?} is no API"),
    };
    parts.next().expect("a version");
    let mut namespace = "";
    if parts.peek() == Some(&"namespaces") {
        parts.next();
        namespace = parts.next().expect("a namespace");
    }
    let mut resource = parts.next().expect("a resource").to_owned();
    let name = parts.next();
    if let Some(subresource) = parts.next() {
        resource = format!("{resource}/{subresource}");
    }
    let verb = match (asked.method.as_str(), name) {
        ("GET", None) if asked.query.contains("watch=true") => "watch",
        ("GET", None) => "list",
        ("GET", Some(_)) => "get",
        ("POST", None) => "create",
        ("PUT", Some(_)) => "update",
        ("PATCH", Some(_)) => "patch",
        (method, _) => panic!("{method} {} is not expected", asked.path),
    };
    // Roles restrict names for the Lease only, and creating cannot be restricted.
    let name = match name {
        Some(name) if resource == "leases" => format!(" {name}"),
        _ => String::new(),
    };
    format!("{namespace} {group}/{resource}{name} {verb}")
}

/// Answers so that everybody goes on.
fn answer(asked: Asked, lease: &mut Option<Value>) {
    let is_lease = asked.path.contains("/leases");
    match asked.method.as_str() {
        // A watch has no news.
        "GET" if asked.query.contains("watch=true") => {}
        "GET" if is_lease => match lease {
            Some(lease) => {
                let lease = lease.clone();
                asked.answer(200, lease);
            }
            None => asked.refuse(404),
        },
        "GET" => {
            let object = json!({"metadata": {"name": "a", "uid": "a", "resourceVersion": "1"},
                "spec": {"scopeRef": "a", "match": []}});
            let items = match asked.path.rsplit('/').next() {
                Some("scopeconfigs" | "policyconfigs") => vec![object],
                _ => vec![],
            };
            asked.answer(
                200,
                json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": items}),
            );
        }
        "POST" | "PUT" if is_lease => {
            let mut made = asked.body.clone();
            made["metadata"] = json!({"name": LEASE, "resourceVersion": "1"});
            *lease = Some(made.clone());
            asked.answer(200, made);
        }
        _ => asked.refuse(404),
    }
}

#[tokio::test(start_paused = true)]
async fn every_right_is_used_and_none_is_missing() {
    let (client, mut api) = FakeApi::new();
    let settings = Settings::read(|name| match name {
        "POD_NAME" => Some("control-plane-0".to_owned()),
        "POD_NAMESPACE" => Some("mesh-system".to_owned()),
        "CLUSTER_NAME" => Some("one".to_owned()),
        _ => None,
    })
    .expect("complete");
    let store = WorldStore::new();
    let statuses = Arc::new(Statuses::default());
    let metrics = Arc::new(Metrics::new());
    let shutdown = CancellationToken::new();
    let (leads, follows) = watch::channel(false);
    let watching = Watching {
        client: client.clone(),
        settings: settings.clone(),
        behaviour: Arc::new(Faithful),
        store: store.clone(),
        statuses: statuses.clone(),
        metrics: metrics.clone(),
        synced: watch::Sender::new(false),
    };
    let writing = Writing {
        client: client.clone(),
        settings: settings.clone(),
        behaviour: Arc::new(Faithful),
        store,
        statuses,
        acknowledgements: Arc::new(Acknowledgements::default()),
        metrics,
    };
    let candidate = Candidate::new(client.clone(), &settings.pod_namespace, &settings.pod_name);
    let reviews = TokenReviews::new(client);
    let parts = [
        tokio::spawn(watching.run()),
        tokio::spawn(writing.run(follows)),
        tokio::spawn(candidate.run(leads, shutdown.clone())),
        tokio::spawn(async move {
            let _ = reviews.authenticate("token".to_owned()).await;
        }),
    ];
    let mut used = BTreeSet::new();
    let mut lease = None;
    // The Lease is read, made and renewed, one act a second, and in the end given back.
    for second in 0..10 {
        if second == 5 {
            shutdown.cancel();
        }
        while let Some(asked) = api.next().await {
            used.insert(needed(&asked));
            answer(asked, &mut lease);
        }
    }
    for part in parts {
        part.abort();
    }
    assert_eq!(used, granted(), "used against granted");
}
