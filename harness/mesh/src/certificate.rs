//! Certificates for servers and clients of the mesh: made at the first deployment in a cluster, kept in a Secret beside the control
//! plane, and used again by later ones, since pods that run on trust them.

use crate::definition::{CertificateRequest, CertificateUsage, MeshDefinition};
use crate::error::DeployMeshError;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The Secret that keeps them.
const SECRET: &str = "meshproof-certificates";

/// Certificates by their names in the definition.
pub(crate) type Certificates = BTreeMap<String, Certificate>;

/// A certificate with the root that signed it, as templates see it. All PEM.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Certificate {
    /// What it was made for.
    dns_names: Vec<String>,
    /// For servers where nothing is said: earlier versions made no others.
    #[serde(default)]
    usage: CertificateUsage,
    certificate: String,
    key: String,
    pub(crate) root: String,
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificate").finish_non_exhaustive()
    }
}

/// The namespace in which certificates are kept.
pub(crate) fn home(definition: &MeshDefinition) -> &str {
    match &definition.control_plane {
        Some(control_plane) => &control_plane.namespace,
        None => &definition.workloads.namespace,
    }
}

/// Those of an earlier deployment.
pub(crate) async fn kept(
    client: &kube::Client,
    definition: &MeshDefinition,
) -> Result<Certificates, DeployMeshError> {
    if definition.certificates.is_empty() {
        return Ok(Certificates::new());
    }
    let namespace = home(definition);
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let secret = secrets
        .get_opt(SECRET)
        .await
        .map_err(|source| DeployMeshError::Read {
            object: format!("Secret {namespace}/{SECRET}"),
            source: Box::new(source),
        })?;
    let data = secret.and_then(|secret| secret.data).unwrap_or_default();
    // What cannot be read, of another version maybe, is made anew.
    Ok(data
        .into_iter()
        .filter_map(|(name, ByteString(bytes))| Some((name, serde_json::from_slice(&bytes).ok()?)))
        .collect())
}

/// The certificates that a definition asks for: kept ones where they are for the same, else new ones.
pub(crate) fn obtain(
    requests: &BTreeMap<String, CertificateRequest>,
    mut kept: Certificates,
) -> Result<Certificates, DeployMeshError> {
    requests
        .iter()
        .map(|(name, request)| {
            let certificate = match kept.remove(name) {
                Some(kept)
                    if kept.dns_names == request.dns_names && kept.usage == request.usage =>
                {
                    kept
                }
                _ => make(request).map_err(|source| DeployMeshError::Certificate {
                    name: name.clone(),
                    source,
                })?,
            };
            Ok((name.clone(), certificate))
        })
        .collect()
}

/// The manifest that keeps certificates.
pub(crate) fn manifest(certificates: &Certificates, namespace: &str) -> String {
    let data: BTreeMap<&String, String> = certificates
        .iter()
        .map(|(name, certificate)| (name, serde_json::json!(certificate).to_string()))
        .collect();
    serde_json::json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": SECRET, "namespace": namespace},
        "stringData": data,
    })
    .to_string()
}

/// Makes a root that signs nothing else, and a certificate below it.
fn make(request: &CertificateRequest) -> Result<Certificate, rcgen::Error> {
    let root_key = KeyPair::generate()?;
    let mut root = CertificateParams::default();
    root.distinguished_name
        .push(DnType::CommonName, "meshproof root of one deployment");
    root.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    root.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let root_certificate = root.self_signed(&root_key)?;
    let issuer = Issuer::new(root, root_key);

    let key = KeyPair::generate()?;
    let mut leaf = CertificateParams::new(request.dns_names.clone())?;
    leaf.distinguished_name = rcgen::DistinguishedName::new();
    leaf.extended_key_usages = vec![match request.usage {
        CertificateUsage::Server => ExtendedKeyUsagePurpose::ServerAuth,
        CertificateUsage::Client => ExtendedKeyUsagePurpose::ClientAuth,
    }];
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let certificate = leaf.signed_by(&key, &issuer)?;
    Ok(Certificate {
        dns_names: request.dns_names.clone(),
        usage: request.usage,
        certificate: certificate.pem(),
        key: key.serialize_pem(),
        root: root_certificate.pem(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;

    fn request(name: &str) -> BTreeMap<String, CertificateRequest> {
        let request = CertificateRequest {
            dns_names: vec![name.to_owned()],
            usage: CertificateUsage::Server,
        };
        BTreeMap::from([("server".to_owned(), request)])
    }

    #[test]
    fn a_certificate_is_used_again_as_long_as_its_names_are_asked_for() {
        let first = obtain(&request("a"), Certificates::new()).unwrap();
        let again = obtain(&request("a"), first.clone()).unwrap();
        assert_eq!(first["server"].root, again["server"].root);
        let other = obtain(&request("b"), first.clone()).unwrap();
        assert_ne!(first["server"].root, other["server"].root);
        assert!(obtain(&BTreeMap::new(), first).unwrap().is_empty());
    }

    #[test]
    fn what_is_kept_can_be_read_again() {
        let certificates = obtain(&request("a"), Certificates::new()).unwrap();
        let manifest: serde_json::Value =
            serde_json::from_str(&manifest(&certificates, "mesh")).unwrap();
        let kept = manifest["stringData"]["server"].as_str().unwrap();
        let kept: Certificate = serde_json::from_str(kept).unwrap();
        assert_eq!(kept.key, certificates["server"].key);
    }
    #[test]
    fn what_an_earlier_version_kept_is_for_servers() {
        let first = obtain(&request("a"), Certificates::new()).unwrap();
        let mut kept = serde_json::json!(first["server"]);
        kept.as_object_mut().unwrap().remove("usage");
        let kept: Certificate = serde_json::from_value(kept).unwrap();
        let kept = Certificates::from([("server".to_owned(), kept)]);
        let again = obtain(&request("a"), kept.clone()).unwrap();
        assert_eq!(first["server"].root, again["server"].root);
        let mut clients = request("a");
        clients.get_mut("server").unwrap().usage = CertificateUsage::Client;
        let other = obtain(&clients, kept).unwrap();
        assert_ne!(first["server"].root, other["server"].root);
    }

    #[test]
    fn each_certificate_is_for_one_end_of_a_connection() {
        // Object identifiers of id-kp-serverAuth and id-kp-clientAuth, DER.
        let server_auth = [0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01];
        let client_auth = [0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x02];
        for (usage, is_server) in [
            (CertificateUsage::Server, true),
            (CertificateUsage::Client, false),
        ] {
            let mut requests = request("a");
            requests.get_mut("server").unwrap().usage = usage;
            let made = obtain(&requests, Certificates::new()).unwrap();
            let pem = &made["server"].certificate;
            let der = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
            let has = |usage: [u8; 10]| der.windows(10).any(|window| window == usage);
            assert_eq!(
                (has(server_auth), has(client_auth)),
                (is_server, !is_server)
            );
        }
    }
}
