//! What people and machines read about a run: lines for a terminal, JUnit, JSON, JSON lines, CTRF, a conformance report,
//! Markdown, annotations of CI services and one HTML file; and reports of several runs, compared and put together.
//!
//! Everything here reads [`RunEvent`]s. [`terminal`] and [`jsonl`] write while the run goes on; [`record`]
//! keeps what the documents ([`json`], [`junit`], [`html`]) need, and they are rendered from it at any time,
//! so that an interrupted run has them too.
//!
//! Invariant: a reporter cannot change a verdict or an exit code; it is told both.

use harness_model::run_event::RunEvent;

pub mod annotations;
pub mod compare;
pub mod conformance;
pub mod ctrf;
pub mod deviation;
pub mod fixture;
pub mod html;
pub mod json;
pub mod jsonl;
pub mod junit;
mod letters;
pub mod markdown;
pub mod merge;
pub mod record;
pub mod terminal;
pub mod timeline;
pub mod usage;
pub mod whereabouts;

/// Reads the events of a run, in order.
pub trait Reporter {
    /// Takes one event.
    ///
    /// # Errors
    ///
    /// When what it writes to does not take it.
    fn on(&mut self, event: &RunEvent) -> Result<(), ReportError>;
}

/// A report could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The stream or file did not take it.
    #[error("write {what}")]
    Write {
        /// What was written.
        what: &'static str,
        /// Why it was not taken.
        #[source]
        source: std::io::Error,
    },
    /// A value has no JSON form.
    #[error("render JSON")]
    Json(#[source] serde_json::Error),
    /// The JUnit document could not be rendered.
    #[error("render JUnit XML")]
    Junit(#[source] quick_junit::SerializeError),
    /// The HTML page could not be rendered.
    #[error("render HTML")]
    Html(#[source] askama::Error),
    /// The conformance report could not be rendered.
    #[error("render YAML")]
    Yaml(#[source] Box<serde_saphyr::ser::Error>),
}

impl ReportError {
    /// The reader of a stream has gone away, which is no error of ours.
    #[must_use]
    pub fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Write { source, .. } if source.kind() == std::io::ErrorKind::BrokenPipe)
    }
}
