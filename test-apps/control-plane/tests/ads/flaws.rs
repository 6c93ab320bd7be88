//! What can be wrong with a certificate, whoever shows it: a client ([`crate::clients`]) or a callee ([`crate::callees`]).

use crate::authority::{HOUR, Root, Shown, dns, params, uri, valid};
use rcgen::{DnType, ExtendedKeyUsagePurpose, Issuer, KeyPair};
use std::time::SystemTime;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    NoCertificate,
    /// Of a root that has the name of the mesh's, with another key.
    UnknownRoot,
    SelfSigned,
    /// Signed by a workload, whose own certificate is right.
    NoAuthority,
    Expired,
    NotYetValid,
    /// `spiffe://other.mesh/...`, signed by the mesh's root.
    OtherTrustDomain,
    /// Of another workload of the mesh, whose name begins with the right one.
    OtherName,
    /// A DNS name in place of a URI.
    HostName,
    NoName,
    /// Its extended key usage is that of servers alone.
    ForServers,
    /// Its extended key usage is that of clients alone.
    ForClients,
    /// Right, but signatures are of another key.
    OtherKey,
}

impl Root {
    /// What a workload with this SPIFFE ID and this flaw shows.
    pub(crate) fn shown(&self, name: &str, flaw: Option<Flaw>) -> Option<Shown> {
        let mut own = params(Some(uri(name)));
        let now = SystemTime::now();
        Some(match flaw {
            None => self.sign(&own),
            Some(Flaw::NoCertificate) => return None,
            Some(Flaw::UnknownRoot) => Self::new().sign(&own),
            Some(Flaw::SelfSigned) => {
                let key = KeyPair::generate().expect("a key");
                let certificate = own.self_signed(&key).expect("signed");
                Shown {
                    chain: vec![certificate.der().to_vec()],
                    key,
                }
            }
            Some(Flaw::NoAuthority) => {
                let mut above = params(Some(uri(name)));
                above
                    .distinguished_name
                    .push(DnType::CommonName, "a workload");
                let Shown { chain, key } = self.sign(&above);
                let workload = Self {
                    der: vec![],
                    issuer: Issuer::new(above, key),
                };
                let mut shown = workload.sign(&own);
                shown.chain.extend(chain);
                shown
            }
            Some(Flaw::Expired) => {
                valid(&mut own, now - 2 * HOUR, now - HOUR);
                self.sign(&own)
            }
            Some(Flaw::NotYetValid) => {
                valid(&mut own, now + HOUR, now + 2 * HOUR);
                self.sign(&own)
            }
            Some(Flaw::OtherTrustDomain) => {
                let elsewhere = name.replace("mesh.local", "other.mesh");
                self.sign(&params(Some(uri(&elsewhere))))
            }
            Some(Flaw::OtherName) => self.sign(&params(Some(uri(&format!("{name}-2"))))),
            Some(Flaw::HostName) => self.sign(&params(Some(dns("workload.mesh.local")))),
            Some(Flaw::NoName) => self.sign(&params(None)),
            Some(Flaw::ForServers) => {
                own.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
                self.sign(&own)
            }
            Some(Flaw::ForClients) => {
                own.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
                self.sign(&own)
            }
            Some(Flaw::OtherKey) => Shown {
                key: KeyPair::generate().expect("a key"),
                ..self.sign(&own)
            },
        })
    }
}
