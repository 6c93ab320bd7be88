//! What is too long, too much or too little in scenario files, and mistakes of meaning beside mistakes of form;
//! a place whose mark was forgotten; and what may be expected of those who give certificates.

use super::*;

/// The only mistake in a sample with one piece of text replaced.
fn mistake(from: &str, to: &str) -> String {
    let found = mistakes(&sample_with(from, to));
    assert_eq!(found.len(), 1, "{found:#?}");
    found.concat()
}

/// These words are in what is wrong, and nothing else is.
#[track_caller]
fn assert_refused(text: &str, words: &str) {
    let found = mistakes(text);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].contains(words), "{found:#?}");
}

/// It is right, and these words are in what it expects first.
#[track_caller]
fn assert_expects(text: &str, words: &str) {
    let told = crate::words::expectations(&read_both_ways(text));
    assert!(told[0].contains(words), "{told:?}");
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
            "my.yaml:1:1: missing field `tags` (hint: add `tags: [qa]` to the map that begins here)",
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

#[test]
fn what_is_held_back_for_as_long_as_the_fault_lasts_is_refused() {
    let cut = "zoneOutage: {dataCenter: $zone1, duration: 4s}";
    let late = |delay: &str| {
        format!("lateAnswers: {{component: authority, delay: {delay}, duration: 4s}}")
    };
    let told = |delay: &str| mistake(cut, &late(delay));
    let for_ever = told("4s");
    assert!(
        for_ever.contains("nothing that is held back for 4s arrives in 4s"),
        "{for_ever}"
    );
    assert!(told("0s").contains("a delay of no time"));
    let text = sample_with(cut, &late("1500ms"));
    assert_eq!(mistakes(&text), [""; 0]);
    let read = read_both_ways(&text);
    let Some(Act::Inject(fault)) = read
        .when
        .iter()
        .find(|act| matches!(act, Act::Inject(Fault::LateAnswers { .. })))
    else {
        panic!("{read:?}");
    };
    assert_eq!(
        crate::words::fault(fault),
        "have authority answer 1s500ms late for 4s"
    );
}

#[test]
fn the_part_that_is_to_be_missing_where_is_cut_off_must_be_there() {
    let cut = "zoneOutage: {dataCenter: $zone1, duration: 4s}";
    let without = |part: &str| {
        let more = format!("{}, without: {part}}}", cut.trim_end_matches('}'));
        parse_for("my.yaml", &sample_with(cut, &more), &known())
    };
    let problems = without("nobody").expect_err("no part has the name");
    assert!(problems.to_string().contains("`nobody`"), "{problems}");
    let read = without("node-agent").expect("it is right");
    assert_eq!(parse("my.yaml", &print(&read)).expect("right"), read);
    let told: Vec<String> = read.when.iter().map(crate::words::act).collect();
    let told = told.join("; ");
    assert!(
        told.contains("cut zone 1, where no node-agent runs, off for 4s"),
        "{told}"
    );
}

/// TLS is turned on, then `before` happens, then nothing.
fn pushed(before: &str, tls: &str, since: usize) -> String {
    format!(
        "name: tls/mine
claim: certificates are pushed
tags: [qa]
requires: [tls]
disturbs: everything
when:
- apply: {{name: all, scope: {{match: [{{}}]}}, {tls}}}
{before}- hold: 14s
then:
- keepsStream: {{since: {since}}}
"
    )
}

const STRICT: &str = "tls: {inbound: strict}";

#[test]
fn what_is_expected_of_streams_is_read_and_printed() {
    assert_expects(&pushed("", STRICT, 1), "comes on the stream");
}

#[rstest::rstest]
#[case::written("", STRICT, 0, "the act changes something itself")]
#[case::rolled_out(
    "- restart: {component: node-agent}\n",
    STRICT,
    2,
    "something is broken or rolled out before"
)]
#[case::not_there("", STRICT, 7, "there is no step 7")]
#[case::no_certificates("", "toggles: {a: b}", 1, "it speaks of certificates")]
fn a_stream_that_ends_for_another_reason_shows_nothing(
    #[case] before: &str,
    #[case] tls: &str,
    #[case] since: usize,
    #[case] complaint: &str,
) {
    assert_refused(&pushed(before, tls, since), complaint);
}

#[rstest::rstest]
#[case::right("", STRICT, 1, None)]
#[case::written("", STRICT, 0, Some("the act changes something itself, and renewals"))]
#[case::rolled_out(
    "- restart: {component: node-agent}\n",
    STRICT,
    2,
    Some("something is broken or rolled out before, and renewals")
)]
#[case::not_there("", STRICT, 7, Some("there is no step 7"))]
#[case::no_certificates("", "toggles: {a: b}", 1, Some("it speaks of certificates"))]
fn renewals_are_spread_while_nothing_else_happens(
    #[case] before: &str,
    #[case] tls: &str,
    #[case] since: usize,
    #[case] complaint: Option<&str>,
) {
    let text = pushed(before, tls, since).replace("keepsStream", "spreadsRenewals");
    match complaint {
        Some(words) => assert_refused(&text, words),
        None => assert_expects(&text, "not all renewed after"),
    }
}

const BREAKS: &str = "- inject: {podKill: {selector: controlPlaneReplica}}\n- recover\n";

#[rstest::rstest]
#[case::right(BREAKS, STRICT, 3, None)]
#[case::nothing_is_broken("", STRICT, 3, Some("it speaks of a fault and none is injected"))]
#[case::nobody_may_be_refused(BREAKS, STRICT, 0, Some("`atMost` is 0, so it cannot pass"))]
#[case::no_certificates(BREAKS, "toggles: {a: b}", 3, Some("it speaks of certificates"))]
fn who_backs_off_is_refused_something_while_something_is_broken(
    #[case] before: &str,
    #[case] tls: &str,
    #[case] at_most: u32,
    #[case] complaint: Option<&str>,
) {
    let expected = format!("backsOff: {{component: certificate-authority, atMost: {at_most}}}");
    let text = pushed(before, tls, 1).replace("keepsStream: {since: 1}", &expected);
    match complaint {
        Some(words) => assert_refused(&text, words),
        None => assert_expects(&text, "refuses at most 3 requests"),
    }
}

#[test]
fn what_may_follow_from_a_key_that_is_wrong_is_not_told_of_the_map_it_is_in() {
    let with_tls = |tls: &str| {
        let more = format!("priority: 3\n    tls: {tls}\n");
        sample_with("priority: 3\n", &more).replace("requires: [", "requires: [tls, ")
    };
    assert_refused(&with_tls("{mode: strict}"), "unknown field `mode`");
    assert_refused(&with_tls("{}"), "`tls` says nothing");
    let misspelt = sample_with(
        "    toggles: {steady: \"on\"}\n",
        "    toggle: {steady: \"on\"}\n",
    );
    assert_refused(&misspelt, "did you mean `toggles`?");
}

#[test]
fn who_requires_two_zones_names_no_third() {
    let two = sample_with("three-zones", "two-zones");
    assert_eq!(mistakes(&two), [""; 0], "it names two");
    let third = two.replace("- dataCenter: $zone1", "- dataCenter: $zone3");
    assert_eq!(
        mistakes(&third),
        [
            "my.yaml:17:21: it names `$zone3`, and `requires` says `two-zones` (hint: write `three-zones` there, so that it is skipped where there are only two)"
        ]
    );
    // To require more zones helps nobody who wants a ninth.
    let ninth = two.replace("- dataCenter: $zone1", "- dataCenter: $zone9");
    assert_eq!(mistakes(&ninth), [""; 0]);
    let problems = parse_for("my.yaml", &ninth, &known()).expect_err("there are two");
    assert_eq!(
        problems.to_string(),
        "my.yaml:17:21: there is no data center `$zone9` (hint: there are: $zone1, $zone2)"
    );
    let both = third.replace("two-zones", "two-zones, three-zones");
    assert_eq!(mistakes(&both), [""; 0]);
    // Who says nothing is refused where there is no third.
    let unsaid = third.replace("requires: [two-zones]\n", "");
    assert_eq!(mistakes(&unsaid), [""; 0]);
}
