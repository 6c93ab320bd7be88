//! What is taken away and brought back, with an API server that notes what it is asked.

use super::*;
use crate::testing::context;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

#[test]
fn a_service_is_brought_back_as_it_is_deployed() {
    for shipped in fixtures::meshes::ALL {
        let definition = MeshDefinition::load(shipped.name).unwrap();
        let context = context(&definition);
        let workloads = &definition.workloads;
        for service in workloads.applications.iter().chain(&workloads.services) {
            let object = deployed(&definition, &context, service).unwrap();
            assert_eq!(object.metadata.name.as_ref(), Some(service));
            assert!(object.data["spec"]["selector"].is_object(), "{object:?}");
            let labels = object.metadata.labels.unwrap_or_default();
            assert!(labels.contains_key(crate::RUN_LABEL), "{labels:?}");
        }
    }
}

#[test]
fn what_is_not_deployed_is_not_taken_away() {
    let definition = MeshDefinition::load("reference").unwrap();
    // This one is in another namespace than workloads call services in.
    for service in ["nobody", "control-plane"] {
        let error = deployed(&definition, &context(&definition), service).unwrap_err();
        assert!(error.to_string().contains(service), "{error}");
    }
}

/// What an API server was asked: method, path, body.
type Asked = Arc<Mutex<Vec<(String, String, Value)>>>;

/// A site whose API server has a Service with these labels for every name.
fn site(labels: &Value) -> (Site, Asked) {
    let asked = Asked::default();
    let (noted, labels) = (asked.clone(), labels.clone());
    let server = tower::service_fn(move |request: http::Request<Body>| {
        let (noted, labels) = (noted.clone(), labels.clone());
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect_bytes().await?;
            let body = serde_json::from_slice(&body).unwrap_or_default();
            let path = head.uri.path().to_owned();
            noted
                .lock()
                .expect("nobody panicked")
                .push((head.method.to_string(), path, body));
            let answer = json!({
                "apiVersion": "v1", "kind": "Service",
                "metadata": {"name": "inventory", "uid": "u1", "labels": labels},
            });
            let answer = Body::from(serde_json::to_vec(&answer)?);
            Ok::<_, tower::BoxError>(http::Response::new(answer))
        }
    });
    let definition = MeshDefinition::load("reference").unwrap();
    let site = Site {
        client: Client::new(server, "default"),
        context: context(&definition),
        definition: Arc::new(definition),
        names: Mutex::default(),
        scaled: Mutex::default(),
        moved: Mutex::default(),
        withdrawn: Mutex::default(),
        before: BTreeMap::new(),
        taken_back: Mutex::default(),
        ready: Duration::ZERO,
    };
    (site, asked)
}

fn methods(asked: &Asked) -> Vec<String> {
    let asked = asked.lock().expect("nobody panicked");
    asked.iter().map(|(method, ..)| method.clone()).collect()
}

#[tokio::test]
async fn what_a_scenario_does_not_bring_back_is_brought_back_after_it() {
    let (site, asked) = site(&json!({ crate::RUN_LABEL: "r1" }));

    site.withdraw("inventory").await.unwrap();
    assert_eq!(site.withdrawn(), ["inventory"]);
    site.restore(Duration::ZERO).await.unwrap();

    assert!(site.withdrawn().is_empty());
    assert_eq!(methods(&asked), ["GET", "DELETE", "PATCH"]);
    let asked = asked.lock().unwrap();
    let [_, (_, _, deleted), (_, path, applied)] = asked.as_slice() else {
        panic!("{asked:?}");
    };
    assert_eq!(deleted["preconditions"]["uid"], "u1");
    assert!(
        path.ends_with("/mesh-workloads/services/inventory"),
        "{path}"
    );
    assert!(applied["spec"]["selector"].is_object(), "{applied}");
}

#[tokio::test]
async fn what_others_have_put_in_its_place_is_left_alone() {
    let (site, asked) = site(&json!({ "app": "inventory" }));

    let error = site.withdraw("inventory").await.unwrap_err();

    assert!(
        error.to_string().contains("not applied by a run"),
        "{error}"
    );
    assert_eq!(methods(&asked), ["GET"]);
    assert!(site.withdrawn().is_empty());
}

#[tokio::test]
async fn nobody_is_asked_for_what_is_not_deployed() {
    let (site, asked) = site(&json!({ crate::RUN_LABEL: "r1" }));
    site.withdraw("nobody").await.unwrap_err();
    assert!(methods(&asked).is_empty());
}
