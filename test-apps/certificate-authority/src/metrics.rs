//! What the authority counts, in Prometheus' text form.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

/// The counters, and what was set last.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Certificates issued to pods.
    pub issued: AtomicU64,
    /// Requests that were refused, of whichever kind.
    pub refused: AtomicU64,
    /// Tries of the key service that failed.
    pub key_service_failures: AtomicU64,
    /// Tries of the key service that it has denied, which are among those that failed.
    pub key_service_denials: AtomicU64,
    /// Watches that failed and were started again.
    pub watch_failures: AtomicU64,
    /// Turns of keeping roots and intermediates that failed.
    pub keeping_failures: AtomicU64,
    /// Roots in the trust bundle.
    pub trusted_roots: AtomicU64,
    /// Namespaces that have the trust bundle.
    pub bundle_namespaces: AtomicU64,
    /// The version of the root that is issued below; 0 before there is one.
    pub issuing_root: AtomicU64,
    /// The version of the intermediate that is issued below; 0 before there is one.
    pub issuing_intermediate: AtomicU64,
}

impl Metrics {
    /// Prometheus' text form; `streams` is how many watch the trust bundle.
    #[must_use]
    pub fn text(&self, streams: usize) -> String {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let families = [
            (
                "issued_total",
                "counter",
                "Certificates issued to pods.",
                load(&self.issued),
            ),
            (
                "refused_total",
                "counter",
                "Requests that were refused.",
                load(&self.refused),
            ),
            (
                "key_service_failures_total",
                "counter",
                "Tries of the key service that failed.",
                load(&self.key_service_failures),
            ),
            (
                "key_service_denials_total",
                "counter",
                "Tries of the key service that it has denied: this authority is not among its clients.",
                load(&self.key_service_denials),
            ),
            (
                "watch_failures_total",
                "counter",
                "Watches that were started again.",
                load(&self.watch_failures),
            ),
            (
                "keeping_failures_total",
                "counter",
                "Turns of keeping roots and intermediates that failed.",
                load(&self.keeping_failures),
            ),
            (
                "trusted_roots",
                "gauge",
                "Roots in the trust bundle.",
                load(&self.trusted_roots),
            ),
            (
                "bundle_namespaces",
                "gauge",
                "Namespaces that have the trust bundle.",
                load(&self.bundle_namespaces),
            ),
            (
                "issuing_root",
                "gauge",
                "Version of the root that is issued below.",
                load(&self.issuing_root),
            ),
            (
                "issuing_intermediate",
                "gauge",
                "Version of the intermediate that is issued below.",
                load(&self.issuing_intermediate),
            ),
            (
                "bundle_streams",
                "gauge",
                "Streams of the trust bundle that are open.",
                streams as u64,
            ),
        ];
        let mut text = String::new();
        for (name, kind, help, value) in families {
            let name = format!("mesh_certificate_authority_{name}");
            let _ = writeln!(
                text,
                "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}"
            );
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
        metrics.issued.fetch_add(3, Ordering::Relaxed);
        let text = metrics.text(2);
        assert!(text.contains("\nmesh_certificate_authority_issued_total 3\n"));
        assert!(text.contains(
            "# TYPE mesh_certificate_authority_bundle_streams gauge\nmesh_certificate_authority_bundle_streams 2\n"
        ));
    }
}
