//! What the control plane counts, in Prometheus' text form.

use crate::snapshot::Kind;
use crate::stream::Form;
use crate::wire::Size;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// The counters.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Streams that are open.
    pub streams: AtomicI64,
    /// Streams that are open, by form.
    pub streams_by_form: BTreeMap<Form, AtomicI64>,
    /// Streams since the start.
    pub streams_total: AtomicU64,
    /// Streams refused for want of a valid identity.
    pub refused: AtomicU64,
    /// Worlds published.
    pub worlds: AtomicU64,
    /// Watches that failed and were started again.
    pub watch_failures: AtomicU64,
    /// Status writes.
    pub status_writes: AtomicU64,
    /// Responses, acknowledgements, rejections and stale answers by type.
    pub kinds: BTreeMap<Kind, KindMetrics>,
}

/// The counters of one type.
#[derive(Debug, Default)]
pub struct KindMetrics {
    /// Responses sent.
    pub responses: AtomicU64,
    /// Resources in them.
    pub resources: AtomicU64,
    /// Names told as gone in them.
    pub removed: AtomicU64,
    /// Responses acknowledged.
    pub acknowledged: AtomicU64,
    /// Responses rejected.
    pub rejected: AtomicU64,
    /// Answers to superseded responses.
    pub stale: AtomicU64,
}

type Counter = fn(&KindMetrics) -> &AtomicU64;

impl Metrics {
    /// All zero.
    #[must_use]
    pub fn new() -> Self {
        Self {
            streams_by_form: Form::ALL
                .into_iter()
                .map(|form| (form, AtomicI64::new(0)))
                .collect(),
            kinds: Kind::ALL
                .into_iter()
                .map(|kind| (kind, KindMetrics::default()))
                .collect(),
            ..Self::default()
        }
    }

    /// Counts one more of something of a type.
    pub fn count(&self, kind: Kind, counter: impl Fn(&KindMetrics) -> &AtomicU64) {
        if let Some(metrics) = self.kinds.get(&kind) {
            counter(metrics).fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts a response.
    pub fn sent(&self, size: Size) {
        if let Some(metrics) = self.kinds.get(&size.kind) {
            metrics.responses.fetch_add(1, Ordering::Relaxed);
            let add = |counter: &AtomicU64, count: usize| {
                counter.fetch_add(count as u64, Ordering::Relaxed);
            };
            add(&metrics.resources, size.resources);
            add(&metrics.removed, size.removed);
        }
    }

    /// Prometheus' text form.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        let single = [
            (
                "streams",
                "gauge",
                "Open ADS streams.",
                self.streams.load(Ordering::Relaxed),
            ),
            (
                "streams_total",
                "counter",
                "ADS streams since the start.",
                load(&self.streams_total),
            ),
            (
                "refused_total",
                "counter",
                "Streams refused for want of a valid identity.",
                load(&self.refused),
            ),
            (
                "worlds_total",
                "counter",
                "States published to streams.",
                load(&self.worlds),
            ),
            (
                "watch_failures_total",
                "counter",
                "Watches that were started again.",
                load(&self.watch_failures),
            ),
            (
                "status_writes_total",
                "counter",
                "Status writes.",
                load(&self.status_writes),
            ),
        ];
        for (name, kind, help, value) in single {
            head(&mut text, name, kind, help);
            let _ = writeln!(text, "mesh_control_plane_{name} {value}");
        }
        let name = "streams_by_form";
        head(&mut text, name, "gauge", "Open ADS streams by form.");
        for (form, streams) in &self.streams_by_form {
            let (form, value) = (form.short(), streams.load(Ordering::Relaxed));
            let _ = writeln!(text, "mesh_control_plane_{name}{{form=\"{form}\"}} {value}");
        }
        let by_kind: [(&str, &str, Counter); 6] = [
            ("responses_total", "Responses sent.", |m| &m.responses),
            ("resources_total", "Resources in responses sent.", |m| {
                &m.resources
            }),
            (
                "removed_total",
                "Names told as gone in responses sent (delta form only).",
                |m| &m.removed,
            ),
            ("acknowledged_total", "Responses acknowledged.", |m| {
                &m.acknowledged
            }),
            ("rejected_total", "Responses rejected.", |m| &m.rejected),
            ("stale_total", "Answers to superseded responses.", |m| {
                &m.stale
            }),
        ];
        for (name, help, counter) in by_kind {
            head(&mut text, name, "counter", help);
            for (kind, metrics) in &self.kinds {
                let value = load(counter(metrics));
                let kind = kind.short();
                let _ = writeln!(text, "mesh_control_plane_{name}{{type=\"{kind}\"}} {value}");
            }
        }
        text
    }
}

fn load(counter: &AtomicU64) -> i64 {
    i64::try_from(counter.load(Ordering::Relaxed)).unwrap_or(i64::MAX)
}

fn head(text: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(
        text,
        "# HELP mesh_control_plane_{name} {help}\n# TYPE mesh_control_plane_{name} {kind}"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_text() {
        let metrics = Metrics::new();
        metrics.count(Kind::Routes, |m| &m.rejected);
        let text = metrics.text();
        assert!(text.contains("mesh_control_plane_rejected_total{type=\"RDS\"} 1\n"));
        assert!(
            text.contains(
                "# TYPE mesh_control_plane_streams gauge\nmesh_control_plane_streams 0\n"
            )
        );
    }
}
