//! Who calls, as the audit log names them.

use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// The name in a client certificate that TLS has verified: its first URI or DNS name (RFC 5280, 4.2.1.6), else its common
/// name, else its serial number.
#[must_use]
pub fn name_of(certificate: &[u8]) -> String {
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else {
        return "unreadable certificate".to_owned();
    };
    let alternative = certificate
        .subject_alternative_name()
        .ok()
        .flatten()
        .and_then(|names| {
            names
                .value
                .general_names
                .iter()
                .find_map(|name| match name {
                    GeneralName::URI(name) | GeneralName::DNSName(name) => Some((*name).to_owned()),
                    _ => None,
                })
        });
    let common = || {
        let mut names = certificate.subject().iter_common_name();
        names.next()?.as_str().ok().map(str::to_owned)
    };
    alternative
        .or_else(common)
        .unwrap_or_else(|| format!("serial {}", certificate.raw_serial_as_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

    fn named(names: &[&str], common: Option<&str>) -> String {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names");
        params.distinguished_name = DistinguishedName::new();
        if let Some(common) = common {
            params.distinguished_name.push(DnType::CommonName, common);
        }
        params.serial_number = Some(7_u64.into());
        let key = KeyPair::generate().expect("a key");
        name_of(params.self_signed(&key).expect("a certificate").der())
    }

    #[test]
    fn the_best_name_is_taken() {
        assert_eq!(named(&["authority.svc"], Some("other")), "authority.svc");
        assert_eq!(named(&[], Some("authority")), "authority");
        assert_eq!(named(&[], None), "serial 07");
        assert_eq!(name_of(b"nothing"), "unreadable certificate");
    }
}
