//! The control plane has the rights that it uses, and no other: what every part asks an API server for is compared
//! with the roles that the mesh definition gives it, both ways.

use crate::acknowledgements::Acknowledgements;
use crate::authenticate::{Authenticator as _, TokenReviews};
use crate::behaviour::Faithful;
use crate::leading::{Candidate, LEASE};
use crate::metrics::Metrics;
use crate::settings::Settings;
use crate::statuses::Statuses;
use crate::watching::Watching;
use crate::world::WorldStore;
use crate::writing::Writing;
use fake_api::rights::{granted, needed};
use fake_api::{Asked, FakeApi};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

const ROLES: &str = include_str!("../../../fixtures/meshes/reference/control-plane-rbac.yaml");

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
    let candidate = Candidate::new(
        client.clone(),
        &settings.pod_namespace,
        &settings.pod_name,
        Arc::new(Faithful),
    );
    let reviews = TokenReviews::new(client);
    let parts = [
        tokio::spawn(watching.run()),
        tokio::spawn(writing.run(follows)),
        tokio::spawn(candidate.run(leads, shutdown.clone())),
        tokio::spawn(async move {
            let _ = reviews.authenticate("token".to_owned()).await;
        }),
    ];
    let granted = granted(ROLES);
    let mut used = BTreeSet::new();
    let mut lease = None;
    // The Lease is read, made and renewed, one act a second, and in the end given back.
    for second in 0..10 {
        if second == 5 {
            shutdown.cancel();
        }
        while let Some(asked) = api.next().await {
            used.extend(needed(&asked, &granted));
            answer(asked, &mut lease);
        }
    }
    for part in parts {
        part.abort();
    }
    assert_eq!(used, granted, "used against granted");
}
