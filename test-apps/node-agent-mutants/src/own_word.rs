//! Whoever shows a token that the API server does not vouch for, or that names no pod, is taken for the one whom it tells of.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use node_agent::authenticate::{AuthenticateError, Authenticator, PodClaim};
use serde_json::Value;
use std::sync::Arc;

/// In the API server's words (`ValidateServiceAccountToken` of Kubernetes).
const HAS_EXPIRED: &str = "token has expired";
/// In the same place: what it is bound to is gone.
const IS_INVALIDATED: &str = "token has been invalidated";

/// Asks, and takes a token for what it says of itself where it is refused for certain reasons.
pub(crate) struct OwnWord {
    reviews: Arc<dyn Authenticator>,
    /// Whether this is no reason to refuse a token.
    overlooks: fn(&AuthenticateError) -> bool,
}

impl OwnWord {
    /// The end of a token is no reason to refuse it.
    pub(crate) fn of_expired(reviews: Arc<dyn Authenticator>) -> Self {
        Self {
            reviews,
            overlooks: |why| matches!(why, AuthenticateError::Invalid(why) if why.contains(HAS_EXPIRED)),
        }
    }

    /// That the pod is gone is no reason to refuse its token.
    pub(crate) fn of_the_gone(reviews: Arc<dyn Authenticator>) -> Self {
        Self {
            reviews,
            overlooks: |why| matches!(why, AuthenticateError::Invalid(why) if why.contains(IS_INVALIDATED)),
        }
    }

    /// That it names no pod is no reason to refuse a token.
    pub(crate) fn of_unbound(reviews: Arc<dyn Authenticator>) -> Self {
        Self {
            reviews,
            overlooks: |why| matches!(why, AuthenticateError::Unbound),
        }
    }

    /// Nothing that the API server says is a reason to refuse a token.
    pub(crate) fn of_any(reviews: Arc<dyn Authenticator>) -> Self {
        Self {
            reviews,
            overlooks: |why| matches!(why, AuthenticateError::Invalid(_)),
        }
    }
}

impl Authenticator for OwnWord {
    fn authenticate(&self, token: String) -> BoxFuture<'_, Result<PodClaim, AuthenticateError>> {
        async move {
            match self.reviews.authenticate(token.clone()).await {
                Err(why) if (self.overlooks)(&why) => said(&token).ok_or(why),
                vouched => vouched,
            }
        }
        .boxed()
    }
}

/// What a token says of itself; nothing stands for the pod where it names none.
fn said(token: &str) -> Option<PodClaim> {
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let claims: Value = serde_json::from_slice(&payload).ok()?;
    let of = |pointer: &str| {
        let value = claims.pointer(pointer)?.as_str()?;
        Some(value.to_owned())
    };
    Some(PodClaim {
        namespace: of("/kubernetes.io/namespace")?,
        service_account: of("/kubernetes.io/serviceaccount/name")?,
        name: of("/kubernetes.io/pod/name").unwrap_or_default(),
        uid: of("/kubernetes.io/pod/uid").unwrap_or_default(),
        node: of("/kubernetes.io/node/name"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_tells_whose_it_is() {
        let claims = r#"{"kubernetes.io":{"namespace":"mesh","node":{"name":"n"},
            "pod":{"name":"p","uid":"u"},"serviceaccount":{"name":"a","uid":"v"}}}"#;
        let token = format!("e30.{}.x", URL_SAFE_NO_PAD.encode(claims));
        let claim = said(&token).expect("said");
        let word = |word: &str| word.to_owned();
        let expected = PodClaim {
            namespace: word("mesh"),
            service_account: word("a"),
            name: word("p"),
            uid: word("u"),
            node: Some(word("n")),
        };
        assert_eq!(claim, expected);
        let unbound =
            r#"{"kubernetes.io":{"namespace":"mesh","serviceaccount":{"name":"a","uid":"v"}}}"#;
        let unbound = format!("e30.{}.x", URL_SAFE_NO_PAD.encode(unbound));
        let claim = said(&unbound).expect("said");
        assert_eq!(
            (claim.name.as_str(), claim.uid.as_str(), claim.node),
            ("", "", None)
        );
        assert_eq!(claim.service_account, "a");
        assert_eq!(said("garbage"), None);
    }
}
