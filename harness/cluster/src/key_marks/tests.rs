//! Private keys of every kind in every form, and what is public beside them.

use super::*;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use rcgen::{
    CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519,
    PublicKeyData as _,
};
use std::process::Command;

/// How keys begin that OpenSSL 3 has made, which writes kinds and forms that our libraries do not make.
const BY_OPENSSL: &[&str] = &[
    // P-256: SEC 1 with the public key and without, PKCS #8 without.
    "30770201010420295558d54b9677a9",
    "30310201010420295558d54b9677a9",
    "3041020100301306072a8648ce3d020106082a8648ce3d030107042730250201010420295558d5",
    // P-384: the same.
    "3081a4020101043062330b6c9bfdc605",
    "303e020101043062330b6c9bfdc605",
    "304e020100301006072a8648ce3d020106052b8104002204373035020101043062330b6c",
    // Ed25519, PKCS #8.
    "302e020100300506032b6570042204200ae2b64d2f5bfe81",
    // RSA of 2048, 3072 and 4096 bits: PKCS #8, PKCS #1.
    "308204be020100300d06092a864886f70d0101010500048204a8308204a40201000282010100aacd9fd2",
    "308204a40201000282010100aacd9fd2f134",
    "308206fd020100300d06092a864886f70d0101010500048206e7308206e30201000282018100b2384c93",
    "308206e30201000282018100b2384c9313d7",
    "30820943020100300d06092a864886f70d01010105000482092d308209290201000282020100c5b27636",
    "308209290201000282020100c5b27636ab76",
];

/// How public keys of RSA begin, of 2048, 3072 and 4096 bits: SubjectPublicKeyInfo and, within it, RSAPublicKey.
const PUBLIC_RSA: &[&str] = &[
    "30820122300d06092a864886f70d01010105000382010f003082010a0282010100aacd9fd2f134",
    "308201a2300d06092a864886f70d01010105000382018f003082018a0282018100b2384c9313d7",
    "30820222300d06092a864886f70d01010105000382020f003082020a0282020100c5b27636ab76",
];

fn bytes(digits: &str) -> Vec<u8> {
    let places = (0..digits.len()).step_by(2);
    let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).expect("hexadecimal");
    places.map(byte).collect()
}

/// One of each kind that certificates here may have, made now.
fn pairs() -> [KeyPair; 3] {
    [
        &PKCS_ECDSA_P256_SHA256,
        &PKCS_ECDSA_P384_SHA384,
        &PKCS_ED25519,
    ]
    .map(|kind| KeyPair::generate_for(kind).expect("a key"))
}

/// The texts in which bytes are found in logs and files, and the bytes among others.
fn carried(der: &[u8]) -> Vec<Vec<u8>> {
    let digits: String = der.iter().map(|byte| format!("{byte:02x}")).collect();
    let standard = STANDARD.encode(der);
    let lines: Vec<&[u8]> = standard.as_bytes().chunks(64).collect();
    let mut carried = vec![
        der.to_vec(),
        [&b"\0\xff a\n"[..], der, b"\n"].concat(),
        digits.to_uppercase().into_bytes(),
        format!("key={digits},").into_bytes(),
        format!("{{\"key\":\"{standard}\"}}").into_bytes(),
        lines.join(&b'\n'),
        // As JSON has lines.
        lines.join(&b"\\n"[..]),
    ];
    for before in [&b""[..], b"a", b"ab", b"abc"] {
        let within = [before, der, b"more"].concat();
        carried.push(STANDARD.encode(&within).into_bytes());
        carried.push(URL_SAFE.encode(&within).into_bytes());
        carried.push(URL_SAFE_NO_PAD.encode(&within).into_bytes());
    }
    carried
}

#[test]
fn private_keys_of_every_kind_are_found_in_every_form() {
    let made = pairs().map(|pair| pair.serialize_der());
    let by_openssl = BY_OPENSSL.iter().map(|digits| bytes(digits));
    for der in made.into_iter().chain(by_openssl) {
        for carried in carried(&der) {
            let shown = String::from_utf8_lossy(&carried);
            assert!(are_in(&carried), "{der:02x?} as {shown}");
        }
    }
    for pair in pairs() {
        let pem = pair.serialize_pem();
        assert!(are_in(pem.as_bytes()), "{pem}");
        // As Secrets carry it.
        assert!(are_in(STANDARD.encode(&pem).as_bytes()), "{pem}");
    }
}

#[test]
fn certificates_requests_and_public_keys_are_not_found() {
    let mut public: Vec<Vec<u8>> = PUBLIC_RSA.iter().map(|digits| bytes(digits)).collect();
    // RSAPublicKey alone.
    let alone: Vec<Vec<u8>> = public.iter().map(|key| key[24..].to_vec()).collect();
    public.extend(alone);
    for pair in pairs() {
        let params = CertificateParams::new(vec!["a.test".to_owned()]).expect("a name");
        let certificate = params.self_signed(&pair).expect("a certificate");
        let request = params.serialize_request(&pair).expect("a request");
        public.push(certificate.der().to_vec());
        public.push(request.der().to_vec());
        public.push(pair.subject_public_key_info());
        public.push(certificate.pem().into_bytes());
        public.push(request.pem().expect("text").into_bytes());
        public.push(pair.public_key_pem().into_bytes());
    }
    for what in public {
        for carried in carried(&what) {
            let shown = String::from_utf8_lossy(&carried);
            assert!(!are_in(&carried), "{what:02x?} as {shown}");
        }
    }
}

#[test]
fn encoded_keys_are_found_at_their_place_in_a_text() {
    let [pair, ..] = pairs();
    let encoded = STANDARD.encode(pair.serialize_der());
    let text = format!("a certificate is served: {encoded}");
    let found = find_encoded(&text).expect("it is there");
    assert!(found >= text.len() - encoded.len(), "{found} in {text}");
    assert_eq!(find_encoded("a certificate is served"), None);
    // PEM is found by its words, and cut out from one line to the other.
    assert_eq!(find_encoded("-----BEGIN PRIVATE KEY-----"), None);
}

#[test]
fn no_form_is_longer_than_is_taken_along_or_too_short_to_tell() {
    for form in forms() {
        let shown = String::from_utf8_lossy(&form);
        assert!(form.len() <= LONGEST, "{shown}");
        // As DER, seven bytes; in base64 what is left of them.
        assert!(form.len() >= 7, "{shown}");
    }
}

#[test]
fn a_shell_writes_every_form_on_a_line_of_its_own() {
    let mut command = Command::new("sh");
    command.args(["-c", r#"printf '%b' "$1""#, "sh"]);
    let ran = command.arg(for_printf()).output().expect("a shell");
    let lines: Vec<&[u8]> = ran.stdout.split(|byte| *byte == b'\n').collect();
    assert_eq!(lines, forms());
}
