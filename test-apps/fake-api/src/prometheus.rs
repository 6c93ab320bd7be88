//! What metrics tell Prometheus.
//!
//! Invariant: what Prometheus would not take, or only without knowing what it is, is not read.

use std::collections::BTreeMap;

/// The samples of a text in Prometheus' text form, version 0.0.4, by name and labels as they stand there. No label has a space in
/// it here.
///
/// # Panics
///
/// When the text is not of the form, a sample stands there twice, or not right behind the help and the type of its family; or
/// when a counter is not called `..._total`, or something else is.
#[must_use]
pub fn samples(text: &str) -> BTreeMap<String, u64> {
    assert!(text.ends_with('\n'), "the last line does not end: {text}");
    let (mut helped, mut typed) = ("", "");
    let mut samples = BTreeMap::new();
    for line in text.lines() {
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        match words.as_slice() {
            ["#", "HELP", family, help] if !help.is_empty() => helped = *family,
            ["#", "TYPE", family, "counter"] if family.ends_with("_total") => typed = *family,
            ["#", "TYPE", family, "gauge"] if !family.ends_with("_total") => typed = *family,
            [sample, value] => {
                let family = sample.split('{').next().unwrap_or_default();
                assert!(
                    family == helped && family == typed,
                    "nobody says what {line} is"
                );
                let value = value.parse::<u64>().ok();
                let value = value.unwrap_or_else(|| panic!("no number: {line}"));
                let before = samples.insert((*sample).to_owned(), value);
                assert!(before.is_none(), "{sample} is there twice");
            }
            _ => panic!("not of the form: {line}"),
        }
    }
    samples
}

#[cfg(test)]
mod tests {
    use super::*;

    const OF_A: &str = "# HELP a_total All of a.\n# TYPE a_total counter\n";

    #[test]
    fn samples_are_read_with_their_labels() {
        let text = format!(
            "{OF_A}a_total{{of=\"x\"}} 1\na_total{{of=\"y\"}} 2\n# HELP b Now.\n# TYPE b gauge\nb 3\n"
        );
        let read = samples(&text);
        let expected = [("a_total{of=\"x\"}", 1), ("a_total{of=\"y\"}", 2), ("b", 3)];
        let expected = expected.map(|(name, value)| (name.to_owned(), value));
        assert_eq!(read, BTreeMap::from(expected));
    }

    #[test]
    fn what_is_not_of_the_form_is_not_read() {
        for text in [
            String::new(),
            format!("{OF_A}a_total 1"),
            format!("{OF_A}a_total one\n"),
            format!("{OF_A}a_total 1\na_total 2\n"),
            format!("{OF_A}b_total 1\n"),
            "a_total 1\n".to_owned(),
            "# TYPE a_total counter\na_total 1\n".to_owned(),
            "# HELP a All of a.\n# TYPE a counter\na 1\n".to_owned(),
            format!("{OF_A}\na_total 1\n"),
        ] {
            let read = std::panic::catch_unwind(|| samples(&text));
            assert!(read.is_err(), "{text}");
        }
    }
}
