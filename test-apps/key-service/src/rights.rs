//! The key service has the rights that it uses, and no other: what it asks an API server for is compared with the role that
//! the mesh definition gives it, both ways.

use crate::behaviour::Faithful;
use crate::fake_api::{Asked, FakeApi};
use crate::keep::secret::KeptSecret;
use crate::sealed_store::SealedStore;
use crate::sealing::MasterKey;
use crate::store::KeyStore as _;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use tokio::runtime::Handle;

const ROLES: &str = include_str!("../../../fixtures/meshes/reference/key-service-rbac.yaml");

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
    // A rule for objects of every name is none that the key service needs.
    resource_names: Vec<String>,
    verbs: Vec<String>,
}

/// `NAMESPACE GROUP/RESOURCE NAME VERB`.
fn granted() -> BTreeSet<String> {
    let documents = ROLES.split("\n---\n");
    let roles = documents.map(|text| serde_saphyr::from_str::<Role>(text).expect("well-formed"));
    let mut granted = BTreeSet::new();
    for role in roles {
        let namespace = role.metadata["namespace"].as_str().unwrap_or_default();
        for rule in &role.rules {
            for group in &rule.api_groups {
                for resource in &rule.resources {
                    for name in &rule.resource_names {
                        for verb in &rule.verbs {
                            granted.insert(format!("{namespace} {group}/{resource} {name} {verb}"));
                        }
                    }
                }
            }
        }
    }
    granted
}

/// The right that a request needs.
fn needed(asked: &Asked) -> String {
    let parts: Vec<&str> = asked.path.trim_matches('/').split('/').collect();
    let verb = match asked.method.as_str() {
        "GET" => "get",
        "PUT" => "update",
        _ => "?",
    };
    match parts.as_slice() {
        ["api", "v1", "namespaces", namespace, resource, name] if verb != "?" => {
            format!("{namespace} /{resource} {name} {verb}")
        }
        _ => panic!(
            "{} {}?{} is not expected",
            asked.method, asked.path, asked.query
        ),
    }
}

#[tokio::test]
async fn every_right_is_used_and_none_is_missing() {
    let (client, mut api) = FakeApi::new();
    // As the deployment sets POD_NAMESPACE and KEY_SECRET.
    let keep = KeptSecret::new(client, "mesh-system", "key-service-keys", Handle::current());
    let mut uses = tokio::task::spawn_blocking(move || {
        let master = MasterKey::new(vec![1; 32]).expect("long enough");
        let store = SealedStore::open(keep, master, &Faithful).expect("it opens");
        let root = "root".parse().expect("a name");
        store.create(&root).expect("made");
        store.rotate(&root, 1).expect("made");
        store.sign(&root, 2, b"message").expect("signed");
        store.list().expect("a list").len()
    });
    let mut used = BTreeSet::new();
    let mut secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {
        "name": "key-service-keys", "namespace": "mesh-system", "resourceVersion": "1"}});
    let mut is_refused = false;
    let versions = loop {
        let asked = tokio::select! {
            ended = &mut uses => break ended.expect("no panic"),
            asked = api.next() => asked,
        };
        // None when nobody has asked for a while: a slow machine is making keys.
        let Some(asked) = asked else { continue };
        used.insert(needed(&asked));
        if asked.method == http::Method::PUT {
            // Another key service has written first, once: then it is read again.
            if !std::mem::replace(&mut is_refused, true) {
                asked.refuse(409);
                continue;
            }
            secret = asked.body.clone();
        }
        let secret = secret.clone();
        asked.answer(200, secret);
    };
    assert_eq!(versions, 2);
    assert_eq!(used, granted(), "used against granted");
}
