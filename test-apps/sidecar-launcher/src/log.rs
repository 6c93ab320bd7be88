//! The sidecar's log: passed on line by line, and searched for rejected xDS updates, whose reasons Envoy tells
//! nowhere else but for listeners.

use crate::activity::Activity;
use probe_api::launcher::Rejection;
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

/// Each line begins with seconds and milliseconds since the Unix epoch, for [`Rejection::at_ms`], and then has
/// the form in which it is passed on.
pub(crate) const FORMAT: &str = "%E.%e|%Y-%m-%dT%T.%e %l envoy %n %v";

/// The last rejected update of each xDS type.
#[derive(Debug, Default)]
pub(crate) struct Rejections {
    last: Mutex<BTreeMap<String, Rejection>>,
    activity: Activity,
}

impl Rejections {
    /// None yet.
    pub(crate) fn new(activity: Activity) -> Arc<Self> {
        Arc::new(Self {
            last: Mutex::default(),
            activity,
        })
    }

    fn locked(&self) -> MutexGuard<'_, BTreeMap<String, Rejection>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// xDS type URL → rejection.
    pub(crate) fn all(&self) -> BTreeMap<String, Rejection> {
        self.locked().clone()
    }

    /// A new sidecar process has rejected nothing.
    pub(crate) fn clear(&self) {
        self.locked().clear();
        self.activity.note();
    }
}

/// Passes the sidecar's log on until it ends.
pub(crate) async fn forward(output: impl AsyncRead + Unpin, rejections: Arc<Rejections>) {
    let mut lines = BufReader::new(output).lines();
    loop {
        match lines.next_line().await {
            Ok(Some(line)) => {
                let (at_ms, text) = split(&line);
                if let Some((url, message)) = rejected(text) {
                    let rejection = Rejection {
                        at_ms: at_ms.unwrap_or_default(),
                        message: message.to_owned(),
                    };
                    rejections.locked().insert(url.to_owned(), rejection);
                    rejections.activity.note();
                }
                // A log that cannot be written must not end the sidecar.
                let _ = writeln!(std::io::stderr().lock(), "{text}");
            }
            Ok(None) => return,
            Err(error) => {
                tracing::warn!(%error, "the sidecar's log could not be read to its end");
                return;
            }
        }
    }
}

/// The time of a line in milliseconds and the rest of it; a continuation line has no time.
fn split(line: &str) -> (Option<u64>, &str) {
    let parsed = line.split_once('|').and_then(|(time, text)| {
        let (seconds, millis) = time.split_once('.')?;
        let seconds: u64 = seconds.parse().ok()?;
        let millis: u64 = millis.parse().ok()?;
        Some((seconds * 1000 + millis, text))
    });
    match parsed {
        Some((at_ms, text)) => (Some(at_ms), text),
        None => (None, line),
    }
}

/// Type URL and reason of a line about a rejected update, of either form of the protocol.
fn rejected(text: &str) -> Option<(&str, &str)> {
    let begins = ["gRPC config for ", "delta config for "];
    let found = begins.iter().find_map(|begin| text.split_once(begin));
    found?.1.split_once(" rejected: ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rejection_is_known_in_both_forms() {
        let told = Some(("type.googleapis.com/X", "why: this"));
        for form in ["gRPC", "delta"] {
            let line = format!("{form} config for type.googleapis.com/X rejected: why: this");
            assert_eq!(rejected(&line), told);
        }
        let accepted = "Delta config for type.googleapis.com/X accepted with 1 resources added";
        assert_eq!(rejected(accepted), None);
    }

    #[tokio::test]
    async fn a_rejection_is_noted_with_its_time_and_words() {
        let log = "1785000000.042|2026-11-23T14:00:00.042 warning envoy config gRPC config for \
                   type.googleapis.com/envoy.config.route.v3.RouteConfiguration rejected: missing ): (\n\
                   a continuation | of something\n";
        let rejections = Rejections::new(Activity::default());
        forward(log.as_bytes(), Arc::clone(&rejections)).await;
        let all = rejections.all();
        let rejection = &all["type.googleapis.com/envoy.config.route.v3.RouteConfiguration"];
        assert_eq!(rejection.at_ms, 1_785_000_000_042);
        assert_eq!(rejection.message, "missing ): (");
        assert_eq!(all.len(), 1);
    }
}
