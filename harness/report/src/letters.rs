//! What the letters mean by which findings name the conditions of a proof of absence (`ARCHITECTURE.md`).

use crate::deviation::Deviation;

/// What a proof needs.
const NEEDED: [(&str, &str); 5] = [
    (
        "(a)",
        "before the marker was written, somebody whom the last write changed had been seen with it on the same replica",
    ),
    (
        "(b)",
        "the sidecar shows the marker, which was written after the payload, as a toggle and as a rule",
    ),
    (
        "(c)",
        "marker and absence come from one reading on one named stream, while the payload is in force",
    ),
    ("(d)", "nothing waits to take effect either"),
    (
        "(e)",
        "at the end, and after each reconnection, the sidecar shows all that it must and nothing more",
    ),
];

/// What those conditions ask for that deviations name by their letters.
pub(crate) fn needed(deviations: &[Deviation]) -> Vec<String> {
    let is_named = |letter: &str| {
        let mut texts = deviations.iter().flat_map(|it| it.observed.split("; "));
        texts.any(|text| text.starts_with(letter))
    };
    NEEDED
        .iter()
        .filter(|(letter, _)| is_named(letter))
        .map(|(letter, words)| format!("{letter} {words}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deviation::deviations;
    use harness_model::verdict::Detail;

    fn of(observed: &[&str]) -> Vec<String> {
        let details: Vec<Detail> = observed
            .iter()
            .map(|observed| Detail {
                sidecar: Some("a".to_owned()),
                step: Some(1),
                expected: "the marker".to_owned(),
                observed: (*observed).to_owned(),
                event: None,
            })
            .collect();
        needed(&deviations(&details))
    }

    #[test]
    fn each_letter_that_is_named_is_told_once() {
        let told = of(&["(c) not read", "(a) not seen on replica r", "(c) not read"]);
        let letters: Vec<&str> = told.iter().map(|words| &words[..3]).collect();
        assert_eq!(letters, ["(a)", "(c)"]);
        assert!(told[1].contains("one reading"), "{told:?}");
        assert!(of(&["toggle `t`", "a text with (a) in it"]).is_empty());
    }
}
