//! The certificates that sidecars hold.

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// A sidecar's own certificate, and what it trusts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CertificateSeen {
    /// The sidecar has asked for it and waits.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub warming: bool,
    /// Its subject alternative names that are URIs.
    pub identities: Vec<String>,
    /// Serial number, hexadecimal.
    pub serial: String,
    /// The root that it leads to, of those that the sidecar trusts itself: every signature on the way was verified. SHA-256
    /// over the root's DER, hexadecimal; none where it leads to none of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<String>,
    /// What has signed it, the same way; the root itself where nothing is between them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// The roots that the sidecar trusts, the same way; empty where nobody tells.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub roots: BTreeSet<String>,
    /// The key of the root that it leads to: SHA-256 over its SubjectPublicKeyInfo, DER, hexadecimal; none where nobody tells, as
    /// in older histories.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root_key: Option<String>,
    /// The key of what has signed it, the same way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer_key: Option<String>,
    /// From when to when it is valid; none where nobody tells, as in older histories.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid: Option<Validity>,
    /// How often the stream that it comes by has ended, or could not be opened, since the sidecar's process was started; none
    /// where nobody tells, as in older histories.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream_ends: Option<u64>,
}

/// From when to when a certificate is valid, on the history's clock, in milliseconds: before the run they are negative.
///
/// X.509 tells times of day. They are translated by what the time of day was on the harness's machine when the run began, so
/// this is as right as that clock, and as long as nobody sets it: it must agree with that of whoever signed the certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Validity {
    /// The first moment (`notBefore`).
    pub from_ms: i64,
    /// The last moment (`notAfter`).
    pub until_ms: i64,
}

impl Validity {
    /// The last moment in nanoseconds, as events tell theirs; 0 where that was before the run.
    #[must_use]
    pub fn until_ns(self) -> u64 {
        u64::try_from(self.until_ms)
            .unwrap_or(0)
            .saturating_mul(1_000_000)
    }
}
