//! Service-account tokens that are bound to a pod.

use crate::pod_context::PodContext;
use jiff::Timestamp;
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{ServiceAccount, ServiceAccountTokenProjection};
use kube::Api;
use kube::api::PostParams;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// What a token is valid for when the pod does not say, in seconds.
const DEFAULT_VALIDITY: i64 = 3600;

/// The tokens of one volume, by their paths in it.
#[derive(Debug, Default)]
pub(crate) struct Tokens(BTreeMap<String, Token>);

/// A token and when to ask for the next one.
#[derive(Clone, Debug)]
struct Token {
    text: String,
    refresh_at: Instant,
}

impl Tokens {
    /// The token that a projection asks for; a new one when there is none or it has become old. When there is no new
    /// one to be had yet, the old one is still good for a while.
    pub(crate) async fn get(
        &mut self,
        context: &PodContext,
        projection: &ServiceAccountTokenProjection,
    ) -> Result<String, kube::Error> {
        let held = self.0.get(&projection.path);
        if let Some(token) = held.filter(|token| !token.is_old(Instant::now())) {
            return Ok(token.text.clone());
        }
        match request(context, projection).await {
            Ok(token) => {
                let text = token.text.clone();
                self.0.insert(projection.path.clone(), token);
                Ok(text)
            }
            Err(error) => match held {
                Some(token) => {
                    tracing::warn!(%error, pod = context.name, "token not renewed");
                    Ok(token.text.clone())
                }
                None => Err(error),
            },
        }
    }
}

impl Token {
    fn is_old(&self, now: Instant) -> bool {
        now >= self.refresh_at
    }
}

/// Asks for a token for the pod's service account.
async fn request(
    context: &PodContext,
    projection: &ServiceAccountTokenProjection,
) -> Result<Token, kube::Error> {
    let pod = context.pod();
    let account = pod
        .spec
        .as_ref()
        .and_then(|spec| spec.service_account_name.clone())
        .unwrap_or_else(|| "default".to_owned());
    let api: Api<ServiceAccount> = Api::namespaced(context.node.client.clone(), &context.namespace);
    let request = TokenRequest {
        spec: TokenRequestSpec {
            audiences: projection.audience.iter().cloned().collect(),
            bound_object_ref: Some(BoundObjectReference {
                api_version: Some("v1".to_owned()),
                kind: Some("Pod".to_owned()),
                name: Some(context.name.clone()),
                uid: Some(context.uid.clone()),
            }),
            expiration_seconds: Some(projection.expiration_seconds.unwrap_or(DEFAULT_VALIDITY)),
        },
        ..TokenRequest::default()
    };
    let answer = api
        .create_token_request(&account, &PostParams::default(), &request)
        .await?;
    let Some(status) = answer.status else {
        return Err(kube::Error::Service("the answer holds no token".into()));
    };
    let left = status
        .expiration_timestamp
        .0
        .duration_since(Timestamp::now());
    Ok(Token {
        text: status.token,
        refresh_at: Instant::now() + refresh_after(left.as_secs()),
    })
}

/// At four fifths of the validity, as Kubernetes does, and at least once a day.
fn refresh_after(validity_seconds: i64) -> Duration {
    let seconds = u64::try_from(validity_seconds).unwrap_or(0) * 4 / 5;
    Duration::from_secs(seconds.clamp(1, 24 * 3600))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_refreshed_before_they_end() {
        assert_eq!(refresh_after(600), Duration::from_secs(480));
        assert_eq!(refresh_after(-5), Duration::from_secs(1));
        assert_eq!(refresh_after(365 * 86400), Duration::from_secs(86400));
    }
}
