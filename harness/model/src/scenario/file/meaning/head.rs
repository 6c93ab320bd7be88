//! What a scenario is called and claims.

use super::Check;

/// Letters of a suite, and of a name in it. Each is the name of a folder among the artefacts, and a file system takes 255
/// bytes for one; reports, and whoever reads them, have room for less.
const LONGEST_PART: usize = 100;

impl Check {
    pub(super) fn name(&mut self, name: &str) {
        let kebab = |part: &str| {
            !part.is_empty()
                && part
                    .chars()
                    .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        };
        let parts = name
            .split_once('/')
            .filter(|(suite, rest)| kebab(suite) && kebab(rest));
        let Some((suite, rest)) = parts else {
            self.complain(
                format!("`{name}` is not a scenario name"),
                Some("write `suite/kebab-case-name`"),
            );
            return;
        };
        for (what, part) in [("suite", suite), ("name in its suite", rest)] {
            if part.len() > LONGEST_PART {
                let told = format!("a {what} of {} letters is too long", part.len());
                let hint = format!(
                    "at most {LONGEST_PART}: it is the name of a folder in which the history is kept"
                );
                self.complain(told, Some(&hint));
            }
        }
    }

    pub(super) fn claim(&mut self, claim: &str) {
        if claim.split_whitespace().count() < 3 {
            self.complain(
                "the claim is not a sentence",
                Some("say in the present tense what holds, so that it can be false"),
            );
        }
    }
}
