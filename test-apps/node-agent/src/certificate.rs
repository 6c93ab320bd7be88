//! A pod's certificate and key: asking for it, and looking at what comes back.
//!
//! Invariant: what an authority answers becomes an [`Identity`] only if it is for the key and the SPIFFE ID that were
//! asked for, so that a mistaken answer never takes the place of a good certificate.

use identity_api::SpiffeId;
use rcgen::{
    CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData as _,
    SanType,
};
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};
use zeroize::Zeroizing;

/// A private key, PKCS #8 in PEM. It is overwritten when it is dropped and shows nothing of itself.
#[derive(Clone)]
pub struct PrivateKey(Zeroizing<String>);

impl PrivateKey {
    /// The key itself, to be given to its pod and nobody else.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(..)")
    }
}

/// What a pod proves who it is with.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The pod's certificate and what leads from it to a root, DER, the pod's own first.
    pub chain: Vec<Vec<u8>>,
    /// The key of the first certificate.
    pub key: PrivateKey,
    /// How long the certificate is valid, from when it was received, but no longer than was asked for.
    pub lifetime: Duration,
    /// Follows from the chain, and so from the key too.
    pub version: String,
}

impl Identity {
    /// The serial number of the pod's own certificate, hexadecimal as probes tell it, and its end, for people; none where it
    /// cannot be read.
    pub(crate) fn serial_and_end(&self) -> Option<(String, String)> {
        let (_, certificate) = X509Certificate::from_der(self.chain.first()?).ok()?;
        let end = certificate.validity().not_after.to_string();
        Some((format!("{:x}", certificate.serial), end))
    }
}

/// No certificate can be asked for.
#[derive(Debug, thiserror::Error)]
pub enum MakeRequestError {
    /// No key could be made, or it signs nothing.
    #[error("make a key and sign a request with it")]
    Key(#[source] rcgen::Error),
    /// A name that certificates cannot carry.
    #[error("write `{0}` into a request")]
    Name(SpiffeId, #[source] rcgen::Error),
}

/// What the authority answered is of no use.
#[derive(Debug, thiserror::Error)]
pub enum UnusableCertificateError {
    /// There is no certificate.
    #[error("the answer has no certificate")]
    None,
    /// It is not DER, or no certificate.
    #[error("the answer is not a certificate")]
    Malformed(#[source] x509_parser::nom::Err<x509_parser::error::X509Error>),
    /// It is for another key.
    #[error("the certificate is not for the key that it was asked for")]
    OtherKey,
    /// It is for somebody else.
    #[error("the certificate is not for `{0}` alone")]
    OtherName(SpiffeId),
    /// Its end is in the past.
    #[error("the certificate is not valid any more")]
    Expired,
    /// Its beginning is to come: nobody would take it until then, by clocks that go like ours.
    #[error("the certificate is not valid yet")]
    NotYetValid,
}

/// A new key that a certificate is asked for.
pub struct Request {
    id: SpiffeId,
    key: PrivateKey,
    public_key: Vec<u8>,
    /// The request (PKCS #10), DER.
    pub csr: Vec<u8>,
}

impl Request {
    /// Makes a key (ECDSA on P-256) and a request with this name alone.
    ///
    /// # Errors
    ///
    /// When there is no randomness, or the ID is not ASCII.
    pub fn new(id: SpiffeId) -> Result<Self, MakeRequestError> {
        let mut params = CertificateParams::default();
        // The default names rcgen itself.
        params.distinguished_name = DistinguishedName::new();
        let name = id
            .to_string()
            .try_into()
            .map_err(|error| MakeRequestError::Name(id.clone(), error))?;
        params.subject_alt_names = vec![SanType::URI(name)];
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(MakeRequestError::Key)?;
        let csr = params.serialize_request(&key);
        Ok(Self {
            id,
            public_key: key.subject_public_key_info(),
            csr: csr.map_err(MakeRequestError::Key)?.der().to_vec(),
            key: PrivateKey(Zeroizing::new(key.serialize_pem())),
        })
    }

    /// Takes what the authority answered at the time `now` to a request for `lifetime`.
    ///
    /// # Errors
    ///
    /// When it is not a certificate for what was asked for. Whether a root vouches for it is not looked at.
    pub fn answered(
        self,
        chain: Vec<Vec<u8>>,
        lifetime: Duration,
        now: SystemTime,
    ) -> Result<Identity, UnusableCertificateError> {
        let own = chain.first().ok_or(UnusableCertificateError::None)?;
        let (_, certificate) =
            X509Certificate::from_der(own).map_err(UnusableCertificateError::Malformed)?;
        if certificate.public_key().raw != self.public_key {
            return Err(UnusableCertificateError::OtherKey);
        }
        let names = certificate.subject_alternative_name().ok().flatten();
        let names = names.map(|extension| extension.value.general_names.as_slice());
        let expected = self.id.to_string();
        if !matches!(names, Some([GeneralName::URI(name)]) if *name == expected) {
            return Err(UnusableCertificateError::OtherName(self.id));
        }
        let time = |seconds: i64| {
            UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or_default())
        };
        let validity = certificate.validity();
        if time(validity.not_before.timestamp()) > now {
            return Err(UnusableCertificateError::NotYetValid);
        }
        let remaining = time(validity.not_after.timestamp())
            .duration_since(now)
            .map_err(|_| UnusableCertificateError::Expired)?;
        Ok(Identity {
            lifetime: remaining.min(lifetime),
            version: version(&chain),
            chain,
            key: self.key,
        })
    }
}

/// A version that follows from certificates.
#[must_use]
pub fn version(certificates: &[Vec<u8>]) -> String {
    let mut hash = Sha256::new();
    for certificate in certificates {
        hash.update(
            u64::try_from(certificate.len())
                .unwrap_or(u64::MAX)
                .to_be_bytes(),
        );
        hash.update(certificate);
    }
    let digest: [u8; 32] = hash.finalize().into();
    digest[..8]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stub::Root;

    const MINUTE: Duration = Duration::from_secs(60);

    fn id(account: &str) -> SpiffeId {
        SpiffeId {
            trust_domain: "mesh.local".into(),
            namespace: "mesh-workloads".into(),
            service_account: account.into(),
        }
    }

    fn request() -> Request {
        Request::new(id("checkout")).expect("a request")
    }

    #[test]
    fn what_was_asked_for_is_taken() {
        let root = Root::new("root");
        let request = request();
        let chain = vec![root.sign(&request.csr, None, Duration::from_secs(10))];
        let identity = request
            .answered(chain, MINUTE, SystemTime::now())
            .expect("good");
        assert!(identity.lifetime <= Duration::from_secs(10), "shortened");
        assert!(identity.lifetime >= Duration::from_secs(8));
        let (serial, end) = identity.serial_and_end().expect("it can be read");
        let (_, own) = X509Certificate::from_der(&identity.chain[0]).expect("a certificate");
        let plain = own.raw_serial_as_string().replace(':', "");
        assert_eq!(serial, plain.trim_start_matches('0'));
        assert_eq!(end, own.validity().not_after.to_string());
        let shown = format!("{identity:?}");
        assert!(shown.contains("PrivateKey(..)"), "{shown}");
        assert!(!shown.contains("PRIVATE KEY"), "{shown}");
    }

    #[test]
    fn everything_else_is_refused() {
        let root = Root::new("root");
        let now = SystemTime::now();
        let refusal = |request: Request, chain: Vec<Vec<u8>>, at: SystemTime| {
            let answered = request.answered(chain, MINUTE, at);
            answered.expect_err("refused").to_string()
        };
        assert!(refusal(request(), vec![], now).contains("no certificate"));
        assert!(refusal(request(), vec![vec![1, 2]], now).contains("not a certificate"));
        let other = root.sign(&request().csr, None, MINUTE);
        assert!(refusal(request(), vec![other], now).contains("not for the key"));
        let own_name = id("checkout").to_string();
        for wrong in [
            "spiffe://mesh.local/ns/a/sa/b".to_owned(),
            own_name.replace("mesh.local", "other.mesh"),
            own_name.replace("spiffe:", "https:"),
        ] {
            let own = request();
            let renamed = root.sign(&own.csr, Some(&wrong), MINUTE);
            let refusal = refusal(own, vec![renamed], now);
            assert!(refusal.contains("sa/checkout` alone"), "{wrong}: {refusal}");
        }
        for (at, told) in [
            (now + 2 * MINUTE, "not valid any more"),
            (now - MINUTE, "not valid yet"),
        ] {
            let own = request();
            let chain = vec![root.sign(&own.csr, None, MINUTE)];
            assert!(refusal(own, chain, at).contains(told), "{told}");
        }
    }

    #[test]
    fn keys_and_versions_are_new_each_time() {
        let root = Root::new("root");
        let one = || {
            let request = request();
            let chain = vec![root.sign(&request.csr, None, MINUTE)];
            request
                .answered(chain, MINUTE, SystemTime::now())
                .expect("good")
        };
        let (first, second) = (one(), one());
        assert_ne!(first.key.pem(), second.key.pem());
        assert_ne!(first.version, second.version);
    }
}
