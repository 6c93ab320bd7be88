//! What the node agent counts, in Prometheus' text form.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

/// The counters.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Streams that are open.
    pub streams: AtomicU64,
    /// Streams since the start.
    pub streams_total: AtomicU64,
    /// Streams refused for want of a valid identity.
    pub refused: AtomicU64,
    /// Pods that have an identity or are being given one.
    pub identities: AtomicU64,
    /// Certificates obtained.
    pub issued: AtomicU64,
    /// Certificates that took the place of another one.
    pub renewals: AtomicU64,
    /// Certificates that could not be obtained.
    pub failures: AtomicU64,
    /// Certificates that were served though not every stream of the pod had answered a bundle with their root.
    pub rootless: AtomicU64,
    /// Trust bundles taken.
    pub bundles: AtomicU64,
    /// Watches of the trust bundle that failed and were started again.
    pub bundle_watch_failures: AtomicU64,
    /// Watches of pods that failed and were started again.
    pub watch_failures: AtomicU64,
    /// Responses sent.
    pub responses: AtomicU64,
    /// Responses acknowledged.
    pub acknowledged: AtomicU64,
    /// Responses rejected.
    pub rejected: AtomicU64,
    /// Answers to responses that are not in flight.
    pub stale: AtomicU64,
    /// Times that the socket was bound.
    pub bound: AtomicU64,
}

impl Metrics {
    /// Prometheus' text form.
    #[must_use]
    pub fn text(&self) -> String {
        let gauges = [
            ("streams", "Open SDS streams.", &self.streams),
            (
                "identities",
                "Pods that have an identity or are being given one.",
                &self.identities,
            ),
        ];
        let counters = [
            (
                "streams_total",
                "SDS streams since the start.",
                &self.streams_total,
            ),
            (
                "refused_total",
                "Streams refused for want of a valid identity.",
                &self.refused,
            ),
            ("issued_total", "Certificates obtained.", &self.issued),
            (
                "renewals_total",
                "Certificates that took the place of another one.",
                &self.renewals,
            ),
            (
                "issue_failures_total",
                "Certificates that could not be obtained.",
                &self.failures,
            ),
            (
                "served_without_root_total",
                "Certificates served though their root had not arrived.",
                &self.rootless,
            ),
            ("bundles_total", "Trust bundles taken.", &self.bundles),
            (
                "bundle_watch_failures_total",
                "Watches of the trust bundle that were started again.",
                &self.bundle_watch_failures,
            ),
            (
                "watch_failures_total",
                "Watches of pods that were started again.",
                &self.watch_failures,
            ),
            ("responses_total", "Responses sent.", &self.responses),
            (
                "acknowledged_total",
                "Responses acknowledged.",
                &self.acknowledged,
            ),
            ("rejected_total", "Responses rejected.", &self.rejected),
            (
                "stale_total",
                "Answers to responses that are not in flight.",
                &self.stale,
            ),
            (
                "socket_bound_total",
                "Times that the socket was bound.",
                &self.bound,
            ),
        ];
        let mut text = String::new();
        let kinds = [
            ("gauge", gauges.as_slice()),
            ("counter", counters.as_slice()),
        ];
        for (kind, metrics) in kinds {
            for (name, help, value) in metrics {
                let value = value.load(Ordering::Relaxed);
                let _ = writeln!(
                    text,
                    "# HELP mesh_node_agent_{name} {help}\n# TYPE mesh_node_agent_{name} {kind}\nmesh_node_agent_{name} {value}"
                );
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_text() {
        let metrics = Metrics::default();
        metrics.rejected.fetch_add(2, Ordering::Relaxed);
        let text = metrics.text();
        assert!(text.contains("\nmesh_node_agent_rejected_total 2\n"));
        assert!(text.contains("# TYPE mesh_node_agent_streams gauge\nmesh_node_agent_streams 0\n"));
    }
}
