//! What the process ends with. Scripts read nothing else, so every code has one meaning.

use harness_model::run_event::Summary;
use harness_model::verdict::Verdict;

/// Exit codes, in the words of the README.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum ExitCode {
    /// All selected scenarios passed, or the command did what it was asked for.
    Success = 0,
    /// A scenario failed, a self-test does not match its matrix, two runs differ, or a private key was found.
    ScenarioFailed = 1,
    /// Wrong arguments or an invalid file.
    Usage = 2,
    /// The environment could not be prepared, or broke, or what is told could not be written.
    Environment = 3,
    /// Nothing was selected.
    NothingSelected = 4,
    /// A defect of meshproof itself.
    Internal = 5,
    /// A scenario could not be decided, or a scenario of the gate was skipped.
    Inconclusive = 11,
    /// Something of ours is left behind.
    LeftBehind = 12,
    /// Interrupted by SIGINT.
    Interrupted = 130,
    /// Interrupted by SIGTERM.
    Terminated = 143,
}

impl ExitCode {
    /// The number.
    pub(crate) const fn number(self) -> u8 {
        self as u8
    }

    /// The code of a run that was stopped by this signal.
    pub(crate) const fn of_signal(signal: i32) -> Self {
        match signal {
            15 => Self::Terminated,
            _ => Self::Interrupted,
        }
    }

    /// The code where the verdicts could not be told: they count for nothing then, but what endangers others does.
    pub(crate) const fn untold(self) -> Self {
        match self {
            Self::LeftBehind | Self::Interrupted | Self::Terminated => self,
            _ => Self::Environment,
        }
    }

    /// The code of a verdict.
    pub(crate) const fn of_verdict(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Passed => Self::Success,
            Verdict::Inconclusive => Self::Inconclusive,
            Verdict::Failed => Self::ScenarioFailed,
        }
    }

    /// The code of what did not come to its own end; none where it did. What endangers others outranks what was found:
    /// something left behind, then a signal, then an environment that was not there or broke.
    pub(crate) const fn of_end(
        left_behind: bool,
        signal: Option<i32>,
        environment_error: bool,
    ) -> Option<Self> {
        match (left_behind, signal) {
            (true, _) => Some(Self::LeftBehind),
            (false, Some(signal)) => Some(Self::of_signal(signal)),
            (false, None) if environment_error => Some(Self::Environment),
            (false, None) => None,
        }
    }

    /// The code of a run: how it ended, then scenarios that do not fit the environment, then the verdicts. `partial` says
    /// that a scenario of the gate was skipped, which is never green.
    pub(crate) fn of_run(summary: &Summary, partial: bool) -> Self {
        let left_behind = !summary.left_behind.is_empty();
        let broken = summary.environment_error.is_some();
        if let Some(end) = Self::of_end(left_behind, summary.interrupted, broken) {
            end
        } else if !summary.unknown_names.is_empty() {
            Self::Usage
        } else if summary.failed > 0 || !summary.exposed_keys.is_empty() {
            Self::ScenarioFailed
        } else if summary.inconclusive > 0
            || !summary.not_searched.is_empty()
            || summary.not_run > 0
            || partial
            || summary.passed == 0
        {
            Self::Inconclusive
        } else {
            Self::Success
        }
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code.number())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(change: impl FnOnce(&mut Summary)) -> Summary {
        let mut summary = Summary {
            passed: 3,
            ..Summary::default()
        };
        change(&mut summary);
        summary
    }

    #[test]
    fn only_a_run_without_any_doubt_is_green() {
        let of = |change: fn(&mut Summary)| ExitCode::of_run(&summary(change), false).number();
        assert_eq!(of(|_| ()), 0);
        assert_eq!(of(|s| s.skipped = 2), 0);
        assert_eq!(of(|s| s.failed = 1), 1);
        assert_eq!(of(|s| s.environment_error = Some("no".to_owned())), 3);
        assert_eq!(of(|s| s.unknown_names = vec!["$zone9".to_owned()]), 2);
        assert_eq!(of(|s| s.inconclusive = 1), 11);
        assert_eq!(of(|s| s.passed = 0), 11);
        assert_eq!(of(|s| s.not_run = 1), 11);
        assert_eq!(of(|s| s.exposed_keys = vec!["a log".to_owned()]), 1);
        assert_eq!(of(|s| s.not_searched = vec!["a log".to_owned()]), 11);
        assert_eq!(of(|s| s.left_behind = vec!["a mount".to_owned()]), 12);
        assert_eq!(of(|s| s.interrupted = Some(2)), 130);
        assert_eq!(of(|s| s.interrupted = Some(15)), 143);
        assert_eq!(ExitCode::of_run(&summary(|_| ()), true).number(), 11);
    }

    #[test]
    fn a_verdict_that_is_not_told_is_no_verdict() {
        for verdict in [ExitCode::Success, ExitCode::ScenarioFailed] {
            assert_eq!(verdict.untold(), ExitCode::Environment);
        }
        assert_eq!(ExitCode::LeftBehind.untold(), ExitCode::LeftBehind);
    }

    #[test]
    fn what_is_left_behind_outranks_everything() {
        let all = summary(|s| {
            s.failed = 1;
            s.interrupted = Some(2);
            s.environment_error = Some("no".to_owned());
            s.left_behind = vec!["a mount".to_owned()];
        });
        assert_eq!(ExitCode::of_run(&all, false), ExitCode::LeftBehind);
    }
}
