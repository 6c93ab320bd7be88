//! The key service has the rights that it uses, and no other: what it asks an API server for is compared with the role that
//! the mesh definition gives it, both ways.

use crate::behaviour::Faithful;
use crate::keep::secret::KeptSecret;
use crate::sealed_store::SealedStore;
use crate::sealing::MasterKey;
use crate::store::KeyStore as _;
use fake_api::FakeApi;
use fake_api::rights::{granted, needed};
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::runtime::Handle;

const ROLES: &str = include_str!("../../../fixtures/meshes/reference/key-service-rbac.yaml");

#[tokio::test]
async fn every_right_is_used_and_none_is_missing() {
    let (client, mut api) = FakeApi::new();
    // As the deployment sets POD_NAMESPACE and KEY_SECRET.
    let keep = KeptSecret::new(client, "mesh-system", "key-service-keys", Handle::current());
    let mut uses = tokio::task::spawn_blocking(move || {
        let master = MasterKey::new(vec![1; 32]).expect("long enough");
        let store = SealedStore::open(keep, master, Arc::new(Faithful)).expect("it opens");
        let root = "root".parse().expect("a name");
        store.create(&root).expect("made");
        store.rotate(&root, 1).expect("made");
        store.sign(&root, 2, b"message").expect("signed");
        store.list().expect("a list").len()
    });
    let granted = granted(ROLES);
    assert!(
        granted.iter().all(|right| right.name.is_some()),
        "no rule of the key service is for objects of every name: {granted:?}"
    );
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
        used.extend(needed(&asked, &granted));
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
    assert_eq!(used, granted, "used against granted");
}
