//! How long the API server's word for a token may be remembered.
//!
//! Invariant: pure. Of what a token says of itself only its end is read, which can only make the time shorter.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long the API server's word for this token holds from `now` on, by the clock here: `most`, but not past the token's own
/// end. Zero where that has passed: an API server vouches for a token for a minute more, and is to be asked each time. A token
/// that tells no end has none, or is in a form that only the API server knows.
#[must_use]
pub fn word_holds(token: &str, now: SystemTime, most: Duration) -> Duration {
    let Some(end) = end_of(token) else {
        return most;
    };
    let left = end.duration_since(now).unwrap_or_default();
    left.min(most)
}

/// The claim `exp` of a JSON Web Token (RFC 7519, 4.1.4): seconds since 1970, perhaps with a fraction.
fn end_of(token: &str) -> Option<SystemTime> {
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let claims: Value = serde_json::from_slice(&payload).ok()?;
    let seconds = claims.get("exp")?.as_f64()?.max(0.0);
    UNIX_EPOCH.checked_add(Duration::try_from_secs_f64(seconds).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: Duration = Duration::from_secs(60);

    fn token(claims: &str) -> String {
        format!("e30.{}.x", URL_SAFE_NO_PAD.encode(claims))
    }

    fn holds(token: &str) -> Duration {
        word_holds(token, UNIX_EPOCH + Duration::from_secs(1000), MOST)
    }

    #[test]
    fn a_word_holds_until_the_token_ends_at_most() {
        for (claims, expected) in [
            (r#"{"exp":5000}"#, MOST),
            (r#"{"exp":1060}"#, MOST),
            (r#"{"exp":1059}"#, Duration::from_secs(59)),
            (r#"{"exp":1000.5}"#, Duration::from_millis(500)),
            (r#"{"exp":1000}"#, Duration::ZERO),
            (r#"{"exp":999}"#, Duration::ZERO),
            (r#"{"exp":-1}"#, Duration::ZERO),
            (r#"{"exp":1e300}"#, MOST),
        ] {
            assert_eq!(holds(&token(claims)), expected, "{claims}");
        }
    }

    #[test]
    fn a_token_that_tells_no_end_is_remembered_as_others() {
        let without = [r#"{"sub":"a"}"#, r#"{"exp":"soon"}"#, "[]", "no claims"].map(token);
        for token in without {
            assert_eq!(holds(&token), MOST, "{token}");
        }
        for token in ["", "opaque", "a.%.b"] {
            assert_eq!(holds(token), MOST, "{token}");
        }
    }
}
