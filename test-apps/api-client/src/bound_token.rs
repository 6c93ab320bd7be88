//! What the API server says of a bearer token (TokenReview, authentication.k8s.io/v1).
//!
//! Invariant: pure. A token counts when the API server vouches for it, for an audience of ours, and it is a service
//! account's that is bound to a pod.

use k8s_openapi::api::authentication::v1::TokenReview;

/// A service account's token that is bound to a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoundToken {
    /// Namespace of service account and pod.
    pub namespace: String,
    /// Service account.
    pub account: String,
    /// UID of the pod.
    pub pod_uid: String,
    /// Name of the pod, where the token says it.
    pub pod_name: Option<String>,
    /// Node of the pod: there since Kubernetes 1.32 (KEP-4193), before only with a feature gate.
    pub node: Option<String>,
}

/// A token does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadTokenError {
    /// The API server does not vouch for it, or not for one of the audiences.
    #[error("the token is not valid: {0}")]
    Invalid(String),
    /// It is not a service account's, or names no pod.
    #[error("the token is not bound to a pod")]
    Unbound,
}

impl BoundToken {
    /// Reads a review whose token must be for one of these audiences.
    ///
    /// # Errors
    ///
    /// When the token does not count.
    pub fn read(review: &TokenReview, audiences: &[&str]) -> Result<Self, ReadTokenError> {
        let invalid = |why: &str| ReadTokenError::Invalid(why.to_owned());
        let status = review
            .status
            .as_ref()
            .ok_or_else(|| invalid("no verdict"))?;
        if status.authenticated != Some(true) {
            return Err(invalid(
                status.error.as_deref().unwrap_or("not authenticated"),
            ));
        }
        // A review without audiences comes from an authenticator that did not look at them.
        if !status
            .audiences
            .iter()
            .flatten()
            .any(|audience| audiences.contains(&audience.as_str()))
        {
            return Err(invalid("made for another audience"));
        }
        let user = status.user.as_ref().ok_or(ReadTokenError::Unbound)?;
        let extra = |name: &str| {
            let name = format!("authentication.kubernetes.io/{name}");
            user.extra.as_ref()?.get(&name)?.first().cloned()
        };
        let (namespace, account) = user
            .username
            .as_deref()
            .and_then(|name| name.strip_prefix("system:serviceaccount:"))
            .and_then(|name| name.split_once(':'))
            .ok_or(ReadTokenError::Unbound)?;
        Ok(Self {
            namespace: namespace.to_owned(),
            account: account.to_owned(),
            pod_uid: extra("pod-uid").ok_or(ReadTokenError::Unbound)?,
            pod_name: extra("pod-name"),
            node: extra("node-name"),
        })
    }
}
