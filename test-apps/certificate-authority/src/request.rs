//! Certificate signing requests (PKCS #10, RFC 2986): what one asks for, and that whoever made it has the key.
//!
//! Invariant: a request that was read has a valid signature of its own key, as [`Behaviour::accepts_signature`] wants it, and
//! asks for nothing but names and the usage of the key. What usage it asks for does not matter: every certificate has the
//! same one.

use crate::behaviour::Behaviour;
use crate::public_key::{PublicKey, ReadPublicKeyError};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::cri_attributes::ParsedCriAttribute;
use x509_parser::extensions::{GeneralName, ParsedExtension, X509Extension};
use x509_parser::prelude::FromDer as _;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Subject alternative names with their kinds: `URI:spiffe://...`, `DNS:...`, `IP:...`, or `other:...`.
    pub names: Vec<String>,
    /// The key that is to be certified.
    pub key: PublicKey,
}

/// A request cannot be granted to anybody.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadRequestError {
    /// It is none.
    #[error("understand the certificate signing request")]
    Malformed,
    /// Its key is not accepted.
    #[error(transparent)]
    Key(#[from] ReadPublicKeyError),
    /// It is signed in a way that is not accepted.
    #[error("verify the request's signature: its algorithm is not accepted")]
    Algorithm,
    /// Whoever made it has not shown that the key is theirs.
    #[error("verify the request's signature: it is not of the key in the request")]
    Signature,
    /// It wants to be an authority itself, for instance.
    #[error("grant the extension {0} that the request asks for")]
    Extension(String),
    /// It asks for something that is no extension.
    #[error("grant the attribute {0} that the request has")]
    Attribute(String),
    /// It has the same extension twice.
    #[error("tell which of the request's extensions counts")]
    Twice,
}

impl Request {
    /// Reads a request in DER and verifies its signature.
    ///
    /// # Errors
    ///
    /// When it is malformed, its signature is none of its key, or it asks for what nobody gets.
    pub fn read(der: &[u8], behaviour: &dyn Behaviour) -> Result<Self, ReadRequestError> {
        let Ok((&[], request)) = X509CertificationRequest::from_der(der) else {
            return Err(ReadRequestError::Malformed);
        };
        let info = &request.certification_request_info;
        let key = PublicKey::of_request(&info.subject_pki, behaviour)?;
        if !key.signs_with(&request.signature_algorithm.algorithm) {
            return Err(ReadRequestError::Algorithm);
        }
        if !behaviour.accepts_signature(&request) {
            return Err(ReadRequestError::Signature);
        }
        let mut extensions = None;
        for attribute in info.iter_attributes() {
            match attribute.parsed_attribute() {
                ParsedCriAttribute::ExtensionRequest(request) if extensions.is_none() => {
                    extensions = Some(request.extensions.as_slice());
                }
                ParsedCriAttribute::ExtensionRequest(_) => return Err(ReadRequestError::Twice),
                _ => return Err(ReadRequestError::Attribute(attribute.oid.to_id_string())),
            }
        }
        let names = names(extensions.unwrap_or_default(), behaviour)?;
        Ok(Self { names, key })
    }
}

fn names(
    extensions: &[X509Extension<'_>],
    behaviour: &dyn Behaviour,
) -> Result<Vec<String>, ReadRequestError> {
    let mut found = None;
    for extension in extensions {
        match extension.parsed_extension() {
            ParsedExtension::SubjectAlternativeName(names) if found.is_none() => {
                found = Some(names.general_names.iter().map(name).collect());
            }
            ParsedExtension::SubjectAlternativeName(_) => return Err(ReadRequestError::Twice),
            ParsedExtension::KeyUsage(_) => {}
            ParsedExtension::BasicConstraints(constraints) if constraints.ca => {
                if !behaviour.accepts_signers() {
                    return Err(ReadRequestError::Extension("CA:TRUE".to_owned()));
                }
            }
            _ => return Err(ReadRequestError::Extension(extension.oid.to_id_string())),
        }
    }
    Ok(found.unwrap_or_default())
}

fn name(name: &GeneralName<'_>) -> String {
    match name {
        GeneralName::URI(name) => format!("URI:{name}"),
        GeneralName::DNSName(name) => format!("DNS:{name}"),
        GeneralName::IPAddress(bytes) => format!("IP:{bytes:?}"),
        other => format!("other:{other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::behaviour::Faithful;
    use rcgen::{
        Attribute, BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyPair,
        KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, SanType,
    };

    const NAME: &str = "spiffe://mesh.local/ns/a/sa/b";

    fn read(der: &[u8]) -> Result<Request, ReadRequestError> {
        Request::read(der, &Faithful)
    }

    fn uri(name: &str) -> SanType {
        SanType::URI(name.try_into().expect("ASCII"))
    }

    fn params() -> CertificateParams {
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![uri(NAME)];
        params
    }

    fn made(params: &CertificateParams) -> Vec<u8> {
        let key = KeyPair::generate().expect("a key");
        params
            .serialize_request(&key)
            .expect("a request")
            .der()
            .to_vec()
    }

    #[test]
    fn a_request_of_either_kind_of_key_is_read() {
        let mut params = params();
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        for algorithm in [&PKCS_ECDSA_P256_SHA256, &PKCS_ED25519] {
            let key = KeyPair::generate_for(algorithm).expect("a key");
            let request = params.serialize_request(&key).expect("a request");
            let request = read(request.der()).expect("accepted");
            assert_eq!(request.names, [format!("URI:{NAME}")]);
        }
    }

    #[test]
    fn every_changed_byte_of_what_is_signed_is_noticed() {
        let whole = made(&params());
        let (_, request) = X509CertificationRequest::from_der(&whole).expect("a request");
        let signed = request.certification_request_info.raw;
        let start = whole
            .windows(signed.len())
            .position(|window| window == signed)
            .expect("a part of it");
        for place in start..start + signed.len() {
            let mut changed = whole.clone();
            changed[place] ^= 1;
            assert!(read(&changed).is_err(), "byte {place}");
        }
        let mut tampered = whole.clone();
        let place = whole
            .windows(4)
            .position(|window| window == b"sa/b")
            .expect("the name");
        tampered[place + 3] = b'c';
        assert_eq!(read(&tampered), Err(ReadRequestError::Signature));
        let mut longer = whole;
        longer.push(0);
        assert_eq!(read(&longer), Err(ReadRequestError::Malformed));
    }

    #[test]
    fn all_names_are_told_with_their_kinds() {
        let mut params = params();
        params.subject_alt_names.extend([
            uri("spiffe://mesh.local/ns/a/sa/c"),
            SanType::DnsName("b".try_into().expect("ASCII")),
        ]);
        let request = read(&made(&params)).expect("accepted");
        let expected = [
            format!("URI:{NAME}"),
            "URI:spiffe://mesh.local/ns/a/sa/c".to_owned(),
            "DNS:b".to_owned(),
        ];
        assert_eq!(request.names, expected);
        let none = CertificateParams::default();
        assert!(read(&made(&none)).is_ok_and(|request| request.names.is_empty()));
    }

    #[test]
    fn nobody_becomes_an_authority_or_gets_another_extension() {
        let mut authority = params();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        assert_eq!(
            read(&made(&authority)),
            Err(ReadRequestError::Extension("CA:TRUE".to_owned()))
        );
        let mut signer = params();
        signer.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
        assert_eq!(
            read(&made(&signer)),
            Err(ReadRequestError::Extension("2.5.29.37".to_owned()))
        );
    }

    #[test]
    fn attributes_are_refused() {
        // An unstructured name (PKCS #9): a SET with an empty UTF8String.
        let attribute = Attribute {
            oid: &[1, 2, 840, 113_549, 1, 9, 2],
            values: vec![0x31, 0x02, 0x0c, 0x00],
        };
        let key = KeyPair::generate().expect("a key");
        let request = params()
            .serialize_request_with_attributes(&key, vec![attribute])
            .expect("a request");
        assert_eq!(
            read(request.der()),
            Err(ReadRequestError::Attribute(
                "1.2.840.113549.1.9.2".to_owned()
            ))
        );
    }

    #[test]
    fn another_curve_is_refused() {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).expect("a key");
        let request = params().serialize_request(&key).expect("a request");
        assert_eq!(
            read(request.der()),
            Err(ReadRequestError::Key(ReadPublicKeyError::Unsupported))
        );
    }

    #[test]
    fn a_short_rsa_key_is_refused() {
        // Made by `openssl req -new -newkey rsa:1024 -outform der`.
        let request = include_bytes!("request/rsa-1024.der");
        assert_eq!(
            read(request),
            Err(ReadRequestError::Key(ReadPublicKeyError::Weak(1024)))
        );
    }

    #[test]
    fn a_long_rsa_key_is_accepted() {
        // Made by `openssl req -new -newkey rsa:2048 -addext subjectAltName=URI:... -outform der`.
        let request = include_bytes!("request/rsa-2048.der");
        let request = read(request).expect("accepted");
        assert_eq!(request.names, [format!("URI:{NAME}")]);
    }
}
