//! Keeps secrets out of what is collected for people: private keys and tokens are cut out of any text, keys also where they
//! are in base64, as Secrets and kubeconfigs of Kubernetes carry them, or in hexadecimal.
//!
//! Invariant: what is cut out is replaced by a mark, so that a reader sees that something was there.

use crate::key_marks::{KEY, find_encoded};

/// How a private key begins in PEM, before its kind.
const BEGIN: &str = "-----BEGIN ";
/// How a JSON Web Token begins: `{"` in base64url.
const TOKEN: &str = "eyJ";
/// Shortest part of a token that is taken for one, in bytes.
const SHORTEST_PART: usize = 16;

/// What stands in the place of a key.
const REMOVED: &str = "[private key removed]";

/// The text without private keys (PEM, and what they are in base64 and in hexadecimal) and signed tokens (JWT).
#[must_use]
pub fn redact(text: &str) -> String {
    without_tokens(&without_encoded_keys(&without_keys(text)))
}

/// Each piece of base64, or of hexadecimal, that has a key in it is cut out whole: what else is in it cannot be told from the
/// key. Where base64 is broken into lines, that is the line by which the key is known; the others say nothing of what they are.
fn without_encoded_keys(text: &str) -> String {
    let is_outside = |byte: u8| !(byte.is_ascii_alphanumeric() || b"+/-_=".contains(&byte));
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = find_encoded(rest) {
        let bytes = rest.as_bytes();
        let before = bytes[..at].iter().rposition(|byte| is_outside(*byte));
        let after = bytes[at..].iter().position(|byte| is_outside(*byte));
        kept.push_str(&rest[..before.map_or(0, |place| place + 1)]);
        kept.push_str(REMOVED);
        rest = after.map_or("", |length| &rest[at + length..]);
    }
    kept.push_str(rest);
    kept
}

fn without_keys(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(BEGIN) {
        let inside = &rest[at + BEGIN.len()..];
        // The kind (`RSA`, `EC`, nothing) stands between, on the same line.
        let is_key = inside
            .find(KEY)
            .is_some_and(|key| inside[..key].bytes().all(is_of_a_kind));
        if !is_key {
            kept.push_str(&rest[..at + BEGIN.len()]);
            rest = inside;
            continue;
        }
        kept.push_str(&rest[..at]);
        kept.push_str(REMOVED);
        let end = inside.find("-----END ").map(|end| &inside[end..]);
        // A key without an end was cut: nothing after it can be trusted.
        rest = end
            .and_then(|end| end.find(KEY).map(|key| &end[key + KEY.len()..]))
            .unwrap_or_default();
    }
    kept.push_str(rest);
    // An end alone: the log was cut in the middle of a key.
    let end = kept.rfind(KEY).map(|end| end + KEY.len());
    match end {
        Some(end) => format!("{REMOVED}{}", &kept[end..]),
        None => kept,
    }
}

fn is_of_a_kind(byte: u8) -> bool {
    byte.is_ascii_uppercase() || byte == b' '
}

fn without_tokens(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(TOKEN) {
        let candidate = &rest[at..];
        let length = candidate
            .bytes()
            .take_while(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
            .count();
        let mut parts = candidate[..length].split('.');
        let is_token = parts.clone().count() >= 3
            && parts
                .by_ref()
                .take(3)
                .all(|part| part.len() >= SHORTEST_PART);
        kept.push_str(&rest[..at]);
        kept.push_str(if is_token {
            "[token removed]"
        } else {
            &candidate[..length]
        });
        rest = &candidate[length..];
    }
    kept.push_str(rest);
    kept
}

#[cfg(test)]
mod tests {
    use super::redact;
    use crate::key_marks;
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

    const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nAA\n-----END CERTIFICATE-----\n";

    #[test]
    fn private_keys_are_cut_out_and_certificates_stay() {
        let text = "a\n-----BEGIN CERTIFICATE-----\nAA\n-----END CERTIFICATE-----\n\
                    -----BEGIN EC PRIVATE KEY-----\nsecret\n-----END EC PRIVATE KEY-----\n\
                    -----BEGIN PRIVATE KEY-----\\nsecret\\n-----END PRIVATE KEY-----\\nb";
        let redacted = redact(text);
        assert_eq!(
            redacted,
            "a\n-----BEGIN CERTIFICATE-----\nAA\n-----END CERTIFICATE-----\n\
             [private key removed]\n[private key removed]\\nb"
        );
    }

    #[test]
    fn a_key_that_is_cut_takes_the_rest_with_it() {
        assert_eq!(
            redact("x -----BEGIN RSA PRIVATE KEY-----\nsecret"),
            "x [private key removed]"
        );
        assert_eq!(
            redact("secret\n-----END RSA PRIVATE KEY-----\nb"),
            "[private key removed]\nb"
        );
    }

    #[test]
    fn keys_in_base64_are_found_and_cut_out_wherever_they_begin() {
        for kind in ["", "EC ", "RSA ", "ENCRYPTED "] {
            let key = format!("-----BEGIN {kind}PRIVATE KEY-----\nMC4CAQAw\n");
            for before in ["", "x", "xy", "xyz", CERTIFICATE] {
                let pem = format!("{before}{key}-----END {kind}PRIVATE KEY-----\n");
                for encoded in [STANDARD.encode(&pem), URL_SAFE_NO_PAD.encode(&pem)] {
                    let text = format!("ä\"tls.key\": \"{encoded}\", b: {encoded}\nc");
                    assert!(key_marks::are_in(text.as_bytes()), "{pem}");
                    assert_eq!(
                        redact(&text),
                        "ä\"tls.key\": \"[private key removed]\", b: [private key removed]\nc"
                    );
                }
            }
        }
    }

    #[test]
    fn keys_that_are_no_pem_are_cut_out_of_base64_and_hexadecimal() {
        let der = rcgen::KeyPair::generate().expect("a key").serialize_der();
        let digits: String = der.iter().map(|byte| format!("{byte:02x}")).collect();
        let url = URL_SAFE_NO_PAD.encode(&der);
        for encoded in [STANDARD.encode(&der), url, digits] {
            let redacted = redact(&format!("key \"{encoded}\", {encoded}\nc"));
            let expected = "key \"[private key removed]\", [private key removed]\nc";
            assert_eq!(redacted, expected);
        }
    }

    #[test]
    fn a_cut_key_in_base64_is_found_by_its_beginning_and_by_its_end() {
        let lines = "MC4CAQAwBQYDK2VwBCIEIHl5\n".repeat(9);
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{lines}-----END PRIVATE KEY-----\n");
        let encoded = STANDARD.encode(pem);
        let (first, last) = encoded.split_at(encoded.len() / 2);
        for half in [first, last] {
            assert_eq!(redact(half), "[private key removed]");
        }
    }

    #[test]
    fn certificates_public_keys_and_what_envoy_has_cut_out_stay_in_base64() {
        for text in [
            CERTIFICATE,
            "-----BEGIN PUBLIC KEY-----\nMC4CAQAw\n",
            "[redacted]",
        ] {
            let encoded = STANDARD.encode(text);
            assert!(!key_marks::are_in(encoded.as_bytes()), "{text}");
            assert_eq!(redact(&encoded), encoded);
        }
    }

    #[test]
    fn tokens_are_cut_out_and_words_like_them_stay() {
        let token = "eyJhbGciOiJSUzI1NiIs.eyJhdWQiOlsiaHR0cHM6.c2lnbmF0dXJlLXNpZ25h";
        assert_eq!(
            redact(&format!("Bearer {token}\" next")),
            "Bearer [token removed]\" next"
        );
        assert_eq!(redact("eyJ eyJab.c eyJ"), "eyJ eyJab.c eyJ");
    }
}
