//! What must hold: one *then* of a scenario, judged by the checker of the same name.

use crate::asking::{AuditOutcome, DenialCause};
use crate::duration::Span;
use crate::handshake::Alert;
use crate::history::{RefusalCause, Spoken};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One expectation. Traffic expectations name a batch or a load of the timeline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
pub enum Expectation {
    /// After every step each sidecar shows what the oracle says for it, toggles and rules, and holds a certificate of its own
    /// where it is to speak TLS, within [`crate::patience::Patience::delivery`] of the write. What it shows beside that is
    /// judged by `confined`.
    Delivered,
    /// After every step no sidecar shows anything the oracle does not say for it, toggles, rules or a certificate, proven by a
    /// marker on the same stream, in active and warming state, and again at the end of the scenario.
    Confined,
    /// After the step with the second index (0-based) every sidecar's keys of this scenario are hash-equal to those
    /// after the first, and it is set up for TLS as it was then, where readings tell.
    Restored {
        /// Index of the act whose outcome is the reference.
        reference: usize,
        /// Index of the act that restores it.
        step: usize,
    },
    /// The mesh's own status agrees with what the sidecars show: who matched, who acknowledged, who rejected
    /// and with which words.
    StatusIsTrue,
    /// The sidecars in scope reject the update of the step (0-based) and say why; the status repeats it.
    Rejected {
        /// Index of the act.
        step: usize,
    },
    /// All requests are answered with status 200, but for at most `lost`.
    Answered {
        /// Batch or load.
        traffic: String,
        /// How many may be lost.
        #[serde(default)]
        lost: u64,
    },
    /// Every answered request has passed the sidecar of the caller and the sidecar of the callee.
    PassesBothSidecars {
        /// Batch or load.
        traffic: String,
    },
    /// Every answered request reaches the callee's application in what it was sent in: HTTP/2 as HTTP/2, bytes as bytes.
    KeepsProtocol {
        /// Batch or load.
        traffic: String,
    },
    /// At least this share of the answers comes from the caller's own data center.
    PrefersOwnZone {
        /// Batch or load.
        traffic: String,
        /// Percent of the answered requests.
        percent: u8,
    },
    /// Every answer comes from this application.
    AnsweredBy {
        /// Batch or load.
        traffic: String,
        /// Application.
        application: String,
    },
    /// The answers are shared among applications as weights say. What a fair draw gives in all but one of a million
    /// times, over all applications together, is no deviation (the binomial distribution, exactly); with fewer answers than it
    /// takes to tell each share from none and from all of them nothing passes (of two applications 66 for 20 %, 21 for 50 %).
    SharedBy {
        /// Batch or load.
        traffic: String,
        /// Application → percent of the answers, from 1 to 99, 100 in all.
        percents: BTreeMap<String, u8>,
    },
    /// Every answered request came to the callee's sidecar over TLS, with a certificate that carries the caller's own
    /// identity, and in one of the versions of TLS that the mesh definition says sidecars speak, where it does.
    OverTls {
        /// Batch or load.
        traffic: String,
    },
    /// Every answered request came to the callee's sidecar without TLS.
    InPlaintext {
        /// Batch or load.
        traffic: String,
    },
    /// From `within` after the write of the step (0-based) until the next write or the end of the load, every answered
    /// request comes to the callee's sidecar like this: connections from before are no longer used.
    MovesTo {
        /// Load.
        traffic: String,
        /// Index of the act that writes.
        step: usize,
        /// The mesh's duty: delivery, and the time that connections from before may still be used.
        within: Span,
        /// How requests come from then on.
        is: Spoken,
    },
    /// The pods of an application get each request of the batch so many times, all of them together: as the one that was
    /// called once and for every time that it was tried again, as the one that is sent copies once.
    Received {
        /// Batch; over HTTP/1.1 or HTTP/2.
        traffic: String,
        /// Application.
        application: String,
        /// How often.
        times: u32,
    },
    /// Whoever looks at the packets of the batch between data centers sees this and nothing else. The callees must be in
    /// other data centers than the caller.
    OnTheWire {
        /// Batch.
        traffic: String,
        /// What is seen.
        is: Spoken,
    },
    /// No request comes through: a sidecar refuses each of them, and for this cause. Over a batch that is refused since it is in
    /// plaintext, or bytes of a caller that may not call, a sidecar of the callee must turn connections away for that, where
    /// sidecars tell whether they do; who cannot be read before and after decides nothing.
    Refused {
        /// Batch or load.
        traffic: String,
        /// Why.
        because: RefusalCause,
    },
    /// From the step (0-based) on every sidecar that must hold a certificate then gets a new one, and shows none but its
    /// own and none after its end, as the machine of the harness tells the time. One that had ended when the step began is
    /// replaced within [`crate::patience::Patience::recovery`] of the end of the step's faults, or of its beginning. One that
    /// was watched for less than three quarters of its life may not have been due: nothing is decided then, unless a part of
    /// the mesh is killed or rolled out from the step on and it was watched to the end of the scenario. Who cannot be read any
    /// more, or whose pod leaves, is watched no longer.
    Renewed {
        /// Index of the act.
        since: usize,
    },
    /// From the step (0-based) on, until the next act that changes something, a certificate that takes another one's place comes
    /// on the stream on which that came: it is pushed, and no sidecar has to connect again for it. Judged by how often the
    /// streams have ended that certificates come by, where sidecars tell: between the first reading of a certificate and that of
    /// the next one, of one process. Nothing may be broken or rolled out before the step, and nothing is written, broken or
    /// replaced in that time, so that nobody else has a reason to end a stream.
    KeepsStream {
        /// Index of the act.
        since: usize,
    },
    /// From the step (0-based) on, until the next act that changes something, certificates are renewed after parts of their lives
    /// that differ by more than 0.036, one of eleven left out at either end, which late readings show longer or shorter: who began
    /// together does not come back to the authority together. Each is counted from the first reading that shows it to the first one
    /// that shows the next; certificates that took no other one's place in that time may have been kept for the sidecar, and do
    /// not count. With fewer than 20 nothing is decided, of fewer than 33 it is 0.034, and of fewer than 27 it is 0.026: nine
    /// sidecars need four times the longest pause and a little more for 27. Random parts over a tenth of a life differ by no more
    /// than that once in a million times at most. Nothing may be broken or rolled out before the step: who asks again after a
    /// failure is spread by that.
    SpreadsRenewals {
        /// Index of the act.
        since: usize,
    },
    /// While a fault is in force, this part of the mesh refuses at most so many requests a second for each sidecar whose
    /// certificate may be due by its end: who is refused asks again after pauses, and not at once. One may be due that took no
    /// other one's place, one of which two fifths of what was left of its life are over since it was shown first, and one whose
    /// place another one takes meanwhile. (By half of what is left, a late reading would leave out some that are due; by a third,
    /// some would count that are not.) As the part counts itself, from soon after the beginning of each fault to its end, without
    /// what probes ask in that time. Where it refuses nobody nothing is decided.
    BacksOff {
        /// By the name that the mesh definition gives it.
        component: String,
        /// For each sidecar, in the mean over all of them and the whole time. The mesh's duty.
        at_most: u32,
    },
    /// After the step (0-based), which replaces what certificates lead to, every certificate shows it within
    /// [`crate::patience::Patience::rotation`]: all lead to one new root, which the old ones are trusted beside; or were
    /// signed by a new intermediate below the same root; or no other root is trusted any more.
    Rotated {
        /// Index of the act.
        step: usize,
    },
    /// All the time every sidecar's certificate leads to a root that the sidecar itself and every other one of the cluster
    /// trusts, so that any two of them can meet. Where the mesh says where it publishes its trust bundle, that is what sidecars
    /// trust after each act `rotate`, within [`crate::patience::Patience::rotation`].
    Trusted,
    /// All certificates lead to one root and were signed by one issuer, all the time.
    SameRoot,
    /// The attempt is granted: the certificate carries the asking workload's own identity and no other.
    Granted {
        /// The attempt.
        ask: String,
        /// The longest that the certificate may be valid.
        at_most: Span,
    },
    /// The attempt is denied, and for this cause.
    Denied {
        /// The attempt.
        ask: String,
        /// Why.
        because: DenialCause,
    },
    /// The authority, which was asked, called what keeps its keys, and that has a call with this outcome in its audit log, within
    /// [`crate::patience::Patience::delivery`] of the answer. Entries do not say for whom the authority called, so one of
    /// another call at the same time will do.
    Audited {
        /// The attempt.
        ask: String,
        /// What became of the call.
        outcome: AuditOutcome,
    },
    /// The handshake is completed and its request answered with 200 by the workload that was called: past the caller's
    /// sidecar, over TLS with the certificate that was shown, and by a server that shows the callee's own identity, trusted
    /// by the mesh's roots.
    HandshakeAnswered {
        /// The handshake.
        handshake: String,
    },
    /// The callee's sidecar, which shows the callee's own identity, refuses the client with this alert.
    HandshakeRefused {
        /// The handshake.
        handshake: String,
        /// The alert, by its name in RFC 8446.
        with: Alert,
    },
    /// From `within` after a fault of the scenario began to its end, no request is lost or takes longer than `within`, and at
    /// least one is answered by somebody outside what the fault hit.
    FailsOver {
        /// Load.
        traffic: String,
        /// The mesh's duty to have moved the traffic.
        within: Span,
    },
    /// From the step of each fault to the fault's end, sidecars that it hits or that lost their control plane go on with unchanged
    /// configuration (toggles and rules; static stability), and are not started anew.
    Unchanged,
    /// After the fault, traffic from and to what it hit is answered again within
    /// [`crate::patience::Patience::recovery`].
    Recovers {
        /// Load.
        traffic: String,
    },
}
