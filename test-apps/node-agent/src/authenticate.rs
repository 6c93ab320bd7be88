//! Who is at the other end of a stream.
//!
//! Invariant: identity comes from a token that the API server vouches for and that is bound to a pod of this node. What
//! the client says of itself is never read.

use crate::behaviour::Behaviour;
use crate::pods::{Pod, Pods};
use api_client::{BoundToken, ReadTokenError, Remembered};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec};
use kube::api::PostParams;
use kube::{Api, Client};
use sha2::{Digest as _, Sha256};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How long a pod may take to show up in the list after its sidecar dialled.
const POD_APPEARS: Duration = Duration::from_secs(10);
/// How long the API server's word for a token is taken, but not past the token's own end. A pod that is deleted leaves the list
/// at once, so this only bounds how late a stream that dials again shows that the API server takes the token no more.
const REVIEW_HOLDS: Duration = Duration::from_secs(60);
/// A node has at most some hundred pods, and each some tokens in an hour.
const REVIEWS_KEPT: usize = 4096;

/// What a token says of the pod that it is bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodClaim {
    /// Namespace.
    pub namespace: String,
    /// The service account that the token is for.
    pub service_account: String,
    /// Name.
    pub name: String,
    /// UID.
    pub uid: String,
    /// The node that the pod was on when the token was made; not every API server says so.
    pub node: Option<String>,
}

/// Nobody can say who this is, or it is not served here.
#[derive(Debug, thiserror::Error)]
pub enum AuthenticateError {
    /// The API server did not review the token.
    #[error("review the token")]
    Review(#[source] kube::Error),
    /// The API server does not vouch for it.
    #[error("the token is not valid here: {0}")]
    Invalid(String),
    /// It names no pod.
    #[error("the token is not bound to a pod")]
    Unbound,
    /// The pod is in another namespace than the mesh's workloads.
    #[error("the token is bound to a pod of namespace `{0}`, which is not part of the mesh")]
    OutsideMesh(String),
    /// The pod is on another node.
    #[error("the token is bound to a pod of node `{0}`, which this agent does not serve")]
    OtherNode(String),
    /// The pod is not on this node.
    #[error("the pod that the token is bound to is not on this node (yet)")]
    UnknownPod,
    /// There is a pod of that UID, but it is not what the token says.
    #[error("the token does not fit the pod that it is bound to")]
    OtherPod,
}

/// Tells the pod that a bearer token is bound to.
pub trait Authenticator: Send + Sync + 'static {
    /// Asks for a token.
    fn authenticate(&self, token: String) -> BoxFuture<'_, Result<PodClaim, AuthenticateError>>;
}

/// Asks the API server, and remembers for a while.
pub struct TokenReviews {
    api: Api<TokenReview>,
    audiences: Vec<String>,
    known: Remembered<PodClaim>,
}

impl TokenReviews {
    /// Reviews through this client; a token must carry one of these audiences.
    #[must_use]
    pub fn new(client: Client, audiences: Vec<String>) -> Self {
        Self {
            api: Api::all(client),
            audiences,
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
                audiences: Some(self.audiences.clone()),
                token: Some(token.clone()),
            },
            ..TokenReview::default()
        };
        let review = self
            .api
            .create(&PostParams::default(), &review)
            .await
            .map_err(AuthenticateError::Review)?;
        let claim = claim(&review, &self.audiences)?;
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

fn claim(review: &TokenReview, audiences: &[String]) -> Result<PodClaim, AuthenticateError> {
    let audiences: Vec<&str> = audiences.iter().map(String::as_str).collect();
    let token = BoundToken::read(review, &audiences)?;
    Ok(PodClaim {
        name: token.pod_name.ok_or(AuthenticateError::Unbound)?,
        namespace: token.namespace,
        service_account: token.account,
        uid: token.pod_uid,
        node: token.node,
    })
}

/// Tells the pod of a claim, waiting a while if the watch has not told of it yet.
///
/// # Errors
///
/// When the pod is not part of the mesh, not on this node, not what the token says, or stays unknown.
pub async fn admit(
    claim: &PodClaim,
    node: &str,
    namespace: &str,
    behaviour: &dyn Behaviour,
    mut pods: watch::Receiver<Arc<Pods>>,
) -> Result<Arc<Pod>, AuthenticateError> {
    if claim.namespace != namespace {
        return Err(AuthenticateError::OutsideMesh(claim.namespace.clone()));
    }
    if !behaviour.may_serve(claim, node) {
        let other = claim.node.clone().unwrap_or_default();
        return Err(AuthenticateError::OtherNode(other));
    }
    let is_there = pods.wait_for(|pods| behaviour.pod_of(claim, pods).is_some());
    let pod = match tokio::time::timeout(POD_APPEARS, is_there).await {
        Ok(Ok(pods)) => behaviour.pod_of(claim, &pods),
        Ok(Err(_)) | Err(_) => None,
    };
    let pod = pod.ok_or(AuthenticateError::UnknownPod)?;
    if pod.namespace != claim.namespace
        || pod.name != claim.name
        || pod.service_account != claim.service_account
    {
        return Err(AuthenticateError::OtherPod);
    }
    Ok(pod)
}

#[cfg(test)]
mod tests;
