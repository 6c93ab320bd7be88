//! Counting what a JUnit file says.

use std::ops::AddAssign;

/// How tests or scenarios ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    /// How many passed.
    pub(crate) passed: usize,
    /// What failed, broke, or could not be decided, by name.
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

    /// Counts the cases of a JUnit document. Only its shape is looked at: a case ends where the next one begins.
    pub(crate) fn of_junit(text: &str) -> Self {
        let mut count = Self::default();
        for case in text.split("<testcase").skip(1) {
            if case.contains("<failure") || case.contains("<error") {
                count.failed.push(name(case));
            } else if case.contains("<skipped") {
                count.skipped += 1;
            } else {
                count.passed += 1;
            }
        }
        count
    }
}

/// The class and name of a case, and what its failure says first.
fn name(case: &str) -> String {
    let failure = case.split(['<', '>']).find(|tag| {
        let tag = tag.trim_start();
        tag.starts_with("failure") || tag.starts_with("error")
    });
    let case = case.split('>').next().unwrap_or_default();
    let mut name = [attribute(case, "classname"), attribute(case, "name")]
        .map(Option::unwrap_or_default)
        .join(" ");
    if let Some(message) = failure.and_then(|failure| attribute(failure, "message")) {
        name.push_str(": ");
        name.push_str(message);
    }
    name.trim_start().to_owned()
}

fn attribute<'a>(tag: &'a str, key: &str) -> Option<&'a str> {
    let (_, rest) = tag.split_once(&format!(" {key}=\""))?;
    rest.split('"').next()
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
        let text = r#"<testsuites><testsuite><testcase name="a"/><testcase name="b" classname="k"><failure/></testcase>
            <testcase name="c"><error message="x"/><system-out>&lt;testcase</system-out></testcase>
            <testcase name="d"><skipped/></testcase></testsuite></testsuites>"#;
        assert_eq!(
            Count::of_junit(text),
            Count {
                passed: 1,
                failed: vec!["k b".to_owned(), "c: x".to_owned()],
                skipped: 1
            }
        );
    }
}
