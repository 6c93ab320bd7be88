//! What the page must look like in both schemes, and without its script, as far as its source tells. No browser is asked: the
//! figures are those of WCAG 2 (relative luminance, contrast ratio).

use super::{STYLE, render};
use std::collections::{BTreeMap, BTreeSet};

/// The least contrast of text that anybody can read (WCAG 2, 1.4.3).
const TEXT: f64 = 4.5;

/// The colours of a scheme by name: those that the n-th `:root` sets.
fn scheme(number: usize) -> BTreeMap<&'static str, &'static str> {
    let block = STYLE.split(":root {").nth(number + 1).expect("two schemes");
    let (block, _) = block.split_once('}').expect("it ends");
    block
        .split(';')
        .filter_map(|line| line.trim().strip_prefix("--")?.split_once(": "))
        .collect()
}

const LIGHT: usize = 0;
const DARK: usize = 1;

/// Relative luminance of a colour such as `#16181b`.
fn luminance(colour: &str) -> f64 {
    let channel = |at: usize| {
        let digits = colour.get(at..at + 2).expect("six digits");
        let value = f64::from(u8::from_str_radix(digits, 16).expect("they are hexadecimal"));
        let value = value / 255.0;
        match value <= 0.040_45 {
            true => value / 12.92,
            false => ((value + 0.055) / 1.055).powf(2.4),
        }
    };
    0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5)
}

fn contrast(one: &str, other: &str) -> f64 {
    let (one, other) = (luminance(one), luminance(other));
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

#[test]
fn contrast_is_that_of_the_standard() {
    assert!((contrast("#000000", "#ffffff") - 21.0).abs() < 1e-9);
    assert!((contrast("#777777", "#ffffff") - 4.48).abs() < 0.01);
}

#[test]
fn every_word_can_be_read_in_both_schemes() {
    for number in [LIGHT, DARK] {
        let scheme = scheme(number);
        let words = [
            "ink",
            "soft",
            "passed",
            "failed",
            "inconclusive",
            "skipped",
            "refused",
        ];
        let on_paper = words
            .iter()
            .flat_map(|word| [(*word, "paper"), (*word, "card")]);
        let segments = ["r1", "r2", "r3", "r4", "r5", "r6", "r7"];
        let letters = segments.iter().map(|segment| ("on-seg", *segment));
        for (word, ground) in on_paper.chain(letters).chain([("ink", "code")]) {
            let measured = contrast(scheme[word], scheme[ground]);
            assert!(
                measured >= TEXT,
                "{word} on {ground} in scheme {number}: {measured:.2}"
            );
        }
    }
}

#[test]
fn what_is_refused_as_wanted_has_a_colour_of_its_own() {
    for scheme in [LIGHT, DARK].map(scheme) {
        let own = scheme["refused"];
        let same = scheme.values().filter(|colour| **colour == own);
        assert_eq!(same.count(), 1, "{own}");
    }
    for rule in [
        ".loss { fill: var(--failed); }",
        ".refusal { fill: var(--refused); }",
    ] {
        assert!(STYLE.contains(rule), "{rule}");
    }
}

/// Whether the property takes a colour.
fn colours(property: &str) -> bool {
    let begins = ["fill", "stroke", "background", "border", "outline"];
    let property = property.trim();
    property.ends_with("color") || begins.iter().any(|begin| property.starts_with(*begin))
}

/// A word of a property's value that sets no colour of its own: one of the scheme, one of somebody else, a measure.
fn plain(word: &str) -> bool {
    word.starts_with("var(--")
        || word.starts_with(|first: char| first.is_ascii_digit() || first == '.')
        || ["inherit", "none", "solid"].contains(&word)
}

#[test]
fn only_words_that_set_no_colour_are_plain() {
    for word in ["var(--ink)", "inherit", "none", "1px", ".6"] {
        assert!(plain(word), "{word}");
    }
    for word in ["#fff", "rgb(0", "hsl(0", "white", "black", "tomato"] {
        assert!(!plain(word), "{word}");
    }
    for property in [" color", "fill", "border-top", "text-decoration-color"] {
        assert!(colours(property), "{property}");
    }
    assert!(!colours("display"));
}

#[test]
fn the_dark_scheme_is_dark_and_whole() {
    let [light, dark] = [LIGHT, DARK].map(scheme);
    assert!(luminance(dark["paper"]) < 0.02, "{}", dark["paper"]);
    assert!(luminance(light["paper"]) > 0.9, "{}", light["paper"]);
    let names = |scheme: &BTreeMap<&'static str, _>| -> BTreeSet<&'static str> {
        scheme.keys().copied().collect()
    };
    assert_eq!(names(&light), names(&dark));
    let used: BTreeSet<&str> = STYLE
        .split("var(--")
        .skip(1)
        .filter_map(|rest| Some(rest.split_once(')')?.0))
        .collect();
    assert_eq!(used, names(&dark));
    // A colour that is set elsewhere would be the same in both.
    let after = STYLE.rsplit(":root {").next().expect("it has an end");
    let (_, rules) = after.split_once('}').expect("it ends");
    for line in rules.lines() {
        for value in line
            .split(['{', ';'])
            .filter_map(|rule| rule.split_once(": "))
        {
            assert!(!value.1.contains('#'), "{line}");
            assert!(!colours(value.0) || value.1.split(' ').all(plain), "{line}");
        }
    }
    // The browser's own parts, such as the scroll bar and the boxes of the filter.
    assert!(STYLE.contains("color-scheme: light dark;"));
    assert!(STYLE.contains("@media (prefers-color-scheme: dark)"));
}

#[test]
fn without_scripts_all_but_the_filter_is_there() {
    let page = render(&crate::fixture::record(), 1).expect("the fixture has a page");
    let (shown, script) = page.split_once("<script>").expect("it has one");
    assert_eq!(
        shown.matches(" hidden>").count(),
        1,
        "what only a script shows is the filter"
    );
    assert!(shown.contains("<form id=\"filter\" hidden>"));
    assert!(script.contains("form.hidden = false"));
    // A browser opens and closes these by itself.
    let scenarios = crate::fixture::record().scenarios.len();
    assert_eq!(
        shown.matches("<details class=\"scenario").count(),
        scenarios
    );
    for handler in ["onclick", "onload", "javascript:"] {
        assert!(!shown.contains(handler), "{handler}");
    }
}
