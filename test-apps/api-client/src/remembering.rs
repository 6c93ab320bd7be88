//! The API server's word for tokens, remembered, and for how long it may be.
//!
//! Invariant: no token is kept. Of what one says of itself only its end is read, which can only make the time shorter.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A token's SHA-256.
type Digest = [u8; 32];

/// What the API server has said of tokens.
pub struct Remembered<T> {
    /// For how long its word is taken.
    most: Duration,
    /// Of how many tokens.
    kept: usize,
    words: Mutex<HashMap<Digest, (T, Instant)>>,
}

impl<T: Clone> Remembered<T> {
    /// The API server's word is taken for `most`, but not past a token's own end, and of so many tokens.
    #[must_use]
    pub fn new(most: Duration, kept: usize) -> Self {
        Self {
            most,
            kept,
            words: Mutex::default(),
        }
    }

    /// What was said of the token with this SHA-256, as long as that is taken.
    #[must_use]
    pub fn get(&self, digest: &Digest) -> Option<T> {
        let words = self.words();
        let (word, until) = words.get(digest)?;
        (Instant::now() < *until).then(|| word.clone())
    }

    /// Remembers what was said of a token just now. What is known of the others is forgotten when they are too many.
    pub fn put(&self, digest: Digest, token: &str, word: T) {
        let holds = word_holds(token, SystemTime::now(), self.most);
        let mut words = self.words();
        if words.len() >= self.kept {
            words.clear();
        }
        words.insert(digest, (word, Instant::now() + holds));
    }

    /// Every change under the lock is whole before the next, so a panic elsewhere leaves it usable.
    fn words(&self) -> MutexGuard<'_, HashMap<Digest, (T, Instant)>> {
        self.words.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long the API server's word for this token holds from `now` on, by the clock here: `most`, but not past the token's own
/// end. Zero where that has passed: an API server vouches for a token for a minute more, and is to be asked each time. A token
/// that tells no end has none, or is in a form that only the API server knows.
fn word_holds(token: &str, now: SystemTime, most: Duration) -> Duration {
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
    fn a_word_is_remembered_while_it_holds_and_of_so_many_tokens() {
        let remembered = Remembered::new(MOST, 2);
        let (first, second, third) = ([1; 32], [2; 32], [3; 32]);
        remembered.put(first, "opaque", "one");
        remembered.put(second, &token(r#"{"exp":1}"#), "two");
        assert_eq!(remembered.get(&first), Some("one"));
        assert_eq!(remembered.get(&second), None, "it has ended");
        assert_eq!(remembered.get(&third), None, "it is unknown");
        remembered.put(third, "opaque", "three");
        assert_eq!(remembered.get(&first), None, "there are too many");
        assert_eq!(remembered.get(&third), Some("three"));
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
