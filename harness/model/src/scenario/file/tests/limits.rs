//! What is too long, too much or too little in scenario files, and mistakes of meaning beside mistakes of form;
//! and a place whose mark was forgotten.

use super::*;

/// The only mistake in a sample with one piece of text replaced.
fn mistake(from: &str, to: &str) -> String {
    let found = mistakes(&sample_with(from, to));
    assert_eq!(found.len(), 1, "{found:#?}");
    found.concat()
}

#[test]
fn a_name_that_no_folder_can_have_is_refused() {
    let part = |letters: usize| "a".repeat(letters);
    let named = |name: &str| sample_with("delivery-scope/sample", name);
    assert_eq!(
        mistakes(&named(&format!("{}/{}", part(100), part(100)))),
        [""; 0]
    );
    let found = mistakes(&named(&format!("{}/{}", part(101), part(300))));
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(
        found[0].starts_with("my.yaml:1:7: a name in its suite of 300 letters is too long"),
        "{found:#?}"
    );
    assert!(
        found[1].starts_with(
            "my.yaml:1:7: a suite of 101 letters is too long (hint: at most 100: it is the name of a folder"
        ),
        "{found:#?}"
    );
}

#[test]
fn an_expectation_that_nothing_can_fail_is_refused() {
    let loses = |lost: &str| format!("answered: {{traffic: batch, lost: {lost}}}");
    for lost in ["3", "20"] {
        assert_eq!(
            mistake("answered: {traffic: batch}", &loses(lost)),
            format!(
                "my.yaml:50:36: {lost} of 3 requests may be lost, so it cannot fail (hint: write less than 3, or leave `lost` out)"
            )
        );
    }
    let two = sample_with("answered: {traffic: batch}", &loses("2"));
    assert_eq!(mistakes(&two), [""; 0]);
    for within in ["4s", "1m"] {
        let told = mistake("within: 500ms", &format!("within: {within}"));
        assert!(
            told.contains("a fault is over after 4s, and nothing is left to be judged"),
            "{told}"
        );
    }
    let less = sample_with("within: 500ms", "within: 3s");
    assert_eq!(mistakes(&less), [""; 0]);
}

#[test]
fn what_the_api_of_the_mesh_would_refuse_is_told() {
    let value = |letters: usize| format!("{{feature: {}}}", "ä".repeat(letters));
    let fits = sample_with("{feature: \"true\"}", &value(1024));
    assert_eq!(mistakes(&fits), [""; 0]);
    let long = mistake("{feature: \"true\"}", &value(1025));
    assert!(
        long.contains("the value of a toggle is too long: 1025 characters (hint: the API of the mesh (`PolicyConfig`) takes at most 1024)"),
        "{long}"
    );
    let rule = |more: &str| mistake("to: {inventory: 100}", more);
    for (more, told) in [
        (
            "to: {inventory: 100}, retry: {times: 1, statuses: [503, 99]}",
            "99 is no status of HTTP (hint: statuses are from 100 to 599",
        ),
        (
            "to: {inventory: 100}, retry: {times: 11}",
            "`times` 11 is too much",
        ),
        (
            "to: {inventory: 100}, timeoutMs: 3600001",
            "`timeoutMs` 3600001 is too much",
        ),
        ("to: {inventory: 1000001}", "weight 1000001 is too much"),
    ] {
        // The rule is written in block form: each key on a line of its own.
        let more = more.replace("}, ", "}\n        ");
        let found = rule(&more);
        assert!(found.contains(told), "{told} not in {found}");
    }
}

#[test]
fn mistakes_of_meaning_are_told_beside_those_of_form_that_they_cannot_follow_from() {
    let text = sample_with("tags: [gate, qa]\n", "")
        .replace("stop: steady", "stop: stedy")
        .replace("- confined", "- confinned")
        .replace(
            "passesBothSidecars: {traffic: batch}",
            "passesBothSidecars: {traffic: badge}",
        );
    assert_eq!(
        mistakes(&text),
        [
            "my.yaml:1:1: missing field `tags`",
            "my.yaml:31:3: load `steady` is never stopped (hint: add `stop` after it)",
            "my.yaml:41:3: load `stedy` is not running here (hint: start it with `load` first)",
            "my.yaml:45:3: unknown word `confinned` (hint: did you mean `confined`?)",
            "my.yaml:51:33: traffic `badge` is not sent",
        ]
    );
}

#[test]
fn what_may_follow_from_a_misspelt_key_is_not_told() {
    let text = sample_with("disturbs: everything", "distrubs: everything");
    let found = mistakes(&text);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(
        found[0].contains("unknown field `distrubs`"),
        "that it disturbs others unsaid may follow: {found:#?}"
    );
}

#[test]
fn a_number_without_its_mark_is_no_other_place() {
    let told = |name: &str| {
        let text = sample_with("- dataCenter: $zone1", &format!("- dataCenter: {name}"));
        let problems = parse_for("my.yaml", &text, &known()).expect_err("nobody has the name");
        problems.to_string()
    };
    let zone = told("zone2");
    assert!(zone.ends_with("(hint: did you mean `$zone2`?)"), "{zone}");
    // There are two.
    let none = told("zone3");
    assert!(none.ends_with("(hint: there are: east, west)"), "{none}");
}
