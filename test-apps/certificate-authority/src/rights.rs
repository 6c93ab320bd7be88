//! The authority has the rights that it uses, and no other: what every part asks an API server for is compared with the
//! roles that the mesh definition gives it, both ways.

use crate::authenticate::TokenReviews;
use crate::behaviour::Faithful;
use crate::bundle::Announcements;
use crate::keeping::Keeping;
use crate::ledger;
use crate::pods::Pods;
use crate::publishing::BUNDLE;
use crate::settings::Settings;
use crate::stub;
use fake_api::rights::{granted, needed};
use fake_api::{Asked, FakeApi};
use identity_api::authority::AUDIENCE;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::watch;

const ROLES: &str =
    include_str!("../../../fixtures/meshes/reference/certificate-authority-rbac.yaml");

/// Answers so that everybody goes on.
fn answer(asked: Asked, kept: &mut Option<Value>) {
    let path = asked.path.clone();
    let of_resource = |resource: &str| path.ends_with(resource);
    let list = |items: Value| json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": items});
    match asked.method.as_str() {
        // A watch has no news.
        "GET" if asked.query.contains("watch=true") => {}
        "GET" if of_resource("/configmaps/certificate-authority") => match kept {
            Some(map) => {
                let map = map.clone();
                asked.answer(200, map);
            }
            None => asked.refuse(404),
        },
        "GET" if of_resource("/pods/agent") => asked.refuse(404),
        "GET" if of_resource("/namespaces") => {
            let namespace = json!({"metadata": {"name": "somewhere", "resourceVersion": "1"}});
            asked.answer(200, list(json!([namespace])));
        }
        "GET" => asked.answer(200, list(json!([]))),
        "POST" if of_resource("/tokenreviews") => {
            // A token that does not tell its node.
            let extra = json!({"authentication.kubernetes.io/pod-name": ["agent"],
                "authentication.kubernetes.io/pod-uid": ["u"]});
            let user =
                json!({"username": "system:serviceaccount:mesh-system:node-agent", "extra": extra});
            let status = json!({"authenticated": true, "audiences": [AUDIENCE], "user": user});
            asked.answer(201, json!({"spec": {}, "status": status}));
        }
        _ => {
            let mut made = asked.body.clone();
            made["metadata"]["resourceVersion"] = json!("1");
            if !of_resource(BUNDLE) {
                *kept = Some(made.clone());
            }
            asked.answer(200, made);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn every_right_is_used_and_none_is_missing() {
    let (client, mut api) = FakeApi::new();
    let settings = Settings::read(|name| match name {
        "POD_NAMESPACE" => Some("mesh-system".to_owned()),
        _ => None,
    })
    .expect("complete");
    let issuer = watch::Sender::new(None);
    let issuers = issuer.subscribe();
    let keeping = Keeping::new(
        client.clone(),
        settings.clone(),
        Arc::new(Faithful),
        stub::keys(),
        Arc::new(Announcements::default()),
        issuer,
        Arc::default(),
    );
    let following = Pods::default().follow(
        client.clone(),
        settings.workload_namespace.clone(),
        Arc::default(),
    );
    let reviews = TokenReviews::new(client, Arc::new(Faithful), settings.node_agent_account);
    let parts = [
        tokio::spawn(keeping.run()),
        tokio::spawn(following),
        tokio::spawn(async move {
            let _ = reviews.identify("token").await;
        }),
    ];
    let granted = granted(ROLES);
    let mut used = BTreeSet::new();
    let mut kept = None;
    // The ledger is read, made, and written once for each step, until there is something to issue below.
    while let Some(asked) = api.next().await {
        used.extend(needed(&asked, &granted));
        answer(asked, &mut kept);
    }
    for part in parts {
        part.abort();
    }
    assert!(
        issuers.borrow().is_some(),
        "the first certificates are made"
    );
    let kept = kept.expect("a ledger");
    assert_eq!(kept["metadata"]["name"], ledger::NAME);
    assert_eq!(used, granted, "used against granted");
}
