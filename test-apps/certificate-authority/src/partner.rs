//! Roots of others: trusted beside our own, though we have no key of theirs and issue nothing below them.
//!
//! There is one trust bundle, and it does not say which root may speak for which trust domain: whoever has the key of such a
//! root can name every workload of the mesh.
//!
//! Invariant: of what the operator has written nothing is published but the one certificate.

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use x509_parser::prelude::{FromDer as _, X509Certificate};

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// The certificate of a root of somebody else's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partner {
    /// PEM, as it is published.
    pub pem: String,
    /// DER.
    pub der: Vec<u8>,
}

/// What the operator has written is no root.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadPartnerError {
    /// Not PEM, or not X.509.
    #[error("understand the certificate")]
    Malformed,
    /// None, or more than one.
    #[error("find one certificate: there are {0}")]
    Several(usize),
    /// It may sign no others.
    #[error("trust the certificate: it is not that of an authority")]
    NoAuthority,
}

impl Partner {
    /// Reads one in PEM.
    ///
    /// # Errors
    ///
    /// When it is not exactly one certificate, or that may sign no others.
    pub fn read(text: &str) -> Result<Self, ReadPartnerError> {
        let malformed = || ReadPartnerError::Malformed;
        let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
        let read = read.map_err(|_| malformed())?;
        let [der] = read.as_slice() else {
            return Err(ReadPartnerError::Several(read.len()));
        };
        let (rest, certificate) = X509Certificate::from_der(der).map_err(|_| malformed())?;
        if !rest.is_empty() {
            return Err(malformed());
        }
        let may_sign = certificate.key_usage().map_err(|_| malformed())?;
        let may_sign = may_sign.is_none_or(|usage| usage.value.key_cert_sign());
        if !(certificate.is_ca() && may_sign) {
            return Err(ReadPartnerError::NoAuthority);
        }
        let (from, until) = text.find(BEGIN).zip(text.find(END)).ok_or_else(malformed)?;
        let pem = text.get(from..until + END.len()).ok_or_else(malformed)?;
        Ok(Self {
            pem: format!("{pem}\n"),
            der: der.to_vec(),
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, KeyUsagePurpose};

    /// A certificate of a new key, PEM, and the key.
    pub(crate) fn certificate(is_ca: IsCa, usages: &[KeyUsagePurpose]) -> (String, KeyPair) {
        let mut params = CertificateParams::default();
        params.is_ca = is_ca;
        params.key_usages = usages.to_vec();
        let key = KeyPair::generate().expect("a key");
        (params.self_signed(&key).expect("a certificate").pem(), key)
    }

    fn root() -> IsCa {
        IsCa::Ca(BasicConstraints::Unconstrained)
    }

    #[test]
    fn the_certificate_alone_is_taken() {
        let (pem, key) = certificate(root(), &[KeyUsagePurpose::KeyCertSign]);
        let around = format!("# of a partner\n{}{pem}\n# its end", key.serialize_pem());
        let read = Partner::read(&around).expect("a root");
        assert_eq!(
            read.pem.replace('\r', "").trim(),
            pem.replace('\r', "").trim()
        );
        assert!(!read.pem.contains("PRIVATE"), "{}", read.pem);
        assert_eq!(Partner::read(&read.pem), Ok(read));
        let (unsaid, _) = certificate(root(), &[]);
        Partner::read(&unsaid).expect("it may do anything");
    }

    #[test]
    fn what_is_no_root_is_refused() {
        let (one, _) = certificate(root(), &[]);
        let (leaf, _) = certificate(IsCa::ExplicitNoCa, &[]);
        let (other_use, _) = certificate(root(), &[KeyUsagePurpose::DigitalSignature]);
        let nonsense = format!("{BEGIN}\nbm9uc2Vuc2U=\n{END}\n");
        for (text, expected) in [
            ("nothing", ReadPartnerError::Several(0)),
            (format!("{one}{one}").as_str(), ReadPartnerError::Several(2)),
            (nonsense.as_str(), ReadPartnerError::Malformed),
            (leaf.as_str(), ReadPartnerError::NoAuthority),
            (other_use.as_str(), ReadPartnerError::NoAuthority),
        ] {
            assert_eq!(Partner::read(text), Err(expected), "{text}");
        }
    }
}
