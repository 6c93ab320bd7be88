//! Asking for identities: what a probe has to be told for an attempt, tokens included.
//!
//! Invariant: tokens go to the probe and nowhere else.

mod key_service;
mod names;
mod permissions;

use crate::RUN_LABEL;
use crate::definition::{AuthorityForm, IdentityForm};
use crate::directory::Workload;
use crate::error::MeshError;
use crate::mesh::Mesh;
use crate::site::Site;
use harness_cluster::PodAddress;
use harness_model::asking::{Answer, Ask, DenialCause, Desk, Token, Wish};
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use kube::api::{Api, DeleteParams, ObjectMeta, PostParams};
use probe_api::identity::{IdentityAnswer, IdentityAsk, IdentityDesk, RequestFlaw};

/// The lifetime that is asked for where none is wrong, in seconds.
const SHORT: u32 = 60;
/// A year, in seconds.
const LONG: u32 = 365 * 24 * 3600;
/// Nobody has signed this.
const GARBAGE: &str = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJub2JvZHkifQ.bm9ib2R5";

impl Mesh {
    /// What the probe of `from` is to be told for an attempt. `other` is the workload that the attempt names, where it names
    /// one. A token that is to be [signed anew](Token::is_signed_anew) is not yet: it is the holder's own.
    ///
    /// # Errors
    ///
    /// When the mesh does not say how identities are asked for, somebody is missing, or the API server gives no token.
    pub async fn identity_ask(
        &self,
        ask: &Ask,
        from: &Workload,
        other: Option<&Workload>,
    ) -> Result<IdentityAsk, MeshError> {
        let Some(form) = &self.definition.identity else {
            let missing = "ask for an identity: the mesh does not say where";
            return Err(MeshError::Missing(missing.to_owned()));
        };
        let site = self.site_of(&from.sidecar.cluster)?;
        let (audience, at) = match ask.at {
            Desk::NodeAgent if ask.token == Token::OtherUser => {
                let socket = form.node_agent.socket.clone();
                let at = IdentityDesk::SocketPermissions { socket };
                return Ok(IdentityAsk { token: None, at });
            }
            Desk::NodeAgent => (&form.node_agent.audience, self.node_agent(form)),
            Desk::Authority => (
                &form.authority.audience,
                self.authority(form, site, from, ask.wish).await?,
            ),
            Desk::KeyService => return self.at_the_key_service(form, site, ask, from).await,
        };
        let holder = match (ask.at, &ask.token) {
            (_, Token::Own) | (Desk::NodeAgent, _) => other.unwrap_or(from).address.clone(),
            _ => {
                let beside = other.unwrap_or(from);
                self.agent_beside(form, beside).await?
            }
        };
        let bound = |audience: &str| site.token(&holder, audience.to_owned());
        let token = match &ask.token {
            Token::None | Token::OtherUser => None,
            Token::Garbage => Some(GARBAGE.to_owned()),
            Token::Right | Token::Own | Token::Of(_) | Token::Signed | Token::Expired => {
                Some(bound(audience).await?)
            }
            Token::OtherAudience => Some(bound(&form.other_audience).await?),
            Token::Unbound => {
                let account = site.account(&holder).await?.1;
                let audience = audience.to_owned();
                let token = site.request(&holder.namespace, &account, audience, None);
                Some(token.await?)
            }
            Token::Gone => Some(site.token_of_the_gone(&holder, audience).await?),
        };
        Ok(IdentityAsk { token, at })
    }

    /// What came of an attempt, in the words of a history.
    #[must_use]
    pub fn identity_answer(&self, answer: IdentityAnswer) -> Answer {
        match answer {
            IdentityAnswer::Granted(chain) => match chain.into_iter().next() {
                Some(own) => Answer::Granted {
                    identities: own.uris,
                    lifetime_s: own.not_after_s - own.not_before_s,
                },
                None => Answer::Unanswered {
                    reason: "granted without a certificate that can be read".to_owned(),
                },
            },
            IdentityAnswer::Denied { code, message } => {
                let form = self.definition.identity.as_ref();
                let cause = form.and_then(|form| cause_of(form, &message));
                Answer::Denied {
                    code,
                    message,
                    cause,
                }
            }
            IdentityAnswer::Served => Answer::Served,
            IdentityAnswer::Permissions { socket, folder } => permissions::judged(socket, folder),
            IdentityAnswer::Alert(code) => key_service::denied_with(code),
            IdentityAnswer::Unanswered(reason) => Answer::Unanswered { reason },
        }
    }

    fn node_agent(&self, form: &IdentityForm) -> IdentityDesk {
        let secret = self.definition.state.certificate.clone();
        IdentityDesk::Sds {
            socket: form.node_agent.socket.clone(),
            secret: secret.unwrap_or_default(),
        }
    }

    /// The node agent's pod on the node of a workload.
    async fn agent_beside(
        &self,
        form: &IdentityForm,
        workload: &Workload,
    ) -> Result<PodAddress, MeshError> {
        let agents = self.pods_of(&form.node_agent.component).await?;
        let beside = |agent: &PodAddress| {
            agent.cluster == workload.address.cluster && agent.node == workload.address.node
        };
        let found = agents.into_iter().map(|(agent, _)| agent).find(beside);
        found.ok_or_else(|| {
            let node = &workload.address.node;
            MeshError::Missing(format!("find the node agent of node {node}: it has none"))
        })
    }

    async fn authority(
        &self,
        form: &IdentityForm,
        site: &Site,
        from: &Workload,
        wish: Wish,
    ) -> Result<IdentityDesk, MeshError> {
        let AuthorityForm {
            component,
            port,
            certificate,
            ..
        } = &form.authority;
        let server = self.server((component, *port, certificate), site, from);
        let server = server.await?;
        let own = from.sidecar.identity.clone();
        let own = own.ok_or_else(|| {
            MeshError::Missing("ask the authority: workloads have no identity".to_owned())
        })?;
        let names = names::of(wish, &own).ok_or_else(|| {
            MeshError::Missing(format!(
                "ask the authority: `{own}` names no trust domain or no namespace"
            ))
        })?;
        Ok(IdentityDesk::Authority {
            address: server.address,
            server_name: server.name,
            root: server.root,
            pod: [
                from.address.namespace.clone(),
                from.address.name.clone(),
                from.sidecar.pod_uid.clone(),
            ],
            names,
            flaw: match wish {
                Wish::Tampered => Some(RequestFlaw::Tampered),
                Wish::WeakKey => Some(RequestFlaw::WeakKey),
                Wish::OtherCurve => Some(RequestFlaw::OtherCurve),
                Wish::Signer => Some(RequestFlaw::Signer),
                Wish::Right
                | Wish::OtherName
                | Wish::TwoNames
                | Wish::OtherDomain
                | Wish::OtherNamespace
                | Wish::LongLife => None,
            },
            lifetime_s: if wish == Wish::LongLife { LONG } else { SHORT },
        })
    }

    /// Where a pod of a component in the cluster of `from` serves this port with a certificate that was made for it.
    async fn server(
        &self,
        (component, port, certificate): (&str, u16, &str),
        site: &Site,
        from: &Workload,
    ) -> Result<Server, MeshError> {
        let missing = |what: &str| MeshError::Missing(format!("ask {component}: {what}"));
        let replicas = self.pods_of(component).await?;
        let cluster = &from.address.cluster;
        let replica = replicas
            .into_iter()
            .find(|(pod, _)| pod.cluster == *cluster);
        let (replica, _) = replica.ok_or_else(|| missing("it has no pod"))?;
        let shown = site.context.certificates().get(certificate);
        let shown = shown.ok_or_else(|| missing("its certificate was not made"))?;
        let request = self.definition.certificates.get(certificate);
        let name = request.and_then(|request| request.dns_names.first());
        Ok(Server {
            address: format!("{}:{port}", replica.ip),
            name: name.cloned().unwrap_or_default(),
            root: shown.root.clone(),
        })
    }
}

/// Where somebody is asked over TLS.
struct Server {
    /// `ip:port`.
    address: String,
    /// The name that its certificate must be for.
    name: String,
    /// The root that its certificate must lead to, PEM.
    root: String,
}

/// The cause whose text is in a message; of several the one with the longest text, which says the most.
fn cause_of(form: &IdentityForm, message: &str) -> Option<DenialCause> {
    let all = form.causes.iter();
    let texts = all.flat_map(|(cause, texts)| texts.iter().map(move |text| (text, *cause)));
    texts
        .filter(|(text, _)| message.contains(text.as_str()))
        .max_by_key(|(text, _)| text.len())
        .map(|(_, cause)| cause)
}

impl Site {
    /// The UID and the service account of a pod.
    async fn account(&self, pod: &PodAddress) -> Result<(String, String), MeshError> {
        let act = || format!("read the pod {}/{}", pod.namespace, pod.name);
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &pod.namespace);
        let read = pods
            .get(&pod.name)
            .await
            .map_err(|source| MeshError::api(act(), source))?;
        let account = read.spec.and_then(|spec| spec.service_account_name);
        let account =
            account.ok_or_else(|| MeshError::Missing(format!("{}: no account", act())))?;
        Ok((read.metadata.uid.unwrap_or_default(), account))
    }

    /// A token of a pod's account that is bound to the pod.
    async fn token(&self, pod: &PodAddress, audience: String) -> Result<String, MeshError> {
        let (uid, account) = self.account(pod).await?;
        let bound = Some((pod.name.clone(), uid));
        self.request(&pod.namespace, &account, audience, bound)
            .await
    }

    async fn request(
        &self,
        namespace: &str,
        account: &str,
        audience: String,
        bound: Option<(String, String)>,
    ) -> Result<String, MeshError> {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), namespace);
        let request = TokenRequest {
            spec: TokenRequestSpec {
                audiences: vec![audience],
                bound_object_ref: bound.map(|(name, uid)| BoundObjectReference {
                    api_version: Some("v1".to_owned()),
                    kind: Some("Pod".to_owned()),
                    name: Some(name),
                    uid: Some(uid),
                }),
                ..TokenRequestSpec::default()
            },
            ..TokenRequest::default()
        };
        let act = || format!("obtain a token of {namespace}/{account}");
        accounts
            .create_token_request(account, &PostParams::default(), &request)
            .await
            .map_err(|source| MeshError::api(act(), source))?
            .status
            .map(|status| status.token)
            .ok_or_else(|| MeshError::Missing(format!("{}: there was none", act())))
    }

    /// A token that was bound to a pod of the same account, which never ran and is gone.
    async fn token_of_the_gone(
        &self,
        like: &PodAddress,
        audience: &str,
    ) -> Result<String, MeshError> {
        let (_, account) = self.account(like).await?;
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &like.namespace);
        let pod: Pod = serde_json::from_value(serde_json::json!({
            "metadata": {"generateName": "meshproof-gone-"},
            "spec": {
                "serviceAccountName": account,
                "automountServiceAccountToken": false,
                // Nobody starts it.
                "schedulingGates": [{"name": "meshproof.io/never"}],
                "containers": [{"name": "none", "image": "none"}],
            },
        }))
        .map_err(|error| MeshError::Missing(format!("describe a pod: {error}")))?;
        let pod = Pod {
            metadata: ObjectMeta {
                labels: Some([(RUN_LABEL.to_owned(), self.context.run().to_owned())].into()),
                ..pod.metadata
            },
            ..pod
        };
        let made = pods
            .create(&PostParams::default(), &pod)
            .await
            .map_err(|source| MeshError::api("make a pod that never runs", source))?;
        let name = made.metadata.name.unwrap_or_default();
        let bound = Some((name.clone(), made.metadata.uid.unwrap_or_default()));
        let audience = audience.to_owned();
        let token = self
            .request(&like.namespace, &account, audience, bound)
            .await;
        let at_once = DeleteParams::default().grace_period(0);
        pods.delete(&name, &at_once)
            .await
            .map_err(|source| MeshError::api("remove a pod that never ran", source))?;
        token
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MeshDefinition;

    #[test]
    fn a_refusal_has_the_cause_whose_words_say_the_most() {
        let definition = MeshDefinition::load("reference").unwrap();
        let form = definition.identity.as_ref().unwrap();
        for (message, cause) in [
            ("no bearer token", Some(DenialCause::NoToken)),
            (
                "the token is not valid here: not authenticated",
                Some(DenialCause::UnknownToken),
            ),
            (
                "[invalid bearer token, service account token has been invalidated]",
                Some(DenialCause::PodGone),
            ),
            (
                "[invalid bearer token, service account token has expired]",
                Some(DenialCause::Expired),
            ),
            (
                "the pod that the token is bound to is not on this node (yet)",
                Some(DenialCause::PodGone),
            ),
            (
                "use the public key: RSA has 1024 bits instead of at least 2048",
                Some(DenialCause::WeakKey),
            ),
            (
                "use the public key: it is neither ECDSA on P-256 nor Ed25519 nor RSA",
                Some(DenialCause::WeakKey),
            ),
            ("something else", None),
        ] {
            assert_eq!(cause_of(form, message), cause, "{message}");
        }
    }
}
