//! The store in a Secret, against an API server that checks resource versions: a pod that is replaced, two at once, an API
//! server that is away, and what is in the Secret.

use super::*;
use crate::behaviour::Faithful;
use crate::sealed_store::SealedStore;
use crate::sealing::MasterKey;
use crate::store::{KeyName, KeyStore as _, KeyStoreError};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use kube::client::Body;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const PATH: &str = "/api/v1/namespaces/mesh-system/secrets/keys";

/// An API server.
#[derive(Clone, Default)]
struct Server {
    /// None: there is no such.
    secret: Arc<Mutex<Option<Value>>>,
    is_away: Arc<AtomicBool>,
}

impl Server {
    fn new() -> Self {
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {
            "name": "keys", "namespace": "mesh-system", "resourceVersion": "1", "labels": {"of": "somebody"}}});
        Self {
            secret: Arc::new(Mutex::new(Some(secret))),
            ..Self::default()
        }
    }

    fn secret(&self) -> Value {
        let secret = self.secret.lock().expect("whole");
        secret.clone().expect("a secret")
    }

    fn goes(&self) {
        self.is_away.store(true, Ordering::SeqCst);
    }

    fn comes_back(&self) {
        self.is_away.store(false, Ordering::SeqCst);
    }

    fn answer(&self, method: &http::Method, body: &[u8]) -> (u16, Value) {
        let failure = |code: u16| {
            let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {},
                "status": "Failure", "message": "no", "reason": "no", "code": code});
            (code, status)
        };
        if self.is_away.load(Ordering::SeqCst) {
            return failure(503);
        }
        let mut secret = self.secret.lock().expect("whole");
        let Some(kept) = secret.as_mut() else {
            return failure(404);
        };
        if *method == http::Method::PUT {
            let mut new: Value = serde_json::from_slice(body).expect("an object");
            let version = &kept["metadata"]["resourceVersion"];
            if new["metadata"]["resourceVersion"] != *version {
                return failure(409);
            }
            let next = version.as_str().and_then(|text| text.parse::<u32>().ok());
            new["metadata"]["resourceVersion"] = json!((next.expect("a number") + 1).to_string());
            *kept = new;
        }
        (200, kept.clone())
    }

    fn client(&self) -> Client {
        let server = self.clone();
        let service = tower::service_fn(move |request: http::Request<Body>| {
            let server = server.clone();
            async move {
                let (parts, body) = request.into_parts();
                assert_eq!(parts.uri.path(), PATH);
                let body = body.collect().await.expect("a body").to_bytes();
                let (code, body) = server.answer(&parts.method, &body);
                let body = Full::new(Bytes::from(body.to_string()));
                let response = http::Response::builder().status(code).body(body);
                Ok::<_, Infallible>(response.expect("well-formed"))
            }
        });
        Client::new(service, "default")
    }

    fn keep(&self) -> KeptSecret {
        KeptSecret::new(self.client(), "mesh-system", "keys", Handle::current())
    }
}

fn open(keep: KeptSecret) -> SealedStore<KeptSecret> {
    SealedStore::open(keep, master(), Arc::new(Faithful)).expect("it opens")
}

fn master() -> MasterKey {
    MasterKey::new(vec![1; 32]).expect("long enough")
}

fn root() -> KeyName {
    "root".parse().expect("a name")
}

/// Blocks where it may.
async fn with<T: Send + 'static>(
    server: &Server,
    act: impl FnOnce(Server) -> T + Send + 'static,
) -> T {
    let server = server.clone();
    let done = tokio::task::spawn_blocking(move || act(server)).await;
    done.expect("no panic")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_pod_has_the_keys_of_the_one_before() {
    let server = Server::new();
    with(&server, |server| {
        let store = open(server.keep());
        let first = store.create(&root()).expect("made");
        let second = store.rotate(&root(), 1).expect("made");
        drop(store);
        let next = open(server.keep());
        assert_eq!(next.list().expect("a list"), [first, second]);
        assert_eq!(server.secret()["metadata"]["labels"]["of"], "somebody");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_sealed_bytes_are_in_the_secret() {
    use base64::Engine as _;
    let server = Server::new();
    with(&server, |server| {
        open(server.keep()).create(&root()).expect("made");
        let secret = server.secret();
        let data = secret["data"].as_object().expect("data");
        assert_eq!(data.keys().collect::<Vec<_>>(), [KEY]);
        let sealed = data[KEY].as_str().expect("text");
        let sealed = base64::engine::general_purpose::STANDARD.decode(sealed);
        let sealed = sealed.expect("base 64");
        // Behind the line that names the form nothing can be read.
        let rest = sealed
            .strip_prefix(b"meshproof-keys 1\n")
            .expect("our form");
        assert!(!rest.windows(4).any(|bytes| bytes == b"root"));
        assert!(master().open(&sealed).is_ok());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_at_once_agree_on_one_key() {
    let server = Server::new();
    with(&server, |server| {
        let (old, new) = (open(server.keep()), open(server.keep()));
        let made = new.create(&root()).expect("made");
        assert_eq!(old.create(&root()).expect("the same"), made);
        let second = old.rotate(&root(), 1).expect("made");
        assert_eq!(new.rotate(&root(), 1).expect("the same"), second);
        let third = new.rotate(&root(), 2).expect("made");
        // The other one has not heard of it, and looks.
        assert!(old.sign(&root(), third.version, b"message").is_ok());
        assert!(old.sign(&root(), 4, b"message").is_err());
        assert_eq!(old.list().expect("a list"), new.list().expect("a list"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_other_one_has_made_is_told_and_followed_at_once() {
    let server = Server::new();
    with(&server, |server| {
        let (old, new) = (open(server.keep()), open(server.keep()));
        let first = old.create(&root()).expect("made");
        assert_eq!(new.list().expect("a list"), std::slice::from_ref(&first));
        let second = new.rotate(&root(), 1).expect("made");
        assert_eq!(old.list().expect("a list"), [first, second]);
        let third = new.rotate(&root(), 2).expect("made");
        // Nobody has asked the other one for a list since.
        assert_eq!(old.create(&root()).expect("the newest"), third);
        let fourth = new.rotate(&root(), 3).expect("made");
        let fifth = old.rotate(&root(), 4).expect("made");
        assert_eq!((fourth.version, fifth.version), (4, 5));
        assert_eq!(new.list().expect("a list").len(), 5);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_api_server_is_away_keys_are_listed_and_used_but_none_are_made() {
    let server = Server::new();
    with(&server, |server| {
        let store = open(server.keep());
        let first = store.create(&root()).expect("made");
        let before = server.secret();
        server.goes();
        assert_eq!(
            store.list().expect("those known"),
            std::slice::from_ref(&first)
        );
        assert!(store.sign(&root(), 1, b"message").is_ok());
        for outcome in [
            store.create(&root()).map(drop),
            store.rotate(&root(), 1).map(drop),
            store.sign(&root(), 2, b"message").map(drop),
        ] {
            let error = outcome.expect_err("nobody can say what is kept");
            assert!(matches!(error, KeyStoreError::Read(_)), "{error}");
            assert_eq!(error.to_string(), "read the keys that are kept");
        }
        server.comes_back();
        assert_eq!(server.secret(), before);
        let second = store.rotate(&root(), 1).expect("made");
        assert_eq!(store.list().expect("a list"), [first, second]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_does_not_let_others_keys_be_written_over() {
    let server = Server::new();
    with(&server, |server| {
        let (old, new) = (server.keep(), server.keep());
        for keep in [&old, &new] {
            assert_eq!(keep.load().expect("read"), None);
        }
        new.save(b"of the new one").expect("written");
        let seen = old.look().expect("read");
        assert_eq!(seen.as_deref(), Some(&b"of the new one"[..]));
        let refused = old.save(b"of the old one");
        assert!(matches!(refused, Err(KeepError::Outdated(_))));
        assert_eq!(old.load().expect("read"), seen);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_told_is_not_forgotten_for_an_older_secret() {
    let server = Server::new();
    with(&server, |server| {
        let store = open(server.keep());
        let first = store.create(&root()).expect("made");
        let before = server.secret();
        let second = store.rotate(&root(), 1).expect("made");
        // As it was, written once more.
        let mut restored = before;
        restored["metadata"]["resourceVersion"] = json!("9");
        *server.secret.lock().expect("whole") = Some(restored);
        assert_eq!(store.list().expect("a list"), [first, second]);
        assert_eq!(store.rotate(&root(), 2).expect("made").version, 3);
        assert_eq!(open(server.keep()).list().expect("a list").len(), 3);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_opened_is_no_more_keys_and_is_not_replaced() {
    let server = Server::new();
    with(&server, |server| {
        let store = open(server.keep());
        let first = store.create(&root()).expect("made");
        let other = server.keep();
        other.load().expect("read");
        other.save(b"nothing of ours").expect("written");
        let before = server.secret();
        // Signing goes on with what is known.
        assert_eq!(store.list().expect("those known"), [first]);
        assert!(store.sign(&root(), 1, b"message").is_ok());
        for outcome in [
            store.create(&root()).map(drop),
            store.rotate(&root(), 1).map(drop),
            store.sign(&root(), 2, b"message").map(drop),
        ] {
            assert!(matches!(outcome, Err(KeyStoreError::Read(_))));
        }
        assert_eq!(server.secret(), before);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_master_key_does_not_open_it_and_it_stays() {
    let server = Server::new();
    with(&server, |server| {
        open(server.keep()).create(&root()).expect("made");
        let before = server.secret();
        let other = MasterKey::new(vec![2; 32]).expect("long enough");
        let refused = SealedStore::open(server.keep(), other, Arc::new(Faithful));
        let error = refused.err().expect("refused").to_string();
        assert_eq!(error, "use the keys in Secret keys");
        assert_eq!(server.secret(), before);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_is_not_there_is_told_and_not_made() {
    let server = Server::default();
    with(&server, |server| {
        let error = server.keep().load().expect_err("there is none");
        assert_eq!(error.to_string(), "use Secret keys");
    })
    .await;
}
