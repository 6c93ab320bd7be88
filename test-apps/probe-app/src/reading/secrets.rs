//! Certificates and roots that the sidecar got over SDS. Their private keys are not looked at: the admin interface shows
//! `[redacted]` in their place.

use super::{Stats, list};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use probe_api::state::{Certificate, Secret};
use serde_json::Value;
use std::collections::BTreeMap;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::pem::Pem;

/// From `dynamic_active_secrets` and `dynamic_warming_secrets`. Secrets of other kinds (the token for the control plane)
/// are left out.
pub(crate) fn secrets(active: &Value, warming: &Value) -> BTreeMap<String, Secret> {
    let waited_for = list(warming).filter_map(|entry| {
        let name = entry["name"].as_str()?;
        let is_certificate = entry
            .get("secret")
            .is_none_or(|held| pem_of(held).is_some());
        is_certificate.then(|| {
            let secret = Secret {
                warming: true,
                ..Secret::default()
            };
            (name.to_owned(), secret)
        })
    });
    let held = list(active).filter_map(|entry| {
        let name = entry["name"].as_str()?;
        let pem = pem_of(entry.get("secret")?)?;
        let secret = Secret {
            version: entry["version_info"].as_str().map(str::to_owned),
            warming: false,
            hash: probe_api::content_hash(&pem),
            certificates: certificates(&pem),
            stream_ends: None,
        };
        Some((name.to_owned(), secret))
    });
    // What is held counts, also where something of the same name is waited for once more.
    let mut secrets: BTreeMap<String, Secret> = waited_for.chain(held).collect();
    sign_off(&mut secrets, active);
    secrets
}

/// The same secrets with how often the streams have ended that they come by.
pub(crate) fn with_streams(
    secrets: &BTreeMap<String, Secret>,
    stats: &Stats,
) -> BTreeMap<String, Secret> {
    secrets
        .iter()
        .map(|(name, secret)| {
            let secret = Secret {
                stream_ends: stats.stream_ends(name),
                ..secret.clone()
            };
            (name.clone(), secret)
        })
        .collect()
}

/// Says of each certificate which one of all has signed it.
fn sign_off(secrets: &mut BTreeMap<String, Secret>, active: &Value) {
    let pems: Vec<Pem> = list(active)
        .filter_map(|entry| pem_of(entry.get("secret")?))
        .flat_map(|text| {
            Pem::iter_from_buffer(&text)
                .filter_map(Result::ok)
                .collect::<Vec<_>>()
        })
        .collect();
    let all: Vec<(String, X509Certificate<'_>)> = pems
        .iter()
        .filter_map(|pem| {
            Some((
                probe_api::content_hash(&pem.contents),
                pem.parse_x509().ok()?,
            ))
        })
        .collect();
    let signer = |signed: &X509Certificate<'_>| {
        all.iter()
            .filter(|(_, other)| other.subject() == signed.issuer())
            .find(|(_, other)| signed.verify_signature(Some(other.public_key())).is_ok())
            .map(|(fingerprint, _)| fingerprint.clone())
    };
    for certificate in secrets
        .values_mut()
        .flat_map(|secret| &mut secret.certificates)
    {
        let own = all
            .iter()
            .find(|(fingerprint, _)| *fingerprint == certificate.fingerprint);
        certificate.signed_by = own.and_then(|(_, own)| signer(own));
    }
}

/// The certificates of a secret, PEM; none where it is of another kind.
fn pem_of(secret: &Value) -> Option<Vec<u8>> {
    let source = secret
        .pointer("/tls_certificate/certificate_chain")
        .or_else(|| secret.pointer("/validation_context/trusted_ca"))?;
    match (&source["inline_bytes"], &source["inline_string"]) {
        (Value::String(bytes), _) => STANDARD.decode(bytes).ok(),
        (_, Value::String(text)) => Some(text.clone().into_bytes()),
        _ => None,
    }
}

/// What stands in certificates; one that cannot be read is left out.
pub(crate) fn certificates(pem: &[u8]) -> Vec<Certificate> {
    Pem::iter_from_buffer(pem)
        .filter_map(Result::ok)
        .filter_map(|pem| {
            let certificate = pem.parse_x509().ok()?;
            let uris = certificate
                .subject_alternative_name()
                .ok()
                .flatten()
                .into_iter()
                .flat_map(|names| &names.value.general_names)
                .filter_map(|name| match name {
                    GeneralName::URI(uri) => Some((*uri).to_owned()),
                    _ => None,
                })
                .collect();
            let validity = certificate.validity();
            Some(Certificate {
                serial: certificate
                    .raw_serial()
                    .iter()
                    .map(|byte| format!("{byte:02x}"))
                    .collect::<String>()
                    .trim_start_matches('0')
                    .to_owned(),
                uris,
                not_before_s: validity.not_before.timestamp(),
                not_after_s: validity.not_after.timestamp(),
                fingerprint: probe_api::content_hash(&pem.contents),
                public_key_hash: Some(probe_api::content_hash(certificate.public_key().raw)),
                signed_by: None,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// `openssl x509`: serial 17:01:07:..., `URI:spiffe://mesh.local/ns/a/sa/b`.
    const LEAF: &str = include_str!("leaf.pem");

    #[test]
    fn a_certificate_is_told_without_its_key() {
        let active = json!({ "configs": [
            { "name": "default", "version_info": "1", "secret": { "tls_certificate": {
                "certificate_chain": { "inline_bytes": STANDARD.encode(LEAF) },
                "private_key": { "inline_bytes": STANDARD.encode("[redacted]") },
            } } },
            { "name": "token", "secret": { "generic_secret": {} } },
        ] });
        let warming = json!({ "configs": [{ "name": "ROOTCA" }] });
        let secrets = secrets(&active, &warming);
        assert_eq!(secrets.keys().collect::<Vec<_>>(), ["ROOTCA", "default"]);
        assert!(secrets["ROOTCA"].warming);
        assert_eq!(secrets["default"].version.as_deref(), Some("1"));
        assert_eq!(
            secrets["default"].hash,
            probe_api::content_hash(LEAF.as_bytes())
        );
        let [certificate] = &secrets["default"].certificates[..] else {
            panic!("one certificate");
        };
        assert_eq!(certificate.uris, ["spiffe://mesh.local/ns/a/sa/b"]);
        assert_eq!(
            certificate.serial,
            "170107a933b42e5ad0379a90bdad2cfddbeb5318"
        );
        assert_eq!(certificate.fingerprint.len(), 64);
        // `openssl x509 -pubkey -noout | openssl pkey -pubin -outform der | sha256sum`
        assert_eq!(
            certificate.public_key_hash.as_deref(),
            Some("3c4356ec202a9a30add0b4a1be68ece532d38c9fd005c578fe09d9f0cfadc806")
        );
        assert_eq!(certificate.signed_by, None, "its issuer is not there");
        assert_eq!(
            certificate.not_after_s - certificate.not_before_s,
            24 * 3600
        );
    }

    #[test]
    fn each_secret_is_told_with_the_ends_of_its_own_stream() {
        let secret = Secret {
            hash: "hash".to_owned(),
            ..Secret::default()
        };
        let held = ["ROOTCA", "default", "other"].map(|name| (name.to_owned(), secret.clone()));
        let stats = Stats::parse(
            "sds.ROOTCA.update_attempt: 2\nsds.default.update_attempt: 7\nsds.default.update_failure: 3\n",
        );
        let told = with_streams(&held.into(), &stats);
        let ends: Vec<Option<u64>> = told.values().map(|secret| secret.stream_ends).collect();
        assert_eq!(ends, [Some(0), Some(3), None]);
        assert!(told.values().all(|told| told.hash == "hash"));
    }

    #[test]
    fn what_is_held_is_not_hidden_by_what_warms() {
        let active = json!({ "configs": [{ "name": "ROOTCA", "secret": { "validation_context": {
            "trusted_ca": { "inline_string": LEAF } } } }] });
        let warming = json!({ "configs": [{ "name": "ROOTCA" }] });
        assert!(!secrets(&active, &warming)["ROOTCA"].warming);
        assert!(secrets(&json!({}), &json!({})).is_empty());
    }
}
