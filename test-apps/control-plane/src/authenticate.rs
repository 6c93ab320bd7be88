//! Who is at the other end of a stream.
//!
//! Invariant: identity comes from a token that the API server vouches for and that is bound to a pod. What the
//! client says of itself is never read.

use crate::world::{Sidecar, WorldStore};
use api_client::{BoundToken, ReadTokenError, Remembered};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec};
use kube::api::PostParams;
use kube::{Api, Client};
use sha2::{Digest as _, Sha256};
use std::sync::Arc;
use std::time::Duration;

/// The audience that tokens for the control plane carry.
pub const AUDIENCE: &str = "mesh-control-plane";

/// How long a pod may take to show up in the cache after its sidecar dialled.
const POD_APPEARS: Duration = Duration::from_secs(10);
/// How long the API server's word for a token is taken at most. A pod that is deleted leaves the world at once.
const REVIEW_HOLDS: Duration = Duration::from_secs(60);
const REVIEWS_KEPT: usize = 65_536;

/// The pod that a token is bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodClaim {
    /// Namespace.
    pub namespace: String,
    /// UID.
    pub uid: String,
}

/// Nobody can say who this is.
#[derive(Debug, thiserror::Error)]
pub enum AuthenticateError {
    /// The API server did not review the token.
    #[error("review the token")]
    Review(#[source] kube::Error),
    /// The API server does not vouch for it.
    #[error("the token is not valid for {AUDIENCE}: {0}")]
    Invalid(String),
    /// It names no pod.
    #[error("the token is not bound to a pod")]
    Unbound,
    /// The pod is in another namespace than the mesh's workloads.
    #[error("the token is bound to a pod of namespace `{0}`, which is not part of the mesh")]
    OutsideMesh(String),
    /// The pod is not there, or has no address or node.
    #[error("the pod that the token is bound to is not known (yet)")]
    UnknownPod,
}

/// Tells the pod that a bearer token is bound to.
pub trait Authenticator: Send + Sync + 'static {
    /// Asks for a token.
    fn authenticate(&self, token: String) -> BoxFuture<'_, Result<PodClaim, AuthenticateError>>;
}

/// Asks the API server, and remembers for a while.
pub struct TokenReviews {
    api: Api<TokenReview>,
    known: Remembered<PodClaim>,
}

impl TokenReviews {
    /// Reviews through this client.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self {
            api: Api::all(client),
            known: Remembered::new(REVIEW_HOLDS, REVIEWS_KEPT),
        }
    }

    async fn review(&self, token: String) -> Result<PodClaim, AuthenticateError> {
        let digest: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        if let Some(claim) = self.known.get(&digest) {
            return Ok(claim);
        }
        let review = TokenReview {
            spec: TokenReviewSpec {
                audiences: Some(vec![AUDIENCE.into()]),
                token: Some(token.clone()),
            },
            ..TokenReview::default()
        };
        let review = self
            .api
            .create(&PostParams::default(), &review)
            .await
            .map_err(AuthenticateError::Review)?;
        let claim = claim(&review)?;
        self.known.put(digest, &token, claim.clone());
        Ok(claim)
    }
}

impl Authenticator for TokenReviews {
    fn authenticate(&self, token: String) -> BoxFuture<'_, Result<PodClaim, AuthenticateError>> {
        self.review(token).boxed()
    }
}

impl From<ReadTokenError> for AuthenticateError {
    fn from(error: ReadTokenError) -> Self {
        match error {
            ReadTokenError::Invalid(why) => Self::Invalid(why),
            ReadTokenError::Unbound => Self::Unbound,
        }
    }
}

fn claim(review: &TokenReview) -> Result<PodClaim, AuthenticateError> {
    let token = BoundToken::read(review, &[AUDIENCE])?;
    Ok(PodClaim {
        namespace: token.namespace,
        uid: token.pod_uid,
    })
}

/// Tells the sidecar of a claim, waiting a while if the watch has not told of the pod yet.
///
/// # Errors
///
/// When the pod is not part of the mesh or stays unknown.
pub async fn admit(
    store: &WorldStore,
    claim: &PodClaim,
) -> Result<Arc<Sidecar>, AuthenticateError> {
    let mut worlds = store.subscribe();
    // Before the lists are complete nobody can say which namespace is the mesh's.
    let is_decided = worlds.wait_for(|world| {
        !world.namespace.is_empty()
            && (world.namespace != claim.namespace || world.sidecars.contains_key(&claim.uid))
    });
    let world = match tokio::time::timeout(POD_APPEARS, is_decided).await {
        Ok(Ok(world)) => world.clone(),
        Ok(Err(_)) | Err(_) => return Err(AuthenticateError::UnknownPod),
    };
    if claim.namespace != world.namespace {
        return Err(AuthenticateError::OutsideMesh(claim.namespace.clone()));
    }
    world
        .sidecars
        .get(&claim.uid)
        .cloned()
        .ok_or(AuthenticateError::UnknownPod)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn review(status: serde_json::Value) -> TokenReview {
        serde_json::from_value(serde_json::json!({"spec": {}, "status": status}))
            .expect("well-formed")
    }

    #[test]
    fn a_bound_token_names_its_pod() {
        let review = review(serde_json::json!({
            "authenticated": true,
            "audiences": [AUDIENCE],
            "user": {
                "username": "system:serviceaccount:mesh-workloads:default",
                "extra": {"authentication.kubernetes.io/pod-uid": ["u"]}
            }
        }));
        let claim = claim(&review).expect("valid");
        assert_eq!(
            claim,
            PodClaim {
                namespace: "mesh-workloads".into(),
                uid: "u".into()
            }
        );
    }

    #[test]
    fn everything_else_is_refused() {
        let user = serde_json::json!({
            "username": "system:serviceaccount:a:b",
            "extra": {"authentication.kubernetes.io/pod-uid": ["u"]}
        });
        let table = [
            (
                serde_json::json!({"authenticated": false, "error": "expired"}),
                "expired",
            ),
            (
                serde_json::json!({"authenticated": true, "user": user}),
                "another audience",
            ),
            (
                serde_json::json!({"authenticated": true, "audiences": ["x"], "user": user}),
                "another audience",
            ),
            (
                serde_json::json!({"authenticated": true, "audiences": [AUDIENCE],
                    "user": {"username": "system:serviceaccount:a:b"}}),
                "not bound",
            ),
            (
                serde_json::json!({"authenticated": true, "audiences": [AUDIENCE],
                    "user": {"username": "admin", "extra": user["extra"]}}),
                "not bound",
            ),
        ];
        for (status, expected) in table {
            let error = claim(&review(status)).expect_err("refused").to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_pod_of_another_namespace_is_refused_at_once() {
        let store = WorldStore::new();
        let claim = PodClaim {
            namespace: "elsewhere".into(),
            uid: "u".into(),
        };
        let started = tokio::time::Instant::now();
        let error = admit(&store, &claim).await.expect_err("no list yet");
        assert!(matches!(error, AuthenticateError::UnknownPod), "{error}");
        assert!(started.elapsed() >= POD_APPEARS);
        store.publish(Arc::new(crate::world::World {
            namespace: "mesh-workloads".into(),
            ..crate::world::World::default()
        }));
        let started = tokio::time::Instant::now();
        let error = admit(&store, &claim).await.expect_err("outside");
        assert!(
            matches!(error, AuthenticateError::OutsideMesh(_)),
            "{error}"
        );
        assert_eq!(started.elapsed(), Duration::ZERO);
    }
}
