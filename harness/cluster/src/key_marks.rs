//! What a private key is known by, wherever one is looked for: the words of PEM, and how private keys begin in DER, both as
//! they are and in the texts that carry bytes.
//!
//! Invariant: no certificate, request for one or public key has any of it, and whoever searches, or has somebody else search,
//! does so for all of it. A program that makes keys has it, too: programs are not among what is searched.

use aho_corasick::AhoCorasick;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use std::sync::LazyLock;

/// How the lines of PEM end that begin and end a private key, whatever its kind.
pub(crate) const KEY: &str = "PRIVATE KEY-----";

/// What is near the beginning of private keys in DER, and never in what may be public, as identifiers of algorithms are. None
/// has the byte that ends a line. Each ends within the first 48 bytes, which are the first line of base64 that is broken into
/// lines of 64 characters or more, and is too long to be somewhere by chance.
const DER: &[&[u8]] = &[
    // ECPrivateKey (RFC 5915, 3) of 32 bytes, which is what P-256 has: its length, version 1, and the length of the key. In
    // PKCS #8 (RFC 5208, 5) it is in an OCTET STRING, where a public key (RFC 5280, 4.1) is in a BIT STRING, and goes without
    // the name of its curve. With the public key, and without.
    &[0x04, 0x6d, 0x30, 0x6b, 0x02, 0x01, 0x01, 0x04, 0x20],
    &[0x04, 0x27, 0x30, 0x25, 0x02, 0x01, 0x01, 0x04, 0x20],
    // Alone (SEC 1), with the name of its curve.
    &[0x30, 0x77, 0x02, 0x01, 0x01, 0x04, 0x20],
    &[0x30, 0x31, 0x02, 0x01, 0x01, 0x04, 0x20],
    // The same of 48 bytes, which is what P-384 has.
    &[
        0x04, 0x81, 0x9e, 0x30, 0x81, 0x9b, 0x02, 0x01, 0x01, 0x04, 0x30,
    ],
    &[0x04, 0x37, 0x30, 0x35, 0x02, 0x01, 0x01, 0x04, 0x30],
    &[0x30, 0x81, 0xa4, 0x02, 0x01, 0x01, 0x04, 0x30],
    &[0x30, 0x3e, 0x02, 0x01, 0x01, 0x04, 0x30],
    // Ed25519 (RFC 8410, 7) in PKCS #8: the algorithm, and an OCTET STRING in another.
    &[
        0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
    ],
    // RSAPrivateKey (RFC 8017, A.1.2), alone or in PKCS #8: version 0, which no public key has, and the length of the
    // modulus, of 2048, 3072 and 4096 bits.
    &[0x02, 0x01, 0x00, 0x02, 0x82, 0x01, 0x01, 0x00],
    &[0x02, 0x01, 0x00, 0x02, 0x82, 0x01, 0x81, 0x00],
    &[0x02, 0x01, 0x00, 0x02, 0x82, 0x02, 0x01, 0x00],
];

/// No form is longer, in bytes: whoever reads in pieces takes so much of the last one along.
pub(crate) const LONGEST: usize = 32;

static MARKS: LazyLock<AhoCorasick> = LazyLock::new(|| automaton(&forms()));
static ENCODED: LazyLock<AhoCorasick> = LazyLock::new(|| automaton(&encoded()));

/// Whether there is a private key among these bytes.
pub(crate) fn are_in(bytes: &[u8]) -> bool {
    MARKS.is_match(bytes)
}

/// Where in a text a private key in base64 or in hexadecimal is known for one. It begins there or before.
pub(crate) fn find_encoded(text: &str) -> Option<usize> {
    ENCODED.find(text).map(|found| found.start())
}

/// All that a private key is known by, one form on each line, as `printf %b` takes it: no argument of a program has every byte.
pub(crate) fn for_printf() -> String {
    let lines: Vec<String> = forms().iter().map(|form| escaped(form)).collect();
    lines.join("\\n")
}

fn automaton<T: AsRef<[u8]>>(forms: &[T]) -> AhoCorasick {
    AhoCorasick::new(forms).expect("a hundred short forms are not too many")
}

/// Every form of every mark.
fn forms() -> Vec<Vec<u8>> {
    let mut forms: Vec<Vec<u8>> = encoded().into_iter().map(String::into_bytes).collect();
    forms.push(KEY.as_bytes().to_vec());
    forms.extend(DER.iter().map(|mark| mark.to_vec()));
    forms
}

/// PEM in base64, as Secrets and kubeconfigs of Kubernetes carry it, and DER in base64 and in hexadecimal.
fn encoded() -> Vec<String> {
    let mut encoded: Vec<String> = in_base64(KEY.as_bytes()).collect();
    for mark in DER {
        encoded.extend(in_base64(mark));
        let digits: String = mark.iter().map(|byte| format!("{byte:02x}")).collect();
        encoded.push(digits.to_uppercase());
        encoded.push(digits);
    }
    // Few have a character in which the alphabets of base64 differ.
    encoded.sort();
    encoded.dedup();
    encoded
}

/// What base64 shows of a mark, whatever is beside it. Three bytes become four characters, so it depends on how many bytes
/// stand before the mark; left out at both ends is what those beside it change.
fn in_base64(mark: &[u8]) -> impl Iterator<Item = String> {
    (0..3).flat_map(move |before: usize| {
        let bytes = [&[0_u8; 2][..before], mark].concat();
        let (first, end) = ((before * 8).div_ceil(6), bytes.len() * 8 / 6);
        [
            STANDARD_NO_PAD.encode(&bytes)[first..end].to_owned(),
            URL_SAFE_NO_PAD.encode(&bytes)[first..end].to_owned(),
        ]
    })
}

fn escaped(form: &[u8]) -> String {
    let escape = |byte: &u8| match byte {
        b' '..=b'[' | b']'..=b'~' => char::from(*byte).to_string(),
        _ => format!("\\0{byte:03o}"),
    };
    form.iter().map(escape).collect()
}

#[cfg(test)]
mod tests;
