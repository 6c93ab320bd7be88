//! What the client shows, right or wrong.

use super::kept::Kept;
use super::root::Root;
use crate::identity::{Issued, issue};
use crate::reading::certificates;
use probe_api::handshake::{ClientCertificate, PartnerCertificate};
use probe_api::identity::IdentityAsk;
use rcgen::KeyPair;
use rustls::Error as TlsError;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// No certificate is waited for longer than this to end.
const LONGEST_LIFE: Duration = Duration::from_secs(15);
/// An end is part of the certificate's life (RFC 5280, 4.1.2.5), and clocks tell whole seconds there.
const ITS_LAST_SECOND: Duration = Duration::from_secs(1);

/// A chain and the key that signs.
pub(super) struct Shown {
    chain: Vec<Vec<u8>>,
    key: KeyPair,
}

/// There is nothing to show, and why.
#[derive(Debug)]
pub(super) struct NothingToShow(pub(super) String);

impl Shown {
    /// A chain, the client's own certificate first, and the key that is to sign.
    pub(super) fn new(chain: Vec<Vec<u8>>, key: KeyPair) -> Self {
        Self { chain, key }
    }

    /// The client's own certificate, DER.
    pub(super) fn own(&self) -> &[u8] {
        &self.chain[0]
    }

    /// The last certificate, DER: a root that was made for it.
    #[cfg(test)]
    pub(super) fn root(&self) -> &[u8] {
        self.chain.last().expect("never empty")
    }

    /// The same chain with another key.
    #[cfg(test)]
    pub(super) fn with_another_key(self) -> Self {
        let key = KeyPair::generate().expect("a key");
        Self { key, ..self }
    }

    /// What signs with the key.
    pub(super) fn signer(&self) -> Result<SingleCertAndKey, TlsError> {
        let chain = self
            .chain
            .iter()
            .map(|der| CertificateDer::from(der.clone()));
        let key = PrivatePkcs8KeyDer::from(self.key.serialize_der());
        let key = any_supported_type(&PrivateKeyDer::Pkcs8(key))?;
        Ok(SingleCertAndKey::from(CertifiedKey::new(
            chain.collect(),
            key,
        )))
    }

    /// As it was issued.
    pub(super) fn issued(issued: Issued) -> Result<Self, NothingToShow> {
        match issued {
            Issued {
                chain,
                key: Some(key),
            } if !chain.is_empty() => Ok(Self { chain, key }),
            _ => Err(NothingToShow(
                "what was issued has no certificate, or no key".to_owned(),
            )),
        }
    }
}

/// What is to be shown; none where it is nothing.
pub(super) async fn shown(
    what: ClientCertificate,
    kept: &Kept,
) -> Result<Option<Arc<Shown>>, NothingToShow> {
    let right = async |ask: IdentityAsk| {
        let issued = issue(ask).await;
        Shown::issued(issued.map_err(NothingToShow)?)
    };
    Ok(Some(Arc::new(match what {
        ClientCertificate::None => return Ok(None),
        ClientCertificate::Kept(name) => {
            let nothing = || NothingToShow(format!("nothing is kept under the name `{name}`"));
            return kept.find(&name).map(Some).ok_or_else(nothing);
        }
        ClientCertificate::Issued(ask) => right(ask).await?,
        ClientCertificate::Expired(ask) => {
            let shown = right(ask).await?;
            ended(&shown).await?;
            shown
        }
        ClientCertificate::OtherKey(ask) => Shown {
            key: KeyPair::generate().map_err(not_made)?,
            ..right(ask).await?
        },
        ClientCertificate::UnknownRoot(uris) => Root::new("somebody else's root")
            .and_then(|root| {
                root.issue(&PartnerCertificate {
                    uris,
                    ..PartnerCertificate::default()
                })
            })
            .map_err(not_made)?,
        ClientCertificate::OfPartner(what) => {
            let nothing = || NothingToShow("nobody has asked for a partner's root".to_owned());
            let root = kept.partner().ok_or_else(nothing)?;
            root.issue(&what).map_err(not_made)?
        }
    })))
}

fn not_made(error: rcgen::Error) -> NothingToShow {
    NothingToShow(format!("make a certificate: {error}"))
}

/// Waits until the certificate itself says that its time is over.
async fn ended(shown: &Shown) -> Result<(), NothingToShow> {
    let own = certificates(&crate::identity::pem(shown.own()));
    let end = own
        .first()
        .and_then(|own| u64::try_from(own.not_after_s).ok());
    let end =
        end.ok_or_else(|| NothingToShow("what was issued does not say its end".to_owned()))?;
    let end = UNIX_EPOCH + Duration::from_secs(end) + ITS_LAST_SECOND;
    let left = end.duration_since(SystemTime::now()).unwrap_or_default();
    if left > LONGEST_LIFE {
        let left = left.as_secs();
        return Err(NothingToShow(format!(
            "what was issued ends in {left} s only"
        )));
    }
    wait(left).await;
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "that a certificate's time is over is what is asked for, and nobody tells of it"
)]
async fn wait(span: Duration) {
    tokio::time::sleep(span).await;
}
