//! Who calls: a node agent, and of which node.
//!
//! Invariant: identity comes from a token that the API server vouches for and that is bound to a pod. What the caller says
//! of itself is never read.

use crate::behaviour::Behaviour;
use api_client::{BoundToken, ReadTokenError, Remembered};
use identity_api::authority::AUDIENCE;
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec};
use k8s_openapi::api::core::v1::Pod;
use kube::api::PostParams;
use kube::{Api, Client};
use sha2::{Digest as _, Sha256};
use std::sync::Arc;
use std::time::Duration;

/// How long the API server's word for a token is taken, but not past the token's own end: this bounds how late it is noticed
/// that an agent's pod is gone.
const REVIEW_HOLDS: Duration = Duration::from_secs(60);
const REVIEWS_KEPT: usize = 65_536;

/// Who may ask for certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    /// Its pod, `NAMESPACE/NAME`.
    pub pod: String,
    /// The node that it runs on.
    pub node: String,
}

/// Nobody can say who this is, or it is not a node agent.
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
    /// It is of somebody else.
    #[error("the token is of service account `{0}`, which is not that of node agents")]
    Stranger(String),
    /// The agent's pod cannot be read.
    #[error("read the agent's pod")]
    ReadPod(#[source] kube::Error),
    /// The pod is not there, or has no node.
    #[error("the pod that the token is bound to is on no node")]
    Nowhere,
}

/// What the API server says of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Claim {
    namespace: String,
    account: String,
    pod: String,
    uid: String,
    node: Option<String>,
}

/// Asks the API server, and remembers for a while.
pub struct TokenReviews {
    client: Client,
    behaviour: Arc<dyn Behaviour>,
    /// `NAMESPACE/NAME` of the service account.
    account: String,
    known: Remembered<Agent>,
}

impl TokenReviews {
    /// Reviews through this client, and accepts this service account.
    #[must_use]
    pub fn new(client: Client, behaviour: Arc<dyn Behaviour>, account: String) -> Self {
        Self {
            client,
            behaviour,
            account,
            known: Remembered::new(REVIEW_HOLDS, REVIEWS_KEPT),
        }
    }

    /// Tells which agent a bearer token is of.
    ///
    /// # Errors
    ///
    /// When it is of none, or the API server does not answer.
    pub async fn identify(&self, token: &str) -> Result<Agent, AuthenticateError> {
        let digest: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        if let Some(agent) = self.known.get(&digest) {
            return Ok(agent);
        }
        let review = TokenReview {
            spec: TokenReviewSpec {
                audiences: Some(vec![AUDIENCE.into()]),
                token: Some(token.to_owned()),
            },
            ..TokenReview::default()
        };
        let reviews: Api<TokenReview> = Api::all(self.client.clone());
        let review = reviews
            .create(&PostParams::default(), &review)
            .await
            .map_err(AuthenticateError::Review)?;
        let said = BoundToken::read(&review, &[AUDIENCE]);
        let claim = Claim::of(self.behaviour.vouched(token, said)?)?;
        let account = format!("{}/{}", claim.namespace, claim.account);
        if !self.behaviour.accepts_account(&account, &self.account) {
            return Err(AuthenticateError::Stranger(account));
        }
        let node = match &claim.node {
            Some(node) => node.clone(),
            None => self.node_of(&claim).await?,
        };
        let agent = Agent {
            pod: format!("{}/{}", claim.namespace, claim.pod),
            node,
        };
        self.known.put(digest, token, agent.clone());
        Ok(agent)
    }

    /// Where the token does not say it.
    async fn node_of(&self, claim: &Claim) -> Result<String, AuthenticateError> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &claim.namespace);
        let pod = pods
            .get_opt(&claim.pod)
            .await
            .map_err(AuthenticateError::ReadPod)?
            .filter(|pod| pod.metadata.uid.as_ref() == Some(&claim.uid));
        pod.and_then(|pod| pod.spec?.node_name)
            .ok_or(AuthenticateError::Nowhere)
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

impl Claim {
    fn of(token: BoundToken) -> Result<Self, AuthenticateError> {
        Ok(Self {
            pod: token.pod_name.ok_or(AuthenticateError::Unbound)?,
            namespace: token.namespace,
            account: token.account,
            uid: token.pod_uid,
            node: token.node,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::behaviour::Faithful;
    use fake_api::FakeApi;
    use serde_json::{Value, json};

    const POD_NAME: &str = "authentication.kubernetes.io/pod-name";
    const POD_UID: &str = "authentication.kubernetes.io/pod-uid";
    const NODE_NAME: &str = "authentication.kubernetes.io/node-name";

    fn claim(review: &TokenReview) -> Result<Claim, AuthenticateError> {
        Claim::of(BoundToken::read(review, &[AUDIENCE])?)
    }

    fn review(status: Value) -> TokenReview {
        serde_json::from_value(json!({"spec": {}, "status": status})).expect("well-formed")
    }

    fn user(name: &str, node: Value) -> Value {
        let mut extra = json!({POD_NAME: ["agent-0"], POD_UID: ["u"]});
        if node.is_array() {
            extra[NODE_NAME] = node;
        }
        json!({"username": name, "extra": extra})
    }

    #[test]
    fn a_bound_token_names_its_pod_and_node() {
        for (node, expected) in [(json!(["node-a"]), Some("node-a")), (Value::Null, None)] {
            let claim = claim(&review(json!({
                "authenticated": true,
                "audiences": [AUDIENCE],
                "user": user("system:serviceaccount:mesh-system:node-agent", node),
            })))
            .expect("valid");
            assert_eq!(claim.node.as_deref(), expected);
            let told = [&claim.namespace, &claim.account, &claim.pod, &claim.uid];
            assert_eq!(told, ["mesh-system", "node-agent", "agent-0", "u"]);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_reviewed_once_in_a_while_and_each_time_after_its_end() {
        let (client, mut api) = FakeApi::new();
        let account = "mesh-system/node-agent".to_owned();
        let reviews = Arc::new(TokenReviews::new(client, Arc::new(Faithful), account));
        let ask = |token: &'static str| {
            let reviews = reviews.clone();
            tokio::spawn(async move { reviews.identify(token).await })
        };
        let vouched = || {
            let user = user(
                "system:serviceaccount:mesh-system:node-agent",
                json!(["node-a"]),
            );
            let status = json!({"authenticated": true, "audiences": [AUDIENCE], "user": user});
            json!({"spec": {}, "status": status})
        };
        for (token, is_remembered) in [
            // `{"exp":4000000000}`, in the year 2096
            ("e30.eyJleHAiOjQwMDAwMDAwMDB9.x", true),
            // `{"exp":1}`, in the year 1970
            ("e30.eyJleHAiOjF9.x", false),
        ] {
            let first = ask(token);
            let asked = api.next().await.expect("a review");
            assert_eq!(asked.body["spec"]["token"], token);
            asked.answer(201, vouched());
            let agent = first.await.expect("no panic").expect("vouched for");
            assert_eq!(agent.node, "node-a");
            let again = ask(token);
            let asked = api.next().await;
            assert_eq!(asked.is_none(), is_remembered, "{token}");
            if let Some(asked) = asked {
                asked.answer(201, vouched());
            }
            assert!(again.await.expect("no panic").is_ok(), "{token}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        let user = user("system:serviceaccount:a:b", Value::Null);
        let unbound = json!({"username": "system:serviceaccount:a:b"});
        let human = json!({"username": "admin", "extra": user["extra"]});
        let table = [
            (
                json!({"authenticated": false, "error": "expired"}),
                "expired",
            ),
            (
                json!({"authenticated": true, "user": user}),
                "another audience",
            ),
            (
                json!({"authenticated": true, "audiences": ["x"], "user": user}),
                "another audience",
            ),
            (
                json!({"authenticated": true, "audiences": [AUDIENCE], "user": unbound}),
                "not bound",
            ),
            (
                json!({"authenticated": true, "audiences": [AUDIENCE], "user": human}),
                "not bound",
            ),
        ];
        for (status, expected) in table {
            let error = claim(&review(status)).expect_err("refused").to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
