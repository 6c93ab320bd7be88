//! Speaking TLS as sidecars do: what a probe has to be told for it, tokens included.
//!
//! Invariant: tokens go to the probe and nowhere else.

use crate::definition::Evidence;
use crate::directory::Workload;
use crate::error::MeshError;
use crate::keys::Keys;
use crate::mesh::Mesh;
use crate::observe::told;
use crate::template;
use harness_model::asking::{Ask, Desk};
use harness_model::directory::Sidecar;
use harness_model::handshake::{
    Alert, End, Handshake, Met, PartnerCertificate as Flaw, Server, Shown, is_shown_again,
};
use harness_model::scenario::Act;
use probe_api::handshake::{
    ClientCertificate, HandshakeAnswer, HandshakeAsk, HandshakeEnd, PartnerCertificate,
};
use probe_api::identity::{IdentityAsk, IdentityDesk};

/// The life of a certificate that is kept, in seconds: it must not be its end that it is refused for.
const KEPT_S: u32 = 600;
/// How far ahead a certificate begins that is not valid yet, in seconds.
const AHEAD_S: u32 = 3600;

impl Mesh {
    /// What the probe of `from` is to be told to meet the sidecar of `to`. It keeps what one of `acts` shows once more, under a
    /// name of the scenario's own.
    ///
    /// # Errors
    ///
    /// When the mesh does not say how sidecars speak TLS, the two are in different clusters, or the API server gives no
    /// token.
    pub async fn handshake_ask(
        &self,
        handshake: &Handshake,
        (keys, acts): (&Keys, &[Act]),
        from: &Workload,
        to: &Workload,
    ) -> Result<HandshakeAsk, MeshError> {
        let missing = |what: &str| MeshError::Missing(format!("speak TLS to a sidecar: {what}"));
        let form = self.definition.handshake.as_ref();
        let form = form.ok_or_else(|| missing("the mesh does not say how"))?;
        if from.address.cluster != to.address.cluster {
            return Err(missing("no address leads into another cluster"));
        }
        let roots = self.definition.state.roots.clone();
        let roots = roots.ok_or_else(|| missing("the mesh does not say what its roots are"))?;
        let server_name = form.server_name.as_ref();
        let server_name =
            server_name.map(|name| template::of_application(name, &to.sidecar.application));
        let own = || {
            let own = from.sidecar.identity.clone();
            own.ok_or_else(|| missing("workloads have no identity"))
        };
        let is_kept = is_shown_again(&handshake.name, acts);
        let issued = async || {
            let mut ask = self.issued(handshake, from).await?;
            if let IdentityDesk::Authority { lifetime_s, .. } = &mut ask.at
                && is_kept
            {
                *lifetime_s = KEPT_S;
            }
            Ok::<_, MeshError>(ask)
        };
        Ok(HandshakeAsk {
            address: format!("{}:{}", to.address.ip, form.port),
            alpn: form.alpn.clone(),
            server_name,
            roots: self.roots(handshake, from, roots).await?,
            keep_as: is_kept.then(|| keys.key(&handshake.name)),
            shows: match &handshake.shows {
                Shown::As(name) => ClientCertificate::Kept(keys.key(name)),
                Shown::None => ClientCertificate::None,
                Shown::UnknownRoot => ClientCertificate::UnknownRoot(vec![own()?]),
                Shown::OfPartner(what) => ClientCertificate::OfPartner(
                    of_partner(*what, &own()?)
                        .ok_or_else(|| missing("the identity of workloads is no SPIFFE ID"))?,
                ),
                Shown::Right => ClientCertificate::Issued(issued().await?),
                Shown::OtherKey => ClientCertificate::OtherKey(issued().await?),
                Shown::Expired => {
                    let mut ask = self.issued(handshake, from).await?;
                    if let IdentityDesk::Authority { lifetime_s, .. } = &mut ask.at {
                        *lifetime_s = form.shortest_lifetime_s;
                    }
                    ClientCertificate::Expired(ask)
                }
            },
        })
    }

    /// What came of it, in the words of a history. `from` is who called.
    #[must_use]
    pub fn handshake_met(&self, from: &Sidecar, answer: HandshakeAnswer) -> Met {
        met(&self.definition.evidence, from, answer)
    }

    /// A certificate of the calling workload.
    async fn issued(
        &self,
        handshake: &Handshake,
        from: &Workload,
    ) -> Result<IdentityAsk, MeshError> {
        let ask = Ask::rightly(&handshake.name, &from.sidecar.name, Desk::Authority);
        self.identity_ask(&ask, from, None).await
    }

    /// The roots that the calling workload's sidecar would get.
    async fn roots(
        &self,
        handshake: &Handshake,
        from: &Workload,
        name: String,
    ) -> Result<IdentityAsk, MeshError> {
        let ask = Ask::rightly(&handshake.name, &from.sidecar.name, Desk::NodeAgent);
        let mut ask = self.identity_ask(&ask, from, None).await?;
        if let IdentityDesk::Sds { secret, .. } = &mut ask.at {
            *secret = name;
        }
        Ok(ask)
    }
}

/// What a partner is to issue to whom this is the identity of; none where that is no SPIFFE ID.
fn of_partner(what: Flaw, own: &str) -> Option<PartnerCertificate> {
    let (domain, path) = own.strip_prefix("spiffe://")?.split_once('/')?;
    let with = |uri: String| PartnerCertificate {
        uris: vec![uri],
        ..PartnerCertificate::default()
    };
    Some(match what {
        Flaw::Right => with(own.to_owned()),
        Flaw::NotValidYet => PartnerCertificate {
            valid_in_s: AHEAD_S,
            ..with(own.to_owned())
        },
        Flaw::OtherTrustDomain => with(format!("spiffe://other.{domain}/{path}")),
        Flaw::NoSpiffeId => PartnerCertificate {
            host_names: vec![domain.to_owned()],
            ..PartnerCertificate::default()
        },
    })
}

fn met(evidence: &Evidence, from: &Sidecar, answer: HandshakeAnswer) -> Met {
    Met {
        shown: answer.shown.map(|shown| shown.serial),
        server: answer.server.map(|server| Server {
            identities: server
                .certificate
                .map(|certificate| certificate.uris)
                .unwrap_or_default(),
            untrusted: server.untrusted,
        }),
        end: match answer.end {
            HandshakeEnd::Answered(answer) => {
                let seen = answer.peer.as_ref().map(|peer| told(evidence, from, peer));
                End::Answered {
                    status: answer.status,
                    passed_caller_sidecar: seen
                        .as_ref()
                        .is_some_and(|told| told.passed_caller_sidecar),
                    arrived: seen.as_ref().and_then(|told| told.arrived.clone()),
                    by: seen.map(|told| told.by),
                }
            }
            HandshakeEnd::Alert(code) => End::Alert {
                code,
                alert: Alert::of_code(code),
            },
            HandshakeEnd::Closed(reason) => End::Closed { reason },
            HandshakeEnd::Unanswered(reason) => End::Unanswered { reason },
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MeshDefinition;
    use harness_model::history::Arrival;
    use probe_api::handshake::ServerShown;
    use probe_api::request::{Answer, PeerView};
    use probe_api::state::{Certificate, Identity};

    fn certificate(uri: &str) -> Certificate {
        Certificate {
            serial: "a1".to_owned(),
            uris: vec![uri.to_owned()],
            not_before_s: 0,
            not_after_s: 1,
            fingerprint: String::new(),
            public_key_hash: None,
            signed_by: None,
        }
    }

    fn seen(end: HandshakeEnd) -> Met {
        let definition = MeshDefinition::load("reference").unwrap();
        let from = Sidecar {
            name: "frontend@a".to_owned(),
            pod: "frontend-1".to_owned(),
            pod_uid: "u".to_owned(),
            cluster: "one".to_owned(),
            data_center: "a".to_owned(),
            node: "n".to_owned(),
            application: "frontend".to_owned(),
            ip: "10.0.0.1".to_owned(),
            identity: None,
        };
        let answer = HandshakeAnswer {
            shown: Some(certificate("spiffe://mesh/sa/frontend")),
            server: Some(ServerShown {
                certificate: Some(certificate("spiffe://mesh/sa/checkout")),
                untrusted: None,
            }),
            end,
        };
        met(&definition.evidence, &from, answer)
    }

    /// An answer of `checkout-1` to a request with these headers.
    fn answered(headers: &[(&str, &str)]) -> HandshakeEnd {
        let headers = headers.iter();
        HandshakeEnd::Answered(Box::new(Answer {
            status: 200,
            connection: None,
            headers: [].into(),
            peer: Some(PeerView {
                identity: Identity {
                    pod: "checkout-1".to_owned(),
                    ..Identity::default()
                },
                protocol: "HTTP/1.1".to_owned(),
                path: "/".to_owned(),
                headers: headers
                    .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                    .collect(),
                remote_address: String::new(),
                certificate: None,
            }),
        }))
    }

    #[test]
    fn who_answered_and_how_the_request_came_is_told() {
        let tls = "version=TLSv1.3;cipher=C;peer=spiffe://mesh/sa/frontend;serial=a1";
        let past = seen(answered(&[("x-mesh-inbound-tls", tls)]));
        assert_eq!(past.shown.as_deref(), Some("a1"));
        let server = past.server.expect("met");
        assert_eq!(server.identities, ["spiffe://mesh/sa/checkout"]);
        let End::Answered {
            status: 200,
            by: Some(by),
            arrived: Some(Arrival::Tls { peer, serial, .. }),
            passed_caller_sidecar: false,
        } = past.end
        else {
            panic!("{:?}", past.end);
        };
        assert_eq!(by.pod, "checkout-1");
        assert_eq!(peer.as_deref(), Some("spiffe://mesh/sa/frontend"));
        assert_eq!(serial.as_deref(), Some("a1"));
        let through = seen(answered(&[("x-mesh-outbound", "frontend-1")]));
        assert!(
            matches!(
                through.end,
                End::Answered {
                    passed_caller_sidecar: true,
                    arrived: None,
                    ..
                }
            ),
            "{:?}",
            through.end
        );
    }

    #[test]
    fn a_partner_issues_what_differs_in_one_thing() {
        let own = "spiffe://mesh/ns/a/sa/frontend";
        let of = |what| of_partner(what, own).expect("a SPIFFE ID");
        let right = of(Flaw::Right);
        assert_eq!((&*right.uris, right.valid_in_s), (&[own.to_owned()][..], 0));
        let early = PartnerCertificate {
            valid_in_s: 0,
            ..of(Flaw::NotValidYet)
        };
        assert_eq!(early, right);
        assert_ne!(of(Flaw::NotValidYet), right);
        let other = of(Flaw::OtherTrustDomain).uris;
        assert_eq!(other, ["spiffe://other.mesh/ns/a/sa/frontend"]);
        let none = of(Flaw::NoSpiffeId);
        assert_eq!(
            (none.uris.len(), &*none.host_names),
            (0, &["mesh".to_owned()][..])
        );
        assert_eq!(of_partner(Flaw::Right, "frontend"), None);
    }

    #[test]
    fn an_alert_has_its_name_where_it_has_one() {
        for (code, alert) in [(48, Some(Alert::UnknownCa)), (1, None)] {
            let end = seen(HandshakeEnd::Alert(code)).end;
            assert_eq!(end, End::Alert { code, alert });
        }
    }
}
