//! The stored form of a history: JSON lines. A header line says whose history follows, then one line for each
//! event. One file may hold the histories of several scenarios, one after another.
//!
//! Invariant: a history file alone is enough to judge again; nothing else is consulted.

use crate::history::Event;
use crate::patience::Patience;
use crate::scenario::Scenario;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The format written by this version; files of another one are refused.
pub const FORMAT: &str = "meshproof.io/history/v1";

/// What it is called in the folder of its scenario (see [`folder`]).
pub const NAME: &str = "history.jsonl";

/// Whose history follows, with everything that judging needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Header {
    /// Always [`FORMAT`].
    pub format: String,
    /// The run it was recorded in.
    pub run: String,
    /// The seed of everything random in that run.
    pub seed: u64,
    /// 1 for the first repetition.
    pub repetition: u32,
    /// The bounds that were in force.
    pub patience: Patience,
    /// The data centers in the topology's order.
    pub data_centers: Vec<String>,
    /// The scenario as it was run.
    pub scenario: Scenario,
}

/// One recorded history.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    /// Whose it is.
    pub header: Header,
    /// What was seen.
    pub events: Vec<Event>,
}

/// One mistake in a history file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct Problem {
    /// Line, from 1.
    pub line: usize,
    /// What is wrong, as a lowercase fragment.
    pub message: String,
}

/// The folder of one scenario's repetition (1 for the first) below an artefact folder. A name does not lead out of it.
#[must_use]
pub fn folder(scenario: &str, repetition: u32) -> PathBuf {
    let name: String = scenario
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '/' || c == '_' {
                c
            } else {
                '-'
            }
        })
        .collect();
    let folder = PathBuf::from("scenarios").join(name.trim_matches('/'));
    if repetition == 1 {
        folder
    } else {
        folder.join(format!("repetition-{repetition}"))
    }
}

/// The file's text.
#[must_use]
pub fn print(recorded: &Recorded) -> String {
    let mut text = line(&recorded.header);
    for event in &recorded.events {
        text.push_str(&line(event));
    }
    text
}

/// One line of a file, with its end: the header or one event, for those who write while they record.
#[must_use]
pub fn line<T: Serialize>(part: &T) -> String {
    let mut text = serde_json::to_string(part)
        .expect("headers and events are plain data with text keys, which always serialise");
    text.push('\n');
    text
}

/// Reads all histories of a file.
///
/// # Errors
///
/// Every line that is neither a header of this format nor an event, and a file without a header.
pub fn parse(text: &str) -> Result<Vec<Recorded>, Vec<Problem>> {
    let mut histories: Vec<Recorded> = Vec::new();
    let mut problems = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let mut complain = |message: String| {
            problems.push(Problem {
                line: index + 1,
                message,
            });
        };
        let value: serde_json::Value = match serde_json::from_str(line) {
            Ok(value) => value,
            Err(error) => {
                complain(format!("not JSON: {error}"));
                continue;
            }
        };
        match value.get("format") {
            Some(format) if format == FORMAT => match serde_json::from_value(value) {
                Ok(header) => histories.push(Recorded {
                    header,
                    events: Vec::new(),
                }),
                Err(error) => complain(format!("not a header: {error}")),
            },
            Some(format) => complain(format!("format {format} is not `{FORMAT}`")),
            None => match (serde_json::from_value(value), histories.last_mut()) {
                (Ok(event), Some(history)) => history.events.push(event),
                (Ok(_), None) => complain("an event before the first header".to_owned()),
                (Err(error), _) => complain(format!("not an event: {error}")),
            },
        }
    }
    if histories.is_empty() && problems.is_empty() {
        problems.push(Problem {
            line: 1,
            message: "the file holds no history".to_owned(),
        });
    }
    if problems.is_empty() {
        Ok(histories)
    } else {
        Err(problems)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::EventKind;
    use crate::scenario::Act;
    use crate::testing::scenario;

    fn recorded() -> Recorded {
        Recorded {
            header: Header {
                format: FORMAT.to_owned(),
                run: "r".to_owned(),
                seed: 7,
                repetition: 1,
                patience: Patience::default(),
                data_centers: vec!["zone1".to_owned()],
                scenario: scenario(vec![Act::Reconnect]),
            },
            events: vec![
                Event {
                    at_ns: 1,
                    step: Some(0),
                    kind: EventKind::StepStarted,
                },
                Event {
                    at_ns: 2,
                    step: None,
                    kind: EventKind::MarkerWritten {
                        marker: "m".to_owned(),
                    },
                },
                Event {
                    at_ns: 3,
                    step: None,
                    kind: EventKind::Observed(Box::new(crate::testing::reading("a@zone1", "u"))),
                },
            ],
        }
    }

    #[test]
    fn what_is_printed_is_read_back() {
        let text = print(&recorded()) + "\n" + &print(&recorded());
        assert_eq!(parse(&text), Ok(vec![recorded(), recorded()]));
    }

    #[test]
    fn every_bad_line_is_named() {
        let good = print(&recorded());
        let header = good.lines().next().expect("a header").to_owned();
        let other = header.replace("history/v1", "history/v2");
        let text = format!(
            "{}\n{header}\nnot json\n{{\"event\":\"dance\",\"atNs\":1}}\n{other}\n{{\"format\":\"{FORMAT}\"}}\n",
            line(&recorded().events[0]).trim(),
        );
        let problems = parse(&text).expect_err("it is full of mistakes");
        let lines: Vec<usize> = problems.iter().map(|p| p.line).collect();
        assert_eq!(lines, [1, 3, 4, 5, 6]);
        assert!(problems[0].message.contains("before the first header"));
        assert!(problems[3].to_string().starts_with("line 5: format"));
    }

    #[test]
    fn a_file_without_history_is_refused() {
        assert_eq!(
            parse("\n\n").expect_err("it is empty")[0].message,
            "the file holds no history"
        );
    }
}
