//! What the key service counts, in Prometheus' text form.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

/// The methods, in the order of [`Metrics`].
pub const METHODS: [&str; 4] = ["CreateKey", "RotateKey", "ListKeys", "Sign"];

/// Calls by method.
#[derive(Debug, Default)]
pub struct Metrics {
    answered: [AtomicU64; METHODS.len()],
    refused: [AtomicU64; METHODS.len()],
}

impl Metrics {
    /// Counts a call that was answered.
    pub fn answered(&self, method: &str) {
        count(&self.answered, method);
    }

    /// Counts a call that was refused or failed.
    pub fn refused(&self, method: &str) {
        count(&self.refused, method);
    }

    /// Prometheus' text form.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        let families = [
            (
                "answered_total",
                "Calls that were answered.",
                &self.answered,
            ),
            (
                "refused_total",
                "Calls that were refused or failed.",
                &self.refused,
            ),
        ];
        for (name, help, counters) in families {
            let _ = writeln!(
                text,
                "# HELP mesh_key_service_{name} {help}\n# TYPE mesh_key_service_{name} counter"
            );
            for (method, counter) in METHODS.iter().zip(counters) {
                let value = counter.load(Ordering::Relaxed);
                let _ = writeln!(
                    text,
                    "mesh_key_service_{name}{{method=\"{method}\"}} {value}"
                );
            }
        }
        text
    }
}

fn count(counters: &[AtomicU64], method: &str) {
    if let Some(place) = METHODS.iter().position(|known| *known == method) {
        counters[place].fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_text() {
        let metrics = Metrics::default();
        metrics.refused("Sign");
        let text = metrics.text();
        assert!(text.contains("mesh_key_service_refused_total{method=\"Sign\"} 1\n"));
        assert!(text.contains("mesh_key_service_answered_total{method=\"Sign\"} 0\n"));
    }
}
