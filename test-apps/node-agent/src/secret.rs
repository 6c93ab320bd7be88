//! The secrets that are served, in Envoy's form.
//!
//! Invariant: there are two, and the order of [`Kind`] is the order in which they are sent: a certificate may need a
//! root that came with it.

use crate::bundle::Bundle;
use crate::certificate::Identity;
use envoy_types::pb::envoy::config::core::v3::DataSource;
use envoy_types::pb::envoy::config::core::v3::data_source::Specifier;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::{
    CertificateValidationContext, Secret, TlsCertificate, secret,
};
use envoy_types::pb::google::protobuf::Any;
use prost::Message as _;

/// The type of everything that is served.
pub const TYPE_URL: &str = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";

/// What is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The roots, as a `validation_context` that names no peer: who a peer must be is said by the control plane.
    Bundle,
    /// The pod's own certificate, what leads to a root, and the private key, as a `tls_certificate`.
    Certificate,
}

impl Kind {
    /// All, in the order in which they are sent.
    pub const ALL: [Self; 2] = [Self::Bundle, Self::Certificate];

    /// The name that sidecars ask for.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Bundle => "ROOTCA",
            Self::Certificate => "default",
        }
    }

    /// What has this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// The trust bundle as a resource.
#[must_use]
pub fn of_bundle(bundle: &Bundle) -> Any {
    let context = CertificateValidationContext {
        trusted_ca: Some(inline(pem("CERTIFICATE", &bundle.roots).into_bytes())),
        ..CertificateValidationContext::default()
    };
    resource(Kind::Bundle, secret::Type::ValidationContext(context))
}

/// A pod's certificate and key as a resource; `chain` is what of its chain is served.
#[must_use]
pub fn of_identity(identity: &Identity, chain: &[Vec<u8>]) -> Any {
    let certificate = TlsCertificate {
        certificate_chain: Some(inline(pem("CERTIFICATE", chain).into_bytes())),
        private_key: Some(inline(identity.key.pem().as_bytes().to_vec())),
        ..TlsCertificate::default()
    };
    resource(Kind::Certificate, secret::Type::TlsCertificate(certificate))
}

fn resource(kind: Kind, of: secret::Type) -> Any {
    let secret = Secret {
        name: kind.name().to_owned(),
        r#type: Some(of),
    };
    Any {
        type_url: TYPE_URL.to_owned(),
        value: secret.encode_to_vec(),
    }
}

fn inline(bytes: Vec<u8>) -> DataSource {
    DataSource {
        specifier: Some(Specifier::InlineBytes(bytes)),
        ..DataSource::default()
    }
}

/// The textual form (RFC 7468) of DER, one block after the other.
fn pem(label: &str, blocks: &[Vec<u8>]) -> String {
    use base64::Engine as _;
    let mut text = String::new();
    for block in blocks {
        text.push_str(&format!("-----BEGIN {label}-----\n"));
        let encoded = base64::engine::general_purpose::STANDARD.encode(block);
        let mut rest = encoded.as_str();
        while !rest.is_empty() {
            let (line, after) = rest.split_at(rest.len().min(64));
            text.push_str(line);
            text.push('\n');
            rest = after;
        }
        text.push_str(&format!("-----END {label}-----\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stub::Root;

    #[test]
    fn names_are_those_that_sidecars_ask_for() {
        assert_eq!(Kind::from_name("default"), Some(Kind::Certificate));
        assert_eq!(Kind::from_name("ROOTCA"), Some(Kind::Bundle));
        assert_eq!(Kind::from_name("rootca"), None);
        assert!(Kind::Bundle < Kind::Certificate);
    }

    #[test]
    fn a_bundle_trusts_its_roots_and_names_nobody() {
        let roots = [Root::new("a"), Root::new("b")];
        let bundle = Bundle::new(roots.iter().map(|root| root.der.clone()).collect());
        let secret = Secret::decode(of_bundle(&bundle).value.as_slice()).expect("a secret");
        let Some(secret::Type::ValidationContext(context)) = secret.r#type else {
            panic!("no validation context");
        };
        assert!(context.match_typed_subject_alt_names.is_empty());
        let Some(Specifier::InlineBytes(bytes)) = context.trusted_ca.and_then(|ca| ca.specifier)
        else {
            panic!("no roots");
        };
        let blocks = x509_parser::pem::Pem::iter_from_buffer(&bytes);
        let read: Vec<Vec<u8>> = blocks.map(|block| block.expect("PEM").contents).collect();
        assert_eq!(read, bundle.roots);
    }
}
