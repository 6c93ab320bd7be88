//! The counterpart of a registry that works with tokens (<https://distribution.github.io/distribution/spec/auth/token>): it
//! knows who somebody is, and signs what they may do.

use crate::server::{PASSWORD, USER};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rcgen::{CertificateParams, KeyPair, SigningKey as _};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use tokio::task::JoinHandle;

/// What the registry is called in tokens.
pub(crate) const SERVICE: &str = "a registry of a test";

/// What the token server is called in tokens.
pub(crate) const ISSUER: &str = "a token server of a test";

/// How long a token is good for, in seconds.
const GOOD_FOR: i64 = 300;

/// A running token server: [`USER`] may do everything, everybody else gets a token that allows nothing.
pub(crate) struct TokenServer {
    /// The file of the certificate that registries check tokens with.
    pub(crate) certificate: PathBuf,
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    task: JoinHandle<()>,
    _folder: tempfile::TempDir,
}

/// What a token was wanted for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// The scope.
    pub(crate) scope: String,
    /// The service.
    pub(crate) service: String,
    /// Whether somebody said who they are.
    pub(crate) named: bool,
}

/// What signs tokens.
struct Signer {
    key: KeyPair,
    /// The certificate, as tokens carry it.
    certificate: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl TokenServer {
    /// Starts one on a loopback port of its own.
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let key = KeyPair::generate().expect("keys can be made");
        let certificate = CertificateParams::default()
            .self_signed(&key)
            .expect("it signs itself");
        let path = folder.path().join("tokens.crt");
        std::fs::write(&path, certificate.pem()).expect("a temporary folder can be written");
        let asked = Arc::default();
        let signer = Signer {
            key,
            certificate: STANDARD.encode(certificate.der()),
            asked: Arc::clone(&asked),
        };
        let router = Router::new()
            .route("/token", get(answer))
            .with_state(Arc::new(signer));
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0))
            .await
            .expect("there are ports");
        let address = listener.local_addr().expect("it is bound");
        let task = tokio::spawn(async move {
            axum::serve(listener, router).await.expect("it serves");
        });
        Self {
            certificate: path,
            address,
            asked,
            task,
            _folder: folder,
        }
    }

    /// Where tokens are asked for.
    pub(crate) fn realm(&self) -> String {
        format!("http://{}/token", self.address)
    }

    /// What was asked for.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("nobody panicked").clone()
    }
}

impl Drop for TokenServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(
    State(signer): State<Arc<Signer>>,
    Query(query): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
) -> Result<Json<Value>, StatusCode> {
    let said = headers.get("authorization").map(|value| value.as_bytes());
    let of = |name: &str| query.get(name).cloned().unwrap_or_default();
    let asked = Asked {
        scope: of("scope"),
        service: of("service"),
        named: said.is_some(),
    };
    let expected = format!("Basic {}", STANDARD.encode(format!("{USER}:{PASSWORD}")));
    let access = match said {
        None => json!([]),
        Some(said) if said == expected.as_bytes() => json!([access(&asked.scope)]),
        Some(_) => return Err(StatusCode::UNAUTHORIZED),
    };
    signer.asked.lock().expect("nobody panicked").push(asked);
    Ok(Json(json!({ "token": signer.sign(&access) })))
}

/// What a scope such as `repository:team/probe-app:pull,push` asks for.
fn access(scope: &str) -> Value {
    let mut parts = scope.splitn(3, ':');
    let mut next = || parts.next().unwrap_or_default();
    let (kind, name, actions) = (next(), next(), next());
    let actions: Vec<&str> = actions.split(',').collect();
    json!({"type": kind, "name": name, "actions": actions})
}

impl Signer {
    fn sign(&self, access: &Value) -> String {
        let now = jiff::Timestamp::now().as_second();
        let header = json!({"typ": "JWT", "alg": "ES256", "x5c": [self.certificate]});
        let claims = json!({
            "iss": ISSUER,
            "sub": USER,
            "aud": SERVICE,
            "nbf": now - 10,
            "iat": now,
            "exp": now + GOOD_FOR,
            "jti": "one",
            "access": access,
        });
        let [header, claims] =
            [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        let signed = format!("{header}.{claims}");
        let signature = self.key.sign(signed.as_bytes()).expect("keys sign");
        let signature = URL_SAFE_NO_PAD.encode(fixed(&signature));
        format!("{signed}.{signature}")
    }
}

/// A signature as tokens have it, two numbers of 32 bytes, from one as certificates have it: an ASN.1 sequence of two
/// integers, with a zero before those whose first bit is set and without zeros before the others.
fn fixed(signature: &[u8]) -> Vec<u8> {
    let mut rest = &signature[2..];
    let mut both = Vec::new();
    for _ in 0..2 {
        let (number, after) = rest[2..].split_at(usize::from(rest[1]));
        let number = number.strip_prefix(&[0]).unwrap_or(number);
        both.extend(std::iter::repeat_n(0, 32 - number.len()));
        both.extend(number);
        rest = after;
    }
    both
}
