//! Keeps secrets out of what is collected for people: private keys and tokens are cut out of any text.
//!
//! Invariant: what is cut out is replaced by a mark, so that a reader sees that something was there.

/// How a private key begins and ends in PEM, around its kind.
const BEGIN: &str = "-----BEGIN ";
const KEY: &str = "PRIVATE KEY-----";
/// How a JSON Web Token begins: `{"` in base64url.
const TOKEN: &str = "eyJ";
/// Shortest part of a token that is taken for one, in bytes.
const SHORTEST_PART: usize = 16;

/// The text without private keys (PEM) and signed tokens (JWT).
pub(crate) fn redact(text: &str) -> String {
    without_tokens(&without_keys(text))
}

/// Whether there is a private key in the text.
pub(crate) fn holds_private_key(text: &str) -> bool {
    // The one is the beginning of the other, and far quicker to look for.
    text.contains(KEY) && without_keys(text) != text
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
        kept.push_str("[private key removed]");
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
        Some(end) => format!("[private key removed]{}", &kept[end..]),
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
    fn tokens_are_cut_out_and_words_like_them_stay() {
        let token = "eyJhbGciOiJSUzI1NiIs.eyJhdWQiOlsiaHR0cHM6.c2lnbmF0dXJlLXNpZ25h";
        assert_eq!(
            redact(&format!("Bearer {token}\" next")),
            "Bearer [token removed]\" next"
        );
        assert_eq!(redact("eyJ eyJab.c eyJ"), "eyJ eyJab.c eyJ");
    }
}
