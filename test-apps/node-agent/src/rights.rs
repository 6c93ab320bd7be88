//! The node agent has the rights that it uses, and no other: what its parts ask an API server for is compared with the
//! roles that its manifest gives it, both ways.

use crate::authenticate::{Authenticator as _, TokenReviews};
use crate::pods::Following;
use fake_api::FakeApi;
use fake_api::rights::{granted, needed};
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::watch;

const MANIFEST: &str = include_str!("../../../fixtures/meshes/reference/node-agent.yaml");

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
    let granted = granted(MANIFEST);
    let mut used = BTreeSet::new();
    while let Some(asked) = api.next().await {
        used.extend(needed(&asked, &granted));
        let is_watch = asked.query.contains("watch=true");
        match asked.path.as_str() {
            "/apis/authentication.k8s.io/v1/tokenreviews" => asked.refuse(404),
            "/api/v1/namespaces/mesh-workloads/pods" => {
                assert!(
                    asked.query.contains("fieldSelector=spec.nodeName%3Dn"),
                    "{}",
                    asked.query
                );
                // A watch has no news.
                if !is_watch {
                    let list = json!({"kind": "List", "apiVersion": "v1", "items": [],
                        "metadata": {"resourceVersion": "1"}});
                    asked.answer(200, list);
                }
            }
            path => panic!("{} {path} is not expected", asked.method),
        }
    }
    for part in parts {
        part.abort();
    }
    assert_eq!(used, granted, "used against granted");
}
