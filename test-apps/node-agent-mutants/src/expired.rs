//! Whoever shows a token that has ended is taken for the one whom it was made for.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use node_agent::authenticate::{AuthenticateError, Authenticator, PodClaim};
use serde_json::Value;
use std::sync::Arc;

/// In the API server's words (`ValidateServiceAccountToken` of Kubernetes).
const HAS_EXPIRED: &str = "token has expired";

/// Asks, and does not take the end of a token for a reason to refuse it.
pub(crate) struct Expired(pub(crate) Arc<dyn Authenticator>);

impl Authenticator for Expired {
    fn authenticate(&self, token: String) -> BoxFuture<'_, Result<PodClaim, AuthenticateError>> {
        async move {
            match self.0.authenticate(token.clone()).await {
                Err(AuthenticateError::Invalid(why)) if why.contains(HAS_EXPIRED) => {
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
