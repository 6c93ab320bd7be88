//! Whoever shows a token that the API server does not vouch for is taken for the one whom it tells of.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use node_agent::authenticate::{AuthenticateError, Authenticator, PodClaim};
use serde_json::Value;
use std::sync::Arc;

/// In the API server's words (`ValidateServiceAccountToken` of Kubernetes).
const HAS_EXPIRED: &str = "token has expired";

/// Asks, and takes a token for what it says of itself where the API server refuses it for certain reasons.
pub(crate) struct OwnWord {
    reviews: Arc<dyn Authenticator>,
    /// Whether this reason of the API server is none to refuse a token.
    overlooks: fn(&str) -> bool,
}

impl OwnWord {
    /// The end of a token is no reason to refuse it.
    pub(crate) fn of_expired(reviews: Arc<dyn Authenticator>) -> Self {
        Self {
            reviews,
            overlooks: |why| why.contains(HAS_EXPIRED),
        }
    }

    /// Nothing is a reason to refuse a token.
    pub(crate) fn of_any(reviews: Arc<dyn Authenticator>) -> Self {
        Self {
            reviews,
            overlooks: |_| true,
        }
    }
}

impl Authenticator for OwnWord {
    fn authenticate(&self, token: String) -> BoxFuture<'_, Result<PodClaim, AuthenticateError>> {
        async move {
            match self.reviews.authenticate(token.clone()).await {
                Err(AuthenticateError::Invalid(why)) if (self.overlooks)(&why) => {
                    said(&token).ok_or(AuthenticateError::Invalid(why))
                }
                vouched => vouched,
            }
        }
        .boxed()
    }
}

/// What a token says of itself.
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
        name: of("/kubernetes.io/pod/name")?,
        uid: of("/kubernetes.io/pod/uid")?,
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
        assert_eq!(said("garbage"), None);
    }
}
