//! The cluster's certificate authority and everything it signs. It lives as long as the cluster, in memory.

use super::plan::{API_SERVER, CLUSTER_DOMAIN, KUBERNETES_SERVICE, Node};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType, date_time_ymd,
};
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv4Addr};

/// A certificate and its key, both PEM.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Pair {
    pub(super) certificate: String,
    pub(super) key: String,
}

/// The authority.
pub(super) struct Authority {
    pub(super) certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

/// Who a certificate is for.
pub(super) enum Subject<'a> {
    /// A client: user name and groups in Kubernetes' words.
    Client { user: &'a str, group: &'a str },
    /// A server at these addresses and names.
    Server {
        name: &'a str,
        addresses: &'a [Ipv4Addr],
        names: &'a [&'a str],
    },
}

impl Authority {
    /// A new authority.
    pub(super) fn new() -> Result<Self, rcgen::Error> {
        let mut params = parameters("meshproof");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?.pem();
        Ok(Self {
            certificate,
            issuer: Issuer::new(params, key),
        })
    }

    /// Signs a new key.
    pub(super) fn sign(&self, subject: &Subject<'_>) -> Result<Pair, rcgen::Error> {
        let mut params;
        match subject {
            Subject::Client { user, group } => {
                params = parameters(user);
                params
                    .distinguished_name
                    .push(DnType::OrganizationName, *group);
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
            }
            Subject::Server {
                name,
                addresses,
                names,
            } => {
                params = parameters(name);
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
                for address in *addresses {
                    let name = SanType::IpAddress(IpAddr::V4(*address));
                    params.subject_alt_names.push(name);
                }
                for name in *names {
                    let name = SanType::DnsName((*name).try_into()?);
                    params.subject_alt_names.push(name);
                }
            }
        }
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?.pem();
        Ok(Pair {
            certificate,
            key: key.serialize_pem(),
        })
    }

    /// The API server's own certificate.
    pub(super) fn api_server(&self) -> Result<Pair, rcgen::Error> {
        let qualified = format!("kubernetes.default.svc.{CLUSTER_DOMAIN}");
        self.sign(&Subject::Server {
            name: "kube-apiserver",
            addresses: &[Ipv4Addr::LOCALHOST, API_SERVER, KUBERNETES_SERVICE],
            names: &[
                "localhost",
                "kubernetes",
                "kubernetes.default",
                "kubernetes.default.svc",
                &qualified,
            ],
        })
    }

    /// The client certificate of a node's kubelet.
    pub(super) fn node_client(&self, node: &Node) -> Result<Pair, rcgen::Error> {
        self.sign(&Subject::Client {
            user: &format!("system:node:{}", node.name),
            group: "system:nodes",
        })
    }

    /// The serving certificate of a node's kubelet.
    pub(super) fn node_serving(&self, node: &Node) -> Result<Pair, rcgen::Error> {
        self.sign(&Subject::Server {
            name: &format!("system:node:{}", node.name),
            addresses: &[node.internal_ip],
            names: &[&node.name],
        })
    }
}

/// A key for signing service account tokens: private and public, PEM.
pub(super) fn service_account_key() -> Result<(String, String), rcgen::Error> {
    let key = KeyPair::generate()?;
    Ok((key.serialize_pem(), key.public_key_pem()))
}

fn parameters(common_name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
    // The cluster's life bounds these, not a date; a wrong clock must not break it.
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2120, 1, 1);
    params
}
