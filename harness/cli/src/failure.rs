//! Errors as people read them, rendered in one place: `error: failed to ...`, `caused by: ...`, `hint: ...`.

use crate::exit_code::ExitCode;
use harness_model::causes::words;
use harness_model::document::Problems;
use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteDiagnostic, NamedSource};
use std::error::Error;
use std::fmt;

/// Why a command did not do what it was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// What the process ends with.
    pub(crate) exit: ExitCode,
    details: Box<Details>,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Details {
    /// What was tried, as a fragment that fits "failed to ...".
    attempt: String,
    /// Why it failed, outermost first.
    causes: Vec<String>,
    /// Facts beside each other, none the cause of another.
    items: Vec<String>,
    /// What the user can do about it.
    hints: Vec<String>,
    /// Mistakes in files, each with its place.
    files: Vec<FileProblems>,
    /// Failures of the same command that have nothing to do with this one.
    others: Vec<Failure>,
}

#[derive(Debug, PartialEq, Eq)]
struct FileProblems {
    text: String,
    problems: Problems,
}

impl Failure {
    /// A failure without a cause of its own.
    pub(crate) fn new(exit: ExitCode, attempt: impl Into<String>) -> Self {
        Self {
            exit,
            details: Box::new(Details {
                attempt: attempt.into(),
                ..Details::default()
            }),
        }
    }

    /// Adds an error and everything that caused it; what only repeats its cause is left out.
    pub(crate) fn because(mut self, error: &dyn Error) -> Self {
        for text in words(error) {
            if self.details.causes.last() != Some(&text) {
                self.details.causes.push(text);
            }
        }
        self
    }

    /// Adds a reason in words.
    pub(crate) fn reason(mut self, reason: impl Into<String>) -> Self {
        self.details.causes.push(reason.into());
        self
    }

    /// Adds one of several facts that stand beside each other.
    pub(crate) fn item(mut self, item: impl Into<String>) -> Self {
        self.details.items.push(item.into());
        self
    }

    /// Adds a hint.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.details.hints.push(hint.into());
        self
    }

    /// Adds a hint where there is one.
    pub(crate) fn hint_opt(self, hint: Option<impl Into<String>>) -> Self {
        match hint {
            Some(hint) => self.hint(hint),
            None => self,
        }
    }

    /// Adds the mistakes of a file, to be shown within its text.
    pub(crate) fn in_file(mut self, text: &str, problems: Problems) -> Self {
        self.details.files.push(FileProblems {
            text: text.to_owned(),
            problems,
        });
        self
    }

    /// Adds a failure that has nothing to do with this one. Wrong arguments are mended first, so their exit code goes before
    /// others.
    fn beside(mut self, other: Self) -> Self {
        if other.exit == ExitCode::Usage {
            self.exit = ExitCode::Usage;
        }
        self.details.others.push(other);
        self
    }

    /// The causes in one line, for a summary.
    pub(crate) fn one_line(&self) -> String {
        let mut line = self.details.attempt.clone();
        for cause in self.details.causes.iter().chain(&self.details.items) {
            line.push_str(": ");
            line.push_str(cause);
        }
        for other in &self.details.others {
            line.push_str("; ");
            line.push_str(&other.one_line());
        }
        line
    }

    /// What the user reads.
    pub(crate) fn render(&self, colour: bool) -> String {
        let (red, yellow, plain) = if colour {
            ("\u{1b}[31;1m", "\u{1b}[33;1m", "\u{1b}[0m")
        } else {
            ("", "", "")
        };
        let mut text = format!("{red}error{plain}: failed to {}\n", self.details.attempt);
        for cause in &self.details.causes {
            text.push_str("  caused by: ");
            text.push_str(&cause.trim_end().replace('\n', "\n    "));
            text.push('\n');
        }
        for item in &self.details.items {
            text.push_str("  ");
            text.push_str(item);
            text.push('\n');
        }
        for file in &self.details.files {
            text.push('\n');
            text.push_str(&snippets(file, colour));
        }
        if !self.details.hints.is_empty() {
            text.push('\n');
        }
        for hint in &self.details.hints {
            text.push_str(&format!("{yellow}hint{plain}: {hint}\n"));
        }
        for other in &self.details.others {
            text.push('\n');
            text.push_str(&other.render(colour));
        }
        text
    }
}

/// The failures of one command so far, so that all of them are told and not only the first.
#[derive(Debug, Default)]
pub(crate) struct Failures(Vec<Failure>);

impl Failures {
    /// What was made of an argument; where it failed, the failure is kept until the end.
    pub(crate) fn keep<T>(&mut self, outcome: Result<T, Failure>) -> Option<T> {
        match outcome {
            Ok(value) => Some(value),
            Err(failure) => {
                // Two arguments may have failed for the same reason.
                if !self.0.contains(&failure) {
                    self.0.push(failure);
                }
                None
            }
        }
    }

    /// What was made of all arguments, or every failure; neither is a defect of ours.
    pub(crate) fn end<T>(self, made: Option<T>) -> Result<T, Failure> {
        let mut failures = self.0.into_iter();
        match (failures.next(), made) {
            (Some(first), _) => Err(failures.fold(first, Failure::beside)),
            (None, Some(made)) => Ok(made),
            (None, None) => Err(Failure::new(
                ExitCode::Internal,
                "say what is wrong with the arguments",
            )),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.one_line())
    }
}

fn snippets(file: &FileProblems, colour: bool) -> String {
    let theme = if colour {
        GraphicalTheme::unicode()
    } else {
        GraphicalTheme::unicode_nocolor()
    };
    let handler = GraphicalReportHandler::new_themed(theme)
        .with_links(false)
        .with_context_lines(1);
    let mut text = String::new();
    for problem in &file.problems.problems {
        let name = &file.problems.file;
        let mut diagnostic = MietteDiagnostic::new(problem.message.clone());
        if let Some(hint) = &problem.hint {
            diagnostic = diagnostic.with_help(hint.clone());
        }
        let report = match place(&file.text, problem.line, problem.column) {
            Some((offset, length)) => miette::Report::new(
                diagnostic.with_label(LabeledSpan::new_with_span(None, (offset, length))),
            )
            .with_source_code(NamedSource::new(name, file.text.clone())),
            None => miette::Report::new(diagnostic),
        };
        if handler.render_report(&mut text, report.as_ref()).is_err() {
            text.push_str(&format!(
                "{name}:{}:{}: {}",
                problem.line, problem.column, problem.message
            ));
        }
        text.push('\n');
    }
    text
}

/// Byte offset and length of the word at a line and column (both from 1).
fn place(text: &str, line: u64, column: u64) -> Option<(usize, usize)> {
    let line = usize::try_from(line).ok()?.checked_sub(1)?;
    let start = text
        .split_inclusive('\n')
        .take(line)
        .map(str::len)
        .sum::<usize>();
    let rest = text.get(start..)?.lines().next()?;
    let column = usize::try_from(column).ok()?.saturating_sub(1);
    let (offset, _) = rest.char_indices().nth(column).unwrap_or((rest.len(), ' '));
    let length = rest[offset..]
        .find(|c: char| c.is_whitespace() || ":,]}".contains(c))
        .unwrap_or(rest.len() - offset)
        .max(1);
    Some((
        start + offset,
        length.min(text.len().saturating_sub(start + offset)),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use harness_model::document::Problem;

    #[test]
    fn a_chain_reads_from_the_attempt_to_the_root() {
        #[derive(Debug, thiserror::Error)]
        #[error("read {0}")]
        struct Read(&'static str, #[source] std::io::Error);
        let error = Read("a.yaml", std::io::Error::other("disk on fire"));
        let failure = Failure::new(ExitCode::Usage, "load the topology `a.yaml`")
            .because(&error)
            .hint("put it out");
        assert_eq!(
            failure.render(false),
            "error: failed to load the topology `a.yaml`\n  caused by: read a.yaml\n  caused by: disk on fire\n\nhint: put it out\n"
        );
    }

    #[test]
    fn failures_are_told_together_and_wrong_arguments_decide_the_exit_code() {
        let mut failures = Failures::default();
        let cluster = Failure::new(ExitCode::Environment, "use the cluster `a`").hint("make it");
        assert_eq!(failures.keep::<u8>(Err(cluster)), None);
        assert_eq!(failures.keep(Ok(7)), Some(7));
        let image =
            || Failure::new(ExitCode::Usage, "replace the image `b`").reason("no such file");
        assert_eq!(failures.keep::<u8>(Err(image())), None);
        assert_eq!(failures.keep::<u8>(Err(image())), None, "once is enough");
        let both = failures.end(Some(7)).expect_err("two are wrong");
        assert_eq!(both.exit, ExitCode::Usage);
        assert_eq!(
            both.render(false),
            "error: failed to use the cluster `a`\n\nhint: make it\n\nerror: failed to replace the image `b`\n  caused by: no such file\n"
        );
        assert_eq!(
            both.one_line(),
            "use the cluster `a`; replace the image `b`: no such file"
        );
        assert_eq!(Failures::default().end(Some(7)).ok(), Some(7));
    }

    #[test]
    fn a_mistake_in_a_file_is_shown_at_its_place() {
        let text = "name: a\ncuont: 3\n";
        let failure = Failure::new(ExitCode::Usage, "read s.yaml").in_file(
            text,
            Problems {
                file: "s.yaml".to_owned(),
                problems: vec![Problem {
                    line: 2,
                    column: 1,
                    message: "unknown field `cuont`".to_owned(),
                    hint: Some("did you mean `count`?".to_owned()),
                }],
            },
        );
        let shown = failure.render(false);
        assert!(shown.contains("s.yaml:2:1"), "{shown}");
        assert!(shown.contains("did you mean `count`?"), "{shown}");
    }

    #[test]
    fn a_place_is_found_in_text_that_is_not_ascii() {
        assert_eq!(place("ä: 1\nb: zwölf\n", 2, 4), Some((9, 6)));
        assert_eq!(place("a", 7, 1), None);
    }
}
