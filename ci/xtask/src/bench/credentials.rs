//! Certificates for the API server that is measured alone: elliptic keys, as a cluster of ours has them, since the
//! making and use of others would cost another time.

use anyhow::Context as _;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType, date_time_ymd,
};
use rustls::pki_types::CertificateDer;
use serde_json::{Value, json};
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

/// Writes `ca.crt`, `apiserver.{crt,key}`, `kubelet-client.{crt,key}` and `service-account.{key,pub}`, and returns
/// the authority for those who connect.
///
/// # Errors
///
/// When a certificate cannot be made or a file cannot be written.
pub(super) fn write(folder: &Path, address: Ipv4Addr) -> anyhow::Result<CertificateDer<'static>> {
    let save = |name: &str, text: &str| {
        std::fs::write(folder.join(name), text).with_context(|| format!("write {name}"))
    };
    let mut authority = parameters("bench");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate().context("make a key")?;
    let certificate = authority.self_signed(&key).context("sign the authority")?;
    save("ca.crt", &certificate.pem())?;
    let issuer = Issuer::new(authority, key);
    let sign = |name: &str, mut parameters: CertificateParams| {
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        parameters.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().context("make a key")?;
        let signed = parameters
            .signed_by(&key, &issuer)
            .with_context(|| format!("sign {name}"))?;
        save(&format!("{name}.crt"), &signed.pem())?;
        save(&format!("{name}.key"), &key.serialize_pem())
    };

    let mut server = parameters("kube-apiserver");
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    server.subject_alt_names = [Ipv4Addr::LOCALHOST, address]
        .map(|address| SanType::IpAddress(IpAddr::V4(address)))
        .to_vec();
    sign("apiserver", server)?;
    let mut client = parameters("kube-apiserver-kubelet-client");
    client
        .distinguished_name
        .push(DnType::OrganizationName, "system:masters");
    client.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    sign("kubelet-client", client)?;

    let account = KeyPair::generate().context("make a key")?;
    save("service-account.key", &account.serialize_pem())?;
    save("service-account.pub", &account.public_key_pem())?;
    Ok(certificate.der().clone())
}

/// How an administrator reaches the API server, by the files that [`write()`] has written: JSON, which is YAML too.
pub(super) fn kubeconfig(folder: &Path, address: Ipv4Addr, port: u16) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "bench",
        "clusters": [{"name": "bench", "cluster": {
            "server": format!("https://{address}:{port}"),
            "certificate-authority": folder.join("ca.crt"),
        }}],
        "users": [{"name": "bench", "user": {
            "client-certificate": folder.join("kubelet-client.crt"),
            "client-key": folder.join("kubelet-client.key"),
        }}],
        "contexts": [{"name": "bench", "context": {"cluster": "bench", "user": "bench"}}],
    })
}

fn parameters(name: &str) -> CertificateParams {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters.not_before = date_time_ymd(2020, 1, 1);
    parameters.not_after = date_time_ymd(2120, 1, 1);
    parameters
}
