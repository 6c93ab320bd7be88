//! Counting what a JUnit file says.

use quick_junit::{Report, TestCaseStatus};
use std::ops::AddAssign;

/// How many lines of what was expected and observed are told of a failure.
const DETAIL: usize = 16;

/// How tests or scenarios ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    /// How many passed.
    pub(crate) passed: usize,
    /// What failed, broke, or could not be decided: by name, and what was expected and observed in further lines.
    pub(crate) failed: Vec<String>,
    /// How many were not run.
    pub(crate) skipped: usize,
}

impl Count {
    /// One that passed.
    pub(crate) const ONE_PASSED: Self = Self {
        passed: 1,
        failed: Vec::new(),
        skipped: 0,
    };

    /// One that was not run.
    pub(crate) const ONE_SKIPPED: Self = Self {
        passed: 0,
        failed: Vec::new(),
        skipped: 1,
    };

    /// One that failed.
    pub(crate) fn one_failed(what: impl Into<String>) -> Self {
        Self {
            failed: vec![what.into()],
            ..Self::default()
        }
    }

    /// Counts the cases of a JUnit document.
    ///
    /// # Errors
    ///
    /// When it is none.
    pub(crate) fn of_junit(text: &str) -> anyhow::Result<Self> {
        let report = Report::deserialize_from_str(text)?;
        let suites = report.test_suites.iter();
        let cases = suites.flat_map(|suite| suite.test_cases.iter().map(move |case| (suite, case)));
        let mut count = Self::default();
        for (suite, case) in cases {
            match &case.status {
                TestCaseStatus::Success { .. } => count.passed += 1,
                TestCaseStatus::Skipped { .. } => count.skipped += 1,
                TestCaseStatus::NonSuccess {
                    message,
                    description,
                    ..
                } => {
                    let class = case.classname.as_ref().unwrap_or(&suite.name);
                    let mut told = format!("{} {}", class.as_str(), case.name.as_str());
                    if let Some(message) = message {
                        told.push_str(": ");
                        told.push_str(message);
                    }
                    for line in description
                        .iter()
                        .flat_map(|text| text.lines())
                        .take(DETAIL)
                    {
                        told.push_str("\n    ");
                        told.push_str(line.trim());
                    }
                    count.failed.push(told);
                }
            }
        }
        Ok(count)
    }
}

/// How many tests nextest skips because they are ignored: its JUnit leaves them out. `list` is what `cargo nextest list
/// --run-ignored only --message-format json` says: what it selects is what a run does not.
pub(crate) fn ignored_in_list(list: &str) -> serde_json::Result<usize> {
    let list: serde_json::Value = serde_json::from_str(list)?;
    let suites = list["rust-suites"].as_object();
    Ok(suites
        .into_iter()
        .flatten()
        .flat_map(|(_, suite)| suite["testcases"].as_object().into_iter().flatten())
        .filter(|(_, case)| case["filter-match"]["status"] == "matches")
        .count())
}

impl AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed.extend(other.failed);
        self.skipped += other.skipped;
    }
}

impl std::fmt::Display for Count {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            formatter,
            "{} passed, {} failed, {} skipped",
            self.passed,
            self.failed.len(),
            self.skipped
        )
    }
}

#[cfg(test)]
mod tests {
    use super::{Count, ignored_in_list};

    #[test]
    fn ignored_tests_are_counted_where_the_profile_would_run_them() {
        let list = r#"{"rust-build-meta": {}, "test-count": 3, "rust-suites": {
            "a": {"testcases": {
                "runs": {"ignored": false, "filter-match": {"status": "mismatch", "reason": "ignored"}},
                "ignored": {"ignored": true, "filter-match": {"status": "matches"}}}},
            "b": {"testcases": {
                "other": {"ignored": true, "filter-match": {"status": "mismatch", "reason": "default-filter"}}}}}}"#;
        assert_eq!(ignored_in_list(list).unwrap(), 1);
        assert!(ignored_in_list("no list").is_err());
    }

    #[test]
    fn each_case_counts_once() {
        let text = r#"<testsuites name="t" tests="4" failures="1" errors="1">
            <testsuite name="s" tests="4" skipped="1" errors="1" failures="1">
            <testcase name="a"/><testcase name="b" classname="k"><failure message="m">expected  &lt;1
                observed  2</failure></testcase>
            <testcase name="c"><error/></testcase>
            <testcase name="d"><skipped/></testcase></testsuite></testsuites>"#;
        assert_eq!(
            Count::of_junit(text).unwrap(),
            Count {
                passed: 1,
                failed: vec![
                    "k b: m\n    expected  <1\n    observed  2".to_owned(),
                    "s c".to_owned()
                ],
                skipped: 1
            }
        );
        assert!(Count::of_junit("<testsuites>").is_err());
    }
}
