//! The node agent has the rights that it uses, and no other: what its parts ask an API server for is compared with the
//! roles that its manifest gives it, both ways.

use crate::authenticate::{Authenticator as _, TokenReviews};
use crate::fake_api::FakeApi;
use crate::pods::Following;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::watch;

const MANIFEST: &str = include_str!("../../../fixtures/meshes/reference/node-agent.yaml");

#[derive(Deserialize)]
struct Role {
    metadata: Value,
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Rule {
    api_groups: Vec<String>,
    resources: Vec<String>,
    verbs: Vec<String>,
}

/// `NAMESPACE GROUP/RESOURCE VERB`; the namespace is empty for the whole cluster.
fn granted() -> BTreeSet<String> {
    let documents = MANIFEST.split("\n---\n");
    // The others are templates.
    let roles = documents.filter(|text| text.contains("\nrules:\n"));
    let roles = roles.map(|text| serde_saphyr::from_str::<Role>(text).expect("well-formed"));
    let mut granted = BTreeSet::new();
    for role in roles {
        let namespace = role.metadata["namespace"].as_str().unwrap_or_default();
        for rule in &role.rules {
            for group in &rule.api_groups {
                for resource in &rule.resources {
                    for verb in &rule.verbs {
                        granted.insert(format!("{namespace} {group}/{resource} {verb}"));
                    }
                }
            }
        }
    }
    granted
}

#[tokio::test(start_paused = true)]
async fn every_right_is_used_and_none_is_missing() {
    let (client, mut api) = FakeApi::new();
    let following = Following {
        client: client.clone(),
        namespace: "mesh-workloads".into(),
        node: "n".into(),
        pods: watch::Sender::new(Arc::default()),
        metrics: Arc::default(),
    };
    let reviews = TokenReviews::new(client, vec!["audience".into()]);
    let parts = [
        tokio::spawn(following.run()),
        tokio::spawn(async move {
            let _ = reviews.authenticate("token".to_owned()).await;
        }),
    ];
    let mut used = BTreeSet::new();
    while let Some(asked) = api.next().await {
        match (asked.method.as_str(), asked.path.as_str()) {
            ("POST", "/apis/authentication.k8s.io/v1/tokenreviews") => {
                used.insert(" authentication.k8s.io/tokenreviews create".to_owned());
                asked.refuse(404);
            }
            ("GET", "/api/v1/namespaces/mesh-workloads/pods") => {
                assert!(
                    asked.query.contains("fieldSelector=spec.nodeName%3Dn"),
                    "{}",
                    asked.query
                );
                let is_watch = asked.query.contains("watch=true");
                let verb = if is_watch { "watch" } else { "list" };
                used.insert(format!("mesh-workloads /pods {verb}"));
                // A watch has no news.
                if !is_watch {
                    let list = json!({"kind": "List", "apiVersion": "v1", "items": [],
                        "metadata": {"resourceVersion": "1"}});
                    asked.answer(200, list);
                }
            }
            (method, path) => panic!("{method} {path} is not expected"),
        }
    }
    for part in parts {
        part.abort();
    }
    assert_eq!(used, granted(), "used against granted");
}
