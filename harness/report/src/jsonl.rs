//! Every event of a run as one line of JSON, for programs that follow it.

use crate::{ReportError, Reporter};
use harness_model::run_event::RunEvent;
use std::io::Write;

/// Writes one JSON object a line.
pub struct JsonLines<W> {
    out: W,
}

impl<W: Write> JsonLines<W> {
    /// Writes every event, those of the scenarios' histories among them.
    pub const fn new(out: W) -> Self {
        Self { out }
    }
}

impl<W: Write> Reporter for JsonLines<W> {
    fn on(&mut self, event: &RunEvent) -> Result<(), ReportError> {
        let mut line = serde_json::to_vec(event).map_err(ReportError::Json)?;
        line.push(b'\n');
        self.out
            .write_all(&line)
            .and_then(|()| self.out.flush())
            .map_err(|source| ReportError::Write {
                what: "an event",
                source,
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_an_event_and_reads_back() {
        let mut out = Vec::new();
        let mut lines = JsonLines::new(&mut out);
        let events = crate::fixture::events();
        for event in &events {
            lines.on(event).expect("a vector takes everything");
        }
        let text = String::from_utf8(out).expect("JSON is UTF-8");
        let back: Vec<RunEvent> = text
            .lines()
            .map(|line| serde_json::from_str(line).expect("each line is an event"))
            .collect();
        assert_eq!(back, events);
    }
}
