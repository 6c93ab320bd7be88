//! An API server in memory, for tests of what is done with a Lease and with labelled objects.
//!
//! Invariant: a Lease is replaced only in the version that is named, as a real one does it.

use crate::kinds::KINDS;
use k8s_openapi::api::coordination::v1::Lease;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

/// The status and the object of an answer.
type Answer = (u16, Value);

/// What the server has, and what it is asked for.
#[derive(Default)]
pub(super) struct FakeApi {
    pub(super) lease: Mutex<Option<Lease>>,
    /// Kinds whose objects may not be listed, by plural name.
    pub(super) forbidden: BTreeSet<&'static str>,
    /// The metadata of objects that are there, by plural name. They stay when they are deleted, as what has a finaliser.
    pub(super) stuck: BTreeMap<&'static str, Value>,
    /// Plural names of the kinds whose objects were listed.
    pub(super) listed: Mutex<Vec<String>>,
    /// Of the Lease that was written last.
    pub(super) version: Mutex<u64>,
}

impl FakeApi {
    /// A client of it.
    pub(super) fn client(self: &Arc<Self>) -> Client {
        let server = Arc::clone(self);
        let service = tower::service_fn(move |request: http::Request<Body>| {
            let server = Arc::clone(&server);
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect_bytes().await?;
                if parts.uri.query().unwrap_or("").contains("watch=") {
                    // Nothing ever happens.
                    std::future::pending::<()>().await;
                }
                let (code, answer) = server.answer(&parts.method, parts.uri.path(), &body);
                let answer = Body::from(serde_json::to_vec(&answer)?);
                let response = http::Response::builder().status(code).body(answer)?;
                Ok::<_, tower::BoxError>(response)
            }
        });
        Client::new(service, "default")
    }

    /// Somebody deletes the Lease.
    pub(super) fn delete_lease(&self) {
        *self.lease.lock().unwrap() = None;
    }

    fn answer(&self, method: &http::Method, path: &str, body: &[u8]) -> Answer {
        if path.contains("/leases") {
            return self.on_lease(method, body);
        }
        let is_kind = |part: &&str| KINDS.iter().any(|kind| kind.plural == *part);
        let Some(kind) = path.rsplit('/').find(is_kind) else {
            return refusal(404);
        };
        if self.forbidden.contains(kind) {
            return refusal(403);
        }
        let found = self.stuck.get(kind);
        let is_list = path.ends_with(kind);
        let listed = is_list.then(|| kind.to_owned());
        self.listed.lock().unwrap().extend(listed);
        let object = |metadata: &Value| json!({ "apiVersion": "v1", "kind": "Object", "metadata": metadata });
        match found {
            None if is_list => (200, list(Vec::new())),
            Some(metadata) if is_list => (200, list(vec![object(metadata)])),
            None => refusal(404),
            Some(metadata) => (200, object(metadata)),
        }
    }

    fn on_lease(&self, method: &http::Method, body: &[u8]) -> Answer {
        let mut held = self.lease.lock().unwrap();
        let given: Option<Lease> = serde_json::from_slice(body).ok();
        let version = |lease: &Lease| lease.metadata.resource_version.clone();
        let code = match (method.as_str(), &*held, &given) {
            ("POST", Some(_), _) => 409,
            ("POST", None, _) => 201,
            (_, None, _) => 404,
            ("PUT", Some(now), Some(given)) if version(now) != version(given) => 409,
            _ => 200,
        };
        match method.as_str() {
            "POST" | "PUT" if code < 300 => {
                let mut next = self.version.lock().unwrap();
                *next += 1;
                let mut lease = given.unwrap_or_default();
                let uid = held.as_ref().and_then(|now| now.metadata.uid.clone());
                lease.metadata.uid = uid.or_else(|| Some(format!("lease-{next}")));
                lease.metadata.resource_version = Some(next.to_string());
                *held = Some(lease);
            }
            "DELETE" => {
                let gone = held.take();
                return (code, json!(gone));
            }
            _ => {}
        }
        match code {
            200 | 201 => (code, json!(*held)),
            _ => refusal(code),
        }
    }
}

fn list(items: Vec<Value>) -> Value {
    json!({ "apiVersion": "v1", "kind": "List", "metadata": { "resourceVersion": "1" }, "items": items })
}

fn refusal(code: u16) -> Answer {
    let reason = match code {
        403 => "Forbidden",
        404 => "NotFound",
        _ => "Conflict",
    };
    let status = json!({
        "apiVersion": "v1", "kind": "Status", "status": "Failure", "reason": reason, "message": "no", "code": code,
    });
    (code, status)
}
