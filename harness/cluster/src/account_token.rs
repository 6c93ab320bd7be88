//! Tokens of service accounts that are signed anew, with the key that the API server signs them with (RFC 7515, RFC 7518).
//!
//! An API server makes no token for less than ten minutes. Who has its key can make one that has ended.

use crate::{ClusterError, failed};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{KeyPair, SigningKey as _};
use serde_json::{Map, Value};
use std::path::Path;

/// How long before its end a token began, in seconds: what the API server makes is valid for an hour.
const LIFETIME_S: i64 = 3600;
/// Bytes of one number of an ECDSA signature with P-256.
const NUMBER: usize = 32;

/// The same token, signed with the key in a file (ECDSA with P-256, PKCS #8, PEM), that ends at `end_s` (seconds since the Unix
/// epoch) and began an hour before. All else that it says stays, its header too.
///
/// # Errors
///
/// When it is no token of this form, or there is no key of this kind.
pub(crate) fn ending(token: &str, key: &Path, end_s: i64) -> Result<String, ClusterError> {
    let act = format!("read {}", key.display());
    let key = std::fs::read_to_string(key).map_err(failed(act))?;
    signed_anew(token, &key, end_s)
}

fn signed_anew(token: &str, key: &str, end_s: i64) -> Result<String, ClusterError> {
    let act = "sign a token anew";
    let mut parts = token.split('.');
    let (Some(header), Some(payload), Some(_)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(ClusterError::because(act, "it does not have three parts"));
    };
    let payload = URL_SAFE_NO_PAD.decode(payload).map_err(failed(act))?;
    let mut claims: Map<String, Value> = serde_json::from_slice(&payload).map_err(failed(act))?;
    let begin_s = end_s.saturating_sub(LIFETIME_S);
    for (claim, at_s) in [("exp", end_s), ("iat", begin_s), ("nbf", begin_s)] {
        claims.insert(claim.to_owned(), at_s.into());
    }
    let payload = serde_json::to_vec(&claims).map_err(failed(act))?;
    let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(payload));
    let key = KeyPair::from_pem(key).map_err(failed(act))?;
    let signature = key.sign(signed.as_bytes()).map_err(failed(act))?;
    let signature = fixed(&signature)
        .ok_or_else(|| ClusterError::because(act, "the key does not sign with ECDSA and P-256"))?;
    Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

/// The two numbers of an ECDSA signature one after the other (RFC 7518, 3.4), from their DER (RFC 3279, 2.2.3).
fn fixed(der: &[u8]) -> Option<[u8; 2 * NUMBER]> {
    let [0x30, length, numbers @ ..] = der else {
        return None;
    };
    if usize::from(*length) != numbers.len() {
        return None;
    }
    let (first, rest) = number(numbers)?;
    let (second, rest) = number(rest)?;
    if !rest.is_empty() {
        return None;
    }
    let mut both = [0; 2 * NUMBER];
    both[..NUMBER].copy_from_slice(&first);
    both[NUMBER..].copy_from_slice(&second);
    Some(both)
}

/// A number in DER, without the zero before a first bit that is set and with those that DER leaves out; and what follows it.
fn number(der: &[u8]) -> Option<([u8; NUMBER], &[u8])> {
    let [0x02, length, rest @ ..] = der else {
        return None;
    };
    let (digits, rest) = rest.split_at_checked(usize::from(*length))?;
    let first = digits.iter().position(|digit| *digit != 0);
    let digits = &digits[first.unwrap_or(digits.len())..];
    let mut all = [0; NUMBER];
    all[NUMBER.checked_sub(digits.len())?..].copy_from_slice(digits);
    Some((all, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_token_says_stays_but_for_its_times() {
        let key = KeyPair::generate().expect("a key").serialize_pem();
        let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let header = encode(r#"{"alg":"ES256","kid":"k"}"#);
        let said = encode(r#"{"aud":["a"],"exp":9000,"iat":5400,"nbf":5400,"sub":"s"}"#);
        let token = signed_anew(&format!("{header}.{said}.{}", encode("none")), &key, 4000);
        let token = token.expect("signed");
        let parts: Vec<&str> = token.split('.').collect();
        assert_eq!(parts[0], header);
        let claims = URL_SAFE_NO_PAD.decode(parts[1]).expect("base64");
        assert_eq!(
            String::from_utf8_lossy(&claims),
            r#"{"aud":["a"],"exp":4000,"iat":400,"nbf":400,"sub":"s"}"#
        );
        let signature = URL_SAFE_NO_PAD.decode(parts[2]).expect("base64");
        assert_eq!(signature.len(), 64);
        for wrong in ["", "a.b", "a.!.c"] {
            assert!(signed_anew(wrong, &key, 4000).is_err(), "{wrong}");
        }
    }

    #[test]
    fn numbers_are_as_long_as_they_must_be() {
        // One with the zero that DER puts before a set bit, one that is short.
        let mut der = vec![0x30, 38, 0x02, 33, 0];
        der.extend([0x80; 32]);
        der.extend([0x02, 1, 7]);
        let both = fixed(&der).expect("a signature");
        assert_eq!(both[..32], [0x80; 32]);
        assert_eq!(both[32..63], [0; 31]);
        assert_eq!(both[63], 7);
        for wrong in [&der[..37], &[0x30, 2, 0x02, 9], &[0x31, 0], &[]] {
            assert!(fixed(wrong).is_none());
        }
    }
}
