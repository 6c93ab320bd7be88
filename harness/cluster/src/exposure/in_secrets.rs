//! Secrets in which a mesh keeps private keys that nobody else may be able to read.

use super::Search;
use super::kept::within;
use crate::key_marks;
use futures::future::join_all;
use harness_model::causes::chain;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};

/// Looks through what is in these Secrets, each by its namespace and its name. One that is not there is not searched: it may
/// have another name.
pub async fn keys_in_secrets(client: &Client, secrets: &[(String, String)]) -> Search {
    let looks = secrets.iter().map(|(namespace, name)| async move {
        let what = format!("Secret {namespace}/{name}");
        (what, within(exposes(client, namespace, name)).await)
    });
    let mut search = Search::default();
    for (what, exposes) in join_all(looks).await {
        search.note(what, exposes);
    }
    search.put_in_order();
    search
}

async fn exposes(client: &Client, namespace: &str, name: &str) -> Result<bool, String> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let secret = secrets.get(name).await.map_err(|error| chain(&error))?;
    let data = secret.data.unwrap_or_default();
    Ok(data.values().any(|value| key_marks::are_in(&value.0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use kube::client::Body;
    use serde_json::{Value, json};

    /// An API server with this data in the Secret `keys` of the namespace `mesh`, and with no other Secret.
    fn client(data: &Value) -> Client {
        let data = data.clone();
        let service = tower::service_fn(move |request: http::Request<Body>| {
            let is_there = request.uri().path() == "/api/v1/namespaces/mesh/secrets/keys";
            let (code, answer) = if is_there {
                let metadata = json!({ "name": "keys", "namespace": "mesh" });
                let secret = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data });
                (200_u16, secret)
            } else {
                let status = json!({ "apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Failure",
                    "message": "there is none", "reason": "NotFound", "code": 404 });
                (404, status)
            };
            async move {
                let answer = Body::from(serde_json::to_vec(&answer)?);
                let response = http::Response::builder().status(code).body(answer)?;
                Ok::<_, tower::BoxError>(response)
            }
        });
        Client::new(service, "default")
    }

    async fn searched(data: Value, name: &str) -> Search {
        let secrets = [("mesh".to_owned(), name.to_owned())];
        keys_in_secrets(&client(&data), &secrets).await
    }

    #[tokio::test]
    async fn a_key_is_found_in_whatever_form_it_is_kept_and_what_is_sealed_is_none() {
        let pair = rcgen::KeyPair::generate().expect("a key");
        let der = pair.serialize_der();
        // As the key service of the reference mesh would keep it if it sealed nothing.
        let listed = json!({ "keys": { "root": [STANDARD.encode(&der)] } }).to_string();
        for plain in [listed.into_bytes(), pair.serialize_pem().into_bytes(), der] {
            let data = json!({ "other": "", "keys": STANDARD.encode(plain) });
            let search = searched(data, "keys").await;
            assert_eq!(search.found, ["Secret mesh/keys"]);
            assert!(search.not_searched.is_empty(), "{search:?}");
        }
        let sealed = [&b"meshproof-keys 1\n"[..], &[0xa5; 300]].concat();
        let data = json!({ "keys": STANDARD.encode(sealed) });
        assert_eq!(searched(data, "keys").await, Search::default());
        // As the deployment brings it along.
        assert_eq!(searched(Value::Null, "keys").await, Search::default());
    }

    #[tokio::test]
    async fn what_is_not_there_is_not_called_free_of_keys() {
        let search = searched(json!({}), "others").await;
        assert!(search.found.is_empty());
        let [why] = &search.not_searched[..] else {
            panic!("{search:?}");
        };
        assert!(why.starts_with("Secret mesh/others: "), "{why}");
        assert!(why.contains("there is none"), "{why}");
    }
}
