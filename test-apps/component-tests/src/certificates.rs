//! Certificates for one test.

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose};

/// A certificate and its key, both PEM.
#[derive(Clone, Debug)]
pub struct Pair {
    /// The certificate.
    pub certificate: String,
    /// The private key.
    pub key: String,
}

/// What signs the certificates of servers.
pub struct Authority {
    /// Its own certificate, PEM.
    pub certificate: String,
    /// The same, DER.
    pub certificate_der: Vec<u8>,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// A new one.
    ///
    /// # Errors
    ///
    /// When no key can be made.
    pub fn new() -> Result<Self, rcgen::Error> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        Ok(Self {
            certificate: certificate.pem(),
            certificate_der: certificate.der().to_vec(),
            issuer: Issuer::new(params, key),
        })
    }

    /// A certificate for a server of these names.
    ///
    /// # Errors
    ///
    /// When a name is none, or no key can be made.
    pub fn server(&self, names: &[&str]) -> Result<Pair, rcgen::Error> {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let key = KeyPair::generate()?;
        Ok(Pair {
            certificate: CertificateParams::new(names)?
                .signed_by(&key, &self.issuer)?
                .pem(),
            key: key.serialize_pem(),
        })
    }
}
